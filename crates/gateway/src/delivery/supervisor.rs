//! Sees to it that every active subscription has one worker: here, or on another replica that holds its lease.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use outdial_store::{StoreError, StoredSubscription, SubscriptionStatus};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    disable,
    worker::{Context, Worker},
};

/// How often it is looked for subscriptions that are new, changed or without a worker.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// The supervisor of one replica.
pub struct Supervisor {
    context: Context,
    owner: String,
    running: Mutex<HashMap<String, Running>>,
}

struct Running {
    version: u64,
    change: watch::Sender<Option<Arc<StoredSubscription>>>,
    work: JoinHandle<()>,
    behind: Arc<AtomicU64>,
}

impl Supervisor {
    /// A supervisor without workers yet. `owner` names this replica.
    pub fn new(context: Context, owner: String) -> Self {
        Self { context, owner, running: Mutex::default() }
    }

    /// Looks once. A store that is away is told of elsewhere.
    pub async fn look(&self) {
        if let Err(error) = self.try_look().await {
            tracing::debug!(problem = %error, "delivery.store_away");
        }
        self.show();
    }

    async fn try_look(&self) -> Result<(), StoreError> {
        let known = self.context.store.list_subscriptions().await?;
        self.count(&known);
        for disabled in known.iter().filter(|one| one.untold.is_some()) {
            // What cannot be told now is told another time, and keeps nobody's deliveries waiting.
            if let Err(error) = disable::tell(&self.context, disabled).await {
                tracing::warn!(subscription = disabled.id, problem = %error, "subscription.disabled_not_told");
            }
        }
        let active: HashMap<String, Arc<StoredSubscription>> = known
            .into_iter()
            .filter(|one| one.status == SubscriptionStatus::Active)
            .map(|one| (one.id.clone(), Arc::new(one)))
            .collect();
        let mut missing = Vec::new();
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.retain(|_, one| !one.work.is_finished());
            for (id, one) in running.iter_mut() {
                match active.get(id) {
                    Some(subscription) if subscription.version == one.version => {}
                    Some(subscription) => {
                        one.version = subscription.version;
                        one.change.send_replace(Some(Arc::clone(subscription)));
                    }
                    None => drop(one.change.send_replace(None)),
                }
            }
            missing.extend(active.into_iter().filter(|(id, _)| !running.contains_key(id)));
        }
        for (id, subscription) in missing {
            self.start(id, subscription).await?;
        }
        Ok(())
    }

    async fn start(&self, id: String, subscription: Arc<StoredSubscription>) -> Result<(), StoreError> {
        let name = format!("delivery:{id}");
        let life = self.context.lease();
        let Some(lease) = self.context.store.acquire_lease(&name, &self.owner, life).await? else {
            return Ok(());
        };
        let (version, behind) = (subscription.version, Arc::new(AtomicU64::new(0)));
        let (change, changes) = watch::channel(Some(subscription));
        let Some(worker) = Worker::start(self.context.clone(), lease, changes, Arc::clone(&behind)).await?
        else {
            return Ok(());
        };
        let work = self.context.tasks.spawn(worker.run());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(id, Running { version, change, work, behind });
        Ok(())
    }

    fn count(&self, known: &[StoredSubscription]) {
        for (status, label) in [
            (SubscriptionStatus::Active, "active"),
            (SubscriptionStatus::Paused, "paused"),
            (SubscriptionStatus::Disabled, "disabled"),
        ] {
            let count = known.iter().filter(|one| one.status == status).count();
            let gauge = self.context.metrics.subscriptions.with_label_values(&[label]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn show(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = running.values().map(|one| one.behind.load(Ordering::Relaxed)).max().unwrap_or(0);
        self.context.metrics.delivery_backlog.set(Duration::from_millis(behind).as_secs_f64());
    }
}
