//! When the sync of an account runs: on the replica that holds its lease, at its interval, until the gateway stops.

use std::{sync::Arc, time::Duration};

use outdial_core::Clock;
use outdial_store::{Lease, Store, StoreError};
use tokio::sync::Semaphore;

use super::{
    journal::Journal,
    progress::{Progress, Rules},
    walker::{End, Walker},
};
use crate::{
    account_sync::{AccountSync, to_millis},
    accounts::{Account, Accounts},
    tasks::Tasks,
    telemetry::Metrics,
    upstream::Upstream,
};

/// How often a replica that has nothing to do looks what the others have done.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long until a store that is away is asked again.
const AWAY_INTERVAL: Duration = Duration::from_secs(1);
/// How much longer than one call to the vendor a lease lasts: it is renewed before each page.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// Walks at once in one replica: each holds a page of the vendor's in memory.
const WALKS_LIMIT: usize = 4;

/// The syncs of all accounts.
pub struct Syncs {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    upstream: Arc<Upstream>,
    owner: String,
    retention: Duration,
    walks: Semaphore,
}

impl Syncs {
    /// Syncs into a store that keeps records for the retention. `owner` names this replica.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
        upstream: Arc<Upstream>,
        owner: String,
        retention: Duration,
    ) -> Self {
        let walks = Semaphore::new(WALKS_LIMIT);
        Self { store, clock, metrics, tasks, upstream, owner, retention, walks }
    }

    /// Begins the sync of every account that has one.
    pub fn begin(self: &Arc<Self>, accounts: &Accounts) {
        for account in accounts.iter().filter(|account| account.sync.is_some()) {
            let (syncs, account) = (Arc::clone(self), Arc::clone(account));
            self.tasks.spawn(async move { syncs.keep_running(&account).await });
        }
    }

    async fn keep_running(self: Arc<Self>, account: &Arc<Account>) {
        let stop = self.tasks.stop_signal();
        while !stop.is_cancelled() {
            let (syncs, owner) = (Arc::clone(&self), Arc::clone(account));
            let pass = self.tasks.spawn(async move { syncs.pass(&owner).await });
            let wait = pass.await.unwrap_or_else(|panicked| {
                self.metrics.panics.inc();
                tracing::error!(account = %account.id, problem = %panicked, "sync.panicked");
                LOOK_INTERVAL
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One look at an account, and one run if it is time. Answers how long to wait.
    async fn pass(&self, account: &Arc<Account>) -> Duration {
        let Some(sync) = &account.sync else { return LOOK_INTERVAL };
        match self.try_pass(account, sync).await {
            Ok(wait) => wait,
            Err(error) => {
                // Pushes are spooled or refused now, and what this run appended may be in the spool.
                sync.note_trouble(self.clock.now());
                tracing::debug!(account = %account.id, problem = %error, "sync.store_away");
                AWAY_INTERVAL
            }
        }
    }

    async fn try_pass(&self, account: &Arc<Account>, sync: &AccountSync) -> Result<Duration, StoreError> {
        let mut journal = Journal::new(&*self.store, &account.id, self.retention);
        self.store_trouble(&journal, sync).await?;
        if let Some(progress) = journal.load().await? {
            sync.show(progress.seen());
            if let Some(wait) = self.time_left(&progress, sync) {
                return Ok(wait);
            }
        }
        let Ok(_walk) = self.walks.acquire().await else { return Ok(LOOK_INTERVAL) };
        let name = format!("sync:{}", account.id);
        let life = account.limits.timeout + LEASE_MARGIN;
        let Some(lease) = self.store.acquire_lease(&name, &self.owner, life).await? else {
            return Ok(LOOK_INTERVAL.min(sync.config.interval));
        };
        let walked = self.run(account, sync, &mut journal, &lease, life).await;
        let released = self.store.release_lease(&lease).await;
        let wait = walked?;
        released?;
        Ok(wait)
    }

    /// One run under the lease.
    async fn run(
        &self,
        account: &Arc<Account>,
        sync: &AccountSync,
        journal: &mut Journal<'_>,
        lease: &Lease,
        life: Duration,
    ) -> Result<Duration, StoreError> {
        let config = &sync.config;
        let now = self.clock.now().millis();
        let mut progress = journal.load().await?.unwrap_or_else(|| Progress::begin(now, config));
        if let Some(wait) = self.time_left(&progress, sync) {
            return Ok(wait);
        }
        let rules = self.rules(sync);
        progress.fence = lease.fence;
        progress.drop_expired_walk(now, &rules);
        if progress.walk.is_none() {
            progress.walk = Some(progress.next_walk(now, &rules, journal.trouble().await?));
        }
        // The first write under this fence shuts out the owner before.
        if !journal.save(&progress).await? {
            return Ok(LOOK_INTERVAL);
        }
        let walker = Walker {
            store: &*self.store,
            clock: &*self.clock,
            metrics: &self.metrics,
            upstream: &self.upstream,
            stop: self.tasks.stop_signal(),
            account,
            lease,
            life,
        };
        let end = walker.walk(journal, &mut progress).await?;
        let is_ours = self.note_end(account, sync, journal, &mut progress, end).await?;
        sync.show(progress.seen());
        let wait = self.time_left(&progress, sync).filter(|_| is_ours);
        Ok(wait.unwrap_or(if is_ours { Duration::ZERO } else { LOOK_INTERVAL }))
    }

    fn rules(&self, sync: &AccountSync) -> Rules {
        Rules { config: sync.config, retention: to_millis(self.retention) }
    }

    /// Keeps how a run ended. Answers whether the account was still this replica's.
    async fn note_end(
        &self,
        account: &Arc<Account>,
        sync: &AccountSync,
        journal: &mut Journal<'_>,
        progress: &mut Progress,
        end: End,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now().millis();
        let result = end.label();
        self.metrics.count_sync_run(account, result);
        match end {
            End::Whole | End::RepeatedMark => {
                let Some(walk) = progress.walk.take() else { return Ok(false) };
                journal.add_walk(&walk, matches!(end, End::Whole), &sync.config).await?;
                progress.finish(&walk, now, &sync.config);
                if !journal.save(progress).await? {
                    return Ok(false);
                }
                journal.relieve(&walk, &self.rules(sync)).await?;
                Ok(true)
            }
            End::Paused => Ok(true),
            End::Stopped | End::Lost => Ok(false),
            End::Failed(error) => {
                if progress.failures == 0 {
                    tracing::warn!(account = %account.id, problem = %error, "sync.failed");
                } else {
                    tracing::debug!(account = %account.id, problem = %error, "sync.failed_again");
                }
                progress.fail(error.class, now, &sync.config);
                journal.save(progress).await
            }
        }
    }

    /// How long until the next run, if it is not time yet; no longer than until the next look at what others have done.
    fn time_left(&self, progress: &Progress, sync: &AccountSync) -> Option<Duration> {
        let wait = progress.wait(self.clock.now().millis(), &sync.config)?;
        Some(Duration::from_millis(u64::try_from(wait).ok()?).min(LOOK_INTERVAL))
    }

    /// Brings to the store when pushes may have been lost: it counts for whoever runs next.
    async fn store_trouble(&self, journal: &Journal<'_>, sync: &AccountSync) -> Result<(), StoreError> {
        let Some(trouble) = sync.take_trouble() else { return Ok(()) };
        let stored = journal.add_trouble(trouble).await;
        if stored.is_err() {
            sync.return_trouble(trouble);
        }
        stored
    }
}
