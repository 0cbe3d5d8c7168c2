//! One call's turn: the right to call an account's vendor now, and what the call's end teaches those after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use outdial_core::{Error, ErrorClass};
use tokio::sync::OwnedSemaphorePermit;

/// Who waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Somebody's request.
    Interactive,
    /// Nobody: it goes when there is room.
    Background,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The vendor answered, whatever it said.
    Answered,
    /// The vendor asks to be spared, for so long if it says.
    Limited(Option<Duration>),
    /// The vendor could not be reached, was too slow, broke off, or answered that it is broken.
    Failed,
}

impl Ending {
    /// The ending of a call that failed with this error.
    pub fn of(error: &Error) -> Self {
        match error.class {
            ErrorClass::RateLimited => Self::Limited(error.retry_after),
            ErrorClass::Unavailable
            | ErrorClass::Timeout
            | ErrorClass::OutcomeUnknown
            | ErrorClass::Protocol => Self::Failed,
            ErrorClass::InvalidInput
            | ErrorClass::Unauthenticated
            | ErrorClass::Forbidden
            | ErrorClass::NotFound
            | ErrorClass::Conflict
            | ErrorClass::Unsupported
            | ErrorClass::Internal => Self::Answered,
        }
    }
}

/// The right to make one call. It is given back when dropped; a call that is given up without an end teaches nothing.
#[derive(Debug)]
pub struct Turn {
    failing: Arc<AtomicBool>,
    _slot: OwnedSemaphorePermit,
}

impl Turn {
    pub(super) fn new(slot: OwnedSemaphorePermit, failing: Arc<AtomicBool>) -> Self {
        Self { failing, _slot: slot }
    }

    /// Gives the turn back and says how its call ended.
    pub fn end(self, ending: Ending) {
        self.failing.store(ending == Ending::Failed, Ordering::Relaxed);
    }
}
