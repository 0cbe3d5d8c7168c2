//! One call's turn: the right to call an account's vendor now, and what the call's end teaches those after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use outdial_core::{Error, ErrorClass, Timestamp};
use outdial_store::TurnShare;

use super::{Gate, State, counted::Slot};
use crate::retry_after::read_retry_after;

/// Who waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Somebody's request.
    Interactive,
    /// Nobody: it goes when there is room.
    Background,
}

impl Priority {
    /// How much of a vendor a call may use.
    pub(super) const fn share(self) -> TurnShare {
        match self {
            Self::Interactive => TurnShare::Whole,
            Self::Background => TurnShare::Half,
        }
    }
}

/// The times of a call that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub struct CallTimes {
    /// It begins before this, or not at all.
    pub begin_by: Instant,
    /// It has ended by then, whatever becomes of it.
    pub end_by: Instant,
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
    /// The ending of a call that failed with this error. A refusal in the vendor's own words is an answer.
    pub fn of(error: &Error) -> Self {
        let status = error.upstream.as_ref().and_then(|upstream| upstream.status);
        match error.class {
            ErrorClass::RateLimited => Self::Limited(error.retry_after),
            _ if error.code == "upstream-rejected" => Self::Answered,
            _ if status.is_some_and(|status| (400..500).contains(&status)) => Self::Answered,
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

    /// The ending of a call whose answer is handed on as it is.
    pub fn of_answer(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Self {
        match status.as_u16() {
            429 => Self::Limited(read_retry_after(headers, now)),
            500..=599 => Self::Failed,
            _ => Self::Answered,
        }
    }
}

/// The right to make one call. The slot is given back when it is dropped; a call that is given up without an end teaches
/// nothing.
#[derive(Debug)]
pub struct Turn {
    gate: Arc<Gate>,
    /// There is none while another one is waited for.
    slot: Option<Slot>,
    priority: Priority,
    is_probe: bool,
    has_ended: bool,
}

impl Turn {
    pub(super) fn new(gate: Arc<Gate>, slot: Slot, priority: Priority, is_probe: bool) -> Self {
        Self { gate, slot: Some(slot), priority, is_probe, has_ended: false }
    }

    /// Gives the slot back and waits for another, because the call is made once more and counts as one. Answers whether
    /// there was one in time. The circuit is not asked: it is the same call, and may be the probe.
    pub async fn renew(&mut self, times: CallTimes) -> bool {
        self.slot = None;
        self.slot = self.gate.slot(self.priority, times, State::pause).await.ok();
        self.slot.is_some()
    }

    /// Gives the turn back and says how its call ended.
    pub fn end(mut self, ending: Ending) {
        self.has_ended = true;
        self.gate.learn(ending, self.is_probe);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.has_ended && self.is_probe {
            self.gate.abandon_probe();
        }
    }
}

#[cfg(test)]
mod tests {
    use outdial_core::UpstreamFailure;

    use super::*;

    #[test]
    fn a_refusal_in_the_vendors_words_is_an_answer() {
        let error = |class, code, status: u16| {
            let upstream = UpstreamFailure::from_status(StatusCode::from_u16(status).unwrap());
            Ending::of(&Error::new(class, code, "x").with_upstream(upstream))
        };
        assert_eq!(error(ErrorClass::Protocol, "upstream-rejected", 200), Ending::Answered);
        assert_eq!(error(ErrorClass::Protocol, "upstream-protocol", 200), Ending::Failed);
        assert_eq!(error(ErrorClass::Protocol, "upstream-protocol", 418), Ending::Answered);
        assert_eq!(error(ErrorClass::Forbidden, "upstream-auth", 403), Ending::Answered);
        assert_eq!(error(ErrorClass::Unavailable, "upstream-unavailable", 503), Ending::Failed);
        assert_eq!(error(ErrorClass::RateLimited, "upstream-rate-limited", 429), Ending::Limited(None));
        let timeout = Error::new(ErrorClass::OutcomeUnknown, "upstream-outcome-unknown", "x");
        assert_eq!(Ending::of(&timeout), Ending::Failed);
    }

    #[test]
    fn an_answer_that_is_handed_on_ends_by_its_status() {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::RETRY_AFTER, "7".parse().unwrap());
        let of = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            Ending::of_answer(status, &headers, Timestamp::from_millis(0))
        };
        assert_eq!([of(200), of(404), of(401)], [Ending::Answered; 3]);
        assert_eq!(of(502), Ending::Failed);
        assert_eq!(of(429), Ending::Limited(Some(Duration::from_secs(7))));
    }
}
