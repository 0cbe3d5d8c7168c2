//! One attempt at one delivery.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use outdial_core::{Position, Timestamp};
use outdial_store::{DeliveryAttempt, StoredDelivery};

use super::{
    ledger::Track,
    outbox::{Parcel, body_of},
    plan::Plan,
    sender::{Outgoing, Sent},
    worker::Context,
};
use crate::{egress::TargetError, telemetry::Metrics};

/// An attempt that has ended.
pub struct Finished {
    /// What was delivered, as it stood before.
    pub delivery: StoredDelivery,
    /// Where it came from, if it was not owed.
    pub opened: Option<(Track, Position)>,
    /// What came of it.
    pub sent: Sent,
}

/// Makes an attempt. What is owed brings no body: its events are read of the log once more.
pub async fn make(
    context: Context,
    plan: Arc<Plan>,
    delivery: StoredDelivery,
    body: Option<Bytes>,
    opened: Option<(Track, Position)>,
) -> Finished {
    let body = match body {
        Some(body) => Ok(body),
        None => render(&context, &plan, &delivery).await,
    };
    let parcel = Parcel { delivery, body: Bytes::new(), opened };
    let sent = match (body, &plan.target) {
        (Ok(body), Ok(target)) => {
            let now = context.clock.now();
            let outgoing =
                Outgoing { id: parcel.message_id(plan.form), body, form: plan.form, keys: plan.keys(now) };
            context.sender.send(target, outgoing, now).await
        }
        (Err(problem), _) => Sent::failed("internal", &problem),
        (_, Err(problem)) => Sent::failed(TargetError::BLOCKED, problem),
    };
    Finished { delivery: parcel.delivery, opened, sent }
}

async fn render(context: &Context, plan: &Plan, delivery: &StoredDelivery) -> Result<Bytes, String> {
    let mut texts = Vec::with_capacity(delivery.events.len());
    for event in &delivery.events {
        let after = Position(event.position.0.saturating_sub(1));
        let read = context.store.read(after, 1).await.map_err(|error| error.to_string())?;
        let stored = read.into_iter().next().filter(|stored| stored.position == event.position);
        let stored = stored.ok_or("an event is older than what is kept")?;
        // The filter may have become narrower since; what is owed stays owed.
        let shown = plan.shown(&stored).ok_or("an event cannot be read")?;
        texts.push(shown.json);
    }
    Ok(body_of(plan.form, &texts))
}

/// Counts an attempt. How long an event took to arrive is measured on first attempts at new ones that succeed.
pub fn count(metrics: &Metrics, delivery: &StoredDelivery, sent: &Sent, is_new: bool, now: Timestamp) {
    metrics.delivery_attempts.with_label_values(&[sent.error.unwrap_or("ok")]).inc();
    let stored_at = delivery.events.last().map(|event| event.position.0 / 1_000);
    if let (true, None, Some(stored_at)) = (is_new, sent.error, stored_at) {
        let millis = u64::try_from(now.millis()).unwrap_or(0).saturating_sub(stored_at);
        metrics.delivery_latency.observe(Duration::from_millis(millis).as_secs_f64());
    }
}

/// Notes an attempt in its delivery.
pub fn note(delivery: &mut StoredDelivery, sent: &Sent, now: Timestamp) {
    if delivery.last_attempts.len() >= StoredDelivery::ATTEMPTS_KEPT {
        delivery.last_attempts.remove(0);
    }
    delivery.last_attempts.push(DeliveryAttempt {
        at: now.plus_millis(-i64::try_from(sent.millis).unwrap_or(0)),
        millis: sent.millis,
        status: sent.status,
        error: sent.error.map(str::to_owned),
        detail: sent.detail.clone(),
    });
}

/// From 0 to 1.
pub fn chance() -> f64 {
    let [a, b, c, d, ..] = RandomState::new().hash_one(0_u8).to_be_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}
