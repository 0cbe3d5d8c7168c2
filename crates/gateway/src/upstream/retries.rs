//! How often calls to one account's vendor may be repeated by us: a vendor in trouble must not get twice the calls for it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Repetitions for each hundred first attempts of the window.
const SHARE: u64 = 20;
/// The window, in steps.
const STEP: Duration = Duration::from_secs(10);
const STEPS: usize = 6;
/// Repetitions of a window that are always allowed.
const FLOOR: u64 = 3;

/// Why a call is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// The vendor no longer took the token.
    Token,
    /// No connection came about.
    Connect,
    /// The connection broke, and the call may arrive twice.
    Broken,
}

impl RetryReason {
    /// As a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Connect => "connect",
            Self::Broken => "broken",
        }
    }
}

/// The budget of one account in this replica.
#[derive(Debug)]
pub struct RetryBudget {
    counts: Mutex<Counts>,
    begin: Instant,
    /// Calls under way at once: when a token ends early, as many are refused together, and none of them is the vendor's
    /// trouble.
    under_way: u64,
}

#[derive(Debug, Default)]
struct Counts {
    /// First attempts and repetitions of each step of the window.
    steps: [(u64, u64); STEPS],
    /// The number of the last step.
    last: u64,
}

impl RetryBudget {
    /// A full one, for so many calls at once.
    pub fn new(under_way: usize, begin: Instant) -> Self {
        let under_way = u64::try_from(under_way).unwrap_or(u64::MAX);
        Self { counts: Mutex::default(), begin, under_way }
    }

    /// Notes a first attempt.
    pub fn note_first(&self, now: Instant) {
        self.with_step(now, |counts, step| counts.steps[step].0 += 1);
    }

    /// Takes one repetition, if there is one left.
    pub fn take(&self, reason: RetryReason, now: Instant) -> bool {
        let floor = match reason {
            RetryReason::Token => self.under_way.max(FLOOR),
            RetryReason::Connect | RetryReason::Broken => FLOOR,
        };
        self.with_step(now, |counts, step| {
            let firsts: u64 = counts.steps.iter().map(|(firsts, _)| firsts).sum();
            let repeated: u64 = counts.steps.iter().map(|(_, repeated)| repeated).sum();
            let has_room = repeated < floor.max(firsts * SHARE / 100);
            counts.steps[step].1 += u64::from(has_room);
            has_room
        })
    }

    fn with_step<T>(&self, now: Instant, work: impl FnOnce(&mut Counts, usize) -> T) -> T {
        let elapsed = now.saturating_duration_since(self.begin).as_secs() / STEP.as_secs();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let size = u64::try_from(STEPS).unwrap_or(1);
        let passed = elapsed.saturating_sub(counts.last).min(size);
        for gone in 0..passed {
            let step = usize::try_from((elapsed - gone) % size).unwrap_or(0);
            counts.steps[step] = (0, 0);
        }
        counts.last = counts.last.max(elapsed);
        let step = usize::try_from(counts.last % size).unwrap_or(0);
        work(&mut counts, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_first_attempts_is_repeated() {
        let begin = Instant::now();
        let budget = RetryBudget::new(16, begin);
        let mut repeated = 0;
        for n in 0..1_000_u64 {
            // Within the window, over several of its steps.
            let now = begin + Duration::from_millis(n * 50);
            budget.note_first(now);
            repeated += u32::from(budget.take(RetryReason::Broken, now));
        }
        assert_eq!(repeated, 200);
    }

    #[test]
    fn some_are_always_allowed() {
        let begin = Instant::now();
        let budget = RetryBudget::new(5, begin);
        let taken = |reason, at| (0..20).filter(|_| budget.take(reason, at)).count();
        assert_eq!(taken(RetryReason::Connect, begin), 3);
        assert_eq!(taken(RetryReason::Broken, begin), 0);
        // Every call under way may have met the token's end.
        assert_eq!(taken(RetryReason::Token, begin), 2);
        let window = STEP * u32::try_from(STEPS).unwrap();
        assert_eq!(taken(RetryReason::Connect, begin + window - Duration::from_millis(1)), 0);
        assert_eq!(taken(RetryReason::Connect, begin + window), 3, "the window has moved on");
        assert_eq!(taken(RetryReason::Connect, begin + window * 100), 3);
    }
}
