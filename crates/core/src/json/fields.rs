//! The fields of one record, read leniently: strings where numbers are documented and the other way round.

use std::borrow::Cow;

use serde_json::{Map, Value as Tree, value::RawValue};

use super::{
    DEPTH_LIMIT, Field, KnownFields, Places, exceeds_depth,
    value::{Form, is_blank, parse_integer},
};
use crate::{QuarantineReason, UserData, Warning};

/// The fields of one JSON object.
pub struct FieldReader<'a> {
    text: &'a str,
    places: Places,
    /// What was odd so far.
    pub warnings: Vec<Warning>,
}

impl<'a> FieldReader<'a> {
    /// Reads a text whose fields were found.
    pub fn new(text: &'a str, places: Places) -> Self {
        let repeated = places.is_repeated().then_some(Warning { field: "", code: "duplicate_key" });
        Self { text, places, warnings: repeated.into_iter().collect() }
    }

    /// Takes the text of an object apart.
    ///
    /// # Errors
    /// `not_an_object`, `too_deep` or `not_json`, also for half a surrogate pair; the detail names the place and no value.
    pub fn parse(text: &'a str, known: &'static KnownFields) -> Result<Self, QuarantineReason> {
        if let Some(reader) = Self::read_plain(text, known) {
            return Ok(reader);
        }
        // What is not even meant as an object is told so, rather than where it is no JSON.
        if !text.trim_start().starts_with('{') {
            return Err(not_an_object());
        }
        let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
            let place = format!("not JSON at line {} column {}", error.line(), error.column());
            QuarantineReason::new("not_json", place)
        })?;
        Self::read_json(whole.get(), known)
    }

    /// Reads what is written plainly.
    fn read_plain(text: &'a str, known: &'static KnownFields) -> Option<Self> {
        let text = text.trim_matches(WHITE_SPACE);
        let (places, end) = Places::find_plain(text, known)?;
        (end == text.len()).then(|| Self::new(text, places))
    }

    /// Reads what is known to be JSON.
    fn read_json(json: &'a str, known: &'static KnownFields) -> Result<Self, QuarantineReason> {
        Places::find(json, known).map(|places| Self::new(json, places))
    }

    /// The record as it came, without white space around it.
    pub fn whole(&self) -> &'a str {
        self.text
    }

    /// Notes that a field could not be used.
    pub fn warn(&mut self, field: Field, code: &'static str) {
        self.warn_of(self.places.known().name(field), code);
    }

    fn warn_of(&mut self, field: &'static str, code: &'static str) {
        let warning = Warning { field, code };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// A field as text: a string, or a number exactly as it is written. Empty and blank text is absent.
    pub fn text(&mut self, field: Field) -> Option<Cow<'a, str>> {
        let value = self.places.value(self.text, field)?;
        match value.text() {
            Some(text) => (!is_blank(&text)).then_some(text),
            None => {
                if value.form != Form::Null {
                    self.warn(field, "not_text");
                }
                None
            }
        }
    }

    /// A field as a whole number, from a number or a string.
    pub fn integer(&mut self, field: Field) -> Option<i64> {
        let text = self.text(field)?;
        let value = parse_integer(&text);
        if value.is_none() {
            self.warn(field, "not_an_integer");
        }
        value
    }

    /// A field as an object: an object as it is, or one written inside a string. PHP writes an empty object as `[]`, so an
    /// empty list, an empty object, an empty string and null are all absent. An object inside a string that is nested too deep
    /// stays text: the record that holds it has to be readable again.
    pub fn object(&mut self, field: Field) -> Option<UserData<'a>> {
        let value = self.places.value(self.text, field)?;
        if value.form == Form::Flat {
            return Some(UserData::as_it_came(value.json));
        }
        let tree = match serde_json::from_str(value.json) {
            Ok(Tree::String(text)) if exceeds_depth(text.as_bytes(), DEPTH_LIMIT) => Tree::String(text),
            Ok(Tree::String(text)) => match serde_json::from_str(&text) {
                Ok(Tree::Object(fields)) => Tree::Object(fields),
                _ if text.trim().is_empty() || text.trim() == "[]" => Tree::Null,
                _ => Tree::String(text),
            },
            Ok(tree) => tree,
            Err(_) => {
                self.warn(field, "not_json");
                return None;
            }
        };
        let fields = match tree {
            Tree::Object(fields) => fields,
            Tree::Null => Map::new(),
            Tree::Array(items) if items.is_empty() => Map::new(),
            Tree::String(text) => Map::from_iter([("text".to_owned(), Tree::String(text))]),
            Tree::Array(items) => Map::from_iter([("list".to_owned(), Tree::Array(items))]),
            _ => {
                self.warn(field, "not_an_object");
                return None;
            }
        };
        (!fields.is_empty()).then(|| UserData::from(fields))
    }

    /// Names that no document of the vendor has, each once and in order, at most
    /// [`UNKNOWN_LIMIT`](crate::DecodedRecord::UNKNOWN_LIMIT).
    pub fn unknown_fields(&self) -> &[String] {
        self.places.unknown()
    }
}

/// White space of JSON.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

fn not_an_object() -> QuarantineReason {
    QuarantineReason::new("not_an_object", "the record is not a JSON object")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static KNOWN: KnownFields = KnownFields::new(&["a", "b", "c", "d", "e", "f", "g", "h", "user_data"]);

    fn parse(text: &str) -> Result<FieldReader<'_>, QuarantineReason> {
        FieldReader::parse(text, &KNOWN)
    }

    #[test]
    fn strings_and_numbers_are_both_taken_and_ids_stay_exact() {
        let mut fields =
            parse(r#"{"a":"7","b":7,"c":6811535818021285888,"d":7.5,"e":" ","f":null,"g":[1],"h":7.0}"#)
                .unwrap();
        assert_eq!(
            (
                fields.integer(KNOWN.field("a")),
                fields.integer(KNOWN.field("b")),
                fields.integer(KNOWN.field("h"))
            ),
            (Some(7), Some(7), Some(7))
        );
        assert_eq!(fields.text(KNOWN.field("c")).as_deref(), Some("6811535818021285888"));
        assert_eq!(
            (
                fields.integer(KNOWN.field("d")),
                fields.text(KNOWN.field("e")),
                fields.text(KNOWN.field("f")),
                fields.text(KNOWN.field("g"))
            ),
            (None, None, None, None)
        );
        let odd: Vec<_> = fields.warnings.iter().map(|w| (w.field, w.code)).collect();
        assert_eq!(odd, [("d", "not_an_integer"), ("g", "not_text")]);
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let mut fields = parse(r#"{"a":1,"\u0061":2}"#).unwrap();
        assert_eq!(fields.integer(KNOWN.field("a")), Some(2));
        assert_eq!(fields.warnings, [Warning { field: "", code: "duplicate_key" }]);
    }

    #[test]
    fn every_form_of_an_empty_object_is_absent() {
        for empty in ["[]", "{}", "null", r#""""#, r#""[]""#, r#""{}""#] {
            let text = format!(r#"{{"user_data":{empty}}}"#);
            assert_eq!(parse(&text).unwrap().object(KNOWN.field("user_data")), None, "{empty}");
        }
        for (form, key) in
            [(r#"{"k":"v"}"#, "k"), (r#""{\"k\":1}""#, "k"), (r#""plain""#, "text"), (r#"["x"]"#, "list")]
        {
            let text = format!(r#"{{"user_data":{form}}}"#);
            let fields = parse(&text).unwrap().object(KNOWN.field("user_data")).unwrap();
            assert!(fields.contains_key(key), "{form}");
        }
    }

    #[test]
    fn an_object_inside_a_string_may_not_be_nested_deeper_than_a_record() {
        let nested = |depth| format!(r#"{{\"a\":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let read = |depth| {
            let text = format!(r#"{{"user_data":"{}"}}"#, nested(depth));
            parse(&text).unwrap().object(KNOWN.field("user_data")).unwrap().into_owned()
        };
        assert!(read(99).contains_key("a"));
        // 126 is what the parser takes by itself, and what it would not take again with a record and an event around it.
        for depth in [100, 126] {
            assert!(read(depth).contains_key("text"), "{depth}");
        }
    }

    #[test]
    fn what_is_no_record_says_why() {
        let reason = |text: &str| parse(text).err().unwrap().code;
        assert_eq!(reason("null"), "not_an_object");
        assert_eq!(reason("{\"a\":}"), "not_json");
        assert_eq!(reason(&format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))), "too_deep");
    }

    #[test]
    fn unknown_names_come_once_and_few() {
        let fields = parse(r#"{"x":1,"a":1,"y":{"z":[]},"x":2}"#).unwrap();
        assert_eq!(fields.unknown_fields(), ["x", "y"]);
        assert_eq!(fields.warnings, [Warning { field: "", code: "duplicate_key" }]);
        let many: Vec<String> = (0..100).map(|n| format!(r#""x{n}":0"#)).collect();
        let text = format!("{{{}}}", many.join(","));
        assert_eq!(parse(&text).unwrap().unknown_fields().len(), crate::DecodedRecord::UNKNOWN_LIMIT);
    }

    /// What is read plainly is JSON, and a parser finds the same in it. Answers whether it was.
    fn is_read_alike(text: &str) -> bool {
        let Some(mut plain) = FieldReader::read_plain(text, &KNOWN) else { return false };
        let whole: &RawValue = serde_json::from_str(text).unwrap();
        let mut parsed = FieldReader::read_json(whole.get(), &KNOWN).unwrap_or_else(|_| panic!("{text}"));
        assert_eq!((plain.whole(), plain.unknown_fields()), (parsed.whole(), parsed.unknown_fields()));
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let field = KNOWN.field(name);
            assert_eq!(plain.text(field), parsed.text(field), "{name} of {text}");
            assert_eq!(plain.integer(field), parsed.integer(field), "{name} of {text}");
        }
        let data = KNOWN.field("user_data");
        assert_eq!(plain.object(data), parsed.object(data), "{text}");
        assert_eq!(plain.warnings, parsed.warnings, "{text}");
        true
    }

    #[test]
    fn both_ways_of_reading_find_the_same() {
        for text in [
            r#" {"a" : "x\n\u5f20" , "b":-1.5e3,"x":[1,{"k":"]"}],"user_data":{"k":"v"},"a":"last","c":"", "d":null}"#,
            r#"{"h":"1","g":"2","f":true,"e":"  ","y":"\\","x":{}}"#,
        ] {
            assert!(is_read_alike(text), "{text}");
        }
    }

    const VALUES: &[&str] = &[
        "1",
        "-0",
        "01",
        "1.5e3",
        "1e400",
        "1.",
        "-",
        "null",
        "nul",
        "true",
        "falsex",
        "\"x\"",
        "\" \"",
        "\"12\"",
        r#""\u00e9\/""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d""#,
        r#""\x""#,
        "\"\n\"",
        "\"",
        "\\",
        "{}",
        "[]",
        "[1,]",
        r#"{"k":1}"#,
        r#"{"k":1,"k":2}"#,
        r#"{"k":"\ud83d"}"#,
        r#"{"k":[{}]}"#,
        r#"{"k":-}"#,
        r#"{"k":"v","l":null}"#,
        r#"{"k" :1}"#,
        r#"{"k":1,}"#,
        r#"[1,{"k":"]"}]"#,
        r#""{\"k\":1}""#,
        "12345678901234567890",
        "",
    ];

    proptest! {
        #[test]
        fn whatever_is_read_plainly_is_read_alike(
            members in proptest::collection::vec(
                (
                    proptest::sample::select(vec!["a", "b", "h", "user_data", "x", "\\u0061", ""]),
                    proptest::sample::select(VALUES),
                    proptest::sample::select(vec!["", " ", "\n"]),
                ),
                0..5,
            ),
            end in proptest::sample::select(vec!["}", "} ", ",}", "}}", "", "} x"]),
        ) {
            let members: Vec<_> =
                members.iter().map(|(key, value, space)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
            is_read_alike(&format!("{{{}{end}", members.join(",")));
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text_and_a_whole_one_is() {
        assert_eq!(parse(r#"{"a":"\ud83d"}"#).err().unwrap().code, "not_json");
        assert_eq!(parse(r#"{"x":{"y":"\ud83d"}}"#).err().unwrap().code, "not_json");
        let mut fields = parse(r#"{"a":"\ud83d\ude00"}"#).unwrap();
        assert_eq!(fields.text(KNOWN.field("a")).as_deref(), Some("😀"));
    }
}
