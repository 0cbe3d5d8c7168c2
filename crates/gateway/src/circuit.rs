//! Spares whoever only fails, a subscriber or a vendor: after some failures in a row nothing is sent for a while, then one
//! request at a time, until one succeeds.

use std::time::{Duration, Instant};

/// Failures in a row that open the circuit.
const FAILURES: u32 = 5;
/// How long it is open at first; twice as long after each probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// How long it is open at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The circuit of one target.
#[derive(Debug)]
pub struct Circuit {
    failures: u32,
    pause: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    OpenUntil(Instant),
    Probing,
}

/// Whether a request may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Yes,
    /// Not before this.
    NotBefore(Instant),
    /// Not before the probe that is under way has ended.
    AfterProbe,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { failures: 0, pause: FIRST_PAUSE, state: State::Closed }
    }
}

impl Circuit {
    /// Whether a request may begin.
    pub fn permit(&self, now: Instant) -> Permit {
        match self.state {
            State::Closed => Permit::Yes,
            State::OpenUntil(until) if now >= until => Permit::Yes,
            State::OpenUntil(until) => Permit::NotBefore(until),
            State::Probing => Permit::AfterProbe,
        }
    }

    /// Whether it is closed and no failure is held against the target.
    pub fn is_calm(&self) -> bool {
        self.state == State::Closed && self.failures == 0
    }

    /// A request begins. With an open circuit it is the probe; answers whether it is.
    pub fn begin(&mut self) -> bool {
        let is_probe = self.state != State::Closed;
        if is_probe {
            self.state = State::Probing;
        }
        is_probe
    }

    /// The probe was given up before it told anything: another one may begin.
    pub fn abandon_probe(&mut self, now: Instant) {
        if self.state == State::Probing {
            self.state = State::OpenUntil(now);
        }
    }

    /// The state as a word: `closed`, `open`, or `half_open` when a probe may begin or is under way.
    pub fn word(&self, now: Instant) -> &'static str {
        match self.state {
            State::Closed => "closed",
            State::OpenUntil(until) if until > now => "open",
            State::OpenUntil(_) | State::Probing => "half_open",
        }
    }

    /// A request was taken.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// A request failed.
    pub fn fail(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            State::Closed if self.failures < FAILURES => {}
            State::Closed => self.state = State::OpenUntil(now + self.pause),
            State::Probing => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.state = State::OpenUntil(now + self.pause);
            }
            // One that was under way when the circuit opened.
            State::OpenUntil(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES {
            assert_eq!(circuit.permit(now), Permit::Yes);
            assert!(!circuit.begin());
            circuit.fail(now);
        }
        circuit
    }

    #[test]
    fn some_failures_in_a_row_open_it() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES * 2 {
            circuit.fail(now);
            circuit.succeed();
        }
        assert_eq!(circuit.state, State::Closed);
        assert_eq!(opened(now).permit(now), Permit::NotBefore(now + FIRST_PAUSE));
    }

    #[test]
    fn one_probe_at_a_time_closes_it_or_doubles_the_pause() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let mut pause = FIRST_PAUSE;
        let mut later = now;
        for _ in 0..5 {
            later += pause;
            assert_eq!(circuit.permit(later), Permit::Yes);
            assert_eq!(circuit.word(later), "half_open");
            assert!(circuit.begin());
            assert_eq!((circuit.permit(later), circuit.word(later)), (Permit::AfterProbe, "half_open"));
            circuit.fail(later);
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert_eq!(circuit.permit(later), Permit::NotBefore(later + pause));
        }
        assert_eq!(pause, LONGEST_PAUSE);
        assert_eq!(circuit.word(later), "open");
        circuit.begin();
        circuit.succeed();
        assert_eq!((circuit.state, circuit.word(later)), (State::Closed, "closed"));
    }

    #[test]
    fn a_probe_that_is_given_up_makes_room_for_another() {
        let now = Instant::now();
        let mut circuit = opened(now);
        circuit.abandon_probe(now);
        assert_eq!(circuit.permit(now), Permit::NotBefore(now + FIRST_PAUSE), "no probe was under way");
        let later = now + FIRST_PAUSE;
        circuit.begin();
        circuit.abandon_probe(later);
        assert_eq!(circuit.permit(later), Permit::Yes);
        assert!(circuit.begin());
    }

    #[test]
    fn what_was_under_way_does_not_prolong_the_pause() {
        let now = Instant::now();
        let mut circuit = opened(now);
        circuit.fail(now + FIRST_PAUSE / 2);
        assert_eq!(circuit.permit(now), Permit::NotBefore(now + FIRST_PAUSE));
    }
}
