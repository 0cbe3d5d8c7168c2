//! Takes an object apart in the one pass that also shows that it is JSON. It knows plain forms alone, which vendors write
//! nearly always: at the first byte that is anything else it gives up, and a parser has to judge.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    DEPTH_LIMIT, KnownFields, exceeds_depth,
    value::{Form, Value, holds_broken_text, is_blank},
};

/// Most members of an object that is given out as it came: each is compared with each.
const FLAT_MEMBERS: usize = 16;

/// A whole number of this many digits fits 64 bits, whatever its digits.
const SHORT_NUMBER: usize = 18;

/// A member's key.
pub(super) enum Key<'a> {
    /// The place of a documented name.
    Known(usize),
    /// Any other.
    Unknown(&'a str),
}

/// Gives each member of the object that `text` is to `take`, and answers the object without white space around it. `None`
/// when it is no object, no JSON, nested too deep, or written in a form that is not known here.
pub(super) fn take_apart<'a>(
    text: &'a str,
    known: &KnownFields,
    mut take: impl FnMut(Key<'a>, Value<'a>),
) -> Option<&'a str> {
    let mut pass = Pass { text, bytes: text.as_bytes(), at: 0 };
    pass.takes(b'{').then_some(())?;
    let start = pass.at - 1;
    // Vendors write their fields in the same order each time: the next one is most likely the one behind the last.
    let mut expected = 0;
    let mut goes_on = !pass.takes(b'}');
    while goes_on {
        let key = pass.key(known, &mut expected)?;
        pass.takes(b':').then_some(())?;
        take(key, pass.value()?);
        goes_on = pass.goes_on()?;
    }
    let end = pass.at;
    pass.next_byte().is_none().then(|| text.get(start..end)).flatten()
}

static NO_NAMES: KnownFields = KnownFields::new(&[]);

/// The text of a member of an object that was found to be flat, or its number as it is written. Blank text is absent.
pub(crate) fn flat_text<'a>(flat: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut found = None;
    take_apart(flat, &NO_NAMES, |key, value| {
        if matches!(key, Key::Unknown(key) if key == name) {
            found = Some(value);
        }
    })?;
    let value = found.filter(|value| !matches!(value.json, "true" | "false"))?;
    value.text().filter(|text| !is_blank(text))
}

struct Pass<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pass<'a> {
    /// The next byte that is no white space.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match *self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Moves behind the next byte if it is this one.
    fn takes(&mut self, wanted: u8) -> bool {
        let is_it = self.next_byte() == Some(wanted);
        self.at += usize::from(is_it);
        is_it
    }

    /// Moves behind what follows a member: whether there is another one.
    fn goes_on(&mut self) -> Option<bool> {
        let byte = self.next_byte()?;
        self.at += 1;
        matches!(byte, b',' | b'}').then_some(byte == b',')
    }

    fn key(&mut self, known: &KnownFields, expected: &mut usize) -> Option<Key<'a>> {
        self.takes(b'"').then_some(())?;
        if let Some(name) = known.at(*expected)
            && let Some(rest) = self.bytes[self.at..].strip_prefix(name.as_bytes())
            && rest.first() == Some(&b'"')
        {
            self.at += name.len() + 1;
            *expected += 1;
            return Some(Key::Known(*expected - 1));
        }
        let end = plain_end(self.bytes, self.at);
        let key = self.text.get(self.at..end)?;
        (self.bytes.get(end) == Some(&b'"')).then_some(())?;
        self.at = end + 1;
        let place = known.find(key);
        *expected = place.map_or(*expected, |place| place + 1);
        Some(place.map_or(Key::Unknown(key), Key::Known))
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let byte = self.next_byte()?;
        let start = self.at;
        let form = match byte {
            b'"' if self.string()? => Form::Escaped,
            b'"' => Form::Text,
            b'{' if self.flat_object().is_some() => Form::Flat,
            b'{' | b'[' => {
                self.at = start;
                self.nested()?
            }
            b'n' => self.word(b"null", Form::Null)?,
            _ => self.scalar()?,
        };
        Some(Value { form, json: self.text.get(start..self.at)? })
    }

    /// Moves behind a string: whether it holds escapes.
    fn string(&mut self) -> Option<bool> {
        let mut at = self.at + 1;
        let mut is_escaped = false;
        loop {
            at = plain_end(self.bytes, at);
            match *self.bytes.get(at)? {
                b'"' => break,
                b'\\' => at += escape_length(&self.bytes[at..])?,
                _ => return None,
            }
            is_escaped = true;
        }
        self.at = at + 1;
        Some(is_escaped)
    }

    fn word(&mut self, word: &[u8], form: Form) -> Option<Form> {
        self.bytes[self.at..].starts_with(word).then_some(())?;
        self.at += word.len();
        Some(form)
    }

    /// Moves behind a number or a truth value.
    fn scalar(&mut self) -> Option<Form> {
        match self.bytes[self.at] {
            b't' => self.word(b"true", Form::Scalar),
            b'f' => self.word(b"false", Form::Scalar),
            _ => self.number().map(|_| Form::Scalar),
        }
    }

    /// Moves behind a number: how many digits it has if it is whole and written without an exponent.
    fn number(&mut self) -> Option<Option<usize>> {
        self.at += usize::from(self.bytes[self.at] == b'-');
        let starts_with_zero = self.bytes.get(self.at) == Some(&b'0');
        let whole = self.digits()?;
        (!starts_with_zero || whole == 1).then_some(())?;
        let mut is_whole = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
            is_whole = false;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
            is_whole = false;
        }
        Some(is_whole.then_some(whole))
    }

    fn digits(&mut self) -> Option<usize> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(count)
    }

    /// Moves behind an object that can be given out as it came: members without parts, no key twice, no white space.
    fn flat_object(&mut self) -> Option<()> {
        let mut keys = [""; FLAT_MEMBERS];
        for count in 0..FLAT_MEMBERS {
            self.at += 1;
            let start = self.at;
            (self.bytes.get(start) == Some(&b'"') && !self.string()?).then_some(())?;
            let key = self.text.get(start..self.at)?;
            (self.bytes.get(self.at) == Some(&b':') && !keys[..count].contains(&key)).then_some(())?;
            keys[count] = key;
            self.at += 1;
            match *self.bytes.get(self.at)? {
                b'"' => self.string().map(|_| ())?,
                b'-' | b'0'..=b'9' => self.number()?.filter(|digits| *digits <= SHORT_NUMBER).map(|_| ())?,
                b'n' => self.word(b"null", Form::Null).map(|_| ())?,
                b't' | b'f' => self.scalar().map(|_| ())?,
                _ => return None,
            }
            match *self.bytes.get(self.at)? {
                b',' => {}
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
        None
    }

    /// Moves behind an object or a list.
    fn nested(&mut self) -> Option<Form> {
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<&RawValue>();
        let json = values.next()?.ok()?.get();
        if exceeds_depth(json.as_bytes(), DEPTH_LIMIT - 1) || holds_broken_text(json) {
            return None;
        }
        self.at += json.len();
        Some(Form::Nested)
    }
}

/// The length of an escape. `None` for none, and for half a surrogate pair or a whole one.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match *bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let digits = bytes.get(2..6)?;
            let is_surrogate = matches!(digits, [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
            (!is_surrogate && digits.iter().all(u8::is_ascii_hexdigit)).then_some(6)
        }
        _ => None,
    }
}

/// Where the plain part of a string ends that begins at `at`: at a quote, a backslash, a control character, or the end.
/// Eight bytes at a time, as most strings are short.
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let found = (bytes_below(word, 0x20)
            | bytes_below(word ^ (ONES * u64::from(b'"')), 1)
            | bytes_below(word ^ (ONES * u64::from(b'\\')), 1))
            & (ONES << 7);
        if found != 0 {
            return at + usize::try_from(found.trailing_zeros() / 8).unwrap_or_default();
        }
        at += 8;
    }
    let is_plain = |byte: &&u8| **byte >= 0x20 && !matches!(**byte, b'"' | b'\\');
    at + bytes.get(at..).unwrap_or_default().iter().take_while(is_plain).count()
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// The highest bit of the first byte that is below `limit` is set, and that of none before it.
const fn bytes_below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: KnownFields = KnownFields::new(&["id", "name", "data"]);

    fn taken(text: &str) -> Option<Vec<(String, Form, &str)>> {
        let mut members = Vec::new();
        let whole = take_apart(text, &KNOWN, |key, value| {
            let key = match key {
                Key::Known(place) => place.to_string(),
                Key::Unknown(name) => name.to_owned(),
            };
            members.push((key, value.form, value.json));
        });
        assert!(whole.is_none_or(|whole| whole == text.trim()));
        whole.map(|_| members)
    }

    #[test]
    fn members_come_with_their_places_and_forms_in_any_order() {
        let text =
            r#" { "name" : "a" ,"x":-1.5e+3,"id":null,"data":{"k":1,"l":"\u5f20"},"y":[{}],"z":"\/\"" } "#;
        let members = taken(text).unwrap();
        let shown: Vec<_> = members.iter().map(|(key, form, json)| (key.as_str(), *form, *json)).collect();
        assert_eq!(
            shown,
            [
                ("1", Form::Text, r#""a""#),
                ("x", Form::Scalar, "-1.5e+3"),
                ("0", Form::Null, "null"),
                ("2", Form::Flat, r#"{"k":1,"l":"\u5f20"}"#),
                ("y", Form::Nested, "[{}]"),
                ("z", Form::Escaped, r#""\/\"""#),
            ]
        );
        assert_eq!(taken("{}").unwrap(), []);
    }

    #[test]
    fn only_an_object_that_a_parser_would_write_alike_is_flat() {
        for nested in [
            "{}",
            r#"{"k":1,"k":2}"#,
            r#"{"k": 1}"#,
            r#"{"\u006b":1}"#,
            r#"{"k":1.50}"#,
            r#"{"k":1e400}"#,
            r#"{"k":{}}"#,
            r#"{"k":1234567890123456789}"#,
        ] {
            let text = format!(r#"{{"data":{nested}}}"#);
            assert_eq!(taken(&text).unwrap()[0].1, Form::Nested, "{nested}");
        }
    }

    #[test]
    fn what_is_taken_is_json_and_nothing_else_is() {
        let long = format!(r#"{{"a":"{}\u00e9{}"}}"#, "x".repeat(9), "张".repeat(9));
        assert!(taken(&long).is_some());
        for bad in [
            "",
            "[]",
            "{",
            "{}}",
            "{} x",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":-}"#,
            r#"{"a":1.}"#,
            r#"{"a":1e}"#,
            r#"{"a":+1}"#,
            r#"{"a":nul}"#,
            r#"{"a":tru}"#,
            r#"{"a":truex}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12"}"#,
            r#"{"a":"\u12g4"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":["\ud800"]}"#,
            "{\"a\":\"\n\"}",
            "{\"a\":\"12345678\u{1}\"}",
            r#"{"a":[1}"#,
            r#"{a:1}"#,
            r#"{"a":{"b":1}"#,
            r#"{"a" 1}"#,
        ] {
            assert_eq!(taken(bad), None, "{bad}");
        }
    }
}
