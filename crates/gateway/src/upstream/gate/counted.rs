//! Turns as the store counts them for all replicas, and as this replica counts alone while the store is away.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use outdial_core::AccountId;
use outdial_store::{
    Holder, LocalTurns, Store, StoreError, StoreErrorKind, TurnAnswer, TurnLimits, TurnRequest, TurnShare,
};
use tokio::sync::{Notify, futures::Notified};

use crate::tasks::Tasks;

/// Longest wait for the store's answer: a call waits for it.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a store that failed is not asked.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// A slot that a call has, or may have. It is given back when dropped, without waiting for that.
pub struct Slot {
    turns: Arc<AccountTurns>,
    call: u64,
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
        let Self { turns, call, .. } = self;
        let shared = &turns.shared;
        let holder = Holder { replica: &shared.replica, call: *call };
        if shared.store.give_turn_back_at_once(&turns.account, holder) {
            return turns.tell_freed();
        }
        shared.local.give_back(&turns.account, *call);
        let (turns, call) = (Arc::clone(turns), *call);
        shared.tasks.spawn(async move {
            let CountedTurns { store, replica, .. } = &*turns.shared;
            if let Err(error) = store.give_turn_back(&turns.account, Holder { replica, call }).await {
                tracing::debug!(account = %turns.account, problem = %error, "turns.not_given_back");
            }
            turns.tell_freed();
        });
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("account", &self.turns.account)
            .field("call", &self.call)
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
    /// Until when the store is not asked, because it failed.
    away_until: Mutex<Option<Instant>>,
}

impl CountedTurns {
    /// Turns in this store. `replica` names this replica.
    pub fn new(store: Arc<dyn Store>, tasks: Tasks, replica: String) -> Self {
        let (local, replicas) = (LocalTurns::default(), AtomicU32::new(1));
        Self { store, tasks, replica, local, replicas, away_until: Mutex::default() }
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

/// Bits of a call's number that count the calls of one thread.
const CALL_BITS: u32 = 40;

/// A number that no other call of this process has. Each thread counts for itself, because they would wait for each other.
fn next_call() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NEXT: Cell<u64> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) << CALL_BITS);
    }
    NEXT.with(|next| next.replace(next.get() + 1))
}

/// The turns of one account.
pub struct AccountTurns {
    shared: Arc<CountedTurns>,
    account: AccountId,
    /// Over all replicas.
    limits: TurnLimits,
    /// A slot of this replica was given back.
    freed: Notify,
    /// How many listen for that.
    listening: AtomicUsize,
}

impl AccountTurns {
    /// The turns of an account within its limits.
    pub fn new(shared: Arc<CountedTurns>, account: AccountId, limits: TurnLimits) -> Self {
        Self { shared, account, limits, freed: Notify::new(), listening: AtomicUsize::new(0) }
    }

    /// Takes a turn of this share, whose slot is free again after `life` whatever happens, or says why there is none now, where
    /// nobody else has to be asked. A store that answers at once is in this process: it is never away, so nothing is noted of
    /// it here.
    pub fn take_at_once(
        self: &Arc<Self>,
        share: TurnShare,
        life: Duration,
    ) -> Option<Result<Slot, TurnAnswer>> {
        let slot = self.slot();
        match self.shared.store.take_turn_at_once(&self.request(&slot, share, life, self.limits)) {
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
    pub async fn take(self: &Arc<Self>, share: TurnShare, life: Duration) -> Result<Slot, TurnAnswer> {
        if let Some(answer) = self.take_at_once(share, life) {
            return answer;
        }
        let shared = &self.shared;
        let is_away = shared.away().is_some_and(|until| until > Instant::now());
        if !is_away {
            // Whoever asked may go away before the answer comes: the slot is given back all the same.
            let slot = self.slot();
            let request = self.request(&slot, share, life, self.limits);
            let asked = tokio::time::timeout(STORE_TIMEOUT, shared.store.take_turn(&request)).await;
            match asked.unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Unavailable, "too slow"))) {
                Ok(TurnAnswer::Granted { replicas }) => {
                    shared.note_store(None);
                    shared.replicas.store(replicas.max(1), Ordering::Relaxed);
                    shared.local.note(&request);
                    return Ok(slot);
                }
                Ok(refusal) => {
                    shared.note_store(None);
                    slot.forget();
                    return Err(refusal);
                }
                // It may be taken: the slot goes, and with it what there is in the store.
                Err(error) => shared.note_store(Some(error)),
            }
        }
        let slot = self.slot();
        let limits = self.limits.divided(shared.replicas.load(Ordering::Relaxed));
        match shared.local.take(&self.request(&slot, share, life, limits)) {
            TurnAnswer::Granted { .. } => Ok(slot),
            refusal => {
                slot.forget();
                Err(refusal)
            }
        }
    }

    /// A slot under a name that no other call of any replica has.
    fn slot(self: &Arc<Self>) -> Slot {
        Slot { turns: Arc::clone(self), call: next_call(), is_taken: true }
    }

    fn request(&self, slot: &Slot, share: TurnShare, life: Duration, limits: TurnLimits) -> TurnRequest<'_> {
        let holder = Holder { replica: &self.shared.replica, call: slot.call };
        TurnRequest { account: &self.account, holder, limits, share, life }
    }

    /// Listens for a slot of this replica that is given back, from now on.
    pub fn listen(&self) -> Listener<'_> {
        self.listening.fetch_add(1, Ordering::SeqCst);
        let mut freed = Box::pin(self.freed.notified());
        freed.as_mut().enable();
        Listener { turns: self, freed }
    }

    /// Whoever listens did so before it asked for the slot that was just given back, or finds that free.
    fn tell_freed(&self) {
        if self.listening.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }

    /// Gives no turn for so long, in no replica.
    pub fn pause(self: &Arc<Self>, pause: Duration) {
        self.shared.local.pause(&self.account, pause);
        let turns = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            if let Err(error) = turns.shared.store.pause_turns(&turns.account, pause).await {
                tracing::warn!(account = %turns.account, problem = %error, "turns.pause_not_shared");
            }
        });
    }
}

/// Waits for a slot of this replica that is given back.
pub struct Listener<'a> {
    turns: &'a AccountTurns,
    freed: Pin<Box<Notified<'a>>>,
}

impl Listener<'_> {
    /// Answers when one was.
    pub async fn freed(&mut self) {
        self.freed.as_mut().await;
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.turns.listening.fetch_sub(1, Ordering::SeqCst);
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
        let limits = TurnLimits { calls: 10, period: Duration::from_millis(1), slots: 1 };
        let turns = Arc::new(AccountTurns::new(turns, "ic-1".parse().unwrap(), limits));
        let take = async || turns.take(TurnShare::Whole, Duration::from_secs(60)).await;
        let slot = take().await.unwrap();
        assert_eq!(take().await.unwrap_err(), TurnAnswer::Full);
        drop(slot);
        drop(take().await.unwrap());
        // What nobody gives back here would stay for good.
        assert_eq!(format!("{:?}", turns.shared.local), format!("{:?}", LocalTurns::default()));
    }
}
