//! Takes an object apart in the one pass that also shows that it is JSON. It knows plain forms alone, which vendors write
//! nearly always: at the first byte that is anything else it gives up, and a parser has to judge.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    DEPTH_LIMIT, KnownFields, exceeds_depth,
    value::{Form, Value, holds_broken_text, is_blank},
    words::{is_same, plain_end},
};

/// Most members of an object that is given out as it came: each is compared with each.
const FLAT_MEMBERS: usize = 16;

/// A whole number of this many digits fits 64 bits, whatever its digits.
const SHORT_NUMBER: usize = 18;

/// Gives each member of the object that `text` begins with to `take`: the place of its name, or the name if it is not
/// documented, what its value is made of, and where that begins and ends. Answers where the object ends. `None` when it is no
/// object, no JSON, nested too deep, or written in a form that is not known here.
pub(super) fn take_apart<'a>(
    text: &'a str,
    known: &KnownFields,
    mut take: impl FnMut(Result<usize, &'a str>, Form, usize, usize),
) -> Option<usize> {
    let mut pass = Pass { text, bytes: text.as_bytes(), at: 0 };
    pass.takes(b'{').then_some(())?;
    // Vendors write their fields in the same order each time: the next one is most likely the one behind the last.
    let mut expected = 0;
    let mut goes_on = !pass.takes(b'}');
    while goes_on {
        pass.takes(b'"').then_some(())?;
        let key = pass.at;
        let place = pass.known_key(known, expected).or_else(|| pass.any_key(known))?;
        let name = key..pass.at - 1;
        pass.takes(b':').then_some(())?;
        pass.next_byte()?;
        let value = pass.at;
        let form = pass.value()?;
        if place == UNKNOWN {
            take(Err(text.get(name)?), form, value, pass.at);
        } else {
            expected = place + 1;
            take(Ok(place), form, value, pass.at);
        }
        goes_on = pass.goes_on()?;
    }
    Some(pass.at)
}

/// Stands for the place of a name that is not documented.
const UNKNOWN: usize = usize::MAX;

static NO_NAMES: KnownFields = KnownFields::new(&[]);

/// The text of a member of an object that was found to be flat, or its number as it is written. Blank text is absent.
pub(crate) fn flat_text<'a>(flat: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut found = None;
    take_apart(flat, &NO_NAMES, |key, form, start, end| {
        if key == Err(name) {
            found = Some((form, start..end));
        }
    })?;
    let (form, range) = found?;
    let value = Value { form, json: flat.get(range)? };
    if matches!(value.json, "true" | "false") {
        return None;
    }
    value.text().filter(|text| !is_blank(text))
}

struct Pass<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pass<'a> {
    /// The next byte that is no white space.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match *self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Moves behind the next byte if it is this one.
    #[inline]
    fn takes(&mut self, wanted: u8) -> bool {
        let is_it = self.next_byte() == Some(wanted);
        self.at += usize::from(is_it);
        is_it
    }

    /// Moves behind what follows a member: whether there is another one.
    #[inline]
    fn goes_on(&mut self) -> Option<bool> {
        let byte = self.next_byte()?;
        self.at += 1;
        matches!(byte, b',' | b'}').then_some(byte == b',')
    }

    /// Moves behind a key, inside which it stands, if it is the name at the expected place.
    #[inline]
    fn known_key(&mut self, known: &KnownFields, expected: usize) -> Option<usize> {
        let name = known.at(expected)?;
        let end = self.at + name.len();
        let is_it = self.bytes.get(end) == Some(&b'"') && is_same(&self.bytes[self.at..end], name.as_bytes());
        self.at += if is_it { name.len() + 1 } else { 0 };
        is_it.then_some(expected)
    }

    /// Moves behind any key, inside which it stands: the place of the name.
    #[inline]
    fn any_key(&mut self, known: &KnownFields) -> Option<usize> {
        let end = plain_end(self.bytes, self.at);
        let place = known.find(self.bytes.get(self.at..end)?);
        self.at = end + 1;
        (self.bytes.get(end) == Some(&b'"')).then_some(place.unwrap_or(UNKNOWN))
    }

    /// Moves behind the value that begins here.
    #[inline]
    fn value(&mut self) -> Option<Form> {
        let start = self.at;
        match *self.bytes.get(start)? {
            b'"' => self.string().map(|is_escaped| if is_escaped { Form::Escaped } else { Form::Text }),
            b'{' if self.flat_object().is_some() => Some(Form::Flat),
            b'{' | b'[' => {
                self.at = start;
                self.nested()
            }
            b'n' => self.word(b"null", Form::Null),
            _ => self.scalar(),
        }
    }

    /// Moves behind a string: whether it holds escapes.
    #[inline]
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

    #[inline]
    fn digits(&mut self) -> Option<usize> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(count)
    }

    /// Moves behind a number that a parser would write alike. `-0` it takes for a fraction.
    fn flat_number(&mut self) -> Option<()> {
        let start = self.at;
        let is_short = self.number()?.is_some_and(|digits| digits <= SHORT_NUMBER);
        (is_short && &self.bytes[start..self.at] != b"-0").then_some(())
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
                b'-' | b'0'..=b'9' => self.flat_number()?,
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

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: KnownFields = KnownFields::new(&["id", "name", "data"]);

    fn taken(text: &str) -> Option<Vec<(String, Form, &str)>> {
        let mut members = Vec::new();
        let end = take_apart(text, &KNOWN, |key, form, start, end| {
            members.push((
                key.map_or_else(str::to_owned, |place| place.to_string()),
                form,
                &text[start..end],
            ));
        })?;
        (end == text.trim_end().len()).then_some(members)
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
            r#"{"k":-0}"#,
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
