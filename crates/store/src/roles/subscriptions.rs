//! Subscriptions to events over webhooks: what is wanted, how far each one got, and what is still owed to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use async_trait::async_trait;
use outdial_core::{AccountId, Disposition, Outcome, Position, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Disabling, Exhaustion};
use crate::{StoreError, StoreErrorKind};

/// Whether a subscription is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionStatus {
    /// Events are delivered.
    Active,
    /// Its owner has stopped it. Nothing is lost until retention ends.
    Paused,
    /// The gateway has stopped it. Nothing is lost until retention ends.
    Disabled,
}

/// Which events a subscription wants. An empty set means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionFilter {
    /// Types of events.
    pub types: BTreeSet<String>,
    /// Accounts.
    pub accounts: BTreeSet<AccountId>,
    /// Campaigns.
    pub campaigns: BTreeSet<String>,
    /// Outcomes of call records; events without one do not pass.
    pub outcomes: BTreeSet<Outcome>,
    /// Dispositions of call records; events without one do not pass.
    pub dispositions: BTreeSet<Disposition>,
}

/// A secret that signs deliveries.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// `whsec_` and base64.
    pub text: String,
    /// When it stops signing; `None` for the present one.
    pub ends_at: Option<Timestamp>,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningSecret").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

/// A subscription as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredSubscription {
    /// `sub_` and a UUIDv7, or what the client gave.
    pub id: String,
    /// Grows by one with each change: a change that was made of an older one is refused.
    pub version: u64,
    /// Where to deliver.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// What is wanted.
    pub filter: SubscriptionFilter,
    /// Whether events of one subject are delivered one after the other.
    pub ordered: bool,
    /// Most events in one delivery; above 1 they go as a list.
    pub max_events: u32,
    /// How long a delivery waits for more events, in milliseconds.
    pub linger_ms: u32,
    /// Most deliveries under way at once.
    pub concurrency: u32,
    /// Most deliveries begun per second.
    pub rate_per_second: Option<u32>,
    /// Whether numbers are delivered in full.
    pub full_numbers: bool,
    /// Headers added to each delivery.
    pub headers: BTreeMap<String, String>,
    /// Waits between attempts, in milliseconds; empty for the usual ones.
    pub retry_schedule: Vec<u64>,
    /// Whether it is served.
    pub status: SubscriptionStatus,
    /// Why it is not, if the gateway stopped it: a kebab-case code.
    pub disabled_reason: Option<String>,
    /// That the gateway stopped it, until there is an event of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<Disabling>,
    /// The present secret first, then those that still sign beside it.
    pub secrets: Vec<SigningSecret>,
    /// What is to be delivered once more; the last one that was asked for.
    pub replay: Option<Replay>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed by its owner.
    pub updated_at: Timestamp,
}

/// Events that are to be delivered once more, beside the new ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// `rpl_` and a UUIDv7.
    pub id: String,
    /// It begins behind this place.
    pub after: Position,
    /// And ends with this one.
    pub until: Position,
    /// Narrower than the subscription's own filter, which holds too.
    pub filter: SubscriptionFilter,
    /// Events that there were when it was asked for.
    pub total: u64,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

/// How far a replay got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayProgress {
    /// Which replay.
    pub id: String,
    /// Everything up to here was delivered, is owed, or was not wanted.
    pub cursor: Position,
    /// Events delivered.
    pub delivered: u64,
}

/// How far a subscription got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryProgress {
    /// Everything up to here was delivered, is owed as a [`StoredDelivery`], or was not wanted.
    pub cursor: Position,
    /// Events delivered so far.
    pub delivered: u64,
    /// Attempts that failed so far.
    pub failed_attempts: u64,
    /// Events that were trimmed from the log before they could be delivered.
    pub missed: u64,
    /// When something was last delivered.
    pub last_success_at: Option<Timestamp>,
    /// Since when every attempt has failed; `None` while they succeed.
    pub failing_since: Option<Timestamp>,
    /// How far the last replay got.
    pub replay: Option<ReplayProgress>,
    /// What is to be told of deliveries that were given up.
    #[serde(skip_serializing_if = "Exhaustion::is_empty")]
    pub exhaustion: Exhaustion,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It is tried again.
    Pending,
    /// It was taken.
    Delivered,
    /// All attempts failed; it waits for a person.
    Dead,
}

impl DeliveryStatus {
    pub(crate) const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The status of a word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// One request to a subscriber, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryAttempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// The subscriber's status, where there was one.
    pub status: Option<u16>,
    /// Why it failed: `status`, `timeout`, `dns`, `refused`, `reset`, `tls`, `blocked-target` or `internal`; `None` for success.
    pub error: Option<String>,
    /// What can be said of the failure, for people; at most [`DeliveryAttempt::DETAIL_LIMIT`] bytes, numbers masked.
    pub detail: Option<String>,
}

impl DeliveryAttempt {
    /// Longest detail, in bytes.
    pub const DETAIL_LIMIT: usize = 512;
}

/// One or more events that go to a subscriber in one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredDelivery {
    /// `dlv_`, sixteen hex digits of its first position, and eight of chance: ids sort as the events do.
    pub id: String,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Its events, oldest first.
    pub events: Vec<DeliveredEvent>,
    /// Attempts made.
    pub attempts: u32,
    /// The last attempts, oldest first; at most [`StoredDelivery::ATTEMPTS_KEPT`].
    pub last_attempts: Vec<DeliveryAttempt>,
    /// When it is tried next, of a pending one.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was first tried.
    pub created_at: Timestamp,
}

/// An event of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredEvent {
    /// The event's id.
    pub id: String,
    /// Its place in the log.
    pub position: Position,
    /// What it is about: what an ordered subscription keeps the order of.
    pub subject: String,
    /// Whether it is about the gateway's own work: that it could not be delivered is told by no further event.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_lifecycle: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl StoredDelivery {
    /// Attempts that are kept of one delivery.
    pub const ATTEMPTS_KEPT: usize = 10;
    /// Delivered ones that are kept per subscription, the newest.
    pub const DELIVERED_KEPT: u64 = 10_000;
}

/// What a worker has learned. It is written whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct DeliveryCommit {
    /// What replaces the progress.
    pub progress: DeliveryProgress,
    /// Deliveries that are new or changed, by id. At most [`DeliveryCommit::LIMIT`].
    pub deliveries: Vec<StoredDelivery>,
}

impl DeliveryCommit {
    /// Most deliveries in one commit.
    pub const LIMIT: usize = 10_000;
}

/// Refuses a commit that is too large.
pub(crate) fn check_commit(commit: &DeliveryCommit) -> Result<(), StoreError> {
    if commit.deliveries.len() <= DeliveryCommit::LIMIT {
        return Ok(());
    }
    let detail = format!("a commit of more than {} deliveries", DeliveryCommit::LIMIT);
    Err(StoreError::new(StoreErrorKind::Invalid, detail))
}

/// Subscriptions, and what is owed to them.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Keeps a new subscription, which begins after a position. Answers `false`, and changes nothing, when there is one of its
    /// id.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`; `Invalid` when there are [`SUBSCRIPTIONS_LIMIT`] already.
    async fn create_subscription(
        &self,
        subscription: &StoredSubscription,
        start: Position,
    ) -> Result<bool, StoreError>;

    /// Replaces a subscription whose version is one less. Answers whether it did.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn replace_subscription(&self, subscription: &StoredSubscription) -> Result<bool, StoreError>;

    /// A subscription.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_subscription(&self, id: &str) -> Result<Option<StoredSubscription>, StoreError>;

    /// Every subscription, by id; at most [`SUBSCRIPTIONS_LIMIT`].
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_subscriptions(&self) -> Result<Vec<StoredSubscription>, StoreError>;

    /// Removes a subscription with all that is kept of it. Answers whether it was there.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn delete_subscription(&self, id: &str) -> Result<bool, StoreError>;

    /// How far a subscription got; `None` when there is no such one.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_progress(&self, id: &str) -> Result<Option<DeliveryProgress>, StoreError>;

    /// Writes what a worker has learned, in one atomic step. Answers `false`, and changes nothing, when the subscription is
    /// gone or a worker with a higher fence has written: then the caller is a late owner, and must stop. Of delivered ones the
    /// newest [`StoredDelivery::DELIVERED_KEPT`] stay.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown` (the same commit may be repeated), `Invalid` above [`DeliveryCommit::LIMIT`].
    async fn commit_deliveries(
        &self,
        id: &str,
        fence: u64,
        commit: DeliveryCommit,
    ) -> Result<bool, StoreError>;

    /// Deliveries in one state: newest first, those before an id; or, of pending ones without `before`, all by when they are
    /// due.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_deliveries(
        &self,
        id: &str,
        status: DeliveryStatus,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError>;

    /// One delivery.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_delivery(&self, id: &str, delivery: &str) -> Result<Option<StoredDelivery>, StoreError>;

    /// How many deliveries are in a state.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn count_deliveries(&self, id: &str, status: DeliveryStatus) -> Result<u64, StoreError>;

    /// Makes dead deliveries pending again, due now, with no attempts counted: one, or all. Answers how many. A worker that
    /// holds the subscription learns of it by the version, which grows by one with each ten thousand or part of them.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn redrive_deliveries(
        &self,
        id: &str,
        delivery: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Removes delivered and dead deliveries that were first tried before a time, of all subscriptions. Answers how many, at
    /// most 10,000 a call. Pending ones stay.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn expire_deliveries(&self, older_than: Timestamp) -> Result<u64, StoreError>;
}

/// Most deliveries that become pending again in one atomic step.
pub(crate) const REDRIVE_STEP: u64 = 10_000;

/// Most subscriptions of one store.
pub const SUBSCRIPTIONS_LIMIT: usize = 1_000;
