//! What the relay makes of the way an exchange went: what can be passed on, what it means to the next call, and what is said
//! where there is no answer.

use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use outdial_core::{Clock, Error, ErrorClass, UpstreamFailure};

use super::super::{Ending, WireError, exchange::Incoming};
use crate::accounts::Account;

/// Whether the vendor may not take the account's token any more.
pub(super) fn is_rejection(account: &Account, response: &Incoming) -> bool {
    let status = StatusCode::from_u16(response.status().as_u16());
    status.is_ok_and(|status| account.vendor.rejects_token(status))
}

/// Why an answer cannot be passed on at all.
pub(super) fn unusable(response: &Incoming, limit: u64) -> Option<&'static str> {
    if response.status().is_informational() {
        return Some("the answer has an interim status");
    }
    if response.announced.is_some_and(|announced| announced > limit) && !response.is_bodiless() {
        return Some("the answer is too large");
    }
    response.is_lost().then_some("the answer has no length")
}

/// What a vendor's status means to the count of calls and to those who call next.
pub(super) fn judge(response: &Incoming, clock: &dyn Clock) -> (Option<ErrorClass>, Ending) {
    let status = response.status().as_u16();
    let class = match status {
        401 => Some(ErrorClass::Unauthenticated),
        403 => Some(ErrorClass::Forbidden),
        429 => Some(ErrorClass::RateLimited),
        500.. => Some(ErrorClass::Unavailable),
        _ => None,
    };
    if class.is_none() {
        return (None, Ending::Answered);
    }
    let mut headers = HeaderMap::new();
    let delay = response.headers().get("retry-after").map(|value| HeaderValue::from_bytes(value.as_bytes()));
    if let Some(Ok(delay)) = delay {
        headers.insert(RETRY_AFTER, delay);
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    (class, Ending::of_answer(status, &headers, clock.now()))
}

pub(super) fn protocol(account: &Account, status: u16, problem: &'static str) -> Error {
    let message =
        format!("{} answered what cannot be passed on: {problem}.", account.vendor.descriptor().vendor);
    let failure = UpstreamFailure { status: Some(status), ..UpstreamFailure::default() };
    Error::new(ErrorClass::Protocol, "upstream-protocol", message).with_upstream(failure)
}

/// What a broken exchange means: a call that only reads can be made again, of any other it is unknown whether it took effect
/// once a byte may have left.
pub(super) fn explain(account: &Account, is_safe: bool, error: WireError) -> Error {
    let vendor = &account.vendor.descriptor().vendor;
    let unknown = || {
        let message = format!(
            "{vendor} gave no answer; the call may or may not have taken effect, and is not sent again."
        );
        Error::new(ErrorClass::OutcomeUnknown, "upstream-outcome-unknown", message)
    };
    match (error, is_safe) {
        (WireError::NotSent(_, detail), _) => {
            let message = format!("{vendor} cannot be reached; nothing was sent.");
            Error::new(ErrorClass::Unavailable, "upstream-unavailable", message).with_detail(detail)
        }
        (WireError::Timeout, false) => unknown(),
        (WireError::Broken(detail), false) => unknown().with_detail(detail),
        (WireError::Timeout, true) => {
            Error::new(ErrorClass::Timeout, "upstream-timeout", format!("{vendor} did not answer in time."))
        }
        (WireError::Broken(detail), true) => {
            let message = format!("{vendor} broke the connection off.");
            Error::new(ErrorClass::Unavailable, "upstream-unavailable", message).with_detail(detail)
        }
    }
}
