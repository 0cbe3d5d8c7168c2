//! The envelope of a push: `{"type":1,"sign":string,"timestamp":string,"data":object|string}` (ICSOC contract 2.2), taken
//! apart without changing a byte, because the signature is over the bytes.

use std::ops::Range;

use outdial_core::json::{parse_integer, split_object};

/// Where the members of an envelope stand in the body.
#[derive(Debug, Default)]
pub struct Envelope {
    /// `type`, from a number or a string.
    pub kind: Option<i64>,
    /// The text of `sign`, where it is a string.
    pub sign: Option<String>,
    /// The value of `data`.
    pub data: Option<Range<usize>>,
}

/// Finds the members. `None` if the body is no object, or has one of them twice: then the bytes that are verified may not
/// be the bytes that are read. An escaped key, such as `"\u0064ata"`, is the key that it spells.
pub fn open(body: &[u8]) -> Option<Envelope> {
    let mut envelope = Envelope::default();
    let mut seen: Vec<String> = Vec::new();
    for member in split_object(body)? {
        let key: String = serde_json::from_slice(&body[member.key]).ok()?;
        if seen.contains(&key) {
            return None;
        }
        let value = &body[member.value.clone()];
        match key.as_str() {
            "type" => envelope.kind = read_kind(value),
            "sign" => envelope.sign = serde_json::from_slice(value).ok(),
            "data" => envelope.data = Some(member.value),
            "timestamp" => {}
            // Only what we read can be read in two ways.
            _ => continue,
        }
        seen.push(key);
    }
    Some(envelope)
}

fn read_kind(value: &[u8]) -> Option<i64> {
    let text = serde_json::from_slice::<String>(value).ok();
    parse_integer(&text.unwrap_or_else(|| String::from_utf8_lossy(value).into_owned()))
}
