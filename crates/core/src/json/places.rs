//! Where the documented fields of one object stand in its text.

use super::{
    DEPTH_LIMIT, Field, KnownFields, exceeds_depth,
    known::FIELDS_LIMIT,
    plain::take_apart,
    scan::each_member,
    value::{Form, Value, holds_broken_text},
};
use crate::{DecodedRecord, QuarantineReason};

/// The places of an object's fields. Of a repeated key the last one counts, as in PHP.
#[derive(Clone, Debug)]
pub struct Places {
    known: &'static KnownFields,
    /// `None` for a field that is absent.
    forms: [Option<Form>; FIELDS_LIMIT],
    /// Where each value begins and ends. Small numbers, because there are many, and most are never looked at.
    borders: [(u32, u32); FIELDS_LIMIT],
    unknown: Vec<String>,
    is_repeated: bool,
}

impl Places {
    fn new(known: &'static KnownFields) -> Self {
        let (forms, borders) = ([None; FIELDS_LIMIT], [(0, 0); FIELDS_LIMIT]);
        Self { known, forms, borders, unknown: Vec::new(), is_repeated: false }
    }

    /// Finds the fields of the object that a text begins with, if it is written plainly, as nearly every record is. Answers
    /// where the object ends, too.
    pub(super) fn find_plain(text: &str, known: &'static KnownFields) -> Option<(Self, usize)> {
        let mut places = Self::new(known);
        let end = take_apart(text, known, |key, form, start, end| match key {
            Ok(place) => places.keep(place, form, start, end),
            Err(name) => places.note_unknown(name),
        })?;
        Some((places, end))
    }

    /// Finds the fields of an object that is known to be JSON, however it is written.
    pub(super) fn find(json: &str, known: &'static KnownFields) -> Result<Self, QuarantineReason> {
        if exceeds_depth(json.as_bytes(), DEPTH_LIMIT) {
            return Err(QuarantineReason::new("too_deep", format!("nested deeper than {DEPTH_LIMIT}")));
        }
        let has_escapes = json.contains("\\u");
        let mut places = Self::new(known);
        let taken = each_member(json.as_bytes(), |member| {
            let (key, value) = (Value::of(&json[member.key]).text()?, &json[member.value.clone()]);
            if has_escapes && holds_broken_text(value) {
                return None;
            }
            match known.find(key.as_bytes()) {
                Some(place) => {
                    places.keep(place, Value::of(value).form, member.value.start, member.value.end)
                }
                None => places.note_unknown(&key),
            }
            Some(())
        });
        // That it is JSON is known by now.
        let broken = || QuarantineReason::new("not_json", "a text holds half a surrogate pair");
        taken.map(|()| places).ok_or_else(broken)
    }

    #[inline]
    fn keep(&mut self, place: usize, form: Form, start: usize, end: usize) {
        // A text of more than four gigabytes is none of ours; its end is not found then, and no field of it.
        let bound = |at| u32::try_from(at).unwrap_or(u32::MAX);
        self.is_repeated |= self.forms[place].replace(form).is_some();
        self.borders[place] = (bound(start), bound(end));
    }

    /// Beyond the limit names are not told apart, so that many of them cost no more than few.
    fn note_unknown(&mut self, name: &str) {
        if self.unknown.iter().any(|known| known == name) {
            self.is_repeated = true;
        } else if self.unknown.len() < DecodedRecord::UNKNOWN_LIMIT {
            self.unknown.push(name.to_owned());
        }
    }

    /// The fields that are known.
    pub(super) const fn known(&self) -> &'static KnownFields {
        self.known
    }

    /// The value of a field, in the text that the places are of.
    #[inline]
    pub(super) fn value<'a>(&self, text: &'a str, field: Field) -> Option<Value<'a>> {
        let form = self.forms[field.place()]?;
        let (start, end) = self.borders[field.place()];
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        Some(Value { form, json: text.get(range)? })
    }

    /// Names that no document of the vendor has, each once and in order, at most [`DecodedRecord::UNKNOWN_LIMIT`].
    pub(super) fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Whether a key came more than once.
    pub(super) const fn is_repeated(&self) -> bool {
        self.is_repeated
    }
}
