//! What has happened so far, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Both vendors' counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// WellCloud's.
    pub wellcloud: VendorStats,
    /// ICSOC's.
    pub icsoc: VendorStats,
}

/// One vendor's counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorStats {
    /// Requests for a token, refused ones too.
    pub token_fetches: u64,
    /// Requests for a token that were refused.
    pub token_refusals: u64,
    /// Calls refused for a missing, wrong or expired token.
    pub unauthenticated: u64,
    /// Roster uploads received with a good token (WellCloud).
    pub uploads: u64,
    /// Roster uploads taken (WellCloud).
    pub uploads_taken: u64,
    /// Entries of the uploads taken (WellCloud).
    pub entries: u64,
    /// Entries that no result will come of (WellCloud).
    pub waiting: u64,
    /// Searches received with a good token (ICSOC).
    pub searches: u64,
    /// Results or call records there are so far, pushed or not.
    pub records: u64,
    /// Results that wait for the end of the hour, and entries that are to be dialled again (WellCloud).
    pub held: u64,
    /// The pushes.
    pub push: PushStats,
}

/// A search of ICSOC's that was understood and answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchSeen {
    /// The mark it went on from.
    pub after: Option<String>,
    /// The bounds of the start, in seconds since the epoch, where it had any.
    pub started_from: Option<i64>,
    /// See above.
    pub started_to: Option<i64>,
    /// Records on the page.
    pub found: usize,
}

/// What came of the pushes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushStats {
    /// Requests sent, retries and duplicates too.
    pub attempted: u64,
    /// Requests with a full success reply.
    pub acknowledged: u64,
    /// Requests with any other reply, or none.
    pub refused: u64,
    /// Pushes that failed for good.
    pub given_up: u64,
    /// Pushes that found the queue full.
    pub dropped: u64,
    /// Pushes not settled yet: queued, under way or to be retried.
    pub unsettled: u64,
    /// Distinct records sent at least once, broken ones not counted.
    pub records_sent: u64,
    /// Distinct records acknowledged at least once, broken ones not counted.
    pub records_acknowledged: u64,
    /// Broken records sent for the first time.
    pub broken_sent: u64,
    /// Acknowledgements that could not be written to the ledger.
    pub ledger_failures: u64,
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn bump(&self) {
        self.add(1);
    }

    /// `more` more.
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The number so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a vendor's server counts.
#[derive(Debug, Default)]
pub(crate) struct ServerCounters {
    pub(crate) token_fetches: Counter,
    pub(crate) token_refusals: Counter,
    pub(crate) unauthenticated: Counter,
    pub(crate) searches: Counter,
}

impl ServerCounters {
    /// The counts; what the server does not count is 0.
    pub(crate) fn read(&self) -> VendorStats {
        VendorStats {
            token_fetches: self.token_fetches.get(),
            token_refusals: self.token_refusals.get(),
            unauthenticated: self.unauthenticated.get(),
            searches: self.searches.get(),
            ..VendorStats::default()
        }
    }
}

/// What a pusher counts.
#[derive(Debug, Default)]
pub(crate) struct PushCounters {
    pub(crate) attempted: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) refused: Counter,
    pub(crate) given_up: Counter,
    pub(crate) dropped: Counter,
    pub(crate) records_sent: Counter,
    pub(crate) records_acknowledged: Counter,
    pub(crate) broken_sent: Counter,
    pub(crate) ledger_failures: Counter,
}

impl PushCounters {
    /// The counts, with the `unsettled` that the queue knows.
    pub(crate) fn read(&self, unsettled: usize) -> PushStats {
        PushStats {
            attempted: self.attempted.get(),
            acknowledged: self.acknowledged.get(),
            refused: self.refused.get(),
            given_up: self.given_up.get(),
            dropped: self.dropped.get(),
            unsettled: u64::try_from(unsettled).unwrap_or(u64::MAX),
            records_sent: self.records_sent.get(),
            records_acknowledged: self.records_acknowledged.get(),
            broken_sent: self.broken_sent.get(),
            ledger_failures: self.ledger_failures.get(),
        }
    }
}
