//! What the gateway keeps, as small role traits, and the backends that keep it.

mod embedded;
mod error;
mod join;
mod open;
mod redis;
mod roles;
mod settings;
mod spool;
mod sqlite;
mod turns;

pub use error::{StoreError, StoreErrorKind};
pub use open::open;
pub use roles::{
    Appended, BODY_CHUNK_LIMIT, Batch, CallRecords, DeliveredEvent, DeliveryAttempt, DeliveryCommit,
    DeliveryProgress, DeliveryStatus, Disabling, Durability, EntryOutcomes, EntryRow, EventLog,
    ExhaustedNotice, Exhaustion, HOUR_MILLIS, HOURS_LIMIT, Holder, HourCount, KeptRequest, Kv, Lease, Leases,
    LogBounds, PageKey, Quarantine, QuarantineDraft, QuarantineFilter, QuarantinedItem, RecordPage, Replay,
    ReplayProgress, RosterBodies, RosterFilter, RosterStatus, Rosters, SUBSCRIPTIONS_LIMIT, SigningSecret,
    StoreMode, StoreStatus, StoredDelivery, StoredEvent, StoredPart, StoredPartStatus, StoredRequest,
    StoredRoster, StoredSubscription, SubscriptionFilter, SubscriptionStatus, Subscriptions, Summary,
    SummaryCount, TurnAnswer, TurnLimits, TurnRequest, TurnShare, Turns,
};
pub use settings::StoreSettings;
pub use turns::LocalTurns;

/// A backend: it plays every role.
pub trait Store:
    EventLog + CallRecords + Rosters + RosterBodies + Quarantine + Kv + Leases + Subscriptions + Turns
{
}

impl<T: EventLog + CallRecords + Rosters + RosterBodies + Quarantine + Kv + Leases + Subscriptions + Turns>
    Store for T
{
}
