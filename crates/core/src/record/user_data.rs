//! What the uploader attached to a roster entry, and what the call collected: always an object.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::json;

/// An object that is written as it came, and looked into only where somebody asks.
#[derive(Clone, Debug)]
pub struct UserData<'a>(Form<'a>);

#[derive(Clone, Debug)]
enum Form<'a> {
    /// An object whose members have no parts, no key twice and no white space.
    AsItCame(&'a str),
    Fields(Map<String, Value>),
}

impl<'a> UserData<'a> {
    /// What stands in a text that the reader of records has found to be flat.
    pub(crate) fn as_it_came(flat: &'a str) -> Self {
        Self(Form::AsItCame(flat))
    }

    /// The fields.
    pub fn fields(&self) -> Cow<'_, Map<String, Value>> {
        match &self.0 {
            Form::AsItCame(text) => Cow::Owned(serde_json::from_str(text).unwrap_or_default()),
            Form::Fields(fields) => Cow::Borrowed(fields),
        }
    }

    /// The fields.
    pub fn into_fields(self) -> Map<String, Value> {
        match self.0 {
            Form::AsItCame(text) => serde_json::from_str(text).unwrap_or_default(),
            Form::Fields(fields) => fields,
        }
    }

    /// The text of a field, or its number as it is written. Blank text is absent.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        match &self.0 {
            Form::AsItCame(text) => json::flat_text(text, name),
            Form::Fields(fields) => match fields.get(name)? {
                Value::String(text) if !text.trim().is_empty() => Some(Cow::Owned(text.clone())),
                Value::Number(number) => Some(Cow::Owned(number.to_string())),
                _ => None,
            },
        }
    }

    /// Whether there is a field of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.fields().contains_key(name)
    }

    /// Sets a field.
    pub fn insert(&mut self, name: String, value: Value) {
        let mut fields = std::mem::take(self).into_fields();
        fields.insert(name, value);
        self.0 = Form::Fields(fields);
    }

    /// The same with text of its own.
    pub fn into_owned(self) -> UserData<'static> {
        UserData::from(self.into_fields())
    }

    /// Appends the object as JSON text.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::AsItCame(text) => out.extend_from_slice(text.as_bytes()),
            Form::Fields(fields) => json::write_any(out, fields),
        }
    }
}

impl Default for UserData<'_> {
    fn default() -> Self {
        Self(Form::Fields(Map::new()))
    }
}

impl From<Map<String, Value>> for UserData<'_> {
    fn from(fields: Map<String, Value>) -> Self {
        Self(Form::Fields(fields))
    }
}

impl PartialEq for UserData<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}

impl Serialize for UserData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for UserData<'_> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_answer_alike() {
        let text = r#"{"n":"\u5f20","k":17,"b":" ","t":true,"z":null}"#;
        let plain = UserData::as_it_came(text);
        let parsed = plain.clone().into_owned();
        assert_eq!(plain, parsed);
        for (name, found) in
            [("n", Some("张")), ("k", Some("17")), ("b", None), ("t", None), ("z", None), ("x", None)]
        {
            assert_eq!(plain.text(name).as_deref(), found, "{name}");
            assert_eq!(parsed.text(name).as_deref(), found, "{name}");
        }
        let mut changed = plain.clone();
        changed.insert("k".into(), Value::from(18));
        assert_ne!(changed, plain);
        assert_eq!((changed.text("k").as_deref(), changed.contains_key("z")), (Some("18"), true));
    }
}
