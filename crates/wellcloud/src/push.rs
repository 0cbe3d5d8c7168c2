//! A pushed batch, taken apart: a JSON array of up to 1,000 results (more are taken too), each on its own.

use std::borrow::Cow;

use bytes::Bytes;
use encoding_rs::GB18030;
use outdial_core::{
    AccountId, DecodedPush, DecodedRecord, PushItem, QuarantineReason, Timestamp, VerifiedPush, Warning,
    json::{split_array, split_object},
};

use crate::normalize::normalize;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes a batch apart. A single object is one result; a body that is neither is one item without a record.
pub fn decode(account: &AccountId, push: &VerifiedPush) -> DecodedPush {
    let body = push.payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&push.payload);
    let text = to_utf8(body);
    let bytes: &[u8] = &text.bytes;
    let ranges = match split_array(bytes) {
        Some(ranges) => ranges,
        None if split_object(bytes).is_some() => std::iter::once(0..bytes.len()).collect(),
        None => {
            let reason = QuarantineReason::new("not_json", "the body is neither a JSON array nor an object");
            return DecodedPush {
                items: vec![PushItem { raw: push.raw.body.clone(), result: Err(reason) }],
                answer: None,
            };
        }
    };
    let items = ranges.into_iter().map(|range| {
        let slice = &bytes[range];
        let raw = match text.bytes {
            Cow::Borrowed(_) => push.payload.slice_ref(slice),
            Cow::Owned(_) => Bytes::copy_from_slice(slice),
        };
        PushItem { raw, result: decode_item(account, slice, text.warning, push.raw.received_at) }
    });
    DecodedPush { items: items.collect(), answer: None }
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

fn decode_item(
    account: &AccountId,
    slice: &[u8],
    warning: Option<&'static str>,
    received_at: Timestamp,
) -> Result<DecodedRecord, QuarantineReason> {
    std::str::from_utf8(slice)
        .map_err(|_| QuarantineReason::new("not_utf8", "the record is not UTF-8"))
        .and_then(|text| normalize(account, text, received_at))
        .map(|mut decoded| {
            decoded.warnings.extend(warning.map(|code| Warning { field: "", code }));
            decoded
        })
}
