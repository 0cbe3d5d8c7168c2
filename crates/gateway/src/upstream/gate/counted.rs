//! Turns as the store counts them for all replicas, and as this replica counts alone while the store is away.

use std::{
    fmt,
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

/// A turn that is wanted.
pub struct Wanted<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// The account's limits over all replicas.
    pub limits: TurnLimits,
    /// How much of them.
    pub share: TurnShare,
    /// When the slot is free again, whatever happens.
    pub life: Duration,
    /// Is told when the slot was given back.
    pub freed: &'a Arc<Notify>,
}

/// A slot that a call has, or may have. It is given back when dropped, without waiting for that.
pub struct Slot {
    turns: Arc<CountedTurns>,
    account: AccountId,
    holder: String,
    freed: Arc<Notify>,
    is_taken: bool,
}

impl Slot {
    /// There is nothing to be given back.
    fn forget(mut self) {
        self.is_taken = false;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.is_taken {
            return;
        }
        if self.turns.store.give_turn_back_at_once(&self.account, &self.holder) {
            self.freed.notify_waiters();
            return;
        }
        let (account, holder) = (self.account.clone(), std::mem::take(&mut self.holder));
        self.turns.local.give_back(&account, &holder);
        let (store, freed) = (Arc::clone(&self.turns.store), Arc::clone(&self.freed));
        self.turns.tasks.spawn(async move {
            if let Err(error) = store.give_turn_back(&account, &holder).await {
                tracing::debug!(%account, problem = %error, "turns.not_given_back");
            }
            freed.notify_waiters();
        });
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("account", &self.account)
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

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

    /// Takes a turn, or says why there is none now, where nobody else has to be asked. A store that answers at once is in this
    /// process: it is never away, so nothing is noted of it here.
    pub fn take_at_once(self: &Arc<Self>, wanted: &Wanted<'_>) -> Option<Result<Slot, TurnAnswer>> {
        let slot = self.slot(wanted);
        match self.store.take_turn_at_once(&self.request(wanted, &slot, wanted.limits)) {
            Some(TurnAnswer::Granted { .. }) => Some(Ok(slot)),
            refusal => {
                slot.forget();
                refusal.map(Err)
            }
        }
    }

    /// Takes a turn, or says why there is none now.
    ///
    /// # Errors
    /// Anything but `Granted`.
    pub async fn take(self: &Arc<Self>, wanted: &Wanted<'_>) -> Result<Slot, TurnAnswer> {
        if let Some(answer) = self.take_at_once(wanted) {
            return answer;
        }
        let is_away = self.away().is_some_and(|until| until > Instant::now());
        if !is_away {
            // Whoever asked may go away before the answer comes: the slot is given back all the same.
            let slot = self.slot(wanted);
            let request = self.request(wanted, &slot, wanted.limits);
            let asked = tokio::time::timeout(STORE_TIMEOUT, self.store.take_turn(&request)).await;
            match asked.unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Unavailable, "too slow"))) {
                Ok(TurnAnswer::Granted { replicas }) => {
                    self.note_store(None);
                    self.replicas.store(replicas.max(1), Ordering::Relaxed);
                    self.local.note(&request);
                    return Ok(slot);
                }
                Ok(refusal) => {
                    self.note_store(None);
                    slot.forget();
                    return Err(refusal);
                }
                // It may be taken: the slot goes, and with it what there is in the store.
                Err(error) => self.note_store(Some(error)),
            }
        }
        let slot = self.slot(wanted);
        let limits = wanted.limits.divided(self.replicas.load(Ordering::Relaxed));
        match self.local.take(&self.request(wanted, &slot, limits)) {
            TurnAnswer::Granted { .. } => Ok(slot),
            refusal => {
                slot.forget();
                Err(refusal)
            }
        }
    }

    /// A slot under a name that no other call of any replica has.
    fn slot(self: &Arc<Self>, wanted: &Wanted<'_>) -> Slot {
        let holder = format!("{}/{}", self.replica, self.calls.fetch_add(1, Ordering::Relaxed));
        let (account, freed) = (wanted.account.clone(), Arc::clone(wanted.freed));
        Slot { turns: Arc::clone(self), account, holder, freed, is_taken: true }
    }

    fn request<'a>(&'a self, wanted: &Wanted<'a>, slot: &'a Slot, limits: TurnLimits) -> TurnRequest<'a> {
        let Wanted { account, share, life, .. } = *wanted;
        TurnRequest { account, holder: &slot.holder, replica: &self.replica, limits, share, life }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_of_this_process_counts_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = super::super::tests::open_store(&folder).await;
        let tasks = Tasks::new(tokio::runtime::Handle::current());
        let turns = Arc::new(CountedTurns::new(store, tasks, "a".into()));
        let (account, freed) = ("ic-1".parse().unwrap(), Arc::default());
        let limits = TurnLimits { calls: 10, period: Duration::from_millis(1), slots: 1 };
        let (share, life) = (TurnShare::Whole, Duration::from_secs(60));
        let wanted = Wanted { account: &account, limits, share, life, freed: &freed };
        let slot = turns.take(&wanted).await.unwrap();
        assert_eq!(turns.take(&wanted).await.unwrap_err(), TurnAnswer::Full);
        drop(slot);
        drop(turns.take(&wanted).await.unwrap());
        // What nobody gives back here would stay for good.
        assert_eq!(format!("{:?}", turns.local), format!("{:?}", LocalTurns::default()));
    }
}
