//! The one log: everything that arrives is appended here, and everything that is republished is read from here.

use async_trait::async_trait;
use outdial_core::{CallRecord, EventDraft, Position, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::QuarantineDraft;
use crate::{StoreError, StoreErrorKind};

/// What one body, or one page of a search, brings. It is stored whole or not at all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Batch {
    /// Records as they were decoded, revision 1 each. At most [`Batch::LIMIT`] in one append.
    pub records: Vec<CallRecord>,
    /// Events besides those that the records cause.
    pub events: Vec<EventDraft>,
    /// Authentic bytes that could not be read.
    pub quarantined: Vec<QuarantineDraft>,
}

impl Batch {
    /// Most records, events and quarantined items, together, that one append takes.
    pub const LIMIT: usize = 20_000;
}

/// Refuses a batch that is too large.
pub(crate) fn check_batch(batch: &Batch) -> Result<(), StoreError> {
    let size = batch.records.len() + batch.events.len() + batch.quarantined.len();
    if size <= Batch::LIMIT {
        return Ok(());
    }
    let detail = format!("a batch of {size} is larger than {}", Batch::LIMIT);
    Err(StoreError::new(StoreErrorKind::Invalid, detail))
}

/// What became of one record of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is new, or says something new: one event was appended.
    Stored {
        /// The event's place.
        position: Position,
        /// 1 for a new record.
        revision: u32,
    },
    /// It says nothing new: no event.
    Duplicate,
    /// The store is away: it is durably in the spool, and is joined when the store is back.
    Spooled,
}

/// An event as the log holds it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its place.
    pub position: Position,
    /// The CloudEvents JSON, numbers in full. The same bytes for every reader.
    pub json: String,
}

/// Which part of the log is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// The last position that trimming removed; zero if nothing was trimmed. Reading after any position at or above it
    /// leaves no hole.
    pub trimmed: Position,
    /// The last position that was given; zero if none was.
    pub last: Position,
}

/// How far an acknowledged append is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// On stable storage before the append returns.
    Durable,
    /// Up to a second of acknowledged appends may be lost with the machine.
    Relaxed,
}

/// Where appends go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreMode {
    /// The embedded store.
    Embedded,
    /// Redis.
    Redis,
    /// The spool in front of a Redis that is away.
    Spool,
    /// Nowhere: neither store nor spool takes appends.
    Down,
}

/// The state of a store, for readiness, metrics and people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreStatus {
    /// Where appends go now.
    pub mode: StoreMode,
    /// How far an acknowledged append is safe.
    pub durability: Durability,
    /// Records waiting in the spool.
    pub spooled: u64,
    /// One line for people when something is wrong; no secret.
    pub problem: Option<String>,
}

/// The log.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Stores a batch durably, in one atomic step: each record is joined with what is known of its call
    /// ([`outdial_core::merge`]), a record that says nothing new is a duplicate, every other one is stored under its next
    /// revision and causes one event. A record that came without the customer's number, but names a roster entry that is
    /// known, gets the entry's number (and its customer id under `user_data.customer_id` where absent) first. Answers one
    /// [`Appended`] per record, in order. Two records of one call in one batch are joined one after the other.
    ///
    /// # Errors
    /// `Unavailable` when nothing was written, `OutcomeUnknown` when it may have been (appending the same batch again is
    /// safe), `Invalid` above [`Batch::LIMIT`].
    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, StoreError>;

    /// Up to `limit` events after a position, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// Which part of the log is still there.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn bounds(&self) -> Result<LogBounds, StoreError>;

    /// The last position known to this process; changes wake those who wait for more. It may lag behind other processes by
    /// a network hop, never by a poll interval.
    fn tail(&self) -> watch::Receiver<Position>;

    /// Removes all events up to and with a position. Answers how many were removed.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn trim(&self, through: Position) -> Result<u64, StoreError>;

    /// The state of the store. Asks the store itself, so that a dead one is noticed; answers within a second.
    async fn status(&self) -> StoreStatus;
}
