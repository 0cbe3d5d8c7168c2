//! Whether Redis is tried at all: after a few failures in a row appends go to the spool at once, until a probe succeeds.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures in a row after which Redis is no longer tried by appends.
const FAILURES: u32 = 3;
/// How long after the last spooled batch the store is still said to be in spool mode, so that a server that comes and goes
/// does not show as a flicker.
const HOLD: Duration = Duration::from_secs(10);

/// The breaker.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    problem: Option<String>,
    spooled_at: Option<Instant>,
}

impl Breaker {
    /// Whether an append may try Redis.
    pub(super) fn lets_through(&self) -> bool {
        self.state().failures < FAILURES
    }

    /// Redis took something.
    pub(super) fn succeed(&self) {
        let mut state = self.state();
        if state.failures >= FAILURES {
            tracing::info!("store: redis takes appends again");
        }
        state.failures = 0;
        state.problem = None;
    }

    /// Redis did not take something.
    pub(super) fn fail(&self, problem: &str) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures == FAILURES {
            tracing::warn!(problem, "store: redis is away, appends go to the spool");
        }
        state.problem = Some(problem.to_owned());
    }

    /// Redis was away from the start.
    pub(super) fn open(&self, problem: &str) {
        self.state().failures = FAILURES - 1;
        self.fail(problem);
    }

    /// A batch went to the spool.
    pub(super) fn note_spooled(&self, now: Instant) {
        self.state().spooled_at = Some(now);
    }

    /// Whether a batch went to the spool just now.
    pub(super) fn spooled_lately(&self, now: Instant) -> bool {
        self.state().spooled_at.is_some_and(|at| now.saturating_duration_since(at) < HOLD)
    }

    /// What the last failure was, unless Redis took something since.
    pub(super) fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_open_it_and_one_success_closes_it() {
        let breaker = Breaker::default();
        for _ in 0..2 {
            breaker.fail("away");
            breaker.fail("away");
            assert!(breaker.lets_through());
            breaker.succeed();
        }
        assert_eq!(breaker.problem(), None);
        for _ in 0..3 {
            breaker.fail("away");
        }
        assert!(!breaker.lets_through());
        assert_eq!(breaker.problem().as_deref(), Some("away"));
        breaker.fail("still away");
        breaker.succeed();
        assert!(breaker.lets_through());
        breaker.open("away at the start");
        assert!(!breaker.lets_through());
    }

    #[test]
    fn a_spooled_batch_is_remembered_for_ten_seconds() {
        let breaker = Breaker::default();
        let start = Instant::now();
        assert!(!breaker.spooled_lately(start));
        breaker.note_spooled(start);
        assert!(breaker.spooled_lately(start + Duration::from_secs(9)));
        assert!(!breaker.spooled_lately(start + Duration::from_secs(11)));
    }
}
