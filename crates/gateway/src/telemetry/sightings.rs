//! Where vendors left their documents: fields and codes that no document has, counted in memory until they are stored.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use outdial_core::{AccountId, DecodedRecord, ReceivedVia, Record, Timestamp, Warning, json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Most names of one account that are kept apart; the rest are counted as `other`.
pub const NAMES_LIMIT: usize = 200;
/// Longest name, and longest code.
const NAME_LENGTH: usize = 64;
/// Digits that a name may hold: fewer than any telephone number.
const DIGITS_LIMIT: usize = 5;
/// Longest sample, in characters.
const SAMPLE_LENGTH: usize = 32;
/// What stands in for a name that is not shown.
const OTHER: &str = "other";
/// The warning of a field whose code no document has.
const UNKNOWN_CODE: &str = "unknown_code";

/// Whether what a vendor calls something may be shown: short and plain, and no telephone number.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=NAME_LENGTH).contains(&name.len())
        && name.bytes().all(plain)
        && name.bytes().filter(u8::is_ascii_digit).count() < DIGITS_LIMIT
}

/// What is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// A field.
    Field,
    /// The value of a field that holds codes.
    Code,
}

/// Something that no document of the vendor has, and how often it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// What is unknown.
    pub kind: DriftKind,
    /// The vendor's name of the field, or `other`.
    pub name: String,
    /// The code, or `other`; `null` where the field itself is unknown.
    pub code: Option<String>,
    /// How it came.
    pub source: ReceivedVia,
    /// In how many records.
    pub count: u64,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// The shape of the first value: letters and digits are replaced.
    pub sample: Option<String>,
}

type Key = (DriftKind, String, Option<String>, &'static str);

/// The sightings of one account.
#[derive(Clone, Debug, Default)]
pub struct Sightings(BTreeMap<Key, Sighting>);

impl Sightings {
    /// Adds what was seen elsewhere, or before. Beyond the limit a name is counted as `other`.
    pub fn add(&mut self, more: impl IntoIterator<Item = Sighting>) {
        for sighting in more {
            let key = self.key(&sighting);
            let Some(known) = self.0.get_mut(&key) else {
                let (_, name, code, _) = key.clone();
                let sample = sighting.sample.filter(|_| name != OTHER);
                self.0.insert(key, Sighting { name, code, sample, ..sighting });
                continue;
            };
            known.count = known.count.saturating_add(sighting.count);
            known.last_seen_at = known.last_seen_at.max(sighting.last_seen_at);
            if sighting.first_seen_at < known.first_seen_at {
                known.first_seen_at = sighting.first_seen_at;
            }
            known.sample = known.sample.take().or(sighting.sample.filter(|_| known.name != OTHER));
        }
    }

    fn key(&self, sighting: &Sighting) -> Key {
        let source = source_word(sighting.source);
        let key = (sighting.kind, sighting.name.clone(), sighting.code.clone(), source);
        if self.0.contains_key(&key) || self.0.len() < NAMES_LIMIT {
            return key;
        }
        (sighting.kind, OTHER.to_owned(), sighting.code.as_ref().map(|_| OTHER.to_owned()), source)
    }

    fn holds(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// All of them, the last seen first.
    pub fn into_list(self) -> Vec<Sighting> {
        let mut list: Vec<Sighting> = self.0.into_values().collect();
        list.sort_by_key(|sighting| Reverse(sighting.last_seen_at));
        list
    }
}

const fn source_word(source: ReceivedVia) -> &'static str {
    match source {
        ReceivedVia::Push => "push",
        ReceivedVia::Search => "search",
    }
}

/// What was seen of each account since it was last stored.
#[derive(Debug, Default)]
pub struct DriftLog(Mutex<BTreeMap<AccountId, Sightings>>);

impl DriftLog {
    /// Takes note of what is unknown in a record, which came as `raw`.
    pub fn note(&self, decoded: &DecodedRecord<'_>, raw: &[u8]) {
        let codes = decoded.warnings.iter().any(|warning| warning.code == UNKNOWN_CODE);
        if decoded.unknown_fields.is_empty() && !codes {
            return;
        }
        let record = &decoded.record;
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = log.entry(record.account.clone()).or_default();
        for field in &decoded.unknown_fields {
            let name = if is_plain_name(field) { field } else { OTHER };
            note_one(held, (record, raw), DriftKind::Field, name, None, field);
        }
        for Warning { field, .. } in decoded.warnings.iter().filter(|warning| warning.code == UNKNOWN_CODE) {
            let code = member(raw, field)
                .and_then(json::scalar_text)
                .or_else(|| record.vendor_codes.outcome.as_deref().map(str::to_owned));
            let code = code.filter(|code| is_plain_name(code)).unwrap_or_else(|| OTHER.to_owned());
            note_one(held, (record, raw), DriftKind::Code, field, Some(code), field);
        }
    }

    /// Takes out what was seen, to be stored.
    pub fn take(&self) -> BTreeMap<AccountId, Sightings> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be stored.
    pub fn put_back(&self, account: AccountId, sightings: Sightings) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.entry(account).or_default().add(sightings.0.into_values());
    }

    /// What was seen of an account and is not stored yet.
    pub fn pending(&self, account: &AccountId) -> Sightings {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned().unwrap_or_default()
    }
}

fn note_one(
    held: &mut Sightings,
    (record, raw): (&Record<'_>, &[u8]),
    kind: DriftKind,
    name: &str,
    code: Option<String>,
    field: &str,
) {
    let (source, at) = (record.received_via, record.received_at);
    let key = (kind, name.to_owned(), code.clone(), source_word(source));
    // The record is looked into for the first of its kind alone.
    let is_new = !held.holds(&key) && name != OTHER && code.as_deref() != Some(OTHER);
    let sample = is_new.then(|| member(raw, field).map(|value| shape(value.get()))).flatten();
    let name = name.to_owned();
    held.add([Sighting { kind, name, code, source, count: 1, first_seen_at: at, last_seen_at: at, sample }]);
}

/// A field of the vendor's own JSON.
fn member<'a>(raw: &'a [u8], field: &str) -> Option<&'a RawValue> {
    let members = json::split_object(raw)?;
    let is_it = |key: &[u8]| serde_json::from_slice::<String>(key).is_ok_and(|key| key == field);
    let found = members.iter().rev().find(|member| raw.get(member.key.clone()).is_some_and(is_it))?;
    serde_json::from_slice(raw.get(found.value.clone())?).ok()
}

/// The shape of a value: what it is made of, and nothing of what it says.
fn shape(json: &str) -> String {
    if matches!(json, "true" | "false" | "null") {
        return json.to_owned();
    }
    let masked = |c: char| match c {
        c if c.is_numeric() => '9',
        c if c.is_uppercase() => 'A',
        c if c.is_ascii_alphabetic() => 'a',
        c if c.is_alphanumeric() => 'x',
        c if c.is_control() => ' ',
        c => c,
    };
    let mut shape: String = json.chars().take(SAMPLE_LENGTH).map(masked).collect();
    if json.chars().nth(SAMPLE_LENGTH).is_some() {
        shape.push('…');
    }
    shape
}

#[cfg(test)]
mod tests {
    use outdial_core::{CallRecord, VendorId};

    use super::*;

    fn decoded(fields: &[&str], at: i64) -> DecodedRecord<'static> {
        let (account, now) = ("ic-1".parse().unwrap(), Timestamp::from_millis(at));
        let record = CallRecord::new(account, VendorId::new("icsoc"), "1".into(), ReceivedVia::Push, now);
        let unknown_fields = fields.iter().map(|field| (*field).to_owned()).collect();
        DecodedRecord { record, unknown_fields, warnings: Vec::new() }
    }

    fn list(log: &DriftLog) -> Vec<Sighting> {
        log.take().into_values().flat_map(Sightings::into_list).collect()
    }

    #[test]
    fn what_is_unknown_is_counted_by_name_and_shown_by_shape() {
        let log = DriftLog::default();
        log.note(&decoded(&["mood"], 5), r#"{"mood":"Call 13312345678, 张三"}"#.as_bytes());
        let mut second = decoded(&["mood"], 9);
        second.warnings.push(Warning { field: "callresult", code: UNKNOWN_CODE });
        second.warnings.push(Warning { field: "mood", code: "not_text" });
        log.note(&second, br#"{"mood":7,"callresult":"42"}"#);
        let list = list(&log);
        let of = |name: &str| list.iter().find(|sighting| sighting.name == name).unwrap();
        let mood = of("mood");
        assert_eq!((mood.count, mood.first_seen_at.millis(), mood.last_seen_at.millis()), (2, 5, 9));
        assert_eq!(mood.sample.as_deref(), Some("\"Aaaa 99999999999, xx\""));
        let code = of("callresult");
        assert_eq!(
            (code.kind, code.code.as_deref(), code.sample.as_deref()),
            (DriftKind::Code, Some("42"), Some("\"99\""))
        );
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn names_are_few_and_no_numbers() {
        let log = DriftLog::default();
        for n in 0..300 {
            let name: String = format!("{n:03}").bytes().map(|digit| char::from(digit + 49)).collect();
            log.note(&decoded(&[&name], n), format!("{{\"{name}\":1}}").as_bytes());
        }
        log.note(&decoded(&["13312345678"], 1), r#"{"13312345678":1}"#.as_bytes());
        let list = list(&log);
        assert!(list.len() <= NAMES_LIMIT + 1);
        let other = list.iter().find(|sighting| sighting.name == OTHER).unwrap();
        assert_eq!((other.count, other.sample.as_deref()), (101, None));
        assert!(list.iter().all(|sighting| !sighting.name.contains("133")));
        assert_eq!(list.iter().map(|sighting| sighting.count).sum::<u64>(), 301);
    }

    #[test]
    fn what_two_replicas_saw_adds_up() {
        let (one, two) = (DriftLog::default(), DriftLog::default());
        one.note(&decoded(&["a"], 7), r#"{"a":"x"}"#.as_bytes());
        two.note(&decoded(&["a"], 3), r#"{"a":"y"}"#.as_bytes());
        let mut all = Sightings::default();
        all.add(list(&one));
        all.add(list(&two));
        let list = all.into_list();
        let [seen] = list.as_slice() else { panic!("{list:?}") };
        assert_eq!((seen.count, seen.first_seen_at.millis(), seen.last_seen_at.millis()), (2, 3, 7));
    }

    #[test]
    fn samples_are_short() {
        assert_eq!(shape(&format!("\"{}\"", "y".repeat(50))), format!("\"{}…", "a".repeat(31)));
        assert_eq!(shape("true"), "true");
        assert_eq!(shape("-12.5e3"), "-99.9a9");
    }
}
