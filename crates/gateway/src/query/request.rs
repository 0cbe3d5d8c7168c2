//! What a reader of call records asks for.

use std::sync::Arc;

use outdial_core::{AccountId, Disposition, EndedBy, Outcome, Record, RecordQuery, Vendor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    accounts::{Account, Accounts},
    api_error::ApiError,
    auth::{Principal, Scope},
    params::{ID_LIMIT, NUMBER_LIMIT, Params},
};

/// Where records are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A list: from the vendor where it has a search, else from the store. One record: from the store, else the vendor.
    #[default]
    Unsaid,
    /// From the vendor, which has to have a search.
    Vendor,
    /// From the store.
    Store,
}

/// What a reader of call records asks for, checked against their token.
#[derive(Clone, Debug)]
pub struct RecordsRequest {
    /// Whose records, in the order of their ids.
    pub accounts: Vec<Arc<Account>>,
    /// The filters.
    pub query: RecordQuery,
    /// Where records are read.
    pub source: Source,
    /// Whether the vendor's own JSON is wanted.
    pub include_raw: bool,
    /// Whether numbers are shown in full.
    pub full_numbers: bool,
    /// Most records of a page.
    pub limit: usize,
}

impl RecordsRequest {
    /// Reads the parameters of a list. Answers the cursor with it.
    ///
    /// # Errors
    /// `invalid-parameter`, naming each; `not-found` for an account outside the token.
    pub fn read(
        mut params: Params,
        accounts: &Accounts,
        principal: &Principal,
    ) -> Result<(Self, Option<String>), ApiError> {
        let wanted = params.accounts("account");
        let query = read_filters(&mut params);
        let include_raw = read_include(&mut params);
        let source = read_source(&mut params);
        let limit = params.limit();
        let cursor = params.text("cursor");
        params.finish()?;
        let accounts = covered_accounts(accounts, principal, &wanted)?;
        if source == Source::Vendor {
            accounts.iter().try_for_each(|account| check_search(account))?;
        }
        let full_numbers = principal.has(Scope::RecordsPii);
        Ok((Self { accounts, query, source, include_raw, full_numbers, limit }, cursor))
    }

    /// Takes out of a record what its reader may not see, or did not ask for.
    pub fn restrict(&self, record: &mut Record<'_>) {
        if !self.include_raw {
            record.raw = None;
        }
        if !self.full_numbers {
            record.mask();
        }
    }

    /// The ids of the accounts.
    pub fn account_ids(&self) -> Vec<AccountId> {
        self.accounts.iter().map(|account| account.id.clone()).collect()
    }

    /// A digest of all that has to stay equal while paging. The size of a page may change.
    pub fn binding(&self) -> String {
        let accounts: Vec<&str> = self.accounts.iter().map(|account| account.id.as_str()).collect();
        let bound = (accounts, &self.query, self.source, self.include_raw);
        let json = serde_json::to_vec(&bound).unwrap_or_default();
        Sha256::digest(json).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Reads `include`, whose one word is `raw`.
pub fn read_include(params: &mut Params) -> bool {
    params.parsed("include", "raw", |text| (text == "raw").then_some(true)).unwrap_or(false)
}

/// Reads `source`.
pub fn read_source(params: &mut Params) -> Source {
    let read = |text: &str| match text {
        "vendor" => Some(Source::Vendor),
        "store" => Some(Source::Store),
        _ => None,
    };
    params.parsed("source", "vendor or store", read).unwrap_or_default()
}

/// Refuses to ask a vendor that cannot be asked.
pub fn check_search(account: &Account) -> Result<(), ApiError> {
    let descriptor = account.vendor.descriptor();
    if descriptor.capabilities.record_search {
        return Ok(());
    }
    Err(<dyn Vendor>::unsupported(&descriptor.vendor, "search for call records").into())
}

fn read_filters(params: &mut Params) -> RecordQuery {
    let query = RecordQuery {
        campaign_id: params.short_text("campaign_id", ID_LIMIT),
        task_id: params.short_text("task_id", ID_LIMIT),
        call_id: params.short_text("call_id", ID_LIMIT),
        caller: params.short_text("caller", NUMBER_LIMIT),
        called: params.short_text("called", NUMBER_LIMIT),
        roster_entry_id: params.text("roster_entry_id"),
        outcome: params.word("outcome", Outcome::WORDS),
        disposition: params.word("disposition", Disposition::WORDS),
        ended_by: params.word("ended_by", EndedBy::WORDS),
        started_from: params.time("started_from"),
        started_to: params.time("started_to"),
    };
    if let (Some(from), Some(to)) = (query.started_from, query.started_to)
        && from > to
    {
        params.refuse("started_to", "before-start", "The value is before started_from.");
    }
    query
}

/// The accounts that a request is about: those that were named, or all that the token covers.
///
/// # Errors
/// `not-found`, alike for an account that is not there and for one outside the token.
pub fn covered_accounts(
    accounts: &Accounts,
    principal: &Principal,
    wanted: &[AccountId],
) -> Result<Vec<Arc<Account>>, ApiError> {
    let covered = |account: &&Arc<Account>| principal.covers(&account.id);
    if wanted.is_empty() {
        return Ok(accounts.iter().filter(covered).cloned().collect());
    }
    let mut found = Vec::with_capacity(wanted.len());
    for id in wanted {
        found.push(Arc::clone(covered_account(accounts, principal, id.as_str())?));
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

/// One account that the token covers.
///
/// # Errors
/// `not-found`, as above.
pub fn covered_account<'a>(
    accounts: &'a Accounts,
    principal: &Principal,
    id: &str,
) -> Result<&'a Arc<Account>, ApiError> {
    let found = accounts.get(id).ok().filter(|account| principal.covers(&account.id));
    found.ok_or_else(|| {
        let message = "There is no such account, or the token does not cover it.";
        outdial_core::Error::new(outdial_core::ErrorClass::NotFound, "not-found", message).into()
    })
}
