//! Serves one subscription: reads the log behind its cursor, sends what is wanted, tries again what failed, and writes down
//! in batches how far it got. It holds the subscription's lease, and stops when another replica has it.

mod reading;
mod sending;
mod telling;
mod writing;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use outdial_core::{Clock, Position, Timestamp};
use outdial_store::{
    DeliveryCommit, DeliveryProgress, ExhaustedNotice, Lease, Store, StoreError, StoredSubscription,
    SubscriptionStatus,
};
use tokio::sync::watch;

use self::reading::Found;
use super::{
    attempt::Finished,
    ledger::{Ledger, Track},
    notice,
    order::Order,
    outbox::Outbox,
    plan::{Pace, Plan},
    sender::Sender,
};
use crate::{
    circuit::{Circuit, Permit},
    egress::Egress,
    tasks::Tasks,
    telemetry::Metrics,
};

/// How much longer than one attempt a subscription stays with a replica that says nothing, at least.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// Failed deliveries that are owed at once; with so many nothing new is begun.
const OWED_LIMIT: usize = 10_000;
/// How long to wait after the store could not be read or written.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long deliveries under way may take at a stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What workers work with.
#[derive(Clone)]
pub struct Context {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What sends.
    pub sender: Arc<Sender>,
    /// Where it may send to.
    pub egress: Arc<Egress>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What runs beside it, and the signal to stop.
    pub tasks: Tasks,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl Context {
    /// How long a subscription stays with a replica that says nothing: longer than an attempt may take.
    pub fn lease(&self) -> Duration {
        self.timeout + self.timeout.max(LEASE_MARGIN)
    }

    /// How often the lease is renewed.
    fn beat(&self) -> Duration {
        self.lease() / 3
    }
}

type Reading = BoxFuture<'static, Result<Found, StoreError>>;
type Telling = BoxFuture<'static, Result<(), StoreError>>;
type Committing = BoxFuture<'static, (DeliveryCommit, Result<bool, StoreError>)>;

/// Why a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The gateway stops, or the subscription is not to be served any more.
    Asked,
    /// Another replica has it: nothing may be written.
    Late,
}

/// The worker of one subscription.
pub struct Worker {
    context: Context,
    lease: Lease,
    plan: Arc<Plan>,
    changes: watch::Receiver<Option<Arc<StoredSubscription>>>,
    ledger: Ledger,
    outbox: Outbox,
    order: Order,
    circuit: Circuit,
    pace: Pace,
    sending: FuturesUnordered<BoxFuture<'static, Finished>>,
    reading: Option<Reading>,
    committing: Option<Committing>,
    telling: Option<Telling>,
    /// What is to be told and is written so.
    written_notice: Option<ExhaustedNotice>,
    /// Whether the log was read to its end, and the replay to its.
    is_all_read: bool,
    is_replayed: bool,
    is_disabled: bool,
    /// Whether the store may have more that is owed than was read.
    has_more_owed: bool,
    turn: Track,
    quiet_until: Option<Instant>,
    next_commit: Option<Instant>,
    next_beat: Instant,
    behind: Arc<AtomicU64>,
}

impl Worker {
    /// A worker that goes on where the store says. `behind` tells how many milliseconds the oldest event waits.
    ///
    /// # Errors
    /// When the store is away. `None` when the subscription is gone.
    pub async fn start(
        context: Context,
        lease: Lease,
        changes: watch::Receiver<Option<Arc<StoredSubscription>>>,
        behind: Arc<AtomicU64>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(subscription) = changes.borrow().clone() else { return Ok(None) };
        let Some(progress) = context.store.get_progress(&subscription.id).await? else { return Ok(None) };
        let mut worker = Self::new(context, lease, subscription, progress, changes, behind);
        worker.load_owed().await?;
        Ok(Some(worker))
    }

    fn new(
        context: Context,
        lease: Lease,
        subscription: Arc<StoredSubscription>,
        progress: DeliveryProgress,
        changes: watch::Receiver<Option<Arc<StoredSubscription>>>,
        behind: Arc<AtomicU64>,
    ) -> Self {
        // Who changed it has looked at it: what failed before counts no more against it.
        let failing_since = progress.failing_since.filter(|since| *since >= subscription.updated_at);
        let written_notice = progress.exhaustion.telling.clone();
        let mut ledger = Ledger::new(DeliveryProgress { failing_since, ..progress });
        if let Some(replay) = &subscription.replay {
            ledger.begin_replay(&replay.id, replay.after);
        }
        let plan = Plan::new(Arc::clone(&subscription), &context.egress);
        let beat = context.beat();
        Self {
            outbox: Outbox::new(&subscription),
            order: Order::new(subscription.ordered),
            pace: Pace::new(subscription.rate_per_second),
            plan: Arc::new(plan),
            context,
            lease,
            changes,
            ledger,
            circuit: Circuit::default(),
            sending: FuturesUnordered::new(),
            reading: None,
            committing: None,
            telling: None,
            written_notice,
            is_all_read: false,
            is_replayed: false,
            is_disabled: false,
            has_more_owed: false,
            turn: Track::Log,
            quiet_until: None,
            next_commit: None,
            next_beat: Instant::now() + beat,
            behind,
        }
    }

    fn id(&self) -> &str {
        &self.plan.subscription.id
    }

    /// Serves until it is asked to stop or has lost the subscription.
    pub async fn run(mut self) {
        let end = self.serve().await;
        if end == End::Asked {
            self.finish().await;
        }
        self.behind.store(0, Ordering::Relaxed);
        tracing::info!(subscription = self.id(), late = end == End::Late, "delivery.worker_ended");
    }

    async fn serve(&mut self) -> End {
        let stop = self.context.tasks.stop_signal();
        let mut tail = self.context.store.tail();
        loop {
            if self.is_disabled {
                return End::Asked;
            }
            self.note_behind();
            self.load_more_owed().await;
            self.begin_reading();
            self.begin_deliveries();
            self.begin_telling();
            self.begin_commit();
            let wake = self.wake_at();
            tokio::select! {
                () = stop.cancelled() => return End::Asked,
                Some(finished) = self.sending.next() => self.take_finished(finished).await,
                found = maybe(&mut self.reading) => self.take_found(found),
                written = maybe(&mut self.committing) => {
                    if !self.take_written(written) {
                        return End::Late;
                    }
                }
                told = maybe(&mut self.telling) => self.take_told(told),
                _ = tail.changed(), if self.is_all_read => self.is_all_read = false,
                changed = self.changes.changed() => {
                    if changed.is_err() || !self.take_change().await {
                        return End::Asked;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {
                    if !self.beat().await {
                        return End::Late;
                    }
                }
            }
        }
    }

    fn pause(&mut self, error: &StoreError) {
        tracing::warn!(subscription = self.id(), problem = %error, "delivery.store_away");
        self.quiet_until = Some(Instant::now() + STORE_PAUSE);
    }

    fn is_quiet(&self) -> bool {
        self.quiet_until.is_some_and(|until| until > Instant::now())
    }

    /// Takes over what its owner has changed. Answers whether it is still to be served.
    async fn take_change(&mut self) -> bool {
        let Some(subscription) = self.changes.borrow_and_update().clone() else { return false };
        if subscription.status != SubscriptionStatus::Active {
            return false;
        }
        // What is under way ends as it began; the rest is read anew, as it is wanted now.
        self.next_beat = Instant::now();
        if !self.beat().await {
            return false;
        }
        self.settle_down(self.context.timeout + STOP_LIMIT).await;
        let written = self.flush().await;
        let progress = self.context.store.get_progress(&subscription.id).await;
        match (written, progress) {
            (Ok(true), Ok(Some(progress))) => {
                let behind = Arc::clone(&self.behind);
                let (context, lease) = (self.context.clone(), self.lease.clone());
                let circuit = std::mem::take(&mut self.circuit);
                let changes = self.changes.clone();
                *self = Self::new(context, lease, subscription, progress, changes, behind);
                self.circuit = circuit;
                if let Err(error) = self.load_owed().await {
                    tracing::warn!(subscription = self.id(), problem = %error, "delivery.store_away");
                    return false;
                }
                true
            }
            // Another replica, or this one a little later, begins where the store says.
            _ => false,
        }
    }

    async fn finish(&mut self) {
        self.settle_down(STOP_LIMIT).await;
        let told = self.tell_rest().await;
        let written = self.flush().await;
        let released = self.context.store.release_lease(&self.lease).await;
        if let Err(error) = told.and(written.map(|_| ())).and(released) {
            // What was delivered and could not be written is delivered again.
            tracing::warn!(subscription = self.id(), problem = %error, "delivery.end_not_written");
        }
    }

    /// When there is something to do at the latest.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let clock = self.context.clock.now();
        let at = |due: Timestamp| {
            let millis = u64::try_from(due.millis().saturating_sub(clock.millis())).unwrap_or(0);
            now + Duration::from_millis(millis)
        };
        let owed = self.order.first_due().map(at);
        let notice = notice::due(self.ledger.exhaustion()).map(at);
        let permit = match self.circuit.permit(now) {
            Permit::NotBefore(until) => Some(until),
            Permit::Yes | Permit::AfterProbe => None,
        };
        let can_begin = self.sending.len() < self.plan.concurrency && permit.is_none();
        let begins = [owed, self.outbox.due(), self.pace.wait_until(now)].into_iter().flatten();
        let begin = if can_begin {
            begins.min().map(|at| self.pace.wait_until(now).map_or(at, |pace| at.max(pace)))
        } else {
            None
        };
        let commit = if self.committing.is_none() { self.next_commit } else { None };
        let quiet = self.quiet_until.filter(|until| *until > now);
        let waits = [begin, permit, notice, commit.map(|at| quiet.map_or(at, |quiet| at.max(quiet))), quiet];
        waits.into_iter().flatten().fold(self.next_beat, Instant::min)
    }

    fn note_behind(&self) {
        let waits = !self.is_all_read || self.outbox.ready() > 0;
        let behind =
            if waits { millis_behind(self.ledger.through(Track::Log), self.context.clock.now()) } else { 0 };
        self.behind.store(behind, Ordering::Relaxed);
    }

    /// Renews the lease when it is time. Answers whether it is still ours.
    async fn beat(&mut self) -> bool {
        if Instant::now() < self.next_beat {
            return true;
        }
        self.next_beat = Instant::now() + self.context.beat();
        match self.context.store.renew_lease(&self.lease, self.context.lease()).await {
            Ok(is_ours) => is_ours,
            Err(error) => {
                // The fence keeps a late owner from writing; what it delivers meanwhile may be delivered twice.
                self.pause(&error);
                true
            }
        }
    }
}

/// Positions are microseconds since the epoch.
fn millis_behind(position: Position, now: Timestamp) -> u64 {
    u64::try_from(now.millis()).unwrap_or(0).saturating_sub(position.0 / 1_000)
}

/// The result of what is under way; never, if nothing is.
async fn maybe<T>(work: &mut Option<BoxFuture<'static, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
