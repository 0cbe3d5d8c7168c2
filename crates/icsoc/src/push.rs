//! A verified push, read.

use std::borrow::Cow;

use bytes::Bytes;
use encoding_rs::GB18030;
use outdial_core::{
    AccountId, DecodedPush, DecodedRecord, PushItem, QuarantineReason, ReceivedVia, SecretString,
    VerifiedPush, Warning, json::FieldReader,
};
use serde_json::json;

use crate::{
    envelope,
    normalize::normalize,
    signature::{ENCRYPTED, decrypt},
    wire::PUSH,
};

/// A call record (ICSOC contract 2.2).
const CALL_RECORD: i64 = 1;
/// The question before dialling whether a call is wanted (public documents).
const PRE_CALL: i64 = 2;

/// Reads a push. What cannot be read is kept whole, so that it can be taken again later.
pub fn decode(account: &AccountId, secrets: &[SecretString], push: &VerifiedPush) -> DecodedPush {
    let kind = envelope::open(&push.raw.body).and_then(|envelope| envelope.kind);
    if kind == Some(PRE_CALL) {
        // We forbid no call: whoever uploaded the entry wanted it.
        return DecodedPush { items: Vec::new(), answer: Some(json!({"reject": []})) };
    }
    let (raw, result) = match kind {
        Some(CALL_RECORD) => decode_record(account, secrets, push),
        Some(kind) => {
            (None, Err(QuarantineReason::new("unknown_type", format!("type {kind} is not documented"))))
        }
        None => (None, Err(QuarantineReason::new("unknown_type", "type is absent or no number"))),
    };
    let raw = raw.filter(|_| result.is_ok()).unwrap_or_else(|| push.raw.body.clone());
    DecodedPush { items: vec![PushItem { raw, result }], answer: None }
}

fn decode_record(
    account: &AccountId,
    secrets: &[SecretString],
    push: &VerifiedPush,
) -> (Option<Bytes>, Result<DecodedRecord<'static>, QuarantineReason>) {
    let text = match plain_text(secrets, push) {
        Ok(text) => text,
        Err(reason) => return (None, Err(reason)),
    };
    let (text, warning) = to_utf8(&text);
    let text = text.trim();
    let result = FieldReader::parse(text, PUSH.known)
        .and_then(|fields| normalize(account, &PUSH, ReceivedVia::Push, fields, push.raw.received_at))
        .map(|mut decoded| {
            decoded.record.attach_raw(text.as_bytes());
            decoded.warnings.extend(warning.map(|code| Warning { field: "", code }));
            decoded.into_owned()
        });
    (Some(Bytes::copy_from_slice(text.as_bytes())), result)
}

fn plain_text(secrets: &[SecretString], push: &VerifiedPush) -> Result<Bytes, QuarantineReason> {
    if push.proof != ENCRYPTED {
        return Ok(push.payload.clone());
    }
    let secret = push.secret_index.and_then(|index| secrets.get(index));
    let plain = secret.and_then(|secret| decrypt(&push.payload, secret));
    plain
        .map(Bytes::from)
        .ok_or_else(|| QuarantineReason::new("not_encrypted", "data is a string but not base64"))
}

/// The documents say UTF-8; older tenants' names come in GBK. Bytes that are neither are replaced, which `raw` then shows.
fn to_utf8(bytes: &[u8]) -> (Cow<'_, str>, Option<&'static str>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), None),
        Err(_) => {
            let read = GB18030.decode_without_bom_handling_and_without_replacement(bytes);
            (read.unwrap_or_else(|| String::from_utf8_lossy(bytes)), Some("not_utf8"))
        }
    }
}
