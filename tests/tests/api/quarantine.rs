//! What could not be read: kept whole, listed, read, taken once more, removed.

use base64::{Engine, engine::general_purpose::STANDARD};
use encoding_rs::GBK;
use outdial_tests::{
    client::Client,
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, ICSOC, Setup, WELLCLOUD, World},
    tokens::ALL_SCOPES,
};
use serde_json::{Value, json};

use crate::{
    bodies::{call, envelope, result, results},
    pages::{quarantined, record_events, stored, walk},
};

on_every_store!(
    one_bad_record_costs_none_of_its_neighbours,
    items_are_listed_read_replayed_and_removed,
    all_items_are_replayed_in_order_by_pages,
);

/// The bytes behind a member `raw`.
pub fn decode(raw: &Value) -> Vec<u8> {
    STANDARD.decode(raw.as_str().unwrap()).unwrap()
}

/// A push of so many results with something else in the middle.
fn with_broken(count: usize, broken: &str) -> String {
    let mut parts: Vec<String> = (0..count).map(|index| result(index).to_string()).collect();
    parts.insert(count / 2, broken.to_owned());
    format!("[{}]", parts.join(","))
}

async fn one_bad_record_costs_none_of_its_neighbours(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let reply = gateway.push(WELLCLOUD, with_broken(999, r#""not a record""#)).await;
    assert_eq!(reply.body, json!({ "code": 0, "stored": 999, "duplicate": 0, "quarantined": 1 }));
    assert_eq!((stored(&gateway).await.len(), record_events(&gateway).await.len()), (999, 999));
    let items = quarantined(&gateway).await;
    assert_eq!(items.len(), 1);
    let item = gateway
        .client()
        .read(&format!("/v1/quarantine/{}?include=raw", items[0]["id"].as_str().unwrap()))
        .await;
    assert_eq!((decode(&item["raw"]), &item["bytes"]), (br#""not a record""#.to_vec(), &json!(14)));
    assert_eq!((&item["account"], &item["reason"]["code"]), (&json!(WELLCLOUD), &json!("not_an_object")));

    // More than the vendor's thousand are taken too.
    let reply = gateway.push(WELLCLOUD, results(1_001)).await;
    assert_eq!(reply.body, json!({ "code": 0, "stored": 2, "duplicate": 999, "quarantined": 0 }));
    gateway.finish().await;
}

#[tokio::test]
async fn whatever_wellcloud_sends_is_answered_200_and_kept() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let deep = format!(r#"[{{"callId":"deep","x":{}1{}}}]"#, "[".repeat(100_000), "]".repeat(100_000));
    for (body, stored, quarantined) in [
        ("[]", 0, 0),
        ("[null,1,\"x\",[]]", 0, 4),
        ("{}", 1, 0),
        ("null", 0, 1),
        ("", 0, 1),
        ("not json", 0, 1),
        ("[1,2", 0, 1),
        ("[] trailing", 0, 1),
        (deep.as_str(), 0, 1),
    ] {
        let reply = gateway.push(WELLCLOUD, body.to_owned()).await;
        let shown: String = body.chars().take(40).collect();
        assert_eq!(reply.status, 200, "{shown}");
        assert_eq!(
            (&reply.body["stored"], &reply.body["quarantined"]),
            (&json!(stored), &json!(quarantined)),
            "{shown}"
        );
    }
    let single = gateway.push(WELLCLOUD, result(1).to_string()).await;
    assert_eq!(single.body["stored"], 1, "one object instead of an array is one result");
    let mut named = result(2);
    named["failMsg"] = json!("线路异常");
    let gbk = GBK.encode(&json!([named]).to_string()).0.into_owned();
    assert_eq!(gateway.push(WELLCLOUD, gbk).await.body["stored"], 1, "GBK is read");
    let record = gateway.client().read("/v1/call-records/wc-1/call-00002").await;
    assert_eq!(record["vendor_codes"]["message"], "线路异常");
    let bom = format!("\u{feff}{}", json!([result(3)]));
    assert_eq!(gateway.push(WELLCLOUD, bom).await.body["stored"], 1, "and so is a byte order mark");
    let surrogate = with_broken(10, r#"{"callId":"x","id":"e-1","state":0,"failMsg":"\ud800"}"#);
    let reply = gateway.push(WELLCLOUD, surrogate).await.body;
    assert_eq!(sum(&reply), 11, "{reply}");
    gateway.finish().await;
}

fn sum(reply: &Value) -> u64 {
    ["stored", "duplicate", "quarantined"].iter().map(|name| reply[name].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn authentic_pushes_of_icsoc_that_cannot_be_read_are_kept() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    for (kind, data) in [
        ("3", call("1")),
        ("\"1\"", "[]".to_owned()),
        ("1", "null".to_owned()),
        ("1", "\"bm90IGpzb24=\"".to_owned()),
    ] {
        let body = match data.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            // What is signed of encrypted data is the text without its quotes.
            Some(text) => envelope(kind, &data).replace(
                &crate::bodies::sign(&data, outdial_tests::secrets::PUSH_SECRET),
                &crate::bodies::sign(text, outdial_tests::secrets::PUSH_SECRET),
            ),
            None => envelope(kind, &data),
        };
        let reply = gateway.push(ICSOC, body.clone()).await;
        assert_eq!((reply.status, &reply.body["code"]), (200, &json!(0)), "{body}");
    }
    let items = quarantined(&gateway).await;
    assert_eq!(items.len(), 4, "{items:?}");
    assert_eq!(items[3]["reason"]["code"], "unknown_type");
    let asked = gateway.push(ICSOC, envelope("2", r#"{"called":"13300004321"}"#)).await;
    assert_eq!(
        asked.body,
        json!({ "code": 0, "message": "", "data": { "reject": [] } }),
        "no call is forbidden"
    );
    assert_eq!(stored(&gateway).await, Vec::<Value>::new());
    gateway.finish().await;
}

async fn items_are_listed_read_replayed_and_removed(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let client = gateway.client();
    gateway.push(WELLCLOUD, "[1,2,3]").await;
    gateway.push(ICSOC, envelope("9", &call("1"))).await;
    gateway.push(WELLCLOUD, "not json").await;
    let all = quarantined(&gateway).await;
    assert_eq!(all.len(), 5);
    assert_eq!(all[0]["reason"]["code"], "not_json", "newest first");
    assert_eq!(walk(&client, "/v1/quarantine", "?limit=2").await, all);
    let of = async |query: &str| walk(&client, "/v1/quarantine", query).await.len();
    assert_eq!((of("?account=ic-1").await, of("?reason=not_an_object").await), (1, 3));
    assert_eq!((of("?account=wc-1&reason=unknown_type").await, of("?reason=nothing").await), (0, 0));

    let path = format!("/v1/quarantine/{}", all[0]["id"].as_str().unwrap());
    assert_eq!(client.read(&path).await, all[0]);
    assert_eq!(decode(&client.read(&format!("{path}?include=raw")).await["raw"]), b"not json");
    let stranger = gateway.client_with(ALL_SCOPES, &[ICSOC]);
    stranger.get(&path).send().await.expect_problem(404, "not-found");
    stranger.call("DELETE", &path).send().await.expect_problem(404, "not-found");
    stranger.call("POST", &format!("{path}/replay")).send().await.expect_problem(404, "not-found");
    assert_eq!(walk(&stranger, "/v1/quarantine", "").await.len(), 1);

    let replayed = client.call("POST", &format!("{path}/replay")).send().await.expect(200);
    assert_eq!((&replayed["quarantined"], &replayed["removed"]), (&json!(1), &json!(false)));
    assert_eq!(quarantined(&gateway).await, all, "what is still unreadable stays as it was");
    let gateway = gateway.restart().await;
    let client = gateway.client();
    let removed = client.call("DELETE", &path).send().await;
    assert_eq!((removed.status.as_u16(), removed.body.as_slice()), (204, &b""[..]));
    client.get(&path).send().await.expect_problem(404, "not-found");
    client.call("DELETE", &path).send().await.expect_problem(404, "not-found");
    assert_eq!(quarantined(&gateway).await, all[1..]);
    gateway.finish().await;
}

async fn all_items_are_replayed_in_order_by_pages(store: Backend) {
    const OTHER: &str = "anotherSecret0123456789abcdefghi";
    let gateway = TestGateway::start(Setup::new(store)).await;
    for n in 0..5 {
        // The last comes twice: the second one is known by then.
        let data = call(&n.min(3).to_string());
        let [ours, other] =
            [outdial_tests::secrets::PUSH_SECRET, OTHER].map(|key| crate::bodies::sign(&data, key));
        assert_eq!(gateway.push(ICSOC, envelope("1", &data).replace(&ours, &other)).await.status, 401);
    }
    gateway.push(WELLCLOUD, "[1,2]").await;
    let mut ids: Vec<Value> = quarantined(&gateway).await.iter().map(|item| item["id"].clone()).collect();
    ids.reverse();
    let world = gateway.stop().await;
    world.set("ACCOUNTS__1__PUSH_SECRETS__1", OTHER);
    let gateway = TestGateway::start_in(world).await;
    let client = gateway.client();
    let replay = async |client: &Client, query: &str| {
        client.call("POST", &format!("/v1/quarantine/replay{query}")).send().await.expect(200)
    };
    let foreign = replay(&gateway.client_with(ALL_SCOPES, &[WELLCLOUD]), "?reason=not_authentic").await;
    assert_eq!((&foreign["totals"]["items"], &foreign["next_cursor"]), (&json!(0), &Value::Null));

    let (mut seen, mut sums, mut query) = (Vec::new(), [0; 5], "?limit=2".to_owned());
    loop {
        let page = replay(&client, &query).await;
        seen.extend(page["data"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        for (sum, name) in sums.iter_mut().zip(["items", "removed", "stored", "duplicate", "quarantined"]) {
            *sum += page["totals"][name].as_u64().unwrap();
        }
        match page["next_cursor"].as_str() {
            Some(next) => query = format!("?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((&seen, sums), (&ids, [7, 5, 4, 1, 2]), "oldest first, each once");
    let left = quarantined(&gateway).await;
    assert!(left.len() == 2 && left.iter().all(|item| item["account"] == WELLCLOUD), "{left:?}");
    assert_eq!(record_events(&gateway).await.len(), 4);
    let cursor = replay(&client, "?limit=1&account=wc-1").await["next_cursor"].as_str().unwrap().to_owned();
    let other = client.call("POST", &format!("/v1/quarantine/replay?cursor={cursor}"));
    other.send().await.expect_problem(400, "cursor-mismatch");
    gateway.finish().await;
}

#[tokio::test]
async fn a_suspect_tells_which_secret_fits_and_is_taken_once_it_is_known() {
    const OTHER: &str = "anotherSecret0123456789abcdefghi";
    let world = World::new(Setup::new(Backend::Sqlite)).await;
    let gateway = TestGateway::start_in(world).await;
    let body = envelope("1", &call("7")).replace(
        &crate::bodies::sign(&call("7"), outdial_tests::secrets::PUSH_SECRET),
        &crate::bodies::sign(&call("7"), OTHER),
    );
    assert_eq!(gateway.push(ICSOC, body).await.status, 401);
    let items = quarantined(&gateway).await;
    let path = format!("/v1/quarantine/{}", items[0]["id"].as_str().unwrap());
    assert_eq!(gateway.client().read(&path).await.get("explanation"), None, "only who asks is told");
    let explained = async |gateway: &TestGateway| {
        gateway.client().read(&format!("{path}?explain=true")).await["explanation"].clone()
    };
    let refused =
        json!({ "verdict": "not_authentic", "secret": null, "proof": null, "step": "wrong_signature" });
    assert_eq!(explained(&gateway).await, refused);
    let replay = async |gateway: &TestGateway| {
        gateway.client().call("POST", &format!("{path}/replay")).send().await.expect(200)
    };
    assert_eq!(replay(&gateway).await["removed"], false);
    let steps = async |gateway: &TestGateway, step: &str| {
        gateway.metric("outdial_quarantine_steps_total", &[&format!("step=\"{step}\"")]).await
    };
    assert_eq!((steps(&gateway, "explained").await, steps(&gateway, "still_unreadable").await), (1.0, 1.0));

    let world = gateway.stop().await;
    world.set("ACCOUNTS__1__PUSH_SECRETS__1", OTHER);
    let gateway = TestGateway::start_in(world).await;
    let taken = json!({ "verdict": "authentic", "secret": 1, "proof": "raw_slice", "step": null });
    assert_eq!(explained(&gateway).await, taken);
    let replayed = replay(&gateway).await;
    assert_eq!((&replayed["stored"], &replayed["removed"]), (&json!(1), &json!(true)));
    assert_eq!((stored(&gateway).await.len(), quarantined(&gateway).await.len()), (1, 0));
    assert_eq!(steps(&gateway, "recovered").await, 1.0);
    gateway.finish().await;
}

#[tokio::test]
async fn a_record_that_is_an_empty_list_is_not_taken_for_a_body_that_was_read() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    assert_eq!(gateway.push(WELLCLOUD, "[[]]").await.body["quarantined"], 1);
    let items = quarantined(&gateway).await;
    let path = format!("/v1/quarantine/{}", items[0]["id"].as_str().unwrap());
    let client = gateway.client();
    let replayed = client.call("POST", &format!("{path}/replay")).send().await.expect(200);
    assert_eq!((&replayed["quarantined"], &replayed["removed"]), (&json!(1), &json!(false)));
    assert_eq!(quarantined(&gateway).await, items);
    client.read(&format!("{path}?include=raw")).await;
    client.call("DELETE", &path).send().await;
    for step in ["read", "still_unreadable", "deleted"] {
        let label = format!("step=\"{step}\"");
        let labels = ["account=\"wc-1\"", label.as_str()];
        assert_eq!(gateway.metric("outdial_quarantine_steps_total", &labels).await, 1.0, "{step}");
    }
    gateway.finish().await;
}
