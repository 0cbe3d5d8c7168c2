//! Entries as they are read: checked, joined by the vendor's encoder, and every refusal noted with its place.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use outdial_core::{ErrorClass, RosterEncoder, RosterEntry, RosterPart};
use serde_json::{Value, json};

use super::{BodyError, arena::EntryArena};
use crate::api_error::{ApiError, PLACES_LIMIT, Place};

/// Longest line, or entry of JSON.
pub const LINE_LIMIT: usize = 64 * 1024;
/// Longest field.
const FIELD_LIMIT: usize = 4 * 1024;
/// Longest entry id shown in an answer.
const SHOWN_ID_LIMIT: usize = 128;

/// What a wrong entry means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInvalid {
    /// Nothing is sent.
    #[default]
    Reject,
    /// The others are sent.
    Skip,
}

/// What an entry id that came before in the same roster means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The entry is wrong.
    #[default]
    Reject,
    /// The first is sent.
    Skip,
    /// All are sent.
    Allow,
}

/// How an upload is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// See [`OnInvalid`].
    pub on_invalid: OnInvalid,
    /// See [`OnDuplicate`].
    pub on_duplicate: OnDuplicate,
    /// Whether everything is done but the storing and sending.
    pub dry_run: bool,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Line of a file, from 1.
    Line(u64),
    /// Index in the list of JSON, from 0.
    Index(u64),
}

/// A refused entry.
struct Rejection {
    at: At,
    entry_id: Option<String>,
    code: &'static str,
    detail: String,
}

impl Rejection {
    fn to_place(&self) -> Place {
        let (line, pointer) = match self.at {
            At::Line(line) => (Some(line), None),
            At::Index(index) => (None, Some(format!("/entries/{index}"))),
        };
        Place {
            pointer,
            line,
            entry_id: self.entry_id.clone(),
            code: self.code.to_owned(),
            detail: self.detail.clone(),
        }
    }

    fn to_json(&self) -> Value {
        let (name, place) = match self.at {
            At::Line(line) => ("line", line),
            At::Index(index) => ("index", index),
        };
        let mut rejection = json!({ name: place, "code": self.code, "detail": self.detail });
        if let Some(entry_id) = &self.entry_id {
            rejection["entry_id"] = Value::from(entry_id.as_str());
        }
        rejection
    }
}

/// Entries on their way to the encoder.
pub struct Intake {
    encoder: Box<dyn RosterEncoder>,
    options: Options,
    max_entries: usize,
    entries: EntryArena,
    seen: Seen,
    received: u64,
    refused: u64,
    /// Whether a refusal forbids the sending of all others.
    fatal: bool,
    rejections: Vec<Rejection>,
}

/// A roster that is ready to be sent.
pub struct Prepared {
    /// The upstream requests, in order.
    pub parts: Vec<RosterPart>,
    /// What is to be kept of the entries.
    pub entries: EntryArena,
    /// Entries in the request.
    pub received: u64,
    /// Entries refused by us.
    pub refused: u64,
    /// Why, of the first thousand.
    pub rejections: Vec<Value>,
}

impl Intake {
    /// An intake for one roster.
    pub fn new(encoder: Box<dyn RosterEncoder>, options: Options, max_entries: usize) -> Self {
        Self {
            encoder,
            options,
            max_entries,
            entries: EntryArena::default(),
            seen: Seen::default(),
            received: 0,
            refused: 0,
            fatal: false,
            rejections: Vec::new(),
        }
    }

    /// Takes an entry.
    ///
    /// # Errors
    /// `too-many-entries`. An entry that is wrong by itself is no error, but noted.
    pub fn take(&mut self, at: At, entry: &RosterEntry<'_>) -> Result<(), BodyError> {
        self.count(at)?;
        if let Err((code, detail)) = check(entry) {
            self.note(at, Some(entry.entry_id), code, detail, self.options.on_invalid == OnInvalid::Reject);
            return Ok(());
        }
        let deduplicates = self.options.on_duplicate != OnDuplicate::Allow;
        let key = self.seen.key(entry.entry_id);
        if deduplicates && self.seen.contains(key, entry.entry_id, &self.entries) {
            let detail = "An entry before this one has the same entry_id.".to_owned();
            let fatal = self.options.on_duplicate == OnDuplicate::Reject
                && self.options.on_invalid == OnInvalid::Reject;
            self.note(at, Some(entry.entry_id), "duplicate-entry-id", detail, fatal);
            return Ok(());
        }
        match self.encoder.push(entry) {
            Ok(part) => {
                let place = self.entries.push(entry, part);
                if deduplicates {
                    self.seen.insert(key, place);
                }
            }
            Err(refusal) => {
                let fatal = self.options.on_invalid == OnInvalid::Reject;
                let detail = format!("{}.", refusal.detail);
                self.note(at, Some(entry.entry_id), refusal.code, detail, fatal);
            }
        }
        Ok(())
    }

    /// Notes an entry that could not even be read as one.
    ///
    /// # Errors
    /// `too-many-entries`.
    pub fn reject(
        &mut self,
        at: At,
        entry_id: Option<&str>,
        code: &'static str,
        detail: String,
    ) -> Result<(), BodyError> {
        self.count(at)?;
        self.note(at, entry_id, code, detail, self.options.on_invalid == OnInvalid::Reject);
        Ok(())
    }

    fn count(&mut self, at: At) -> Result<(), BodyError> {
        self.received += 1;
        if usize::try_from(self.received).is_ok_and(|received| received <= self.max_entries) {
            return Ok(());
        }
        let detail = format!("The roster has more than {} entries.", self.max_entries);
        Err(match at {
            At::Line(line) => BodyError::at_line(line, "too-many-entries", detail),
            At::Index(index) => {
                BodyError::at_pointer(&format!("/entries/{index}"), "too-many-entries", detail)
            }
        })
    }

    fn note(&mut self, at: At, entry_id: Option<&str>, code: &'static str, detail: String, fatal: bool) {
        self.refused += 1;
        self.fatal |= fatal;
        if self.rejections.len() < PLACES_LIMIT {
            let shown = |id: &str| id.chars().filter(|c| !c.is_control()).take(SHOWN_ID_LIMIT).collect();
            let entry_id = entry_id.filter(|id| !id.is_empty()).map(shown);
            self.rejections.push(Rejection { at, entry_id, code, detail });
        }
    }

    /// Ends the intake.
    ///
    /// # Errors
    /// `roster-rejected` when nothing is to be sent, naming every place, or a fault of the encoder.
    pub fn finish(self) -> Result<Prepared, ApiError> {
        let none_left = self.received == self.refused;
        if self.fatal || none_left {
            return Err(self.rejected());
        }
        let parts = self.encoder.finish()?;
        let rejections = self.rejections.iter().map(Rejection::to_json).collect();
        Ok(Prepared {
            parts,
            entries: self.entries,
            received: self.received,
            refused: self.refused,
            rejections,
        })
    }

    fn rejected(self) -> ApiError {
        let (message, places) = if self.received == 0 {
            let place =
                Place { code: "empty".into(), detail: "The roster has no entry.".into(), ..Place::default() };
            ("The roster has no entry.", vec![place])
        } else {
            let places = self.rejections.iter().map(Rejection::to_place).collect();
            ("The roster has entries that cannot be sent; nothing was sent.", places)
        };
        let mut error = ApiError::at(ErrorClass::InvalidInput, "roster-rejected", message, places);
        error.places_total = self.refused.max(error.places_total);
        error
    }
}

/// What every vendor demands of an entry. The fault names the field and no value.
fn check(entry: &RosterEntry<'_>) -> Result<(), (&'static str, String)> {
    if entry.entry_id.is_empty() {
        return Err(("missing-field", "entry_id is missing.".to_owned()));
    }
    if entry.number.is_empty() {
        return Err(("missing-field", "number is missing.".to_owned()));
    }
    let optional =
        [("product_type", entry.product_type), ("agent", entry.agent), ("customer_id", entry.customer_id)];
    let required = [("entry_id", Some(entry.entry_id)), ("number", Some(entry.number))];
    for (name, value) in required.into_iter().chain(optional) {
        check_text(name, value.unwrap_or_default())?;
    }
    for (key, value) in entry.user_data {
        check_text("a key of user_data", key)?;
        check_text("a value of user_data", value)?;
    }
    Ok(())
}

fn check_text(name: &str, value: &str) -> Result<(), (&'static str, String)> {
    if value.len() > FIELD_LIMIT {
        return Err(("field-too-long", format!("{name} is longer than {FIELD_LIMIT} bytes.")));
    }
    let control = |byte: u8| (byte < b' ' && byte != b'\n' && byte != b'\r' && byte != b'\t') || byte == 0x7f;
    // Every byte is looked at: that is faster than to stop at the first.
    if value.bytes().fold(false, |found, byte| found | control(byte)) {
        return Err(("control-character", format!("{name} holds a control character.")));
    }
    Ok(())
}

/// Entry ids that were taken: half of the hash, so that a growing table need not look them up, and the place of the text,
/// which is compared.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    places: HashTable<(u32, u32)>,
}

impl Seen {
    fn key(&self, entry_id: &str) -> u32 {
        let [.., a, b, c, d] = self.hasher.hash_one(entry_id).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    fn contains(&self, key: u32, entry_id: &str, entries: &EntryArena) -> bool {
        let is_same = |(other, place): &(u32, u32)| *other == key && entries.entry_id(*place) == entry_id;
        self.places.find(spread(key), is_same).is_some()
    }

    fn insert(&mut self, key: u32, place: u32) {
        self.places.insert_unique(spread(key), (key, place), |(key, _)| spread(*key));
    }
}

/// The table tells entries apart by the highest bits of a hash.
fn spread(key: u32) -> u64 {
    u64::from(key) << 32 | u64::from(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_one_hash_are_told_apart() {
        let (mut entries, mut seen) = (EntryArena::default(), Seen::default());
        for entry_id in ["a", "b", "c"] {
            assert!(!seen.contains(7, entry_id, &entries), "{entry_id}");
            let entry = RosterEntry { entry_id, number: "1", ..RosterEntry::default() };
            let place = entries.push(&entry, 0);
            seen.insert(7, place);
        }
        for entry_id in ["a", "b", "c"] {
            assert!(seen.contains(7, entry_id, &entries), "{entry_id}");
        }
    }
}
