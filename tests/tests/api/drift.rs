//! Vendors that leave their documents: it is told, added up over replicas, and kept.

use outdial_tests::{
    client::Client,
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    waiting::eventually,
};
use serde_json::{Value, json};
use tokio::join;

use crate::{
    bodies::{call, envelope, result},
    raw_vendor::RawVendor,
};

on_every_store!(what_no_document_has_is_told);

/// Results with a field and a code that no document has.
fn odd_results(begin: usize, count: usize) -> String {
    let odd = |index| {
        let mut result = result(index);
        result["mood"] = json!("Call 13300001234!");
        result["state"] = json!(77);
        result
    };
    (begin..begin + count).map(odd).collect::<Value>().to_string()
}

fn odd_call(id: &str) -> String {
    let data = call(id).replace("\"callresult\":\"0\"", "\"callresult\":\"8\",\"weather\":{\"sky\":3}");
    envelope("1", &data)
}

async fn drift(client: &Client, account: &str) -> Vec<Value> {
    let page = client.read(&format!("/v1/accounts/{account}/drift")).await;
    page["data"].as_array().unwrap().clone()
}

/// The one of a kind that has this name.
fn of<'a>(list: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<&Value> = list.iter().filter(|one| one["kind"] == kind && one["name"] == name).collect();
    assert_eq!(found.len(), 1, "{kind} {name} in {list:#?}");
    found[0]
}

async fn what_no_document_has_is_told(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    assert!(drift(&gateway.client(), WELLCLOUD).await.is_empty());
    assert_eq!(gateway.push(WELLCLOUD, odd_results(0, 3)).await.status, 200);
    assert_eq!(gateway.push(ICSOC, odd_call("odd-1")).await.status, 200);
    let check = async |gateway: &TestGateway, count: u64| {
        let list = drift(&gateway.client(), WELLCLOUD).await;
        let mood = of(&list, "field", "mood");
        assert_eq!(
            (&mood["count"], &mood["code"], &mood["source"]),
            (&count.into(), &Value::Null, &"push".into())
        );
        assert_eq!(mood["sample"], "\"Aaaa 99999999999!\"");
        let state = of(&list, "code", "state");
        assert_eq!((&state["count"], &state["code"]), (&count.into(), &"77".into()));
        assert_eq!(list.len(), 2, "each account has its own");
        assert!(mood["first_seen_at"].as_str() <= mood["last_seen_at"].as_str());
        mood["first_seen_at"].clone()
    };
    let since = check(&gateway, 3).await;
    let list = drift(&gateway.client(), ICSOC).await;
    assert_eq!(of(&list, "field", "weather")["sample"], "{\"aaa\":9}");
    assert_eq!(of(&list, "code", "callresult")["code"], "8");
    assert_eq!(list.len(), 2);

    let gateway = gateway.restart().await;
    assert_eq!(check(&gateway, 3).await, since, "a restart forgets nothing");
    assert_eq!(gateway.push(WELLCLOUD, odd_results(10, 2)).await.status, 200);
    assert_eq!(check(&gateway, 5).await, since, "what comes later is added to it");
    gateway.finish().await;
}

#[tokio::test]
async fn what_two_replicas_see_adds_up() {
    let one = TestGateway::start(Setup::new(Backend::Redis)).await;
    let two = TestGateway::start_in(one.world.clone()).await;
    assert_eq!(one.push(WELLCLOUD, odd_results(0, 3)).await.status, 200);
    assert_eq!(two.push(WELLCLOUD, odd_results(10, 4)).await.status, 200);
    for gateway in [&one, &two] {
        eventually("both count for both", async || {
            let list = drift(&gateway.client(), WELLCLOUD).await;
            (of(&list, "field", "mood")["count"] == 7 && of(&list, "code", "state")["count"] == 7)
                .then_some(())
        })
        .await;
    }
    two.stop().await;
    let list = drift(&one.client(), WELLCLOUD).await;
    assert_eq!(of(&list, "field", "mood")["count"], 7, "who stops adds nothing twice");
    one.finish().await;
}

#[tokio::test]
async fn searches_are_told_from_pushes() {
    let (vendor, url) = RawVendor::alone().await;
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite).set("ACCOUNTS__1__BASE_URL", &url)).await;
    let page = json!({
        "code": 0, "message": "ok", "request_id": "r", "data": {
            "results": [{ "callId": "s-1", "callresult": "2", "aurora": [1, "13300001234"] }], "searchAfter": "",
        },
    })
    .to_string();
    let said = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{page}",
        page.len()
    );
    let target = format!("/v1/call-records?account={ICSOC}&source=vendor");
    let client = gateway.client();
    let (records, _) = join!(client.read(&target), vendor.answer(&said));
    assert_eq!(records["data"][0]["call_id"], "s-1", "{records:#}");
    let list = drift(&client, ICSOC).await;
    let aurora = of(&list, "field", "aurora");
    assert_eq!((&aurora["source"], &aurora["sample"]), (&"search".into(), &"[9,\"99999999999\"]".into()));
    gateway.finish().await;
}
