//! JSON with the key order kept, written the way the vendors' own platforms write it.
//!
//! ICSOC signs the very bytes that PHP's `json_encode` makes, so the writer has to agree with PHP to the byte.

use std::{borrow::Cow, fmt::Write};

/// A JSON value. The vendors' records hold no booleans and no fractions, so neither does this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// A whole number.
    Int(i64),
    /// A string.
    Text(Cow<'static, str>),
    /// An array.
    List(Vec<Json>),
    /// An object, in this order.
    Object(Vec<(Cow<'static, str>, Json)>),
}

/// Whose spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `json_encode($value)`: `/` as `\/`, everything beyond ASCII as `\uXXXX` in lower case, `{}` as `[]`.
    Php,
    /// `json_encode($value, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE)`.
    PhpUnescaped,
    /// What a Java service writes: nothing escaped that need not be, `{}` is `{}`.
    Java,
}

impl Json {
    /// A string.
    pub(crate) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    /// The JSON text.
    pub(crate) fn encode(&self, spelling: Spelling) -> String {
        let mut out = String::new();
        self.write(spelling, &mut out);
        out
    }

    /// Appends the JSON text to `out`.
    pub(crate) fn write(&self, spelling: Spelling, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Int(number) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "{number}");
            }
            Self::Text(text) => write_text(text, spelling, out),
            Self::List(items) => write_list(items, spelling, out),
            Self::Object(members) if members.is_empty() && spelling != Spelling::Java => out.push_str("[]"),
            Self::Object(members) => write_object(members, spelling, out),
        }
    }
}

fn write_list(items: &[Json], spelling: Spelling, out: &mut String) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item.write(spelling, out);
    }
    out.push(']');
}

fn write_object(members: &[(Cow<'static, str>, Json)], spelling: Spelling, out: &mut String) {
    out.push('{');
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(key, spelling, out);
        out.push(':');
        value.write(spelling, out);
    }
    out.push('}');
}

fn write_text(text: &str, spelling: Spelling, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' if spelling == Spelling::Php => out.push_str("\\/"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => write_units(control, out),
            // PHP escapes the two line separators even when it leaves everything else alone.
            '\u{2028}' | '\u{2029}' if spelling != Spelling::Java => write_units(character, out),
            beyond if spelling == Spelling::Php && !beyond.is_ascii() => write_units(beyond, out),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

/// `\uXXXX`, two of them above U+FFFF.
fn write_units(character: char, out: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

    use super::*;

    struct Reader;

    impl<'de> Visitor<'de> for Reader {
        type Value = Json;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("JSON without booleans and fractions")
        }

        fn visit_unit<E>(self) -> Result<Json, E> {
            Ok(Json::Null)
        }

        fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
            Ok(Json::Int(number))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
            Ok(Json::Int(i64::try_from(number).unwrap()))
        }

        fn visit_str<E>(self, text: &str) -> Result<Json, E> {
            Ok(Json::text(text.to_owned()))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(Json::List(list))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
            let mut object = Vec::new();
            while let Some((key, value)) = members.next_entry::<String, Json>()? {
                object.push((Cow::Owned(key), value));
            }
            Ok(Json::Object(object))
        }
    }

    impl<'de> Deserialize<'de> for Json {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Reader)
        }
    }

    #[test]
    fn every_text_that_php_made_is_made_again_to_the_byte() {
        for (name, vector) in crate::icsoc::vectors() {
            let value: Json = serde_json::from_str(&vector.data_json).unwrap();
            assert_eq!(value.encode(Spelling::Php), vector.data_json, "{name}");
        }
    }

    #[test]
    fn the_three_spellings_differ_where_the_platforms_do() {
        let value = Json::Object(vec![
            ("a/张".into(), Json::text("\u{1f4de}\u{2028}\u{1}\u{7f}\"\\\n\t")),
            ("none".into(), Json::Object(Vec::new())),
            ("list".into(), Json::List(vec![Json::Null, Json::Int(-10)])),
        ]);
        assert_eq!(
            value.encode(Spelling::Php),
            "{\"a\\/\\u5f20\":\"\\ud83d\\udcde\\u2028\\u0001\u{7f}\\\"\\\\\\n\\t\",\"none\":[],\"list\":[null,-10]}"
        );
        assert_eq!(
            value.encode(Spelling::PhpUnescaped),
            "{\"a/张\":\"\u{1f4de}\\u2028\\u0001\u{7f}\\\"\\\\\\n\\t\",\"none\":[],\"list\":[null,-10]}"
        );
        assert_eq!(
            value.encode(Spelling::Java),
            "{\"a/张\":\"\u{1f4de}\u{2028}\\u0001\u{7f}\\\"\\\\\\n\\t\",\"none\":{},\"list\":[null,-10]}"
        );
    }
}
