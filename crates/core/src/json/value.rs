//! The value of one member, as it came.

use std::borrow::Cow;

use serde_json::{Value as Tree, value::RawValue};

/// What a value is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Null,
    /// A string without escapes.
    Text,
    /// A string with escapes.
    Escaped,
    /// A number or a truth value.
    Scalar,
    /// An object that can be given out as it came: members without parts, no key twice, no white space.
    Flat,
    /// Any other object, or a list.
    Nested,
}

/// JSON that is known to be one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) form: Form,
    pub(super) json: &'a str,
}

impl<'a> Value<'a> {
    /// The value that this JSON is.
    pub(super) fn of(json: &'a str) -> Self {
        let form = match json.as_bytes().first() {
            Some(b'"') if json.as_bytes().contains(&b'\\') => Form::Escaped,
            Some(b'"') => Form::Text,
            Some(b'{' | b'[') => Form::Nested,
            Some(b'n') | None => Form::Null,
            Some(_) => Form::Scalar,
        };
        Self { form, json }
    }

    /// A string's text, or a number or truth value exactly as it is written; `None` for null and everything with parts.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self.form {
            Form::Text => self.json.get(1..self.json.len() - 1).map(Cow::Borrowed),
            Form::Scalar => Some(Cow::Borrowed(self.json)),
            Form::Escaped => serde_json::from_str(self.json).ok().map(Cow::Owned),
            Form::Null | Form::Flat | Form::Nested => None,
        }
    }
}

/// Whether a text inside cannot be decoded. Taking members apart does not look into them, and only an escape of the
/// surrogate range can be wrong in a way that it passes over.
pub(super) fn holds_broken_text(json: &str) -> bool {
    let may_be_broken =
        json.as_bytes().windows(3).any(|w| w[0] == b'\\' && w[1] == b'u' && w[2] | 0x20 == b'd');
    may_be_broken && serde_json::from_str::<Tree>(json).is_err()
}

/// A string's text, or a number or truth value exactly as it is written; `None` for null and everything with parts.
pub fn scalar_text(raw: &RawValue) -> Option<String> {
    Value::of(raw.get()).text().map(Cow::into_owned)
}

/// A whole number from its text. `12.0` and `1.2e1` are whole; what a double cannot hold exactly is not read through one.
pub fn parse_integer(text: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(value) = parse_short(text) {
        return Some(value);
    }
    let text = text.trim();
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    if !text.contains(['.', 'e', 'E']) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let whole = value.fract() == 0.0 && value.abs() < EXACT;
    whole.then(|| format!("{value:.0}").parse().ok()).flatten()
}

/// Digits alone, and so few that they cannot be too many. Nearly every number of a record is written so.
fn parse_short(text: &str) -> Option<i64> {
    if !(1..=18).contains(&text.len()) {
        return None;
    }
    text.bytes()
        .try_fold(0, |value: i64, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

/// Whether nothing can be seen of a text.
pub(super) fn is_blank(text: &str) -> bool {
    text.as_bytes().first().is_none_or(|first| !first.is_ascii_graphic()) && text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_double_would_change_are_refused() {
        assert_eq!(parse_integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(
            (parse_integer(" 7 "), parse_integer("-7"), parse_integer("+7")),
            (Some(7), Some(-7), Some(7))
        );
        assert_eq!(parse_integer("999999999999999999"), Some(999_999_999_999_999_999));
        for bad in ["92233720368547758070", "1e400", "9007199254740993.0", "NaN", "inf", "", "12x"] {
            assert_eq!(parse_integer(bad), None, "{bad}");
        }
    }

    #[test]
    fn text_is_blank_only_if_nothing_is_seen() {
        for (text, blank) in [("", true), (" \u{3000}", true), (" a", false), ("张", false), ("0", false)] {
            assert_eq!(is_blank(text), blank, "{text:?}");
        }
    }
}
