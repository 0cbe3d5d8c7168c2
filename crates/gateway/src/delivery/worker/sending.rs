//! Begins deliveries, and takes what came of them.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt};
use outdial_core::Position;
use outdial_store::{DeliveryStatus, StoreError, StoredDelivery};

use super::{OWED_LIMIT, Worker};
use crate::{
    circuit::Permit,
    delivery::{
        attempt::{self, Finished},
        disable,
        ledger::Track,
        outbox::{Parcel, Verdict},
    },
};

/// How long an endpoint may only fail before it is disabled.
const FAILING_LIMIT: Duration = Duration::from_secs(5 * 24 * 60 * 60);

impl Worker {
    /// Reads what is owed, the soonest first.
    pub(super) async fn load_owed(&mut self) -> Result<(), StoreError> {
        let store = &self.context.store;
        let id = &self.plan.subscription.id;
        let owed = store.list_deliveries(id, DeliveryStatus::Pending, None, OWED_LIMIT).await?;
        self.has_more_owed = owed.len() >= OWED_LIMIT;
        self.order.forget_owed();
        for delivery in owed {
            self.order.owe(delivery);
        }
        Ok(())
    }

    /// Reads on when all that was read of what is owed is dealt with, and written.
    pub(super) async fn load_more_owed(&mut self) {
        let is_done = self.order.owed() == 0 && self.sending.is_empty();
        let is_written = self.committing.is_none() && !self.ledger.is_changed();
        if !self.has_more_owed || !is_done || !is_written || self.is_quiet() {
            return;
        }
        if let Err(error) = self.load_owed().await {
            self.pause(&error);
        }
    }

    /// Begins deliveries: first what is owed and due, then what is new.
    pub(super) fn begin_deliveries(&mut self) {
        let (now, clock) = (Instant::now(), self.context.clock.now());
        // While there is more to read a list is not closed: it fills.
        if self.is_all_read {
            self.outbox.close_due(now, clock);
        }
        while self.sending.len() < self.plan.concurrency
            && self.circuit.permit(now) == Permit::Yes
            && self.pace.wait_until(now).is_none()
            && !self.ledger.is_full()
        {
            if let Some(delivery) = self.order.take_due(clock) {
                self.begin(delivery, None, None, now);
                continue;
            }
            let mut passed = HashSet::new();
            let order = &self.order;
            let Some((parcel, verdict)) = self.outbox.next(|parcel| order.judge(parcel, &mut passed)) else {
                break;
            };
            let Parcel { mut delivery, body, opened } = parcel;
            if verdict == Verdict::Owe {
                delivery.next_attempt_at = Some(clock);
                self.ledger.settle(delivery.clone(), opened);
                self.order.owe(delivery);
                continue;
            }
            self.begin(delivery, Some(body), opened, now);
        }
    }

    fn begin(
        &mut self,
        delivery: StoredDelivery,
        body: Option<bytes::Bytes>,
        opened: Option<(Track, Position)>,
        now: Instant,
    ) {
        self.order.begin(&delivery);
        self.circuit.begin();
        self.pace.begin(now);
        let context = self.context.clone();
        self.sending.push(attempt::make(context, Arc::clone(&self.plan), delivery, body, opened).boxed());
    }

    pub(super) async fn take_finished(&mut self, finished: Finished) {
        self.take_one(finished).await;
        // Those that have ended meanwhile too, so that one round of the loop serves many.
        while let Some(Some(finished)) = self.sending.next().now_or_never() {
            self.take_one(finished).await;
        }
    }

    async fn take_one(&mut self, finished: Finished) {
        let now = self.context.clock.now();
        let events = u64::try_from(finished.delivery.events.len()).unwrap_or(u64::MAX);
        let Finished { mut delivery, opened, sent } = finished;
        self.order.end(&delivery);
        let is_new = matches!(opened, Some((Track::Log, _)));
        attempt::count(&self.context.metrics, &delivery, &sent, is_new, now);
        delivery.attempts += 1;
        attempt::note(&mut delivery, &sent, now);
        if sent.error.is_none() {
            self.circuit.succeed();
            self.ledger.note_success(events, opened.map(|(track, _)| track), now);
            delivery.status = DeliveryStatus::Delivered;
            delivery.next_attempt_at = None;
            self.ledger.settle(delivery, opened);
            return;
        }
        self.circuit.fail(Instant::now());
        let failing_since = self.ledger.note_failure(now);
        let wait = self.plan.schedule.wait_after(delivery.attempts, sent.retry_after, attempt::chance());
        match wait {
            Some(wait) => {
                delivery.next_attempt_at =
                    Some(now.plus_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
                self.order.owe(delivery.clone());
            }
            None => {
                delivery.status = DeliveryStatus::Dead;
                delivery.next_attempt_at = None;
                self.context.metrics.deliveries_dead.inc_by(events);
                self.ledger.note_exhausted(&delivery, now);
                tracing::error!(
                    subscription = self.id(),
                    delivery = delivery.id,
                    events,
                    "delivery.exhausted"
                );
            }
        }
        self.ledger.settle(delivery, opened);
        let is_gone = sent.status == Some(410);
        let failing = now.millis().saturating_sub(failing_since.millis());
        if is_gone || u128::try_from(failing).is_ok_and(|millis| millis >= FAILING_LIMIT.as_millis()) {
            let reason = if is_gone { "gone" } else { "failing" };
            self.is_disabled =
                disable::disable(&self.context, &self.plan.subscription.id, reason, failing_since).await;
        }
    }

    /// Waits for what is under way.
    pub(super) async fn settle_down(&mut self, limit: Duration) {
        let limit = tokio::time::sleep(limit);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                () = &mut limit => return,
                finished = self.sending.next() => match finished {
                    Some(finished) => self.take_one(finished).await,
                    None => return,
                }
            }
        }
    }
}
