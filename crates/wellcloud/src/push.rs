//! A pushed batch, taken apart: a JSON array of up to 1,000 results (more are taken too), each on its own.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use encoding_rs::GB18030;
use outdial_core::{
    AccountId, DecodedPush, DecodedRecord, PushItem, QuarantineReason, VerifiedPush, Warning,
    json::{FieldReader, split_array, split_object},
};
use serde_json::value::RawValue;

use crate::{normalize::normalize, wire::RESULT_FIELDS};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes a batch apart. A single object is one result; a body that is neither is one item without a record.
pub fn decode(account: &AccountId, push: &VerifiedPush) -> DecodedPush {
    let body = push.payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&push.payload);
    let text = to_utf8(body);
    let bytes: &[u8] = &text.bytes;
    let slice = |part: &[u8]| match text.bytes {
        Cow::Borrowed(_) => push.payload.slice_ref(part),
        Cow::Owned(_) => Bytes::copy_from_slice(part),
    };
    let warned = |mut decoded: DecodedRecord<'static>| {
        decoded.warnings.extend(text.warning.map(|code| Warning { field: "", code }));
        decoded
    };
    // A body that is JSON as a whole is taken apart in the same pass that shows it.
    if let Ok(results) = serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        let items = results.into_iter().map(|result| PushItem {
            raw: slice(result.get().as_bytes()),
            result: read(account, result.get(), Some(result), push).map(warned),
        });
        return DecodedPush { items: items.collect(), answer: None };
    }
    let Some(ranges) = borders(bytes) else {
        let reason = QuarantineReason::new("not_json", "the body is neither a JSON array nor an object");
        return DecodedPush {
            items: vec![PushItem { raw: push.raw.body.clone(), result: Err(reason) }],
            answer: None,
        };
    };
    let items = ranges.into_iter().map(|range| {
        let part = &bytes[range];
        let text = std::str::from_utf8(part)
            .map_err(|_| QuarantineReason::new("not_utf8", "the record is not UTF-8"));
        PushItem {
            raw: slice(part),
            result: text.and_then(|text| read(account, text, None, push)).map(warned),
        }
    });
    DecodedPush { items: items.collect(), answer: None }
}

/// Reads one result; what is known to be JSON is not looked through again.
fn read<'a>(
    account: &AccountId,
    json: &'a str,
    known: Option<&'a RawValue>,
    push: &VerifiedPush,
) -> Result<DecodedRecord<'static>, QuarantineReason> {
    let fields = FieldReader::parse(json, &RESULT_FIELDS)?;
    let mut decoded = normalize(account, fields, push.raw.received_at);
    match known {
        Some(known) => decoded.record.raw = Some(Cow::Borrowed(known)),
        None => decoded.record.attach_raw(json.as_bytes()),
    }
    Ok(decoded.into_owned())
}

/// Where the results of a body begin and end that is no JSON as a whole, or a single object.
fn borders(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    split_array(bytes).or_else(|| split_object(bytes).map(|_| std::iter::once(0..bytes.len()).collect()))
}

struct Utf8Body<'a> {
    bytes: Cow<'a, [u8]>,
    warning: Option<&'static str>,
}

/// The documents say UTF-8. A whole body in GBK is read as such; bytes that are neither stay, and cost only the records
/// that hold them.
fn to_utf8(body: &[u8]) -> Utf8Body<'_> {
    if std::str::from_utf8(body).is_ok() {
        return Utf8Body { bytes: Cow::Borrowed(body), warning: None };
    }
    match GB18030.decode_without_bom_handling_and_without_replacement(body) {
        Some(text) if split_array(text.as_bytes()).is_some() => {
            Utf8Body { bytes: Cow::Owned(text.into_owned().into_bytes()), warning: Some("not_utf8") }
        }
        _ => Utf8Body { bytes: Cow::Borrowed(body), warning: None },
    }
}
