//! Replies: what the vendor's mean, and what ours say.

use bytes::Bytes;
use http::{Response, StatusCode};
use outdial_core::{Error, ErrorClass, PushOutcome, PushReply, UpstreamFailure};

/// Reads the reply to a roster: 200 means taken, and the body is not specified (WellCloud contract 1).
pub fn parse_roster_reply(response: &Response<Bytes>) -> Result<(), Error> {
    if response.status() == StatusCode::OK { Ok(()) } else { Err(refusal(response)) }
}

/// What a status other than 200 means. 425 stands for a wrong appId or appSecret (public documents).
pub fn refusal(response: &Response<Bytes>) -> Error {
    if response.status() == StatusCode::TOO_EARLY {
        let message = "WellCloud does not take the account's app_id and app_secret.";
        return Error::new(ErrorClass::Unauthenticated, "upstream-auth", message)
            .with_upstream(UpstreamFailure::from_status(response.status()));
    }
    Error::from_vendor_status("WellCloud", response)
}

/// The reply to a push. The vendor documents none but 200, and repeats nothing: the bodies are for people.
pub fn push_reply(outcome: &PushOutcome) -> PushReply {
    let (stored, duplicate, quarantined) = match outcome {
        PushOutcome::Taken { stored, duplicate, quarantined, .. } => (*stored, *duplicate, *quarantined),
        _ => (0, 0, 0),
    };
    PushReply::refusing(outcome).unwrap_or_else(|| {
        let counts = format!(r#""stored":{stored},"duplicate":{duplicate},"quarantined":{quarantined}"#);
        PushReply::json(StatusCode::OK, format!(r#"{{"code":0,{counts}}}"#))
    })
}
