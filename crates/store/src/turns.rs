//! Turns of one process, in memory: for the embedded store, which no other process shares, and for a replica whose shared
//! store is away.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use outdial_core::AccountId;

use crate::{TurnAnswer, TurnRequest, TurnShare};

/// Turns of one process. They begin anew with it.
#[derive(Debug, Default)]
pub struct LocalTurns(Mutex<HashMap<AccountId, Book>>);

impl LocalTurns {
    /// Takes a turn, or says why there is none now.
    pub fn take(&self, request: &TurnRequest<'_>) -> TurnAnswer {
        self.with(request.account, |book| book.take(request, Instant::now()))
    }

    /// Notes a turn that was given elsewhere.
    pub fn note(&self, request: &TurnRequest<'_>) {
        self.with(request.account, |book| book.note(request, Instant::now()));
    }

    /// Gives the slot of a call of this process back.
    pub fn give_back(&self, account: &AccountId, call: u64) {
        self.with(account, |book| book.slots.remove(&call));
    }

    /// Gives no turn for so long; a longer pause that is there already stays.
    pub fn pause(&self, account: &AccountId, pause: Duration) {
        let until = Instant::now() + pause;
        self.with(account, |book| book.paused_until = book.paused_until.max(Some(until)));
    }

    fn with<T>(&self, account: &AccountId, work: impl FnOnce(&mut Book) -> T) -> T {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match books.get_mut(account) {
            Some(book) => work(book),
            None => work(books.entry(account.clone()).or_default()),
        }
    }
}

/// What is known of one account's calls.
#[derive(Debug, Default)]
struct Book {
    /// When the last calls began, the newest first.
    starts: VecDeque<Instant>,
    /// Calls under way: when their slot is free again, and their share.
    slots: HashMap<u64, (Instant, TurnShare)>,
    paused_until: Option<Instant>,
}

impl Book {
    fn take(&mut self, request: &TurnRequest<'_>, now: Instant) -> TurnAnswer {
        let limits = request.limits;
        let (calls, slots) = limits.allowed(request.share);
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return TurnAnswer::Paused(until - now);
        }
        if self.is_full(request, to_size(slots)) {
            // Slots whose time is over are in nobody's way before this.
            self.slots.retain(|_, (end, _)| *end > now);
            if self.is_full(request, to_size(slots)) {
                return TurnAnswer::Full;
            }
        }
        if let Some(start) = self.starts.get(to_size(calls) - 1) {
            let wait = (*start + limits.period).saturating_duration_since(now);
            if !wait.is_zero() {
                return TurnAnswer::TooSoon(wait);
            }
        }
        self.note(request, now);
        TurnAnswer::Granted { replicas: 1 }
    }

    /// Whether no slot is left, or none of `allowed` for calls of this share.
    fn is_full(&self, request: &TurnRequest<'_>, allowed: usize) -> bool {
        let of_share = || self.slots.values().filter(|(_, share)| *share == request.share).count();
        self.slots.len() >= to_size(request.limits.slots)
            || (request.share == TurnShare::Half && of_share() >= allowed)
    }

    fn note(&mut self, request: &TurnRequest<'_>, now: Instant) {
        self.starts.push_front(now);
        self.starts.truncate(to_size(request.limits.calls));
        self.slots.insert(request.holder.call, (now + request.life, request.share));
    }
}

fn to_size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Holder, TurnLimits};

    const SECOND: Duration = Duration::from_secs(1);

    fn ask(book: &mut Book, call: u64, share: TurnShare, now: Instant) -> TurnAnswer {
        let account: AccountId = "ic-1".parse().unwrap();
        let limits = TurnLimits { calls: 4, period: SECOND, slots: 100 };
        let life = Duration::from_secs(60);
        let holder = Holder { replica: "a", call };
        book.take(&TurnRequest { account: &account, holder, limits, share, life }, now)
    }

    #[test]
    fn no_period_has_more_calls_than_allowed() {
        let (mut book, begin) = (Book::default(), Instant::now());
        let mut granted = Vec::new();
        for step in 0..3_000_u32 {
            let now = begin + Duration::from_millis(u64::from(step));
            if matches!(ask(&mut book, step.into(), TurnShare::Whole, now), TurnAnswer::Granted { .. }) {
                granted.push(now);
            }
        }
        assert_eq!(granted.len(), 12, "four in each of three seconds");
        for five in granted.windows(5) {
            assert!(five[4] - five[0] >= SECOND);
        }
    }

    #[test]
    fn half_a_share_leaves_half_of_the_period() {
        let (mut book, now) = (Book::default(), Instant::now());
        let granted = TurnAnswer::Granted { replicas: 1 };
        assert_eq!(ask(&mut book, 1, TurnShare::Half, now), granted);
        assert_eq!(ask(&mut book, 2, TurnShare::Half, now), granted);
        assert_eq!(ask(&mut book, 3, TurnShare::Half, now), TurnAnswer::TooSoon(SECOND));
        assert_eq!(ask(&mut book, 4, TurnShare::Whole, now), granted);
        assert_eq!(ask(&mut book, 5, TurnShare::Whole, now), granted);
        assert_eq!(
            ask(&mut book, 6, TurnShare::Whole, now + SECOND / 4),
            TurnAnswer::TooSoon(SECOND * 3 / 4)
        );
    }
}
