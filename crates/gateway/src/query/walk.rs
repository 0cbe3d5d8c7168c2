//! A walk over call records, page by page: account after account at the vendors, or newest first in the store.

use std::sync::Arc;

use outdial_core::{AccountId, CallRecord, Clock, SearchRequest};
use outdial_store::{PageKey, Store};
use serde::{Deserialize, Serialize};

use super::{RecordsRequest, Source};
use crate::{
    accounts::Account,
    api_error::ApiError,
    marks::SeenMarks,
    telemetry::Metrics,
    upstream::{Priority, Trace, Upstream},
};

/// Most pages that one request asks a vendor, or the store, for while they turn out empty.
const EMPTY_PAGES: usize = 8;

/// Reads call records.
pub struct RecordQueries {
    store: Arc<dyn Store>,
    upstream: Arc<Upstream>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// A place in a walk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Walk {
    /// Which account is next; at the end, one past the last. In the store, 0 until the end.
    at: usize,
    /// The vendor's mark of the page that is next.
    mark: Option<String>,
    /// Records of that page which were given out already.
    skip: usize,
    /// The marks seen: a vendor that repeats one of them ends the walk.
    seen: SeenMarks,
    /// Where the next page of the store begins.
    after: Option<PageKey>,
    /// Whether everything was given out.
    pub done: bool,
}

/// What is to be known of a page besides its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageWarning {
    /// Whose vendor.
    pub account: AccountId,
    /// `repeated-mark` or `unreadable-records`.
    pub code: &'static str,
    /// One sentence.
    pub detail: String,
}

/// A page.
#[derive(Debug, Default)]
pub struct RecordsPage {
    /// As the reader may see them.
    pub records: Vec<CallRecord>,
    /// What went wrong without stopping the walk.
    pub warnings: Vec<PageWarning>,
}

impl RecordQueries {
    /// Reads from this store and these vendors.
    pub fn new(
        store: Arc<dyn Store>,
        upstream: Arc<Upstream>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { store, upstream, clock, metrics }
    }

    /// The next page of a walk, and moves the walk on. A page may be empty although more follow.
    ///
    /// # Errors
    /// What the vendor said, mapped; `store-unavailable`. The walk stays where it was.
    pub async fn page(
        &self,
        request: &RecordsRequest,
        walk: &mut Walk,
        trace: &Trace,
    ) -> Result<RecordsPage, ApiError> {
        let mut next = walk.clone();
        let mut page = RecordsPage::default();
        for _ in 0..EMPTY_PAGES {
            if next.done || !page.records.is_empty() {
                break;
            }
            match request.source {
                Source::Store => {
                    self.store_page(request, &request.account_ids(), &mut next, &mut page).await?
                }
                Source::Unsaid | Source::Vendor => {
                    self.account_page(request, &mut next, &mut page, trace).await?;
                }
            }
        }
        page.records = page.records.into_iter().map(|record| shown(request, record)).collect();
        *walk = next;
        Ok(page)
    }

    async fn store_page(
        &self,
        request: &RecordsRequest,
        accounts: &[AccountId],
        walk: &mut Walk,
        page: &mut RecordsPage,
    ) -> Result<(), ApiError> {
        if accounts.is_empty() {
            walk.done = true;
            return Ok(());
        }
        let found = self.store.query(accounts, &request.query, walk.after.take(), request.limit).await?;
        page.records.extend(found.records);
        walk.done = found.next.is_none();
        walk.after = found.next;
        Ok(())
    }

    /// A page of the account that is next; at its end the walk moves to the one after it.
    async fn account_page(
        &self,
        request: &RecordsRequest,
        walk: &mut Walk,
        page: &mut RecordsPage,
        trace: &Trace,
    ) -> Result<(), ApiError> {
        let Some(account) = request.accounts.get(walk.at) else {
            walk.done = true;
            return Ok(());
        };
        let ended = if account.vendor.descriptor().capabilities.record_search {
            self.vendor_page(account, request, walk, page, trace).await?
        } else {
            self.store_page(request, std::slice::from_ref(&account.id), walk, page).await?;
            std::mem::take(&mut walk.done)
        };
        if ended {
            let at = walk.at + 1;
            *walk = Walk { at, done: at >= request.accounts.len(), ..Walk::default() };
        }
        Ok(())
    }

    /// A page of a vendor's search. Answers whether it was the last.
    async fn vendor_page(
        &self,
        account: &Arc<Account>,
        request: &RecordsRequest,
        walk: &mut Walk,
        page: &mut RecordsPage,
        trace: &Trace,
    ) -> Result<bool, ApiError> {
        let limit = u32::try_from(request.limit).unwrap_or(u32::MAX);
        let search = SearchRequest { query: &request.query, mark: walk.mark.as_deref(), limit };
        let vendor = account.vendor.descriptor().vendor.clone();
        let found =
            self.upstream.search(account, &search, trace, self.clock.now(), Priority::Interactive).await;
        let found = found.map_err(|error| ApiError::from(error).of_account(&account.id, &vendor))?;
        let mut unreadable = 0;
        let mut records = Vec::with_capacity(found.items.len());
        for item in found.items {
            match item.result {
                Ok(decoded) => {
                    self.metrics.count_oddities(vendor.as_str(), &decoded);
                    records.push(decoded.record);
                }
                Err(_) => unreadable += 1,
            }
        }
        if unreadable > 0 && walk.skip == 0 {
            page.warnings.push(PageWarning {
                account: account.id.clone(),
                code: "unreadable-records",
                detail: format!("{unreadable} records of the vendor's page could not be read."),
            });
        }
        // A vendor may know fewer filters than we do, and may give more records than were asked for.
        let matching = records.into_iter().filter(|record| request.query.matches(record));
        let mut left = matching.skip(walk.skip);
        let given: Vec<CallRecord> = left.by_ref().take(request.limit).collect();
        let more_here = left.next().is_some();
        let skip = walk.skip + given.len();
        page.records.extend(given);
        if more_here {
            walk.skip = skip;
            return Ok(false);
        }
        walk.skip = 0;
        let Some(mark) = found.next_mark else { return Ok(true) };
        if !walk.seen.note(&mark) {
            tracing::warn!(account = %account.id, "search.repeated_mark");
            page.warnings.push(PageWarning {
                account: account.id.clone(),
                code: "repeated-mark",
                detail: "The vendor repeated a mark of its search; the walk ended there.".to_owned(),
            });
            return Ok(true);
        }
        walk.mark = Some(mark);
        Ok(false)
    }

    /// One record: from the store, and where it is not there, or `source` says so, from the vendor.
    ///
    /// # Errors
    /// `not-found`, `store-unavailable`, or what the vendor said, mapped.
    pub async fn get(
        &self,
        request: &RecordsRequest,
        call_id: &str,
        trace: &Trace,
    ) -> Result<CallRecord, ApiError> {
        let account = request.accounts.first().ok_or_else(ApiError::not_found)?;
        if request.source != Source::Vendor
            && let Some(record) = self.store.get(&account.id, call_id).await?
        {
            return Ok(shown(request, record));
        }
        let searchable = account.vendor.descriptor().capabilities.record_search;
        if request.source == Source::Store || !searchable {
            return Err(ApiError::not_found());
        }
        let (mut walk, mut page) = (Walk::default(), RecordsPage::default());
        self.vendor_page(account, request, &mut walk, &mut page, trace).await?;
        let found = page.records.into_iter().find(|record| record.call_id == call_id);
        found.map(|record| shown(request, record)).ok_or_else(ApiError::not_found)
    }
}

/// A record as its reader may see it.
fn shown(request: &RecordsRequest, mut record: CallRecord) -> CallRecord {
    if !request.include_raw {
        record.raw = None;
    }
    if request.full_numbers { record } else { record.masked() }
}
