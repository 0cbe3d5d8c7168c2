//! Any roster to WellCloud: each entry is refused, or reaches the vendor once and unchanged, in its own columns.
//!
//! The input is text: entries apart by U+001E, their fields by U+001F, in the order id, number, product type, agent,
//! customer id, then keys and values of user data. A field that is U+0000 alone is absent.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::{Corpus, fuzz_target};
use outdial_core::{PartForm, RosterEntry, RosterPart, Vendor};
use serde_json::Value;

static ADAPTER: LazyLock<Arc<dyn Vendor>> = LazyLock::new(outdial_fuzz::wellcloud);

/// An entry as the vendor reads it. An empty customer id and none are the same to it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    id: String,
    number: String,
    product: String,
    agent: Option<String>,
    customer: Option<String>,
    user_data: Vec<(String, String)>,
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(input) else { return Corpus::Reject };
    let mut encoder = ADAPTER.roster_encoder("campaign").expect("the campaign id is one");
    let mut taken = Vec::new();
    for fields in text.split('\u{1e}').map(|entry| entry.split('\u{1f}').collect::<Vec<_>>()) {
        let user_data: Vec<_> =
            fields.get(5..).unwrap_or_default().chunks_exact(2).map(|p| (p[0], p[1])).collect();
        let field = |at: usize| fields.get(at).copied().filter(|text| *text != "\0");
        let entry = RosterEntry {
            entry_id: field(0).unwrap_or_default(),
            number: field(1).unwrap_or_default(),
            product_type: field(2),
            agent: field(3),
            customer_id: field(4),
            user_data: &user_data,
        };
        if encoder.push(&entry).is_ok() {
            taken.push(to_row(&entry));
        }
    }
    let parts = encoder.finish().expect("the requests can be built");
    let mut sent: Vec<Row> = parts.iter().flat_map(vendor_reads).collect();
    taken.sort();
    sent.sort();
    assert_eq!(taken, sent);
    Corpus::Keep
});

fn to_row(entry: &RosterEntry<'_>) -> Row {
    let owned = |text: &str| text.to_owned();
    Row {
        id: owned(entry.entry_id),
        number: owned(entry.number),
        product: entry.product_type.map(owned).expect("there is no default"),
        agent: entry.agent.map(owned),
        customer: entry.customer_id.filter(|text| !text.is_empty()).map(owned),
        user_data: entry.user_data.iter().map(|(key, value)| (owned(key), owned(value))).collect(),
    }
}

fn vendor_reads(part: &RosterPart) -> Vec<Row> {
    let rows: Vec<Row> = match part.form {
        PartForm::File => read_file(part),
        PartForm::Json => {
            let array: Vec<Value> =
                serde_json::from_slice(part.request.body()).expect("the body is a JSON array");
            array.iter().map(read_object).collect()
        }
    };
    assert_eq!(rows.len(), usize::try_from(part.entries).expect("it fits"));
    rows
}

/// One file part between its delimiters (RFC 2046), then lines ended by LF, CR or CR LF, as a Java reader has them.
fn read_file(part: &RosterPart) -> Vec<Row> {
    let kind = part.request.headers()["content-type"].to_str().expect("the type is text");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("the type names a boundary");
    let body = std::str::from_utf8(part.request.body()).expect("the body is UTF-8");
    let inside = body.strip_prefix(&format!("--{boundary}\r\n")).expect("the body starts with the boundary");
    let (inside, end) = inside.split_once(&format!("\r\n--{boundary}")).expect("the part ends");
    assert_eq!(end, "--\r\n", "there is one part");
    let (_, file) = inside.split_once("\r\n\r\n").expect("the part has a head");
    assert_eq!(u64::try_from(file.len()).expect("it fits"), part.bytes);
    let lines = file.strip_suffix('\n').expect("the last line ends").split(['\n', '\r']);
    lines.map(read_line).collect()
}

fn read_line(line: &str) -> Row {
    let columns: Vec<&str> = line.split(',').collect();
    assert!((3..=5).contains(&columns.len()), "{} columns", columns.len());
    let pairs = columns
        .get(4)
        .map(|data| data.split('|').map(|pair| pair.split_once(':').expect("a key and a value")));
    Row {
        id: columns[0].to_owned(),
        product: columns[1].to_owned(),
        number: columns[2].to_owned(),
        agent: None,
        customer: columns.get(3).filter(|text| !text.is_empty()).map(|text| (*text).to_owned()),
        user_data: pairs
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn read_object(object: &Value) -> Row {
    let text = |name: &str| object.get(name).map(|value| value.as_str().expect("a text").to_owned());
    Row {
        id: text("rosterId").expect("an id"),
        number: text("number").expect("a number"),
        product: text("prdType").expect("a product type"),
        agent: text("agent"),
        customer: text("customerId").filter(|text| !text.is_empty()),
        user_data: Vec::new(),
    }
}
