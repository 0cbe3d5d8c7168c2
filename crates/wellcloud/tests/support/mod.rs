//! An adapter from plain settings.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use outdial_core::{DecodedPush, RawPush, SecretString, SettingsSource, Timestamp, Vendor};

/// Settings from pairs; mistakes are collected.
#[derive(Default)]
pub struct Pairs {
    values: BTreeMap<String, String>,
    /// `key: problem`.
    pub mistakes: Vec<String>,
}

impl Pairs {
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { values, mistakes: Vec::new() }
    }
}

impl SettingsSource for Pairs {
    fn text(&mut self, key: &str) -> Option<String> {
        self.values.get(key).cloned()
    }

    fn secret(&mut self, key: &str) -> Option<SecretString> {
        self.text(key).map(SecretString::from)
    }

    fn secrets(&mut self, key: &str) -> Vec<SecretString> {
        self.secret(key).into_iter().collect()
    }

    fn integer(&mut self, key: &str, _range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.text(key)?.parse().ok()
    }

    fn reject(&mut self, key: &str, problem: &str) {
        self.mistakes.push(format!("{key}: {problem}"));
    }
}

pub fn adapter(pairs: &[(&str, &str)]) -> Arc<dyn Vendor> {
    let mut settings = Pairs::new(pairs);
    let adapter = outdial_wellcloud::build("wc-main".parse().unwrap(), &mut settings);
    adapter.unwrap_or_else(|| panic!("{:?}", settings.mistakes))
}

#[allow(dead_code, reason = "each test binary uses its own part of the support")]
pub fn decode(body: &[u8]) -> DecodedPush {
    let raw = RawPush {
        body: Bytes::copy_from_slice(body),
        content_type: None,
        received_at: Timestamp::parse("2026-01-02T03:04:05.678Z").unwrap(),
    };
    let adapter = adapter(&[("token", "t")]);
    adapter.decode(&adapter.verify(raw).unwrap())
}
