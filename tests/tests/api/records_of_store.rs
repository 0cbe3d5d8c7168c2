//! Call records of the store: newest first over all accounts, filtered, masked, and streamed.

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    client::Client,
    gateway::TestGateway,
    on_every_store,
    schema::{DOCUMENT, assert_fits, resolve},
    secrets::find_number,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    tokens::ALL_SCOPES,
    waiting::soon,
};
use serde_json::{Value, json};

use crate::{
    bodies::{result, results},
    pages::{stored, walk},
    uploads::{CSV, csv, upload},
};

on_every_store!(
    the_newest_come_first_over_all_accounts,
    every_filter_narrows,
    numbers_are_masked_without_the_scope_for_them
);

/// A gateway whose store has results of WellCloud, with numbers of their entries, and calls of ICSOC.
async fn start(store: Backend) -> TestGateway {
    let gateway = TestGateway::start(Setup::new(store).vendors(|vendors| vendors.icsoc.calls = 0)).await;
    upload(&gateway.client(), "", CSV, csv(60)).await.expect(201);
    gateway.connect_pushes();
    gateway.control().seed_calls(60);
    gateway.control().flush_hour();
    soon("all is pushed", gateway.control().settled()).await;
    gateway.push(WELLCLOUD, results(20)).await;
    gateway
}

/// When a record's call began, or else when the record came, with milliseconds, so that the text sorts like the time.
fn moment(record: &Value) -> String {
    let text = record["started_at"].as_str().or(record["received_at"].as_str()).unwrap();
    if text.contains('.') { text.to_owned() } else { text.replace('Z', ".000Z") }
}

async fn the_newest_come_first_over_all_accounts(store: Backend) {
    let gateway = start(store).await;
    let all = stored(&gateway).await;
    assert!(all.len() > 120);
    assert!(all.is_sorted_by(|newer, older| moment(newer) >= moment(older)));
    for account in [ICSOC, WELLCLOUD] {
        assert!(all.iter().any(|record| record["account"] == account));
        let wanted: Vec<Value> = all.iter().filter(|record| record["account"] == account).cloned().collect();
        assert_eq!(
            walk(&gateway.client(), "/v1/call-records", &format!("?source=store&account={account}")).await,
            wanted
        );
    }
    assert_eq!(walk(&gateway.client(), "/v1/call-records", "?source=store&limit=7").await, all);
    let narrow = gateway.client_with(ALL_SCOPES, &[ICSOC]);
    assert!(
        walk(&narrow, "/v1/call-records", "?source=store")
            .await
            .iter()
            .all(|record| record["account"] == ICSOC)
    );
    gateway.finish().await;
}

async fn every_filter_narrows(store: Backend) {
    let gateway = start(store).await;
    let (client, all) = (gateway.client(), stored(&gateway).await);
    let find = async |query: &str| {
        walk(&client, "/v1/call-records", &format!("?source=store&limit=9&{query}")).await
    };
    for name in [
        "campaign_id",
        "task_id",
        "call_id",
        "caller",
        "called",
        "roster_entry_id",
        "outcome",
        "disposition",
        "ended_by",
    ] {
        let value = all.iter().find_map(|record| record[name].as_str()).unwrap();
        let wanted: Vec<Value> = all.iter().filter(|record| record[name] == value).cloned().collect();
        assert!(wanted.len() < all.len(), "{name} is no filter");
        assert_eq!(find(&format!("{name}={value}")).await, wanted, "{name}={value}");
    }
    let (to, from) = (moment(&all[30]), moment(&all[90]));
    let within = |record: &&Value| (&from..=&to).contains(&&moment(record));
    let wanted: Vec<Value> = all.iter().filter(within).cloned().collect();
    assert_eq!(find(&format!("started_from={from}&started_to={to}")).await, wanted, "both ends count");
    gateway.finish().await;
}

/// Every number that an answer shows.
fn assert_masked(text: &str) {
    assert_eq!(find_number(text), None, "{text}");
    assert!(text.contains("****"), "nothing is masked: {text}");
}

async fn numbers_are_masked_without_the_scope_for_them(store: Backend) {
    let gateway = start(store).await;
    let poor = gateway.client_with("records:read events:read", &["*"]);
    for target in [
        "/v1/call-records?source=store&limit=1000",
        "/v1/call-records?source=store&limit=1000&include=raw",
        "/v1/call-records?account=ic-1&limit=1000",
        "/v1/call-records?account=ic-1&limit=1000&include=raw",
        "/v1/events?limit=1000",
    ] {
        assert_masked(&poor.get(target).send().await.text());
    }
    for media_type in ["application/x-ndjson", "text/csv"] {
        let answer = poor.get("/v1/call-records?source=store&include=raw").accept(media_type).send().await;
        assert_masked(&answer.text());
    }
    let ids: Vec<Value> = stored(&gateway).await;
    let one = ids.iter().find(|record| record["called"].is_string()).unwrap();
    let path = format!("/v1/call-records/{}?include=raw", one["id"].as_str().unwrap());
    assert_masked(&poor.get(&path).send().await.text());
    let full = gateway.client().read(&path).await;
    assert_eq!(full["called"], one["called"]);
    let shown = poor.read(&path).await["called"].as_str().unwrap().to_owned();
    let (number, length) = (one["called"].as_str().unwrap(), shown.len());
    assert_eq!((&shown[..3], &shown[length - 4..]), (&number[..3], &number[number.len() - 4..]));
    // Who may not see a number may still ask for it: they know it already.
    let asked = format!("/v1/call-records?source=store&called={number}");
    assert_eq!(
        poor.read(&asked).await["data"].as_array().unwrap().len(),
        gateway.client().read(&asked).await["data"].as_array().unwrap().len()
    );
    gateway.finish().await;
}

async fn lines(client: &Client, target: &str) -> Vec<Value> {
    let answer = client.get(target).accept("application/x-ndjson").send().await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn ndjson_streams_every_page() {
    let gateway = start(Backend::Sqlite).await;
    // What is sent over several lines is one line still.
    gateway.push(WELLCLOUD, serde_json::to_string_pretty(&json!([result(900)])).unwrap()).await;
    let target = "/v1/call-records?source=store&include=raw&call_id=call-00900";
    assert_eq!(lines(&gateway.client(), target).await[0]["raw"], result(900));
    let all = stored(&gateway).await;
    let streamed = lines(&gateway.client(), "/v1/call-records?source=store&limit=10").await;
    assert_eq!(streamed, all);
    streamed.iter().for_each(|record| assert_fits("CallRecord", record));
    let found = lines(&gateway.client(), "/v1/call-records?account=ic-1&limit=10&include=raw").await;
    assert_eq!(found.len(), gateway.control().call_ids().len());
    assert!(found.iter().all(|record| record["raw"].is_object()));
    assert_eq!(
        lines(&gateway.client(), "/v1/call-records?source=store&call_id=none").await,
        Vec::<Value>::new()
    );
    gateway.finish().await;
}

/// The names of the columns, from the schema of a record.
fn columns() -> Vec<String> {
    let record = &DOCUMENT["components"]["schemas"]["CallRecord"];
    let mut columns = Vec::new();
    for (name, schema) in record["properties"].as_object().unwrap() {
        let schema = resolve(schema);
        let object = schema["oneOf"].as_array().map_or(schema, |choices| resolve(&choices[0]));
        match object["properties"].as_object() {
            Some(members) => columns.extend(members.keys().map(|member| format!("{name}.{member}"))),
            None => columns.push(name.clone()),
        }
    }
    columns
}

/// Rows of CSV (RFC 4180).
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            letter => field.push(letter),
        }
    }
    assert!(row.is_empty() && field.is_empty(), "the last row has no end");
    rows
}

#[tokio::test]
async fn csv_streams_every_page_in_the_columns_of_the_schema() {
    let gateway = start(Backend::Sqlite).await;
    let mut formula = result(99);
    formula["failMsg"] = json!("=HYPERLINK(\"http://x\",\"y\")");
    gateway.push(WELLCLOUD, json!([formula]).to_string()).await;
    let all = stored(&gateway).await;
    let (mut with_raw, mut plain) = (columns(), columns());
    plain.retain(|column| column != "raw");
    with_raw.sort_by_key(|column| column == "raw");
    for (query, columns) in [("", plain), ("&include=raw", with_raw)] {
        let target = format!("/v1/call-records?source=store&limit=10{query}");
        let answer = gateway.client().get(&target).accept("text/csv").send().await;
        let rows = read_csv(&answer.text());
        let header: std::collections::BTreeSet<&String> = rows[0].iter().collect();
        assert_eq!(header, columns.iter().collect());
        assert_eq!(rows.len(), all.len() + 1);
        for (row, record) in rows[1..].iter().zip(&all) {
            assert_eq!(row.len(), rows[0].len());
            let at = |name: &str| &row[rows[0].iter().position(|column| column == name).unwrap()];
            assert_eq!(*at("id"), record["id"].as_str().unwrap());
            assert_eq!(*at("agent.id"), record["agent"]["id"].as_str().unwrap_or_default());
            assert_eq!(
                *at("round"),
                record["round"].as_u64().map(|round| round.to_string()).unwrap_or_default()
            );
            assert_eq!(*at("called"), record["called"].as_str().unwrap_or_default());
            assert!(!row.iter().any(|field| field.starts_with(['=', '+', '-', '@'])), "{row:?}");
            if record["call_id"] == "call-00099" {
                assert_eq!(at("vendor_codes.message"), "'=HYPERLINK(\"http://x\",\"y\")");
            }
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_stream_that_fails_in_the_middle_does_not_look_whole() {
    let setup = Setup::new(Backend::Sqlite).vendors(|vendors| vendors.icsoc.calls = 30_000);
    let gateway = TestGateway::start(setup).await;
    let broken = Faults { vendor: Some(Vendor::Icsoc), status: Some(500), ..Faults::default() };
    let open = async |media_type: &str| {
        let call = gateway.client().get("/v1/call-records?account=ic-1&limit=100").accept(media_type);
        let mut response = call.open().await;
        let first = response.chunk().await.unwrap().unwrap();
        gateway.control().set_faults(broken.clone());
        (first, response)
    };
    let (first, mut response) = open("application/x-ndjson").await;
    let mut text = first.to_vec();
    while let Some(chunk) = soon("the stream", response.chunk()).await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    let last: Value = serde_json::from_str(String::from_utf8(text).unwrap().lines().last().unwrap()).unwrap();
    assert_eq!(last["problem"]["code"], "upstream-unavailable", "{last:#}");
    assert_fits("Problem", &last["problem"]);
    gateway.control().set_faults(Faults::default());
    let (_, mut response) = open("text/csv").await;
    let end = loop {
        match soon("the stream", response.chunk()).await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_err(), "the body of a stream that failed has an end like any other");
    gateway.finish().await;
}
