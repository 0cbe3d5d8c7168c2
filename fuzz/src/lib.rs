//! What the fuzz targets share: adapters from plain settings, and what must hold of every item that one decodes.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use encoding_rs::GB18030;
use outdial_core::{
    CallRecord, DecodedRecord, FoundRecord, Merged, PushItem, RawPush, SearchPage, SecretString,
    SettingsSource, Timestamp, Vendor, merge,
};
use serde_json::Value;

/// What the ICSOC account signs with: 32 bytes, so that a key is neither padded nor cut.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Settings from pairs. A mistake in them is a mistake of the target.
struct Pairs(&'static [(&'static str, &'static str)]);

impl SettingsSource for Pairs {
    fn text(&mut self, key: &str) -> Option<String> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
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
        panic!("{key}: {problem}");
    }
}

/// A WellCloud account without a default product type.
pub fn wellcloud() -> Arc<dyn Vendor> {
    let mut settings = Pairs(&[("token", "t")]);
    outdial_wellcloud::build("wc".parse().unwrap(), &mut settings).unwrap()
}

/// An ICSOC account that knows [`SECRET`].
pub fn icsoc() -> Arc<dyn Vendor> {
    let mut settings = Pairs(&[("token", "t"), ("push_secrets", SECRET)]);
    outdial_icsoc::build("ic".parse().unwrap(), &mut settings).unwrap()
}

/// A push of this body, at a fixed time.
pub fn push(body: &[u8]) -> RawPush {
    let received_at = Timestamp::from_millis(1_767_323_045_678);
    RawPush { body: Bytes::copy_from_slice(body), content_type: None, received_at }
}

/// Every item has its own slice of what came in, in the order in which it came in, and a record that was read can be
/// stored: what is read back is the same call, so that a repeat of the push is a duplicate.
pub fn check_items(items: &[PushItem], source: &[u8]) {
    let slices: Vec<&[u8]> = items.iter().map(|item| &*item.raw).collect();
    check_slices(&slices, source);
    items.iter().filter_map(|item| item.result.as_ref().ok()).for_each(check_decoded);
}

/// The same of a page that a search found. What is written without a detour says the same as what is stored.
pub fn check_page(vendor: &dyn Vendor, page: &SearchPage, source: &[u8]) {
    let slices: Vec<&[u8]> = page.records.iter().map(|found| &**found.json()).collect();
    check_slices(&slices, source);
    for found in &page.records {
        // What was found on the way is what is found when the record is looked through by itself.
        let alone = FoundRecord::other(found.json().clone());
        let read = |found| vendor.read_found(found, Timestamp::from_millis(0)).map(DecodedRecord::into_owned);
        assert_eq!(format!("{:?}", read(found)), format!("{:?}", read(&alone)));
        let Ok(mut decoded) = vendor.read_found(found, Timestamp::from_millis(0)) else { continue };
        let mut written = Vec::new();
        decoded.record.write_json(&mut written);
        let written: Value = serde_json::from_slice(&written).expect("a written record is JSON");
        decoded.record.attach_raw(found.json());
        let mut decoded = decoded.into_owned();
        check_decoded(&decoded);
        decoded.record.raw = None;
        assert_eq!(written, serde_json::to_value(&decoded.record).expect("a record is a value"));
    }
}

fn check_slices(slices: &[&[u8]], source: &[u8]) {
    let is_in_order = |source: &[u8]| {
        let mut from = 0;
        slices.iter().all(|slice| {
            let found = memchr::memmem::find(&source[from..], slice);
            from += found.unwrap_or_default() + slice.len();
            found.is_some()
        })
    };
    assert!(
        readings(source).any(|text| is_in_order(&text)),
        "an item's slice does not stand in what came in"
    );
}

fn check_decoded(decoded: &DecodedRecord<'static>) {
    check_record(&decoded.record);
    assert!(decoded.unknown_fields.len() <= DecodedRecord::UNKNOWN_LIMIT);
}

/// What came in: as it is, as GBK in UTF-8, and with a replacement for each byte that is neither. A byte order mark does
/// not belong to the text.
fn readings(source: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let text = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
    let gbk = move || GB18030.decode_without_bom_handling_and_without_replacement(text);
    let lossy = move || String::from_utf8_lossy(text).into_owned();
    let others = std::iter::once_with(gbk).flatten().map(Cow::into_owned).chain(std::iter::once_with(lossy));
    std::iter::once(Cow::Borrowed(source)).chain(others.map(|text| Cow::Owned(text.into_bytes())))
}

fn check_record(record: &CallRecord) {
    assert!(!record.call_id.is_empty());
    assert_eq!(record.id(), format!("{}/{}", record.account, record.call_id));
    let stored = serde_json::to_string(record).expect("a record can be written");
    let read: CallRecord = serde_json::from_str(&stored).expect("a stored record can be read");
    assert!(matches!(merge(&read, record), Merged::Duplicate), "a repeat is no duplicate: {stored}");
    let mut masked = record.clone();
    masked.mask();
    serde_json::to_string(&masked).expect("a masked record can be written");
}
