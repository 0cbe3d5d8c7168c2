//! One table of the configuration, read key by key.

use std::{collections::BTreeSet, net::SocketAddr, ops::RangeInclusive, time::Duration};

use outdial_core::{SecretString, SettingsSource};
use toml::{Table, Value};

use super::{
    environment::Environment,
    report::Report,
    values::{parse_duration, parse_size},
};

/// What reading needs besides the tables.
pub(super) struct Reading<'a> {
    /// Where mistakes go.
    pub(super) report: Report,
    /// Where `env:NAME` is looked up.
    pub(super) environment: &'a dyn Environment,
}

/// One table. Every key that is read is known; [`Section::finish`] reports the rest.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    known: BTreeSet<String>,
    reading: &'a Reading<'a>,
}

/// From here on two keys look alike (Jaro-Winkler, 0 to 1).
const LIKENESS: f64 = 0.8;
/// Largest file that a secret may stand in.
const SECRET_FILE_LIMIT: u64 = 64 * 1024;

impl<'a> Section<'a> {
    /// A table at a path; the path of the whole is empty.
    pub(super) fn new(path: impl Into<String>, table: Table, reading: &'a Reading<'a>) -> Self {
        Self { path: path.into(), table, known: BTreeSet::new(), reading }
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.known.insert(key.to_owned());
        self.table.remove(key)
    }

    /// Reports a mistake at a key.
    pub(super) fn refuse(&self, key: &str, problem: impl Into<String>) {
        self.reading.report.reject(&self.place(key), problem);
    }

    fn parsed<T>(&mut self, key: &str, wanted: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.take(key)?;
        let read = read(&value);
        if read.is_none() {
            self.refuse(key, format!("is not {wanted}"));
        }
        read
    }

    /// The table at a key, empty if absent.
    pub(super) fn section(&mut self, key: &str) -> Section<'a> {
        let table = self.parsed(key, "a table", |value| value.as_table().cloned()).unwrap_or_default();
        Section::new(self.place(key), table, self.reading)
    }

    /// The table at a key, if there is one.
    pub(super) fn optional_section(&mut self, key: &str) -> Option<Section<'a>> {
        let table = self.parsed(key, "a table", |value| value.as_table().cloned())?;
        Some(Section::new(self.place(key), table, self.reading))
    }

    /// A switch.
    pub(super) fn switch(&mut self, key: &str) -> Option<bool> {
        self.parsed(key, "true or false", |value| match value {
            Value::Boolean(switch) => Some(*switch),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
    }

    /// The list of tables at a key, empty if absent.
    pub(super) fn sections(&mut self, key: &str) -> Vec<Section<'a>> {
        let is_tables =
            |value: &Value| value.as_array()?.iter().map(|item| item.as_table().cloned()).collect();
        let tables: Vec<Table> = self.parsed(key, "a list of tables", is_tables).unwrap_or_default();
        let place = self.place(key);
        let numbered = tables.into_iter().enumerate();
        numbered.map(|(n, table)| Section::new(format!("{place}[{n}]"), table, self.reading)).collect()
    }

    /// A duration with its unit.
    pub(super) fn duration(&mut self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let wanted = format!("a duration from {:?} to {:?}, such as \"15s\"", range.start(), range.end());
        self.parsed(key, &wanted, |value| {
            parse_duration(value.as_str()?).filter(|found| range.contains(found))
        })
    }

    /// A size with its unit, in bytes.
    pub(super) fn size(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let wanted = format!("a size from {} to {} bytes, such as \"16MiB\"", range.start(), range.end());
        self.parsed(key, &wanted, |value| parse_size(value.as_str()?).filter(|found| range.contains(found)))
    }

    /// A count that fits a `usize`.
    pub(super) fn count(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<usize> {
        self.integer(key, range).and_then(|found| usize::try_from(found).ok())
    }

    /// A positive number, whole or not.
    pub(super) fn rate(&mut self, key: &str) -> Option<f64> {
        self.parsed(key, "a number above 0 and up to 100000", |value| {
            let number = match value {
                Value::Float(number) => *number,
                Value::Integer(number) => f64::from(i32::try_from(*number).ok()?),
                Value::String(text) => text.parse().ok()?,
                _ => return None,
            };
            (number > 0.0 && number <= 100_000.0).then_some(number)
        })
    }

    /// An address to listen on.
    pub(super) fn address(&mut self, key: &str) -> Option<SocketAddr> {
        self.parsed(key, "an address and port, such as \"127.0.0.1:8080\"", |value| {
            value.as_str()?.parse().ok()
        })
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = words.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        self.parsed(key, &names.join(" or "), |value| {
            let text = value.as_str()?;
            words.iter().find(|(name, _)| *name == text).map(|(_, meaning)| *meaning)
        })
    }

    /// A list of texts, or one alone; from the environment, separated by commas.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let read = self.parsed(key, "text, or a list of texts", |value| match value {
            Value::String(text) => Some(text.split(',').map(|part| part.trim().to_owned()).collect()),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        });
        let mut texts: Vec<String> = read.unwrap_or_default();
        texts.retain(|text| !text.is_empty());
        texts
    }

    /// Whether a key is there, read or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports every key that was not read.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            match self.nearest(key) {
                Some(known) => self.refuse(key, format!("is not a known key; did you mean {known}?")),
                None => self.refuse(key, "is not a known key"),
            }
        }
    }

    /// Reports only keys that look like a misspelling: what else may stand here is not known.
    pub(super) fn finish_in_part(self) {
        for key in self.table.keys() {
            if let Some(known) = self.nearest(key) {
                self.refuse(key, format!("is not a known key; did you mean {known}?"));
            }
        }
    }

    fn nearest(&self, key: &str) -> Option<&String> {
        let likeness = |known: &&String| strsim::jaro_winkler(known, key);
        let nearest = self.known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        nearest.filter(|known| likeness(known) > LIKENESS)
    }

    fn resolve(&self, key: &str, text: &str) -> Option<SecretString> {
        let found = match text.split_once(':') {
            Some(("env", name)) => match self.reading.environment.get(name) {
                Some(value) => value,
                None => {
                    self.refuse(key, format!("names the variable {name}, which is not set"));
                    return None;
                }
            },
            Some(("file", path)) => match read_secret_file(path) {
                Ok(value) => value,
                Err(problem) => {
                    self.refuse(key, format!("names the file {path}, {problem}"));
                    return None;
                }
            },
            _ => text.to_owned(),
        };
        if found.is_empty() {
            self.refuse(key, "is empty");
            return None;
        }
        Some(SecretString::from(found))
    }
}

/// Reads a secret without the line end that editors and `echo` leave behind it.
fn read_secret_file(path: &str) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("which cannot be read: {error}"))?.len();
    if size > SECRET_FILE_LIMIT {
        return Err(format!("which is larger than {SECRET_FILE_LIMIT} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("which cannot be read: {error}"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

impl SettingsSource for Section<'_> {
    fn text(&mut self, key: &str) -> Option<String> {
        let text = self.parsed(key, "text", |value| value.as_str().map(str::to_owned))?;
        (!text.is_empty()).then_some(text)
    }

    fn secret(&mut self, key: &str) -> Option<SecretString> {
        let text =
            self.parsed(key, "text, env:NAME or file:PATH", |value| value.as_str().map(str::to_owned))?;
        self.resolve(key, &text)
    }

    fn secrets(&mut self, key: &str) -> Vec<SecretString> {
        let read =
            self.parsed(
                key,
                "a list of texts, each env:NAME, file:PATH or the secret",
                |value| match value {
                    Value::String(text) => Some(vec![text.clone()]),
                    Value::Array(items) => {
                        items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
                    }
                    _ => None,
                },
            );
        let texts: Vec<String> = read.unwrap_or_default();
        texts.iter().filter_map(|text| self.resolve(key, text)).collect()
    }

    fn integer(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(key, &wanted, |value| {
            let number = match value {
                Value::Integer(number) => u64::try_from(*number).ok()?,
                Value::String(text) => text.parse().ok()?,
                _ => return None,
            };
            range.contains(&number).then_some(number)
        })
    }

    fn reject(&mut self, key: &str, problem: &str) {
        self.known.insert(key.to_owned());
        self.refuse(key, problem);
    }
}
