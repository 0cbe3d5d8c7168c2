//! Records for readers who may not see numbers.

use std::{borrow::Cow, collections::HashSet};

use serde_json::{Map, Value, value::RawValue};

use super::{Record, UserData};
use crate::{PhoneNumber, mask_numbers_in_text};

impl Record<'_> {
    /// Hides what a reader without the right to numbers may not see: caller and called are masked, and so is every place in
    /// `user_data`, `raw` and `recording_url` where one of them, or a mobile number, stands.
    pub fn mask(&mut self) {
        let numbers: HashSet<String> = [&self.caller, &self.called]
            .into_iter()
            .flatten()
            .map(|number| number.as_str().to_owned())
            .collect();
        let known: Vec<&str> = numbers.iter().map(String::as_str).collect();
        self.caller = self.caller.as_ref().map(PhoneNumber::masked);
        self.called = self.called.as_ref().map(PhoneNumber::masked);
        if let Some(extension) = self.agent.as_mut().and_then(|agent| agent.extension.as_mut()) {
            *extension = Cow::Owned(mask_numbers_in_text(extension, &known).into_owned());
        }
        if let Some(url) = &mut self.recording_url {
            *url = Cow::Owned(mask_numbers_in_text(url, &known).into_owned());
        }
        if let Some(data) = self.user_data.take() {
            self.user_data = Some(UserData::from(masked_fields(data.into_fields(), &known)));
        }
        self.raw = self.raw.take().and_then(|raw| masked_raw(&raw, &known)).map(Cow::Owned);
    }
}

/// JSON that cannot be read as a tree (it is nested too deep) is left out rather than shown unmasked.
fn masked_raw(raw: &RawValue, known: &[&str]) -> Option<Box<RawValue>> {
    let tree = serde_json::from_str(raw.get()).ok()?;
    serde_json::value::to_raw_value(&masked_tree(tree, known)).ok()
}

fn masked_fields(fields: Map<String, Value>, known: &[&str]) -> Map<String, Value> {
    let masked = |(key, item): (String, Value)| {
        (mask_numbers_in_text(&key, known).into_owned(), masked_tree(item, known))
    };
    fields.into_iter().map(masked).collect()
}

fn masked_tree(value: Value, known: &[&str]) -> Value {
    match value {
        Value::String(text) => Value::String(mask_numbers_in_text(&text, known).into_owned()),
        Value::Number(number) => match mask_numbers_in_text(&number.to_string(), known) {
            Cow::Borrowed(_) => Value::Number(number),
            Cow::Owned(masked) => Value::String(masked),
        },
        Value::Array(items) => items.into_iter().map(|item| masked_tree(item, known)).collect(),
        Value::Object(fields) => Value::Object(masked_fields(fields, known)),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn masking_reaches_every_place_a_number_can_stand_in() {
        let mut full = record();
        full.called = PhoneNumber::new("02112345678");
        full.recording_url = Some("https://rec.example.net/02112345678.mp3".into());
        full.user_data = serde_json::from_str(r#"{"phone":"02112345678","n":13312345678,"age":26}"#).unwrap();
        full.raw = serde_json::from_str(r#"{"called":"02112345678","start_time":"1623996691"}"#).unwrap();
        full.mask();
        let text = serde_json::to_string(&full).unwrap();
        assert!(!text.contains("02112345678") && !text.contains("13312345678"), "{text}");
        assert!(text.contains("021****5678") && text.contains("133****5678") && text.contains("1623996691"));
        assert!(text.contains("\"age\":26"));
    }

    #[test]
    fn masking_reaches_user_data_that_are_written_as_they_came() {
        let mut found = record();
        found.called = PhoneNumber::new("02112345678");
        found.user_data = Some(UserData::as_it_came(r#"{"02112345678":"call 13312345678","n":13312345678}"#));
        found.mask();
        let mut text = Vec::new();
        found.write_json(&mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains(r#""user_data":{"021****5678":"call 133****5678","n":"133****5678"}"#),
            "{text}"
        );
    }
}
