//! What a relayed call leaves behind, however it ends: its turn given back, a count, and a time.

use std::{rc::Rc, time::Instant};

use outdial_core::ErrorClass;

use super::{
    super::{Ending, Turn},
    lane::{Lane, OK},
};

/// The outcome of a call whose caller went away.
const ABANDONED: &str = "abandoned";

/// The account of one call.
pub(super) struct Tally {
    lane: Rc<Lane>,
    started: Instant,
    turn: Option<Turn>,
    ended: bool,
}

impl Tally {
    /// Of a call that began then.
    pub(super) const fn begin(lane: Rc<Lane>, started: Instant) -> Self {
        Self { lane, started, turn: None, ended: false }
    }

    pub(super) fn hold(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// The call ended so, of which the class of error is the label.
    /// A call that was given up by its caller has no ending.
    pub(super) fn end(&mut self, class: Option<ErrorClass>, ending: Option<Ending>) {
        match (self.turn.take(), ending) {
            (Some(turn), Some(ending)) => turn.end(ending),
            (turn, _) => drop(turn),
        }
        self.count(class.map_or(OK, ErrorClass::as_str));
    }

    fn count(&mut self, outcome: &str) {
        self.ended = true;
        self.lane.count(outcome, self.started.elapsed().as_secs_f64());
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.ended {
            self.count(ABANDONED);
        }
    }
}
