//! An adapter from plain settings, and the checked-in examples.

#![allow(dead_code, reason = "each test binary uses its own part of the support")]

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use outdial_core::{
    DecodedRecord, PushRefusal, RawPush, SecretString, SettingsSource, Timestamp, Vendor, VerifiedPush,
};
use serde_json::Value;

/// The secret of most vectors.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Settings from pairs; a list is comma-separated. Mistakes are collected.
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
        let list = self.text(key).unwrap_or_default();
        list.split(',').filter(|text| !text.is_empty()).map(SecretString::from).collect()
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
    let adapter = outdial_icsoc::build("ic-main".parse().unwrap(), &mut settings);
    adapter.unwrap_or_else(|| panic!("{:?}", settings.mistakes))
}

/// An adapter that knows these push secrets.
pub fn with_secrets(secrets: &str) -> Arc<dyn Vendor> {
    adapter(&[("token", "t"), ("push_secrets", secrets)])
}

pub fn now() -> Timestamp {
    Timestamp::parse("2026-01-02T03:04:05.678Z").unwrap()
}

pub fn verify(adapter: &Arc<dyn Vendor>, body: impl AsRef<[u8]>) -> Result<VerifiedPush, PushRefusal> {
    let body = Bytes::copy_from_slice(body.as_ref());
    adapter.verify(RawPush { body, content_type: None, received_at: now() })
}

/// Signs plain data with [`SECRET`]; the signature is worked out by the md5 crate here, not by the adapter.
pub fn signed(kind: &str, data: &str) -> String {
    let sign = md5_hex(&[data.as_bytes(), SECRET.as_bytes()].concat());
    format!(r#"{{"type":{kind},"data":{data},"sign":"{sign}","timestamp":"2021-01-01 00:00:00"}}"#)
}

pub fn md5_hex(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one record of a signed push of type 1.
pub fn record_of(data: &str) -> DecodedRecord<'static> {
    let adapter = with_secrets(SECRET);
    adapter.decode(&verify(&adapter, signed("1", data)).unwrap()).items.remove(0).result.unwrap()
}

pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub fn golden(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Case, secret, plain body, encrypted body, signed text: made with PHP.
pub fn vectors() -> Vec<(String, String, String, String, String)> {
    let vectors: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_slice(&fixture("icsoc-push-vectors.json")).unwrap();
    let take = |(case, fields): (String, BTreeMap<String, String>)| {
        let field = |name: &str| fields[name].clone();
        (case, field("secret"), field("plain"), field("encrypted"), field("data_json"))
    };
    vectors.into_iter().map(take).collect()
}
