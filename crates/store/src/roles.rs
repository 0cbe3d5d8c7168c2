//! The roles a store plays. Each use case takes the ones it needs; every backend plays all of them.

mod kv;
mod lifecycle;
mod log;
mod quarantine;
mod records;
mod roster_bodies;
mod rosters;
mod subscriptions;
mod turns;

pub(crate) use kv::check_value;
pub use kv::{Kv, Lease, Leases};
pub use lifecycle::{Disabling, ExhaustedNotice, Exhaustion};
pub(crate) use log::check_batch;
pub use log::{Appended, Batch, Durability, EventLog, LogBounds, StoreMode, StoreStatus, StoredEvent};
pub use quarantine::{Quarantine, QuarantineDraft, QuarantineFilter, QuarantinedItem};
pub(crate) use records::check_hours;
pub use records::{
    CallRecords, HOUR_MILLIS, HOURS_LIMIT, HourCount, PageKey, RecordPage, Summary, SummaryCount,
};
pub(crate) use roster_bodies::check_chunk;
pub use roster_bodies::{BODY_CHUNK_LIMIT, RosterBodies};
pub(crate) use rosters::check_entries;
pub use rosters::{
    EntryOutcomes, EntryRow, KeptRequest, RosterFilter, RosterStatus, Rosters, StoredPart, StoredPartStatus,
    StoredRequest, StoredRoster,
};
pub use subscriptions::{
    DeliveredEvent, DeliveryAttempt, DeliveryCommit, DeliveryProgress, DeliveryStatus, Replay,
    ReplayProgress, SUBSCRIPTIONS_LIMIT, SigningSecret, StoredDelivery, StoredSubscription,
    SubscriptionFilter, SubscriptionStatus, Subscriptions,
};
pub(crate) use subscriptions::{REDRIVE_STEP, check_commit};
pub use turns::{Holder, TurnAnswer, TurnLimits, TurnRequest, TurnShare, Turns};
