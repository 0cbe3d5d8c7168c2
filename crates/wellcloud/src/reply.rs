//! Replies: what the vendor's mean, and what ours say.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header::RETRY_AFTER};
use outdial_core::{Error, ErrorClass, PushOutcome, PushReply, UpstreamFailure};

/// Reads the reply to a roster: 200 means taken, and the body is not specified (WellCloud contract 1).
pub fn parse_roster_reply(response: &Response<Bytes>) -> Result<(), Error> {
    if response.status() == StatusCode::OK { Ok(()) } else { Err(refusal(response)) }
}

/// What a status other than 200 means.
pub fn refusal(response: &Response<Bytes>) -> Error {
    let status = response.status();
    let failure = UpstreamFailure::from_status(status);
    let error = match status.as_u16() {
        // An expired token, no token, and a wrong appId or appSecret (public documents).
        401 | 425 => Error::new(
            ErrorClass::Unauthenticated,
            "upstream-auth",
            "WellCloud does not take our credentials.",
        ),
        403 => Error::new(ErrorClass::Forbidden, "upstream-auth", "WellCloud refuses us access."),
        404 => Error::new(
            ErrorClass::NotFound,
            "upstream-rejected",
            "WellCloud knows no such address or campaign.",
        ),
        429 => {
            Error::new(ErrorClass::RateLimited, "upstream-rate-limited", "WellCloud asks us to slow down.")
        }
        500..=599 => Error::new(ErrorClass::Unavailable, "upstream-unavailable", "WellCloud failed."),
        _ => Error::new(
            ErrorClass::Protocol,
            "upstream-protocol",
            "WellCloud answered with an undocumented status.",
        ),
    };
    let error = error.with_upstream(failure);
    match retry_after(response) {
        Some(delay) => error.with_retry_after(delay),
        None => error,
    }
}

fn retry_after(response: &Response<Bytes>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The reply to a push. The vendor documents none but 200, and repeats nothing: the bodies are for people.
pub fn push_reply(outcome: &PushOutcome) -> PushReply {
    let (status, code, message, retry_after) = match outcome {
        PushOutcome::Taken { stored, duplicate, quarantined, .. } => {
            let body = format!(
                r#"{{"code":0,"stored":{stored},"duplicate":{duplicate},"quarantined":{quarantined}}}"#
            );
            return reply(StatusCode::OK, None, body);
        }
        PushOutcome::NotAuthentic => (StatusCode::UNAUTHORIZED, 40101, "not authentic", None),
        PushOutcome::Malformed => (StatusCode::BAD_REQUEST, 40003, "malformed body", None),
        PushOutcome::Truncated => (StatusCode::BAD_REQUEST, 40001, "body cut short", None),
        PushOutcome::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, 41300, "body too large", None),
        PushOutcome::Compressed => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, 41500, "content encoding not taken", None)
        }
        PushOutcome::TooSlow => (StatusCode::REQUEST_TIMEOUT, 40800, "body too slow", None),
        PushOutcome::StoreAway | PushOutcome::StoreAwaySpoolVolatile => {
            (StatusCode::SERVICE_UNAVAILABLE, 50301, "cannot store now", Some(5))
        }
        PushOutcome::Shed => (StatusCode::SERVICE_UNAVAILABLE, 50303, "too busy", Some(1)),
        PushOutcome::Deadline => (StatusCode::SERVICE_UNAVAILABLE, 50304, "not stored in time", Some(5)),
        PushOutcome::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 50000, "internal fault", None),
    };
    reply(status, retry_after, format!(r#"{{"code":{code},"message":"{message}"}}"#))
}

fn reply(status: StatusCode, retry_after: Option<u32>, body: String) -> PushReply {
    PushReply { status, content_type: "application/json", retry_after, body: Bytes::from(body) }
}
