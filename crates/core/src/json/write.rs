//! JSON text, appended to what there is. A record has forty members and a page a hundred records, so their punctuation is
//! made when compiling, and text without escapes, as nearly all is, is copied as it stands.

use serde::Serialize;

use super::words;

/// A value that can append itself as JSON.
pub(crate) trait WriteJson {
    /// Appends the value.
    fn write_json(&self, out: &mut Vec<u8>);
}

/// Whether a text needs no escapes.
pub(crate) fn is_plain(text: &str) -> bool {
    words::is_plain(text.as_bytes())
}

/// Appends a string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        write_any(out, text);
    }
}

/// Appends any value, the slow way. What cannot be written is null.
pub(crate) fn write_any<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

impl<T: WriteJson> WriteJson for Option<T> {
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write_json(out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl WriteJson for std::borrow::Cow<'_, str> {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_text(out, self);
    }
}

impl WriteJson for u32 {
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut digits = [b'0'; 10];
        let (mut at, mut left) = (digits.len(), *self);
        while at == digits.len() || left > 0 {
            at -= 1;
            digits[at] += u8::try_from(left % 10).unwrap_or_default();
            left /= 10;
        }
        out.extend_from_slice(&digits[at..]);
    }
}
