//! How an account's call records are searched for on the timer, and how far that has got as far as this replica knows.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use outdial_core::Timestamp;
use serde::{Deserialize, Serialize};

/// How often an account's records are searched for, and how far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncConfig {
    /// From the start of one run to the start of the next.
    pub interval: Duration,
    /// How far before the end of the last run a run begins. A call starts when it is dialled, but the vendor's search may
    /// show it only once it has ended: longer calls than this are found by the daily sweep.
    pub lookback: Duration,
}

impl SyncConfig {
    /// The lookback in milliseconds.
    pub fn lookback_millis(&self) -> i64 {
        to_millis(self.lookback)
    }

    /// The interval in milliseconds.
    pub fn interval_millis(&self) -> i64 {
        to_millis(self.interval)
    }
}

/// A duration in milliseconds, saturating.
pub fn to_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A time in which pushes may have been lost: milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When it was first seen.
    pub since: i64,
    /// When it was last seen.
    pub until: i64,
}

impl Trouble {
    /// Both times and all between.
    #[must_use]
    pub fn and(self, other: Option<Self>) -> Self {
        let other = other.unwrap_or(self);
        Self { since: self.since.min(other.since), until: self.until.max(other.until) }
    }
}

/// How the sync of an account is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// No run has ended yet.
    #[default]
    Waiting,
    /// The last run that ended went well.
    Ok,
    /// The last run failed.
    Failing,
}

/// What this replica knows of the sync of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncSeen {
    /// How it is doing.
    pub state: SyncState,
    /// Every call that was dialled before this has been searched for.
    pub through: Option<Timestamp>,
    /// When a run last went through to its end.
    pub completed_at: Option<Timestamp>,
}

/// The sync of one account in this replica.
#[derive(Debug)]
pub struct AccountSync {
    /// How often, and how far back.
    pub config: SyncConfig,
    seen: Mutex<SyncSeen>,
    trouble: Mutex<Option<Trouble>>,
}

impl AccountSync {
    /// A sync of which nothing is known yet.
    pub fn new(config: SyncConfig) -> Self {
        Self { config, seen: Mutex::default(), trouble: Mutex::default() }
    }

    /// What is known: this replica's own at once, others' within seconds.
    pub fn seen(&self) -> SyncSeen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is known now.
    pub fn show(&self, seen: SyncSeen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Notes that pushes may be lost now.
    pub fn note_trouble(&self, now: Timestamp) {
        let trouble = Trouble { since: now.millis(), until: now.millis() };
        let mut noted = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = Some(trouble.and(*noted));
    }

    /// The trouble that was noted, taken out.
    pub fn take_trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts back what could not be stored.
    pub fn return_trouble(&self, trouble: Trouble) {
        let mut noted = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = Some(trouble.and(*noted));
    }
}
