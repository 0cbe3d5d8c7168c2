//! Rosters, written by the encoder and read back as the vendor reads them.

mod support;

use outdial_core::{PartForm, Refusal, RosterEntry, RosterPart};
use proptest::prelude::*;
use serde_json::Value;
use support::{Pairs, adapter};

#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    id: String,
    product: String,
    number: String,
    agent: Option<String>,
    customer: Option<String>,
    data: Vec<(String, String)>,
}

fn encode(rows: &[Row]) -> (Vec<RosterPart>, Vec<Option<Refusal>>) {
    let mut encoder = adapter(&[("token", "t")]).roster_encoder("act 1").unwrap();
    let mut refusals = Vec::new();
    for row in rows {
        let data: Vec<_> = row.data.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let entry = RosterEntry {
            entry_id: &row.id,
            number: &row.number,
            product_type: Some(&row.product),
            agent: row.agent.as_deref(),
            customer_id: row.customer.as_deref(),
            user_data: &data,
        };
        refusals.push(encoder.push(&entry).err());
    }
    (encoder.finish().unwrap(), refusals)
}

/// The file of a multipart body, found by its boundary as RFC 2046 says.
fn file_text(part: &RosterPart) -> String {
    let kind = part.request.headers()["content-type"].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = std::str::from_utf8(part.request.body()).unwrap();
    let inside = body.strip_prefix(&format!("--{boundary}\r\n")).unwrap();
    let (inside, end) = inside.split_once(&format!("\r\n--{boundary}")).unwrap();
    assert_eq!(end, "--\r\n");
    let (head, file) = inside.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("name=\"file\"; filename=\"roster.txt\""));
    assert_eq!(u64::try_from(file.len()).unwrap(), part.bytes);
    file.to_owned()
}

fn vendor_reads(part: &RosterPart) -> Vec<Row> {
    let rows: Vec<Row> = match part.form {
        PartForm::File => file_text(part).lines().map(read_line).collect(),
        PartForm::Json => {
            assert_eq!(part.request.headers()["content-type"], "application/json;charset=utf-8");
            let array: Vec<Value> = serde_json::from_slice(part.request.body()).unwrap();
            array.iter().map(read_object).collect()
        }
    };
    assert_eq!(rows.len(), usize::try_from(part.entries).unwrap());
    rows
}

fn read_line(line: &str) -> Row {
    let columns: Vec<&str> = line.split(',').collect();
    assert!((3..=5).contains(&columns.len()), "{line}");
    let pairs = columns.get(4).map(|data| data.split('|').map(|pair| pair.split_once(':').unwrap()));
    let data = pairs.into_iter().flatten().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    Row {
        id: columns[0].to_owned(),
        product: columns[1].to_owned(),
        number: columns[2].to_owned(),
        agent: None,
        customer: columns.get(3).filter(|text| !text.is_empty()).map(|text| (*text).to_owned()),
        data,
    }
}

fn read_object(object: &Value) -> Row {
    let text = |name: &str| object.get(name).map(|value| value.as_str().unwrap().to_owned());
    let known = ["rosterId", "prdType", "number", "agent", "customerId"];
    assert!(object.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())));
    Row {
        id: text("rosterId").unwrap(),
        product: text("prdType").unwrap(),
        number: text("number").unwrap(),
        agent: text("agent"),
        customer: text("customerId"),
        data: Vec::new(),
    }
}

fn row(id: &str) -> Row {
    Row { id: id.into(), product: "S".into(), number: "17412345678".into(), ..Row::default() }
}

#[test]
fn the_lines_of_the_contract() {
    let rows = [
        row("12345"),
        Row { customer: Some("a01".into()), ..row("12345") },
        Row {
            number: "17412345679".into(),
            customer: Some("a02".into()),
            data: vec![("name".into(), "张三".into()), ("age".into(), "26".into())],
            ..row("12346")
        },
    ];
    let (parts, _) = encode(&rows);
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/wellcloud-roster.sample.txt");
    assert_eq!(file_text(&parts[0]).trim_end(), std::fs::read_to_string(sample).unwrap().trim_end());
    assert_eq!(parts[0].request.uri(), "http://ocm.wellcloud.cc:8099/ocm/fileupload?activity_id=act%201");
}

#[test]
fn agents_go_by_json_and_user_data_by_file() {
    let agent = Row { agent: Some("5001".into()), ..row("1") };
    let data = Row { data: vec![("k".into(), "v".into())], ..row("2") };
    let both = Row { agent: Some("5001".into()), data: data.data.clone(), ..row("3") };
    let (parts, refusals) = encode(&[agent.clone(), data.clone(), both]);
    assert_eq!(parts[0].form, PartForm::Json);
    assert_eq!(parts[0].request.uri(), "http://ocm.wellcloud.cc:8099/ocm/v1/rosterinfo/create/act%201");
    assert_eq!(vendor_reads(&parts[0]), [agent]);
    assert_eq!(vendor_reads(&parts[1]), [data]);
    assert_eq!(refusals[2].as_ref().unwrap().code, "agent-with-user-data");
}

#[test]
fn what_a_line_cannot_hold_goes_by_json_or_is_refused() {
    let comma = Row { customer: Some("a,b".into()), ..row("1") };
    let (parts, _) = encode(std::slice::from_ref(&comma));
    assert_eq!((parts[0].form, vendor_reads(&parts[0])), (PartForm::Json, vec![comma]));
    let with = |key: &str, value: &str| Row { data: vec![(key.into(), value.into())], ..row("1") };
    for (bad, code) in [
        (with("name", "Li, Ming"), "separator-in-field"),
        (with("name", "a\nb"), "line-break-in-field"),
        (with("name", "a|b"), "separator-in-user-data"),
        (with("name", "12:30"), "separator-in-user-data"),
        (with("a:b", "c"), "separator-in-user-data"),
        (with("", "c"), "empty-user-data-key"),
        (Row { number: "0755-1234".into(), ..row("1") }, "invalid-number"),
        (Row { number: "12".into(), ..row("1") }, "invalid-number"),
    ] {
        let (parts, refusals) = encode(std::slice::from_ref(&bad));
        assert!(parts.is_empty(), "{bad:?}");
        assert_eq!(refusals[0].as_ref().unwrap().code, code, "{bad:?}");
    }
}

#[test]
fn a_product_type_is_needed_from_somewhere() {
    let entry = RosterEntry { entry_id: "1", number: "17412345678", ..RosterEntry::default() };
    let mut without = adapter(&[("token", "t")]).roster_encoder("a").unwrap();
    assert_eq!(without.push(&entry).unwrap_err().code, "product-type-missing");
    let mut with = adapter(&[("token", "t"), ("default_product_type", "E")]).roster_encoder("a").unwrap();
    with.push(&entry).unwrap();
    with.push(&entry).unwrap();
    assert_eq!(file_text(&with.finish().unwrap()[0]), "1,E,17412345678\n1,E,17412345678\n");
}

#[test]
fn files_split_at_line_ends_and_json_at_a_thousand() {
    let long: Vec<Row> =
        (0..2600).map(|n| Row { customer: Some("c".repeat(8000)), ..row(&n.to_string()) }).collect();
    let (parts, _) = encode(&long);
    assert!(parts.len() == 3 && parts.iter().all(|part| part.bytes <= 10_000_000));
    assert!(parts[0].bytes > 9_990_000);
    let read: Vec<Row> = parts.iter().flat_map(vendor_reads).collect();
    assert_eq!(read, long);
    let agents: Vec<Row> =
        (0..2001).map(|n| Row { agent: Some("a".into()), ..row(&n.to_string()) }).collect();
    let sizes: Vec<u32> = encode(&agents).0.iter().map(|part| part.entries).collect();
    assert_eq!(sizes, [1000, 1000, 1]);
}

#[test]
fn an_empty_roster_is_no_request_and_settings_are_checked() {
    assert!(encode(&[]).0.is_empty());
    assert!(adapter(&[("token", "t")]).roster_encoder("").is_err());
    for (pairs, key) in [
        (vec![], "token"),
        (vec![("token", "t"), ("app_id", "i")], "token"),
        (vec![("app_id", "i")], "app_secret"),
        (vec![("app_secret", "i")], "app_id"),
        (vec![("token", "t"), ("base_url", "ftp://x")], "base_url"),
        (vec![("token", "t"), ("file_field", "a\"b")], "file_field"),
    ] {
        let mut settings = Pairs::new(&pairs);
        assert!(outdial_wellcloud::build("wc".parse().unwrap(), &mut settings).is_none());
        assert!(settings.mistakes[0].starts_with(&format!("{key}: ")), "{:?}", settings.mistakes);
    }
    let with_path = adapter(&[("token", "t"), ("base_url", "http://127.0.0.1:9/ocm/")]);
    assert_eq!(with_path.base_url(), "http://127.0.0.1:9");
}

fn any_row() -> impl Strategy<Value = Row> {
    let field = r#"[a-z0-9张,;:|\\"\r\n =+]{1,8}"#;
    let data = proptest::collection::vec((field, field), 0..3);
    let option = proptest::option::of(field);
    (field, field, "[0-9]{2,12}", option.clone(), option, data).prop_map(
        |(id, product, number, agent, customer, data)| Row { id, product, number, agent, customer, data },
    )
}

proptest! {
    /// Whatever the rows hold: each is refused, or reaches the vendor once and unchanged.
    #[test]
    fn no_column_ever_shifts(rows in proptest::collection::vec(any_row(), 0..40)) {
        let (parts, refusals) = encode(&rows);
        let taken = rows.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none()).map(|(row, _)| row);
        let (mut by_file, mut by_json) = (Vec::new(), Vec::new());
        for part in &parts {
            match part.form {
                PartForm::File => by_file.extend(vendor_reads(part)),
                PartForm::Json => by_json.extend(vendor_reads(part)),
            }
        }
        let mut sent = by_file.iter().chain(&by_json).cloned().collect::<Vec<_>>();
        for row in taken {
            let at = sent.iter().position(|read| read == row);
            prop_assert!(at.is_some(), "{row:?} is missing in {sent:?}");
            sent.remove(at.unwrap());
        }
        prop_assert!(sent.is_empty());
    }
}
