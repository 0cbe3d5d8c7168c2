//! Call records by the vendor's search: every page once, whatever the vendor's marks do.

use outdial_simulator::{Ending, Faults, Vendor};
use outdial_tests::{
    client::Client,
    gateway::TestGateway,
    on_every_store,
    schema::assert_fits,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    tokens::{ALL_SCOPES, claims, now, shared_key, sign},
};
use serde_json::{Value, json};

use crate::{bodies::results, pages::walk};

on_every_store!(a_search_is_walked_to_its_end, a_cursor_belongs_to_its_query);

fn setup(store: Backend, calls: usize) -> Setup {
    Setup::new(store).vendors(|vendors| vendors.icsoc.calls = calls)
}

fn faults() -> Faults {
    Faults { vendor: Some(Vendor::Icsoc), path_prefix: Some("/api".to_owned()), ..Faults::default() }
}

fn call_ids(records: &[Value]) -> Vec<String> {
    records.iter().map(|record| record["call_id"].as_str().unwrap().to_owned()).collect()
}

async fn a_search_is_walked_to_its_end(store: Backend) {
    for ending in [Ending::LastCallId, Ending::Null, Ending::EmptyText, Ending::EmptyResults] {
        let gateway =
            TestGateway::start(setup(store, 230).vendors(|vendors| vendors.icsoc.ending = ending)).await;
        let client = gateway.client();
        let records = walk(&client, "/v1/call-records", "?account=ic-1&limit=50").await;
        assert_eq!(call_ids(&records), gateway.control().call_ids(), "{ending:?}");
        assert!(records.iter().all(|record| record["received_via"] == "search" && record["raw"].is_null()));
        let stats = gateway.control().stats().icsoc;
        assert!(stats.searches <= 6 && stats.token_fetches == 1, "{stats:?}");
        let all = walk(&client, "/v1/call-records", "?account=ic-1&source=vendor&limit=1000").await;
        assert_eq!(call_ids(&all), call_ids(&records));
        gateway.finish().await;
    }
}

#[tokio::test]
async fn a_repeated_mark_ends_the_walk_with_a_warning() {
    let gateway = TestGateway::start(setup(Backend::Sqlite, 50)).await;
    gateway.control().set_faults(Faults { repeat_mark: true, ..faults() });
    let (mut target, mut pages, mut warnings) =
        ("/v1/call-records?account=ic-1&limit=10".to_owned(), 0, Vec::new());
    loop {
        let page = gateway.client().read(&target).await;
        pages += 1;
        assert!(pages < 10, "the walk has no end");
        warnings.extend(page["warnings"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => target = format!("/v1/call-records?account=ic-1&limit=10&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(warnings.len(), 1);
    assert_eq!((&warnings[0]["code"], &warnings[0]["account"]), (&json!("repeated-mark"), &json!(ICSOC)));
    gateway.finish().await;
}

#[tokio::test]
async fn several_accounts_come_one_after_the_other() {
    let gateway = TestGateway::start(setup(Backend::Sqlite, 25)).await;
    gateway.push(WELLCLOUD, results(25)).await;
    let records = walk(&gateway.client(), "/v1/call-records", "?limit=10").await;
    let accounts: Vec<&str> = records.iter().map(|record| record["account"].as_str().unwrap()).collect();
    assert_eq!(accounts, [[ICSOC; 25], [WELLCLOUD; 25]].concat());
    let narrow = gateway.client_with(ALL_SCOPES, &[WELLCLOUD]);
    assert_eq!(walk(&narrow, "/v1/call-records", "").await.len(), 25);
    gateway.finish().await;
}

#[tokio::test]
async fn the_vendor_searches_by_the_same_filters() {
    let gateway = TestGateway::start(setup(Backend::Sqlite, 120)).await;
    let client = gateway.client();
    let all = walk(&client, "/v1/call-records", "?account=ic-1").await;
    let one = &all[60];
    let text = |name: &str| one[name].as_str().unwrap().to_owned();
    for (name, value) in [
        ("campaign_id", text("campaign_id")),
        ("task_id", text("task_id")),
        ("call_id", text("call_id")),
        ("caller", text("caller")),
        ("called", text("called")),
        ("outcome", text("outcome")),
        ("disposition", text("disposition")),
        ("ended_by", text("ended_by")),
    ] {
        let wanted: Vec<Value> = all.iter().filter(|record| record[name] == value).cloned().collect();
        let found = walk(&client, "/v1/call-records", &format!("?account=ic-1&limit=7&{name}={value}")).await;
        assert_eq!(call_ids(&found), call_ids(&wanted), "{name}={value}");
        assert!(!found.is_empty() && found.len() < all.len(), "{name} is no filter");
    }
    let (from, to) = (all[40]["started_at"].as_str().unwrap(), all[80]["started_at"].as_str().unwrap());
    let within = |record: &&Value| (from..=to).contains(&record["started_at"].as_str().unwrap());
    let wanted: Vec<Value> = all.iter().filter(within).cloned().collect();
    let range = format!("?account=ic-1&started_from={from}&started_to={to}");
    assert_eq!(call_ids(&walk(&client, "/v1/call-records", &range).await), call_ids(&wanted));
    gateway.finish().await;
}

async fn a_cursor_belongs_to_its_query(store: Backend) {
    let gateway = TestGateway::start(setup(store, 30)).await;
    let target = "/v1/call-records?account=ic-1&limit=10";
    let first = gateway.client().read(target).await;
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let refused = async |client: &Client, query: &str, code: &str| {
        client.get(&format!("/v1/call-records?cursor={query}")).send().await.expect_problem(400, code);
    };
    let client = gateway.client();
    for query in
        ["", "&account=ic-1&disposition=connected", "&account=ic-1&include=raw", "&account=ic-1&source=store"]
    {
        refused(&client, &format!("{cursor}{query}"), "cursor-mismatch").await;
    }
    let narrow = gateway.client_with(ALL_SCOPES, &[WELLCLOUD]);
    refused(&narrow, &cursor, "cursor-mismatch").await;
    for unknown in ["cur_00000000000000000000000000000000", "1", "%27%20or%201", &"c".repeat(256)] {
        refused(&client, &format!("{unknown}&account=ic-1"), "invalid-cursor").await;
    }
    // It may be used twice, by pages of another size, and by the next gateway.
    let gateway = gateway.restart().await;
    for limit in [3, 7] {
        let page = gateway
            .client()
            .read(&format!("/v1/call-records?account=ic-1&limit={limit}&cursor={cursor}"))
            .await;
        let ids = gateway.control().call_ids()[10..10 + limit].to_vec();
        assert_eq!(call_ids(page["data"].as_array().unwrap()), ids);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_cursor_lives_for_a_day() {
    let gateway = TestGateway::start(setup(Backend::Sqlite, 30)).await;
    let first = gateway.client().read("/v1/call-records?account=ic-1&limit=10").await;
    let target = format!("/v1/call-records?account=ic-1&cursor={}", first["next_cursor"].as_str().unwrap());
    let mut world = gateway.stop().await;
    for (hours, status) in [(23, 200), (25, 400)] {
        let gateway = TestGateway::start_later(world, std::time::Duration::from_secs(hours * 3_600)).await;
        let mut claims = claims(ALL_SCOPES, &["*"]);
        let issued = now() + i64::try_from(hours).unwrap() * 3_600;
        (claims["iat"], claims["exp"]) = (json!(issued), json!(issued + 600));
        let client =
            gateway.client_holding(Some(sign(&jsonwebtoken::Header::default(), &claims, &shared_key())));
        assert_eq!(client.get(&target).send().await.status, status, "after {hours} hours");
        world = gateway.stop().await;
    }
}

#[tokio::test]
async fn what_the_vendor_says_instead_is_mapped() {
    let setup = setup(Backend::Sqlite, 30).set("ACCOUNTS__1__TIMEOUT", "400ms");
    let gateway = TestGateway::start(setup).await;
    let client = gateway.client();
    client.read("/v1/call-records?account=ic-1").await;
    for (faults, status, code) in [
        (Faults { code_nonzero: Some(10_001), ..faults() }, 502, "upstream-rejected"),
        (Faults { html_answer: true, ..faults() }, 502, "upstream-protocol"),
        (Faults { cut_body: true, ..faults() }, 502, "upstream-protocol"),
        (Faults { status: Some(500), ..faults() }, 503, "upstream-unavailable"),
        (Faults { status: Some(403), ..faults() }, 502, "upstream-auth"),
        (Faults { hang_up: true, ..faults() }, 503, "upstream-unavailable"),
        (Faults { delay_ms: 2_000, ..faults() }, 504, "upstream-timeout"),
    ] {
        gateway.control().set_faults(faults.clone());
        for path in
            ["/v1/call-records?account=ic-1", "/v1/call-records/ic-1/6800000000000000000?source=vendor"]
        {
            let problem = client.get(path).send().await.expect_problem(status, code);
            assert_eq!(problem["upstream"]["account"], ICSOC, "{faults:?}");
        }
        // A success between them keeps the circuit closed.
        gateway.control().set_faults(self::faults());
        client.read("/v1/call-records?account=ic-1").await;
    }
    gateway.control().set_faults(Faults { huge_body_bytes: 32 << 20, ..faults() });
    let answer = client.get("/v1/call-records?account=ic-1").send().await;
    assert!([502, 504].contains(&answer.status.as_u16()), "a huge answer is not taken: {}", answer.text());
    gateway.control().set_faults(faults());
    assert_eq!(client.read("/v1/accounts/ic-1").await["state"], "unavailable");
    client.read("/v1/call-records?account=ic-1").await;
    assert_eq!(client.read("/v1/accounts/ic-1").await["state"], "ok");
    gateway.control().set_faults(Faults { status: Some(429), ..faults() });
    for _ in 0..2 {
        let answer = client.get("/v1/call-records?account=ic-1").send().await;
        answer.expect_problem(429, "upstream-rate-limited");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_token_that_is_taken_no_longer_is_renewed_once() {
    let gateway = TestGateway::start(setup(Backend::Sqlite, 30)).await;
    let client = gateway.client();
    gateway.control().set_faults(Faults { reject_token_once: true, ..faults() });
    client.read("/v1/call-records?account=ic-1").await;
    assert_eq!(gateway.control().stats().icsoc.token_fetches, 2);
    gateway.finish().await;

    let gateway = TestGateway::start(setup(Backend::Sqlite, 30)).await;
    gateway.control().set_faults(Faults { status: Some(401), ..faults() });
    for _ in 0..3 {
        let answer = gateway.client().get("/v1/call-records?account=ic-1").send().await;
        let problem = answer.expect_problem(502, "upstream-auth");
        assert_eq!(problem["upstream"]["account"], ICSOC);
        assert_eq!(gateway.control().stats().icsoc.token_fetches, 2, "no more until some time has passed");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_vendor_without_a_search_cannot_be_asked() {
    let gateway = TestGateway::start(setup(Backend::Sqlite, 1)).await;
    let client = gateway.client();
    for target in [
        "/v1/call-records?source=vendor",
        "/v1/call-records?source=vendor&account=wc-1",
        "/v1/call-records/wc-1/call-00001?source=vendor",
    ] {
        client.get(target).send().await.expect_problem(422, "unsupported-by-vendor");
    }
    client.get("/v1/call-records/wc-1/call-00001").send().await.expect_problem(404, "not-found");
    gateway.finish().await;
}

#[tokio::test]
async fn one_record_is_read_from_the_store_or_else_from_the_vendor() {
    let gateway = TestGateway::start(setup(Backend::Sqlite, 5)).await;
    let (client, ids) = (gateway.client(), gateway.control().call_ids());
    let path = format!("/v1/call-records/ic-1/{}", ids[2]);
    let found = client.read(&path).await;
    assert_eq!((&found["call_id"], &found["received_via"]), (&json!(ids[2]), &json!("search")));
    client.get(&format!("{path}?source=store")).send().await.expect_problem(404, "not-found");
    gateway.connect_pushes();
    assert!(gateway.control().push_icsoc_again(&ids[2]));
    gateway.control().settled().await;
    let searches = gateway.control().stats().icsoc.searches;
    assert_eq!(client.read(&path).await["received_via"], "push");
    assert_eq!(gateway.control().stats().icsoc.searches, searches, "the store knows it");
    let raw = client.read(&format!("{path}?source=vendor&include=raw")).await;
    assert_eq!((&raw["received_via"], &raw["raw"]["callId"]), (&json!("search"), &json!(ids[2])));
    assert_fits("CallRecord", &raw);
    client.get("/v1/call-records/ic-1/1").send().await.expect_problem(404, "not-found");
    gateway.finish().await;
}
