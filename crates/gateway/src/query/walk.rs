//! A walk over call records, page by page: account after account at the vendors, or newest first in the store.

use std::sync::Arc;

use outdial_core::{AccountId, CallRecord, Clock, Record, SearchRequest};
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

/// Takes the records of a page one by one, as the reader may see them.
pub type RecordSink<'s> = &'s mut dyn FnMut(&Record<'_>);

/// A page while it is given out.
struct Page<'s> {
    sink: RecordSink<'s>,
    /// Records that were given.
    given: usize,
    /// What went wrong without stopping the walk.
    warnings: Vec<PageWarning>,
}

impl Page<'_> {
    fn give(&mut self, request: &RecordsRequest, record: &mut Record<'_>) {
        self.given += 1;
        request.restrict(record);
        (self.sink)(record);
    }
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

    /// Gives the next page of a walk to `sink`, and moves the walk on. A page may be empty although more follow. Answers
    /// what went wrong without stopping the walk.
    ///
    /// # Errors
    /// What the vendor said, mapped; `store-unavailable`. Nothing was given then, and the walk stays where it was.
    pub async fn page(
        &self,
        request: &RecordsRequest,
        walk: &mut Walk,
        trace: &Trace,
        sink: RecordSink<'_>,
    ) -> Result<Vec<PageWarning>, ApiError> {
        let mut next = walk.clone();
        let mut page = Page { sink, given: 0, warnings: Vec::new() };
        for _ in 0..EMPTY_PAGES {
            if next.done || page.given > 0 {
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
        *walk = next;
        Ok(page.warnings)
    }

    async fn store_page(
        &self,
        request: &RecordsRequest,
        accounts: &[AccountId],
        walk: &mut Walk,
        page: &mut Page<'_>,
    ) -> Result<(), ApiError> {
        if accounts.is_empty() {
            walk.done = true;
            return Ok(());
        }
        let mut found = self.store.query(accounts, &request.query, walk.after.take(), request.limit).await?;
        found.records.iter_mut().for_each(|record| page.give(request, record));
        walk.done = found.next.is_none();
        walk.after = found.next;
        Ok(())
    }

    /// A page of the account that is next; at its end the walk moves to the one after it.
    async fn account_page(
        &self,
        request: &RecordsRequest,
        walk: &mut Walk,
        page: &mut Page<'_>,
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
        page: &mut Page<'_>,
        trace: &Trace,
    ) -> Result<bool, ApiError> {
        let limit = u32::try_from(request.limit).unwrap_or(u32::MAX);
        let search = SearchRequest { query: &request.query, mark: walk.mark.as_deref(), limit };
        let vendor = account.vendor.descriptor().vendor.clone();
        let found = self.upstream.search(account, &search, trace, Priority::Interactive).await;
        let found = found.map_err(|error| ApiError::from(error).of_account(&account.id, &vendor))?;
        let now = self.clock.now();
        let (mut unreadable, mut matching, mut given) = (0, 0, 0);
        for record in &found.records {
            let Ok(mut decoded) = account.vendor.read_found(record, now) else {
                unreadable += 1;
                continue;
            };
            self.metrics.count_oddities(vendor.as_str(), &decoded, record.json());
            // A vendor may know fewer filters than we do, and may give more records than were asked for.
            if !request.query.matches(&decoded.record) {
                continue;
            }
            matching += 1;
            if matching > walk.skip && given < request.limit {
                if request.include_raw {
                    decoded.record.attach_raw(record.json());
                }
                page.give(request, &mut decoded.record);
                given += 1;
            }
        }
        if unreadable > 0 && walk.skip == 0 {
            page.warnings.push(PageWarning {
                account: account.id.clone(),
                code: "unreadable-records",
                detail: format!("{unreadable} records of the vendor's page could not be read."),
            });
        }
        if matching > walk.skip + given {
            walk.skip += given;
            return Ok(false);
        }
        walk.skip = 0;
        let Some(mark) = found.next_mark.clone() else { return Ok(true) };
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
            && let Some(mut record) = self.store.get(&account.id, call_id).await?
        {
            request.restrict(&mut record);
            return Ok(record);
        }
        let searchable = account.vendor.descriptor().capabilities.record_search;
        if request.source == Source::Store || !searchable {
            return Err(ApiError::not_found());
        }
        let mut found = None;
        let mut keep = |record: &Record<'_>| {
            if found.is_none() && record.call_id == call_id {
                found = Some(record.clone().into_owned());
            }
        };
        let mut page = Page { sink: &mut keep, given: 0, warnings: Vec::new() };
        self.vendor_page(account, request, &mut Walk::default(), &mut page, trace).await?;
        found.ok_or_else(ApiError::not_found)
    }
}
