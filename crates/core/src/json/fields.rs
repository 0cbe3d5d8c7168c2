//! The fields of one record, read leniently: strings where numbers are documented and the other way round.

use std::borrow::Cow;

use serde_json::{Map, Value, value::RawValue};

use super::{KnownFields, exceeds_depth, known::mark, scan::each_member};
use crate::{DecodedRecord, QuarantineReason, Warning};

/// Deepest nesting that a record may have.
const DEPTH_LIMIT: usize = 100;

/// Fields that there is room for from the start. WellCloud's results have no more, and allocators are quick with what is
/// below a kilobyte.
const MEMBERS: usize = 21;

/// The fields of one JSON object. Of a repeated key the last one counts, as in PHP.
pub struct FieldReader<'a> {
    whole: &'a RawValue,
    members: Vec<Member<'a>>,
    /// The marks of all keys, a bit each: most names that are not there are known by it.
    marks: u64,
    /// What was odd so far.
    pub warnings: Vec<Warning>,
}

struct Member<'a> {
    /// Of the key, see [`mark`].
    mark: u8,
    key: Cow<'a, str>,
    /// The JSON that the value is.
    value: &'a str,
}

impl<'a> FieldReader<'a> {
    /// Takes the text of an object apart.
    ///
    /// # Errors
    /// `not_an_object`, `too_deep` or `not_json`; the detail names the place and no value.
    pub fn parse(text: &'a str) -> Result<Self, QuarantineReason> {
        // What is not even meant as an object is told so, rather than where it is no JSON.
        if !text.trim_start().starts_with('{') {
            return Err(not_an_object());
        }
        let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
            let place = format!("not JSON at line {} column {}", error.line(), error.column());
            QuarantineReason::new("not_json", place)
        })?;
        Self::of(whole)
    }

    /// Takes an object apart that is known to be JSON.
    ///
    /// # Errors
    /// `not_an_object`, `too_deep`, or `not_json` for half a surrogate pair; the detail names no value.
    pub fn of(whole: &'a RawValue) -> Result<Self, QuarantineReason> {
        let json = whole.get();
        if !json.starts_with('{') {
            return Err(not_an_object());
        }
        if exceeds_depth(json.as_bytes(), DEPTH_LIMIT) {
            return Err(QuarantineReason::new("too_deep", format!("nested deeper than {DEPTH_LIMIT}")));
        }
        let has_escapes = memchr::memchr(b'\\', json.as_bytes()).is_some() && json.contains("\\u");
        let mut reader = Self { whole, members: Vec::with_capacity(MEMBERS), marks: 0, warnings: Vec::new() };
        let taken = each_member(json.as_bytes(), |member| {
            let (key, value) = (scalar(&json[member.key])?, &json[member.value]);
            if has_escapes && holds_broken_text(value) {
                return None;
            }
            match reader.find(&key) {
                Some(at) => {
                    reader.members[at].value = value;
                    reader.warn("", "duplicate_key");
                }
                None => {
                    let mark = mark(&key);
                    reader.marks |= 1 << mark;
                    reader.members.push(Member { mark, key, value });
                }
            }
            Some(())
        });
        // That it is JSON is known by now.
        let broken = || QuarantineReason::new("not_json", "a text holds half a surrogate pair");
        taken.map(|()| reader).ok_or_else(broken)
    }

    /// The record as it came.
    pub fn whole(&self) -> &'a RawValue {
        self.whole
    }

    /// Notes that a field could not be used.
    pub fn warn(&mut self, field: &'static str, code: &'static str) {
        let warning = Warning { field, code };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let mark = mark(name);
        if self.marks & (1 << mark) == 0 {
            return None;
        }
        self.members.iter().position(|member| member.mark == mark && member.key == name)
    }

    /// The JSON of a field; `None` if absent or null.
    fn json(&self, name: &str) -> Option<&'a str> {
        let value = self.members[self.find(name)?].value;
        (value != "null").then_some(value)
    }

    /// A field as text: a string, or a number exactly as it is written. Empty and blank text is absent.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.scalar(name).map(Cow::into_owned)
    }

    fn scalar(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        match scalar(self.json(name)?) {
            Some(text) if text.trim().is_empty() => None,
            Some(text) => Some(text),
            None => {
                self.warn(name, "not_text");
                None
            }
        }
    }

    /// A field as a whole number, from a number or a string.
    pub fn integer(&mut self, name: &'static str) -> Option<i64> {
        let text = self.scalar(name)?;
        let value = parse_integer(&text);
        if value.is_none() {
            self.warn(name, "not_an_integer");
        }
        value
    }

    /// A field as an object: an object as it is, or one written inside a string. PHP writes an empty object as `[]`, so an
    /// empty list, an empty object, an empty string and null are all absent. An object inside a string that is nested too deep
    /// stays text: the record that holds it has to be readable again.
    pub fn object(&mut self, name: &'static str) -> Option<Map<String, Value>> {
        let tree = match serde_json::from_str(self.json(name)?) {
            Ok(Value::String(text)) if exceeds_depth(text.as_bytes(), DEPTH_LIMIT) => Value::String(text),
            Ok(Value::String(text)) => match serde_json::from_str(&text) {
                Ok(Value::Object(fields)) => Value::Object(fields),
                _ if text.trim().is_empty() || text.trim() == "[]" => Value::Null,
                _ => Value::String(text),
            },
            Ok(tree) => tree,
            Err(_) => {
                self.warn(name, "not_json");
                return None;
            }
        };
        match tree {
            Value::Object(fields) => (!fields.is_empty()).then_some(fields),
            Value::Null => None,
            Value::Array(items) if items.is_empty() => None,
            Value::String(text) => Some(Map::from_iter([("text".to_owned(), Value::String(text))])),
            Value::Array(items) => Some(Map::from_iter([("list".to_owned(), Value::Array(items))])),
            _ => {
                self.warn(name, "not_an_object");
                None
            }
        }
    }

    /// Names that are not among `known`, each once and in order, at most [`DecodedRecord::UNKNOWN_LIMIT`].
    pub fn unknown_fields(&self, known: &KnownFields) -> Vec<String> {
        let unknown = self.members.iter().filter(|member| !known.contains(member.mark, &member.key));
        unknown.take(DecodedRecord::UNKNOWN_LIMIT).map(|member| member.key.as_ref().to_owned()).collect()
    }
}

fn not_an_object() -> QuarantineReason {
    QuarantineReason::new("not_an_object", "the record is not a JSON object")
}

/// Whether a text inside cannot be decoded. Taking members apart does not look into them, and only an escape of the
/// surrogate range can be wrong in a way that it passes over.
fn holds_broken_text(json: &str) -> bool {
    let may_be_broken =
        json.as_bytes().windows(3).any(|w| w[0] == b'\\' && w[1] == b'u' && w[2] | 0x20 == b'd');
    may_be_broken && serde_json::from_str::<Value>(json).is_err()
}

/// A string's text, or a number or truth value exactly as it is written; `None` for null and everything with parts.
pub fn scalar_text(raw: &RawValue) -> Option<String> {
    scalar(raw.get()).map(Cow::into_owned)
}

/// The text of a value that is known to be JSON, borrowed where it holds no escape.
fn scalar(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' if json.as_bytes().contains(&b'\\') => serde_json::from_str(json).ok().map(Cow::Owned),
        b'"' => json.get(1..json.len() - 1).map(Cow::Borrowed),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

/// A whole number from its text. `12.0` and `1.2e1` are whole; what a double cannot hold exactly is not read through one.
pub fn parse_integer(text: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers_are_both_taken_and_ids_stay_exact() {
        let mut fields = FieldReader::parse(
            r#"{"a":"7","b":7,"c":6811535818021285888,"d":7.5,"e":" ","f":null,"g":[1],"h":7.0}"#,
        )
        .unwrap();
        assert_eq!(
            (fields.integer("a"), fields.integer("b"), fields.integer("h")),
            (Some(7), Some(7), Some(7))
        );
        assert_eq!(fields.text("c").as_deref(), Some("6811535818021285888"));
        assert_eq!(
            (fields.integer("d"), fields.text("e"), fields.text("f"), fields.text("g")),
            (None, None, None, None)
        );
        let odd: Vec<_> = fields.warnings.iter().map(|w| (w.field, w.code)).collect();
        assert_eq!(odd, [("d", "not_an_integer"), ("g", "not_text")]);
    }

    #[test]
    fn numbers_that_a_double_would_change_are_refused() {
        assert_eq!(parse_integer("9223372036854775807"), Some(i64::MAX));
        for bad in ["92233720368547758070", "1e400", "9007199254740993.0", "NaN", "inf", "", "12x"] {
            assert_eq!(parse_integer(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let mut fields = FieldReader::parse(r#"{"a":1,"\u0061":2}"#).unwrap();
        assert_eq!(fields.integer("a"), Some(2));
        assert_eq!(fields.warnings, [Warning { field: "", code: "duplicate_key" }]);
    }

    #[test]
    fn every_form_of_an_empty_object_is_absent() {
        for empty in ["[]", "{}", "null", r#""""#, r#""[]""#, r#""{}""#] {
            let text = format!(r#"{{"user_data":{empty}}}"#);
            assert_eq!(FieldReader::parse(&text).unwrap().object("user_data"), None, "{empty}");
        }
        for (form, key) in
            [(r#"{"k":"v"}"#, "k"), (r#""{\"k\":1}""#, "k"), (r#""plain""#, "text"), (r#"["x"]"#, "list")]
        {
            let text = format!(r#"{{"user_data":{form}}}"#);
            let fields = FieldReader::parse(&text).unwrap().object("user_data").unwrap();
            assert!(fields.contains_key(key), "{form}");
        }
    }

    #[test]
    fn an_object_inside_a_string_may_not_be_nested_deeper_than_a_record() {
        let nested = |depth| format!(r#"{{\"a\":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let read = |depth| {
            let text = format!(r#"{{"user_data":"{}"}}"#, nested(depth));
            FieldReader::parse(&text).unwrap().object("user_data").unwrap()
        };
        assert!(read(99).contains_key("a"));
        // 126 is what the parser takes by itself, and what it would not take again with a record and an event around it.
        for depth in [100, 126] {
            assert!(read(depth).contains_key("text"), "{depth}");
        }
    }

    #[test]
    fn what_is_no_record_says_why() {
        let reason = |text: &str| FieldReader::parse(text).err().unwrap().code;
        assert_eq!(reason("null"), "not_an_object");
        assert_eq!(reason("{\"a\":}"), "not_json");
        assert_eq!(reason(&format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))), "too_deep");
    }
}
