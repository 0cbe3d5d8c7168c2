//! Which events a subscription, or a replay of one, wants: read from a body and held to what the caller may see.

use std::collections::BTreeSet;

use outdial_core::{AccountId, Disposition, Outcome, event_type};
use outdial_store::SubscriptionFilter;

use super::members::Members;
use crate::{
    accounts::Accounts,
    auth::{AccountGrant, Principal},
    params::ID_LIMIT,
};

/// Most items of a list.
const ITEMS_LIMIT: usize = 100;

/// Who asks, and for what there is.
#[derive(Clone, Copy)]
pub struct FilterOwner<'a> {
    /// The accounts of this gateway.
    pub accounts: &'a Accounts,
    /// The caller.
    pub principal: &'a Principal,
    /// Accounts that were allowed before, and so are again; also those that the configuration has lost.
    pub known: Option<&'a BTreeSet<AccountId>>,
}

/// Reads the members of a filter. Accounts that are left out are all that the token covers.
pub fn read_filter(members: &mut Members, owner: &FilterOwner<'_>) -> SubscriptionFilter {
    let given = read_accounts(members, owner);
    let mut filter = read_narrower(members);
    filter.accounts = match (given, &owner.principal.accounts) {
        (Some(accounts), _) => accounts,
        (None, AccountGrant::All) => BTreeSet::new(),
        (None, AccountGrant::Some(_)) => covered(members, owner),
    };
    filter
}

/// Reads the members of a filter that only narrows another: what is left out stays as wide as the other.
pub fn read_narrowing(members: &mut Members, owner: &FilterOwner<'_>) -> SubscriptionFilter {
    let accounts = read_accounts(members, owner).unwrap_or_default();
    SubscriptionFilter { accounts, ..read_narrower(members) }
}

fn read_narrower(members: &mut Members) -> SubscriptionFilter {
    let types = members.list("types", ITEMS_LIMIT, "a type of event", |text| {
        event_type::ALL.contains(&text).then(|| text.to_owned())
    });
    let wanted = format!("1 to {ID_LIMIT} characters");
    let campaigns = members.list("campaigns", ITEMS_LIMIT, &wanted, |text| {
        (1..=ID_LIMIT).contains(&text.chars().count()).then(|| text.to_owned())
    });
    let outcomes = members.list("outcomes", ITEMS_LIMIT, "an outcome", |text| text.parse::<Outcome>().ok());
    let dispositions =
        members.list("dispositions", ITEMS_LIMIT, "a disposition", |text| text.parse::<Disposition>().ok());
    SubscriptionFilter {
        types: types.into_iter().flatten().collect(),
        accounts: BTreeSet::new(),
        campaigns: campaigns.into_iter().flatten().collect(),
        outcomes: outcomes.into_iter().flatten().collect(),
        dispositions: dispositions.into_iter().flatten().collect(),
    }
}

/// The accounts that were given. One outside the token is as one that is not there.
fn read_accounts(members: &mut Members, owner: &FilterOwner<'_>) -> Option<BTreeSet<AccountId>> {
    let given: Vec<String> = members.list("accounts", ITEMS_LIMIT, "text", |text| Some(text.to_owned()))?;
    let mut accounts = BTreeSet::new();
    for (at, id) in given.iter().enumerate() {
        match id.parse::<AccountId>().ok().filter(|id| owner.may_want(id)) {
            Some(account) => {
                accounts.insert(account);
            }
            None => members.refuse_item(
                "accounts",
                at,
                "unknown-account",
                "There is no such account, or the token does not cover it.",
            ),
        }
    }
    Some(accounts)
}

/// All that a narrow token covers. None at all would mean every account, so it is refused.
fn covered(members: &mut Members, owner: &FilterOwner<'_>) -> BTreeSet<AccountId> {
    let all = owner.accounts.iter().map(|account| account.id.clone());
    let covered: BTreeSet<AccountId> = all.filter(|id| owner.principal.covers(id)).collect();
    if covered.is_empty() {
        members.refuse("accounts", "no-account", "The token covers no account.");
    } else if covered.len() > ITEMS_LIMIT {
        let detail =
            format!("The token covers more than {ITEMS_LIMIT} accounts; name those that are wanted.");
        members.refuse("accounts", "length", detail);
    }
    covered
}

impl FilterOwner<'_> {
    fn may_want(&self, id: &AccountId) -> bool {
        let is_known = self.known.is_some_and(|known| known.contains(id));
        is_known || (self.accounts.get(id.as_str()).is_ok() && self.principal.covers(id))
    }
}
