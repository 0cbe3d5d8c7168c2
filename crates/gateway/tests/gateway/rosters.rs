//! Rosters: four forms, one result; and whatever is sent, the vendor reads what was meant.

use outdial_core::{PartForm, Vendor};
use outdial_gateway::{
    config::{Config, FixedEnvironment},
    rosters::{BodyError, Format, Intake, OnDuplicate, OnInvalid, Options, Prepared, Reader},
};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

const CONFIG: &str = r#"
[[auth.issuers]]
issuer = "test"
audience = "test"
hs256_secret = "0123456789abcdef0123456789abcdef"
[[accounts]]
id = "wc"
vendor = "wellcloud"
token = "test"
push_token = "0123456789abcdef"
"#;

fn vendor() -> Arc<dyn Vendor> {
    let config = Config::parse(CONFIG, &FixedEnvironment::default()).unwrap();
    Arc::clone(&config.accounts.get("wc").unwrap().vendor)
}

enum Outcome {
    Prepared(Prepared),
    Rejected(Vec<(Option<u64>, Option<String>, String)>),
    Unreadable(BodyError),
}

fn read_in(content_type: &str, body: &[u8], options: Options, chunk: usize) -> Outcome {
    let mut intake = Intake::new(vendor().roster_encoder("c").unwrap(), options, 1_000);
    let mut reader = Reader::new(Format::parse(Some(content_type), None).unwrap());
    for piece in body.chunks(chunk) {
        if let Err(error) = reader.feed(piece, &mut intake) {
            return Outcome::Unreadable(error);
        }
    }
    if let Err(error) = reader.finish(&mut intake) {
        return Outcome::Unreadable(error);
    }
    match intake.finish() {
        Ok(prepared) => Outcome::Prepared(prepared),
        Err(error) => Outcome::Rejected(
            error.places.into_iter().map(|place| (place.line, place.pointer, place.code)).collect(),
        ),
    }
}

fn read(content_type: &str, body: &str) -> Outcome {
    read_in(content_type, body.as_bytes(), Options::default(), usize::MAX)
}

fn prepared(outcome: Outcome) -> Prepared {
    match outcome {
        Outcome::Prepared(prepared) => prepared,
        Outcome::Rejected(places) => panic!("rejected: {places:?}"),
        Outcome::Unreadable(error) => panic!("unreadable: {error:?}"),
    }
}

fn codes(outcome: Outcome) -> Vec<(Option<u64>, Option<String>, String)> {
    match outcome {
        Outcome::Rejected(places) => places,
        Outcome::Prepared(_) => panic!("was taken"),
        Outcome::Unreadable(error) => vec![(error.line, error.pointer, error.code.to_owned())],
    }
}

/// The lines of the file that the vendor gets, out of its multipart envelope.
fn file_lines(prepared: &Prepared) -> Vec<String> {
    let Some(part) = prepared.parts.iter().find(|part| part.form == PartForm::File) else {
        return Vec::new();
    };
    let body = String::from_utf8(part.request.body().to_vec()).unwrap();
    let (_, rest) = body.split_once("\r\n\r\n").unwrap();
    let (file, _) = rest.rsplit_once("\r\n--").unwrap();
    file.lines().map(str::to_owned).collect()
}

#[test]
fn the_same_roster_in_every_form_is_the_same_file() {
    let csv = "customer_id,entry_id,number,product_type,user_data.name,user_data.age\r\n\
               c-1,e1,13300000001,6666,张三,26\r\n,e2,13300000002,6666,\"李 \"\"四\"\"\",\r\n";
    let ndjson = r#"{"entry_id":"e1","number":"13300000001","product_type":"6666","customer_id":"c-1","user_data":{"name":"张三","age":26}}

{"number":"13300000002","entry_id":"e2","product_type":"6666","user_data":{"name":"李 \"四\"","age":null}}"#;
    let entries: Vec<serde_json::Value> = ndjson
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let json = json!({ "entries": entries }).to_string();
    let columns = "e1,6666,13300000001,c-1,name:张三|age:26\ne2,6666,13300000002,,name:李 \"四\"\n";
    let expected = ["e1,6666,13300000001,c-1,name:张三|age:26", "e2,6666,13300000002,,name:李 \"四\""];
    for (content_type, body) in [
        ("text/csv", csv),
        ("application/x-ndjson", ndjson),
        ("application/json", json.as_str()),
        ("text/csv; header=absent", columns),
    ] {
        for chunk in [1, 7, usize::MAX] {
            let outcome = read_in(content_type, body.as_bytes(), Options::default(), chunk);
            let mut lines = file_lines(&prepared(outcome));
            // The order of JSON members is the writer's; here serde_json sorts them.
            for line in &mut lines {
                *line = line.replace("age:26|name:张三", "name:张三|age:26");
            }
            assert_eq!(lines, expected, "{content_type} in pieces of {chunk}");
        }
    }
}

#[test]
fn a_quoted_field_may_hold_line_breaks_and_commas_where_the_vendor_can_carry_them() {
    // Without user data such an entry goes by JSON, which can carry both.
    let csv =
        "entry_id,number,product_type,customer_id\ne1,13300000001,6666,\"a,\nb\"\ne2,13300000002,6666,c\n";
    let prepared = prepared(read("text/csv", csv));
    assert_eq!(prepared.received, 2);
    let json: serde_json::Value = serde_json::from_slice(prepared.parts[0].request.body()).unwrap();
    assert_eq!(json[0]["customerId"], "a,\nb");
}

#[test]
fn wrong_entries_are_named_by_their_place() {
    let at = |line| Some(line);
    let csv = "entry_id,number,product_type,user_data.name\n,13300000001,6,a\ne2,,6,a\ne3,13300000003,6,a,b\n\
               e4,12x,6,a\ne5,13300000005,6,\"a,b\"\ne6,13300000006,6,ok\ne6,13300000007,6,ok\n";
    let found = codes(read("text/csv", csv));
    let found: Vec<(Option<u64>, &str)> =
        found.iter().map(|(line, _, code)| (*line, code.as_str())).collect();
    assert_eq!(
        found,
        [
            (at(2), "missing-field"),
            (at(3), "missing-field"),
            (at(4), "wrong-field-count"),
            (at(5), "invalid-number"),
            (at(6), "separator-in-field"),
            (at(8), "duplicate-entry-id"),
        ]
    );
    let json = r#"{"entries":[{"entry_id":"1","number":13300000001},7,{"entry_id":"2","phone":"1"},{"entry_id":"3","entry_id":"4"}]}"#;
    let found = codes(read("application/json", json));
    let found: Vec<(&str, &str)> =
        found.iter().map(|(_, pointer, code)| (pointer.as_deref().unwrap(), code.as_str())).collect();
    assert_eq!(
        found,
        [
            ("/entries/0", "wrong-type"),
            ("/entries/1", "not-an-object"),
            ("/entries/2", "unknown-field"),
            ("/entries/3", "repeated-field"),
        ]
    );
}

#[test]
fn a_body_that_cannot_be_read_on_is_named_by_its_place() {
    let long = "x".repeat(70_000);
    for (content_type, body, line, pointer, code) in [
        ("text/csv", "name,number\n", Some(1), None, "bad-header"),
        ("text/csv", "number\n1\n", Some(1), None, "bad-header"),
        ("text/csv", "entry_id,number,number\n", Some(1), None, "bad-header"),
        ("text/csv", "1,6666,13300000001\n", Some(1), None, "bad-header"),
        ("text/csv", "entry_id,number\n1,\"2\n3,4\n", Some(2), None, "open-quote"),
        ("text/csv", &format!("entry_id,number\n1,{long}\n"), Some(2), None, "line-too-long"),
        ("application/x-ndjson", &format!("\n{long}"), Some(2), None, "line-too-long"),
        ("application/json", "", None, Some(""), "empty"),
        ("application/json", "[]", None, Some(""), "not-a-roster"),
        ("application/json", r#"{"rows":[]}"#, None, Some(""), "unknown-field"),
        ("application/json", r#"{"entries":{}}"#, None, Some(""), "not-a-roster"),
        ("application/json", r#"{"entries":[{"#, None, Some("/entries/0"), "cut"),
        ("application/json", r#"{"entries":[]} x"#, None, Some(""), "not-a-roster"),
        ("application/json", r#"{"entries":[],"more":1}"#, None, Some(""), "not-a-roster"),
    ] {
        let found = codes(read(content_type, body));
        let expected = vec![(line, pointer.map(str::to_owned), code.to_owned())];
        assert_eq!(found, expected, "{content_type} {:.60}", body);
    }
    let gbk = b"entry_id,number,product_type,user_data.name\n1,13300000001,6,\xd5\xc5\xc8\xfd\n";
    let found = codes(read_in("text/csv", gbk, Options::default(), 5));
    assert_eq!(found, [(Some(2), None, "not-utf-8".to_owned())]);
    let read_as_gbk = read_in("text/csv; charset=gbk", gbk, Options::default(), 5);
    assert_eq!(file_lines(&prepared(read_as_gbk)), ["1,6,13300000001,,name:张三"]);
}

#[test]
fn what_is_skipped_and_what_is_fatal_follows_the_options() {
    let csv = "entry_id,number,product_type\ne1,13300000001,6\ne1,13300000002,6\ne2,bad,6\n";
    let outcome = |on_invalid, on_duplicate| {
        read_in("text/csv", csv.as_bytes(), Options { on_invalid, on_duplicate, dry_run: false }, usize::MAX)
    };
    assert_eq!(codes(outcome(OnInvalid::Reject, OnDuplicate::Skip)).len(), 2);
    let skipped = prepared(outcome(OnInvalid::Skip, OnDuplicate::Reject));
    assert_eq!((skipped.received, skipped.refused), (3, 2));
    assert_eq!(file_lines(&skipped), ["e1,6,13300000001"]);
    let allowed = prepared(outcome(OnInvalid::Skip, OnDuplicate::Allow));
    assert_eq!(file_lines(&allowed), ["e1,6,13300000001", "e1,6,13300000002"]);
    let only_duplicates = "entry_id,number,product_type\ne1,13300000001,6\ne1,13300000002,6\n";
    let options = Options { on_duplicate: OnDuplicate::Skip, ..Options::default() };
    let kept = prepared(read_in("text/csv", only_duplicates.as_bytes(), options, usize::MAX));
    assert_eq!((kept.received, kept.refused, file_lines(&kept).len()), (2, 1, 1));
}

#[test]
fn more_entries_than_allowed_stop_the_reading() {
    let mut csv = String::from("entry_id,number,product_type\n");
    for n in 0..1_001 {
        csv.push_str(&format!("e{n},13300000001,6\n"));
    }
    let found = codes(read("text/csv", &csv));
    assert_eq!(found, [(Some(1_002), None, "too-many-entries".to_owned())]);
}

/// What a field may hold; the vendor's separators often among it.
fn field() -> impl Strategy<Value = String> {
    prop::string::string_regex("[a-z0-9张三,:|\" \\-\n]{1,12}").unwrap()
}

proptest! {
    /// However fields are written, each line that reaches the vendor splits into what was meant.
    #[test]
    fn no_column_ever_shifts(rows in prop::collection::vec((field(), field(), field(), field()), 1..20)) {
        let mut csv = String::from("entry_id,number,product_type,customer_id,user_data.k\n");
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        for (at, (id, product, customer, value)) in rows.iter().enumerate() {
            let (id, number) = (quoted(&format!("{at}-{id}")), format!("133{at:08}"));
            csv.push_str(&format!("{id},{number},{},{},{}\n", quoted(product), quoted(customer), quoted(value)));
        }
        let options = Options { on_invalid: OnInvalid::Skip, ..Options::default() };
        let Outcome::Prepared(prepared) = read_in("text/csv", csv.as_bytes(), options, 11) else { return Ok(()) };
        for line in file_lines(&prepared) {
            let columns: Vec<&str> = line.split(',').collect();
            prop_assert!((3..=5).contains(&columns.len()), "{line}");
            let at: usize = columns[2][3..].parse().unwrap();
            let (id, product, customer, value) = &rows[at];
            let expected = if value.trim().is_empty() { String::new() } else { format!("k:{}", value.trim()) };
            prop_assert_eq!(columns[0], format!("{at}-{id}").trim().to_owned());
            prop_assert_eq!(columns[1], product.trim());
            prop_assert_eq!(columns.get(3).copied().unwrap_or(""), customer.trim());
            prop_assert_eq!(columns.get(4).copied().unwrap_or(""), expected);
        }
        let carried: u64 = prepared.parts.iter().map(|part| u64::from(part.entries)).sum();
        prop_assert_eq!(carried + prepared.refused, prepared.received);
    }

    /// Nothing panics, whatever comes.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), form in 0..4_usize, chunk in 1..50_usize) {
        let forms = ["text/csv", "text/csv; header=absent; charset=gbk", "application/x-ndjson", "application/json"];
        read_in(forms[form], &bytes, Options::default(), chunk);
    }
}
