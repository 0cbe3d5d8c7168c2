//! Call records, queried.

use async_trait::async_trait;
use outdial_core::{AccountId, CallRecord, Outcome, RecordQuery, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{StoreError, StoreErrorKind};

/// Where a page ended: the last record's sort time and id. Records are sorted newest first, then by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageKey {
    /// [`CallRecord::sort_millis`] of the last record.
    pub sort_millis: i64,
    /// Its id.
    pub id: String,
}

/// A page of records.
#[derive(Debug, Default)]
pub struct RecordPage {
    /// The records, newest first, `raw` included. May be shorter than asked even when more follow.
    pub records: Vec<CallRecord>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<PageKey>,
}

/// How many calls of a campaign ended alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryCount {
    /// The outcome.
    pub outcome: Outcome,
    /// Which attempt, where the vendor counts them.
    pub round: Option<u32>,
    /// Records.
    pub records: u64,
}

/// What came of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Distinct roster entries that were accepted by the vendor and are still kept.
    pub entries_uploaded: u64,
    /// Distinct entries of which a result is known, dialled or not.
    pub entries_with_result: u64,
    /// Distinct entries that were dialled at least once.
    pub entries_dialled: u64,
    /// Records of the campaign.
    pub records: u64,
    /// Sorted by round, then outcome.
    pub counts: Vec<SummaryCount>,
}

/// One hour in milliseconds.
pub const HOUR_MILLIS: i64 = 3_600_000;

/// Most hours that [`CallRecords::count_by_hour`] counts in one call: 32 days.
pub const HOURS_LIMIT: usize = 768;

/// How the records of one hour came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourCount {
    /// Records that a push brought, whether or not a search found them too.
    pub by_push: u64,
    /// Records that only a search found.
    pub only_by_search: u64,
}

/// Records, queried.
#[async_trait]
pub trait CallRecords: Send + Sync {
    /// Up to `limit` records of these accounts that match, newest first, after a key. A backend bounds the work of one call:
    /// a page may be short, or even empty, with `next` set.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn query(
        &self,
        accounts: &[AccountId],
        query: &RecordQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<RecordPage, StoreError>;

    /// One record, `raw` included.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get(&self, account: &AccountId, call_id: &str) -> Result<Option<CallRecord>, StoreError>;

    /// What came of a campaign so far.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn summary(&self, account: &AccountId, campaign_id: &str) -> Result<Summary, StoreError>;

    /// How the records of an account, or of one of its campaigns, came: one count for each hour of [`HOUR_MILLIS`] since the
    /// epoch, the first of which is `first_hour`, by [`CallRecord::sort_millis`]. An hour without records counts zeros. The
    /// work is bounded by the number of hours where a backend keeps such counts, else by the number of records in them.
    ///
    /// # Errors
    /// `Unavailable`, `Invalid` above [`HOURS_LIMIT`].
    async fn count_by_hour(
        &self,
        account: &AccountId,
        campaign_id: Option<&str>,
        first_hour: i64,
        hours: usize,
    ) -> Result<Vec<HourCount>, StoreError>;

    /// Removes records whose last change is older. Answers how many were removed, at most 10,000 a call.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn expire(&self, older_than: Timestamp) -> Result<u64, StoreError>;
}

/// Refuses to count more hours than a call may.
pub(crate) fn check_hours(hours: usize) -> Result<(), StoreError> {
    if hours <= HOURS_LIMIT {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::Invalid, format!("{hours} hours are more than {HOURS_LIMIT}")))
}
