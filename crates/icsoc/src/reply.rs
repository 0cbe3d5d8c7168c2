//! Replies to pushes: HTTP 200 with `{"code":0}` is success, anything else is repeated (ICSOC contract 2.3).

use http::StatusCode;
use outdial_core::{PushOutcome, PushReply};
use serde_json::json;

/// The reply to a push.
pub fn push_reply(outcome: &PushOutcome) -> PushReply {
    PushReply::refusing(outcome).unwrap_or_else(|| {
        let body = match outcome {
            PushOutcome::Taken { answer: Some(answer), .. } => {
                json!({"code": 0, "message": "", "data": answer})
            }
            _ => json!({"code": 0, "message": "ok"}),
        };
        PushReply::json(StatusCode::OK, body.to_string())
    })
}
