//! Turns as the store counts them for all replicas, and as this replica counts alone while the store is away.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use outdial_core::AccountId;
use outdial_store::{
    LocalTurns, Store, StoreError, StoreErrorKind, TurnAnswer, TurnLimits, TurnRequest, TurnShare,
};
use tokio::sync::Notify;

use crate::tasks::Tasks;

/// Longest wait for the store's answer: a call waits for it.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a store that failed is not asked.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Turns of every account. While the store is away each replica counts alone, and uses its part of the limits: what there
/// is, divided by the replicas that asked for turns lately, but one call at once at least.
pub struct CountedTurns {
    store: Arc<dyn Store>,
    tasks: Tasks,
    replica: String,
    local: LocalTurns,
    /// How many replicas there were when the store last told.
    replicas: AtomicU32,
    calls: AtomicU64,
    /// Until when the store is not asked, because it failed.
    away_until: Mutex<Option<Instant>>,
}

impl CountedTurns {
    /// Turns in this store. `replica` names this replica.
    pub fn new(store: Arc<dyn Store>, tasks: Tasks, replica: String) -> Self {
        let (local, replicas, calls) = (LocalTurns::default(), AtomicU32::new(1), AtomicU64::new(0));
        Self { store, tasks, replica, local, replicas, calls, away_until: Mutex::default() }
    }

    /// A name for one call, that no other call of any replica has.
    pub fn name_call(&self) -> String {
        format!("{}/{}", self.replica, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a turn, or says why there is none now.
    pub async fn take(
        &self,
        account: &AccountId,
        holder: &str,
        limits: TurnLimits,
        share: TurnShare,
        life: Duration,
    ) -> TurnAnswer {
        let mut request = TurnRequest { account, holder, replica: &self.replica, limits, share, life };
        let is_away = self.away().is_some_and(|until| until > Instant::now());
        if !is_away {
            match tokio::time::timeout(STORE_TIMEOUT, self.store.take_turn(&request)).await {
                Ok(Ok(answer)) => {
                    self.note_store(None);
                    if let TurnAnswer::Granted { replicas } = answer {
                        self.replicas.store(replicas.max(1), Ordering::Relaxed);
                        self.local.note(&request);
                    }
                    return answer;
                }
                Ok(Err(error)) => self.note_store(Some(error)),
                Err(_) => {
                    self.note_store(Some(StoreError::new(StoreErrorKind::Unavailable, "no answer in time")));
                }
            }
        }
        request.limits = limits.divided(self.replicas.load(Ordering::Relaxed));
        self.local.take(&request)
    }

    /// Gives the slot of a call back, without waiting; `freed` is told when that is done.
    pub fn give_back(&self, account: AccountId, holder: String, freed: Arc<Notify>) {
        self.local.give_back(&account, &holder);
        let store = Arc::clone(&self.store);
        self.tasks.spawn(async move {
            if let Err(error) = store.give_turn_back(&account, &holder).await {
                tracing::debug!(%account, problem = %error, "turns.not_given_back");
            }
            freed.notify_waiters();
        });
    }

    /// Gives no turn for so long, in no replica.
    pub fn pause(&self, account: AccountId, pause: Duration) {
        self.local.pause(&account, pause);
        let store = Arc::clone(&self.store);
        self.tasks.spawn(async move {
            if let Err(error) = store.pause_turns(&account, pause).await {
                tracing::warn!(%account, problem = %error, "turns.pause_not_shared");
            }
        });
    }

    fn note_store(&self, problem: Option<StoreError>) {
        let mut away = self.away();
        match (&problem, *away) {
            (None, None) => {}
            (None, Some(_)) => tracing::info!("turns.shared_again"),
            (Some(problem), None) => tracing::warn!(%problem, "turns.counted_alone"),
            (Some(_), Some(_)) => {}
        }
        *away = problem.map(|_| Instant::now() + STORE_PAUSE);
    }

    fn away(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
