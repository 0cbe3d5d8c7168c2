//! Pushes of vendors: from the bytes that came in to records, and back to a reply in the vendor's dialect.

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{Record, Timestamp};

/// A complete body that came in at a known secret path.
#[derive(Clone, Debug)]
pub struct RawPush {
    /// The body as it came.
    pub body: Bytes,
    /// The `Content-Type` header, where it was text.
    pub content_type: Option<String>,
    /// When the body was complete.
    pub received_at: Timestamp,
}

/// A push whose sender was shown to know the secret. Only an adapter's `verify` makes one.
#[derive(Clone, Debug)]
pub struct VerifiedPush {
    /// What came in.
    pub raw: RawPush,
    /// The bytes that the proof covers; where the vendor proves nothing, the body.
    pub payload: Bytes,
    /// Which of the configured secrets fitted, from 0; `None` where the vendor signs nothing.
    pub secret_index: Option<usize>,
    /// Which rule of the vendor's fitted, as a metric label, such as `raw_slice`.
    pub proof: &'static str,
}

/// Why a push is refused before anything of it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushRefusal {
    /// The proof is missing or wrong. Kept as a suspect: the wrong secret may be ours.
    NotAuthentic {
        /// As a metric label and in the log.
        reason: &'static str,
    },
    /// The envelope is not what the vendor's document says, or can be read in two ways.
    Malformed {
        /// As a metric label and in the log.
        reason: &'static str,
    },
}

/// What an authentic push holds.
#[derive(Debug, Default)]
pub struct DecodedPush {
    /// Each record of the body, in order. A body that could not be taken apart is one item.
    pub items: Vec<PushItem>,
    /// What the vendor wants back besides success, such as the answer to ICSOC's pre-call question.
    pub answer: Option<serde_json::Value>,
}

/// One record of a body.
#[derive(Clone, Debug)]
pub struct PushItem {
    /// Its own slice of what came in.
    pub raw: Bytes,
    /// The record, or why it could not be read.
    pub result: Result<DecodedRecord<'static>, QuarantineReason>,
}

/// A record that was read, and what was odd about it.
#[derive(Clone, Debug)]
pub struct DecodedRecord<'a> {
    /// The record.
    pub record: Record<'a>,
    /// Names of fields that no document of the vendor has, each once. At most [`DecodedRecord::UNKNOWN_LIMIT`].
    pub unknown_fields: Vec<String>,
    /// Documented fields whose value could not be used.
    pub warnings: Vec<Warning>,
}

impl DecodedRecord<'_> {
    /// Most unknown names reported of one record.
    pub const UNKNOWN_LIMIT: usize = 32;

    /// The same with text of its own.
    pub fn into_owned(self) -> DecodedRecord<'static> {
        let Self { record, unknown_fields, warnings } = self;
        DecodedRecord { record: record.into_owned(), unknown_fields, warnings }
    }
}

/// A documented field whose value could not be used; the fact is null and the raw text is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The vendor's name of the field.
    pub field: &'static str,
    /// What was wrong, such as `not_a_time`, `unknown_code`, `duplicate_key`.
    pub code: &'static str,
}

/// Why an authentic record could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineReason {
    /// Stable snake_case code, such as `not_json`, `unknown_type`, `not_an_object`; a metric label, so from a closed set.
    pub code: String,
    /// One sentence that names the place, and no value.
    pub detail: String,
}

impl QuarantineReason {
    /// A reason.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

/// How a push ended, to be told to the vendor.
#[derive(Clone, Debug, PartialEq)]
pub enum PushOutcome {
    /// Every record is stored, duplicate or quarantined, durably.
    Taken {
        /// New or changed records.
        stored: usize,
        /// Records that said nothing new.
        duplicate: usize,
        /// Records that could not be read, kept for later.
        quarantined: usize,
        /// See [`DecodedPush::answer`].
        answer: Option<serde_json::Value>,
    },
    /// The proof is missing or wrong.
    NotAuthentic,
    /// The envelope can be read in two ways or is none.
    Malformed,
    /// The body ended before its announced length.
    Truncated,
    /// The body is larger than the limit.
    TooLarge,
    /// The body came with a content encoding.
    Compressed,
    /// The body came too slowly.
    TooSlow,
    /// Neither the store nor the spool can take it now.
    StoreAway,
    /// The store is away and the spool does not outlive this pod, so a vendor that repeats is asked to.
    StoreAwaySpoolVolatile,
    /// Too much at once.
    Shed,
    /// It was not stored in time; whether it was stored is unknown.
    Deadline,
    /// A fault of ours.
    Internal,
}

/// A reply to a push.
#[derive(Clone, Debug)]
pub struct PushReply {
    /// HTTP status.
    pub status: StatusCode,
    /// `Content-Type` of the body.
    pub content_type: &'static str,
    /// `Retry-After` in whole seconds.
    pub retry_after: Option<u32>,
    /// The body in the vendor's dialect.
    pub body: Bytes,
}

impl PushReply {
    /// A reply of JSON text.
    pub fn json(status: StatusCode, body: String) -> Self {
        Self { status, content_type: "application/json", retry_after: None, body: Bytes::from(body) }
    }

    /// The reply that refuses a push, the same shape for every vendor: an integer `code` that is not 0, whose first three
    /// digits are the status, and fixed words. `None` for [`PushOutcome::Taken`], which is each vendor's own.
    pub fn refusing(outcome: &PushOutcome) -> Option<Self> {
        let (code, message, retry_after) = match outcome {
            PushOutcome::Taken { .. } => return None,
            PushOutcome::Truncated => (40001, "body cut short", None),
            PushOutcome::Malformed => (40003, "malformed body", None),
            PushOutcome::NotAuthentic => (40101, "not authentic", None),
            PushOutcome::TooSlow => (40800, "body too slow", None),
            PushOutcome::TooLarge => (41300, "body too large", None),
            PushOutcome::Compressed => (41500, "content encoding not taken", None),
            PushOutcome::Internal => (50000, "internal fault", None),
            PushOutcome::StoreAway => (50301, "cannot store now", Some(5)),
            PushOutcome::StoreAwaySpoolVolatile => (50302, "cannot store now", Some(5)),
            PushOutcome::Shed => (50303, "too busy", Some(1)),
            PushOutcome::Deadline => (50304, "not stored in time", Some(5)),
        };
        let status = StatusCode::from_u16(code_status(code)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        Some(Self { retry_after, ..Self::json(status, body) })
    }
}

fn code_status(code: u32) -> u16 {
    u16::try_from(code / 100).unwrap_or(500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_code_and_status() {
        for (outcome, status, code, retry_after) in [
            (PushOutcome::NotAuthentic, 401, 40101, None),
            (PushOutcome::Malformed, 400, 40003, None),
            (PushOutcome::Truncated, 400, 40001, None),
            (PushOutcome::TooLarge, 413, 41300, None),
            (PushOutcome::Compressed, 415, 41500, None),
            (PushOutcome::TooSlow, 408, 40800, None),
            (PushOutcome::StoreAway, 503, 50301, Some(5)),
            (PushOutcome::StoreAwaySpoolVolatile, 503, 50302, Some(5)),
            (PushOutcome::Shed, 503, 50303, Some(1)),
            (PushOutcome::Deadline, 503, 50304, Some(5)),
            (PushOutcome::Internal, 500, 50000, None),
        ] {
            let reply = PushReply::refusing(&outcome).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!((reply.status.as_u16(), reply.retry_after), (status, retry_after), "{outcome:?}");
            assert_eq!(body["code"], code, "{outcome:?}");
        }
    }
}
