//! What is older than the retention goes: one replica does it at a time, in bounded steps.

use std::{sync::Arc, time::Duration};

use outdial_core::{Clock, Position, Timestamp};
use outdial_store::{
    CallRecords, EventLog, Leases, Quarantine, Rosters, Store, StoreError, SubscriptionStatus, Subscriptions,
};

use crate::telemetry::Metrics;

/// How often it is done.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// How long one replica may take for it.
const LEASE: Duration = Duration::from_secs(50);
/// Most steps of one kind in one go; each removes up to ten thousand things.
const STEPS: usize = 20;

/// Removes what is too old.
pub struct Housekeeping {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    retention: Duration,
    owner: String,
}

impl Housekeeping {
    /// Housekeeping of a store. `owner` names this replica.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        retention: Duration,
        owner: String,
    ) -> Self {
        Self { store, clock, metrics, retention, owner }
    }

    /// Does one round, unless another replica is at it.
    pub async fn run(&self) {
        if let Err(error) = self.try_run().await {
            tracing::warn!(problem = %error, "housekeeping.store_away");
        }
    }

    async fn try_run(&self) -> Result<(), StoreError> {
        let store = &*self.store;
        let Some(lease) = Leases::acquire_lease(store, "housekeeping", &self.owner, LEASE).await? else {
            return Ok(());
        };
        let millis = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        let edge = self.clock.now().plus_millis(-millis);
        let through = self.trim_edge(edge, edge.plus_millis(-millis)).await?;
        let events = EventLog::trim(store, through).await?;
        let (mut records, mut entries, mut items, mut deliveries) = (0, 0, 0, 0);
        for _ in 0..STEPS {
            let removed = [
                CallRecords::expire(store, edge).await?,
                Rosters::expire_rosters(store, edge).await?,
                Quarantine::expire_quarantined(store, edge).await?,
                Subscriptions::expire_deliveries(store, edge).await?,
            ];
            records += removed[0];
            entries += removed[1];
            items += removed[2];
            deliveries += removed[3];
            if removed.iter().sum::<u64>() == 0 {
                break;
            }
        }
        let bounds = EventLog::bounds(store).await?;
        self.metrics.log_trimmed_position.set(i64::try_from(bounds.trimmed.0).unwrap_or(i64::MAX));
        if events + records + entries + items + deliveries > 0 {
            tracing::info!(events, records, entries, items, deliveries, "housekeeping.removed");
        }
        Leases::release_lease(store, &lease).await
    }

    /// Up to where the log may go: not past what an active subscription has yet to get, unless that is twice as old as the
    /// retention.
    async fn trim_edge(&self, edge: Timestamp, last: Timestamp) -> Result<Position, StoreError> {
        let mut through = position_at(edge);
        for subscription in Subscriptions::list_subscriptions(&*self.store).await? {
            if subscription.status != SubscriptionStatus::Active {
                continue;
            }
            let progress = Subscriptions::get_progress(&*self.store, &subscription.id).await?;
            let Some(cursor) = progress.map(|progress| progress.cursor) else { continue };
            let next = EventLog::read(&*self.store, cursor, 1).await?;
            if next.first().is_some_and(|event| event.position <= through) {
                tracing::warn!(subscription = subscription.id, "housekeeping.log_kept_for_subscription");
                through = cursor;
            }
        }
        Ok(through.max(position_at(last)))
    }
}

/// Positions are microseconds since the epoch.
fn position_at(time: Timestamp) -> Position {
    Position(u64::try_from(time.millis()).unwrap_or(0).saturating_mul(1_000))
}
