//! A subscription, its deliveries and its replays as they are answered; openapi.yaml describes each field.

use outdial_core::{Position, Timestamp};
use outdial_store::{DeliveryAttempt, DeliveryProgress, Replay, StoredDelivery, StoredSubscription};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{draft::written, headers::show_headers, secrets::overlap_ends_at};
use crate::delivery::sender::Sent;

/// Most events of a delivery that are listed with it.
const EVENTS_SHOWN: usize = 100;

/// A subscription.
#[derive(Clone, Debug, Serialize)]
pub struct SubscriptionView {
    #[serde(flatten)]
    written: Map<String, Value>,
    disabled_reason: Option<String>,
    previous_secret_ends_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
}

impl SubscriptionView {
    /// The subscription without its secret.
    pub fn of(subscription: &StoredSubscription, now: Timestamp) -> Self {
        let mut written = written(subscription);
        written.insert("headers".to_owned(), json!(show_headers(&subscription.headers)));
        Self {
            written,
            disabled_reason: subscription.disabled_reason.clone(),
            previous_secret_ends_at: overlap_ends_at(&subscription.secrets, now),
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
            secret: None,
            progress: None,
        }
    }

    /// The subscription's id.
    pub fn id(&self) -> &str {
        self.written.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// With the present secret: the only time that it is shown.
    #[must_use]
    pub fn with_secret(mut self, subscription: &StoredSubscription) -> Self {
        self.secret = subscription.secrets.first().map(|secret| secret.text.clone());
        self
    }

    /// With how far it got.
    #[must_use]
    pub fn with_progress(mut self, progress: ProgressView) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// How far a subscription got.
#[derive(Clone, Debug, Serialize)]
pub struct ProgressView {
    position: String,
    delivered: u64,
    failed_attempts: u64,
    missed: u64,
    pending: u64,
    dead: u64,
    last_success_at: Option<Timestamp>,
    failing_since: Option<Timestamp>,
    replay: Option<ReplayView>,
}

#[derive(Clone, Debug, Serialize)]
struct ReplayView {
    id: String,
    status: &'static str,
    from_sequence: String,
    to_sequence: String,
    position: String,
    total: u64,
    delivered: u64,
    requested_at: Timestamp,
}

/// How many deliveries wait.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub pending: u64,
    pub dead: u64,
}

impl ProgressView {
    /// The progress of a subscription.
    pub fn of(subscription: &StoredSubscription, progress: &DeliveryProgress, waiting: Waiting) -> Self {
        Self {
            position: progress.cursor.to_string(),
            delivered: progress.delivered,
            failed_attempts: progress.failed_attempts,
            missed: progress.missed,
            pending: waiting.pending,
            dead: waiting.dead,
            last_success_at: progress.last_success_at,
            failing_since: progress.failing_since,
            replay: subscription.replay.as_ref().map(|replay| ReplayView::of(replay, progress)),
        }
    }
}

impl ReplayView {
    fn of(replay: &Replay, progress: &DeliveryProgress) -> Self {
        let own = progress.replay.as_ref().filter(|own| own.id == replay.id);
        Self {
            id: replay.id.clone(),
            status: if is_running(replay, progress) { "running" } else { "done" },
            from_sequence: first_of(replay.after).to_string(),
            to_sequence: replay.until.to_string(),
            position: own.map_or(replay.after, |own| own.cursor).to_string(),
            total: replay.total,
            delivered: own.map_or(0, |own| own.delivered),
            requested_at: replay.requested_at,
        }
    }
}

/// Whether a replay has not reached its end.
pub fn is_running(replay: &Replay, progress: &DeliveryProgress) -> bool {
    let own = progress.replay.as_ref().filter(|own| own.id == replay.id);
    let reached = own.map_or(replay.after, |own| own.cursor);
    reached < replay.until
}

/// The first place behind another.
pub const fn first_of(after: Position) -> Position {
    Position(after.0.saturating_add(1))
}

/// One request to a subscriber.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryView {
    id: String,
    status: &'static str,
    events: Vec<DeliveredEventView>,
    events_total: usize,
    attempts: u32,
    last_attempts: Vec<AttemptView>,
    next_attempt_at: Option<Timestamp>,
    created_at: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
struct DeliveredEventView {
    id: String,
    sequence: String,
    subject: String,
}

/// One attempt.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptView {
    at: Timestamp,
    duration_ms: u64,
    status: Option<u16>,
    error: Option<String>,
    detail: Option<String>,
}

impl AttemptView {
    /// An attempt that is kept nowhere.
    pub fn of_sent(sent: Sent, at: Timestamp) -> Self {
        let Sent { status, error, detail, millis, .. } = sent;
        Self { at, duration_ms: millis, status, error: error.map(str::to_owned), detail }
    }
}

impl From<DeliveryAttempt> for AttemptView {
    fn from(attempt: DeliveryAttempt) -> Self {
        let DeliveryAttempt { at, millis, status, error, detail } = attempt;
        Self { at, duration_ms: millis, status, error, detail }
    }
}

impl From<StoredDelivery> for DeliveryView {
    fn from(delivery: StoredDelivery) -> Self {
        let events_total = delivery.events.len();
        let events = delivery.events.into_iter().take(EVENTS_SHOWN).map(|event| DeliveredEventView {
            id: event.id,
            sequence: event.position.to_string(),
            subject: event.subject,
        });
        Self {
            id: delivery.id,
            status: delivery.status.as_str(),
            events: events.collect(),
            events_total,
            attempts: delivery.attempts,
            last_attempts: delivery.last_attempts.into_iter().map(AttemptView::from).collect(),
            next_attempt_at: delivery.next_attempt_at,
            created_at: delivery.created_at,
        }
    }
}
