//! The control over HTTP, and the simulator's own life.

use outdial_simulator::{PushStats, SearchSeen, Simulator, SimulatorError, Stats, Upload};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    client::{client, config, file_upload, icsoc_token, roster, search, status},
    receiver::Receiver,
};

fn control(simulator: &Simulator, method: Method, name: &str, body: &Value) -> RequestBuilder {
    let request = client().request(method, format!("http://{}/_sim/{name}", simulator.address()));
    if body.is_null() { request } else { request.json(body) }
}

async fn post(simulator: &Simulator, name: &str, body: Value) -> Value {
    let answer = control(simulator, Method::POST, name, &body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{name}");
    answer.json().await.unwrap()
}

async fn get(simulator: &Simulator, name: &str) -> Value {
    let answer = control(simulator, Method::GET, name, &Value::Null).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{name}");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn everything_can_be_done_over_http_too() {
    let (wellcloud, icsoc) = (Receiver::taking().await, Receiver::taking().await);
    let simulator = Simulator::start(config()).await.unwrap();
    post(&simulator, "push-urls", json!({"wellcloud": wellcloud.url})).await;
    post(&simulator, "push-urls", json!({"icsoc": icsoc.url})).await;

    let added = post(&simulator, "seed-calls", json!({"count": 2})).await;
    let call_id = added["calls"][1].as_str().unwrap();
    post(&simulator, "push-again", json!({"call_id": call_id})).await;
    icsoc.wait_for(3).await;
    assert_eq!(get(&simulator, "calls").await.as_array().unwrap().len(), 102);

    assert_eq!(status(file_upload(&simulator, "c1", "names.txt", &roster(40))).await, 200);
    let flushed = post(&simulator, "flush-hour", Value::Null).await;
    let bodies = wellcloud.wait_for(1).await;
    let rows: Vec<Value> = serde_json::from_str(&bodies[0].body).unwrap();
    assert_eq!(flushed, json!({"records": rows.len()}));

    let token = icsoc_token(&simulator).await;
    let gte = json!({"gte": "2021-03-23 17:24:36"});
    let body = json!({"perPage": 5, "startTime": gte, "searchAfter": call_id});
    assert_eq!(status(search(&simulator, &token, &body)).await, 200);
    let searches: Vec<SearchSeen> = serde_json::from_value(get(&simulator, "searches").await).unwrap();
    let (after, started_from) = (Some(call_id.to_owned()), Some(1_616_491_476));
    assert_eq!(searches, [SearchSeen { after, started_from, started_to: None, found: 0 }]);

    simulator.control().settled().await;
    let stats: Stats = serde_json::from_value(get(&simulator, "stats").await).unwrap();
    assert_eq!(stats, simulator.control().stats());
    assert_eq!(
        stats.icsoc.push,
        PushStats {
            attempted: 3,
            acknowledged: 3,
            records_sent: 2,
            records_acknowledged: 2,
            ..PushStats::default()
        }
    );
    let uploads: Vec<Upload> = serde_json::from_value(get(&simulator, "uploads").await).unwrap();
    assert_eq!(uploads, simulator.control().uploads());

    post(&simulator, "faults", json!({"status": 500, "path_prefix": "/ocm/"})).await;
    assert_eq!(status(file_upload(&simulator, "c1", "names.txt", &roster(1))).await, 500);
    post(&simulator, "faults", json!({})).await;
    post(&simulator, "push-urls", json!({"wellcloud": null})).await;
    assert_eq!(post(&simulator, "flush-hour", Value::Null).await, json!({"records": 0}));
}

#[tokio::test]
async fn mistakes_are_told() {
    let simulator = Simulator::start(config()).await.unwrap();
    let mistakes = [
        (Method::GET, "nothing", Value::Null, 404),
        (Method::GET, "faults", Value::Null, 405),
        (Method::POST, "stats", Value::Null, 405),
        (Method::POST, "faults", json!({"statuses": 500}), 400),
        (Method::POST, "seed-calls", json!({"count": -1}), 400),
        (Method::POST, "push-again", json!({"call_id": "1"}), 404),
        (Method::POST, "push-urls", json!({"url": null}), 400),
    ];
    for (method, name, body, expected) in mistakes {
        let answer = control(&simulator, method, name, &body).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{name}");
        assert!(answer.json::<Value>().await.unwrap()["error"].is_string(), "{name}");
    }
}

#[tokio::test]
async fn expired_tokens_expire_over_http_too() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    post(&simulator, "expire-tokens", Value::Null).await;
    assert_eq!(status(search(&simulator, &token, &json!({}))).await, 401);
}

#[tokio::test]
async fn a_stopped_simulator_listens_and_pushes_no_more() {
    let receiver = Receiver::start(|_| crate::receiver::Answer::Full(500, "")).await;
    let mut config = config();
    config.icsoc.push_url = Some(receiver.url.clone());
    let simulator = Simulator::start(config).await.unwrap();
    let (address, control) = (simulator.address(), simulator.control());
    receiver.wait_for(1).await;
    simulator.stop().await;
    assert!(client().get(format!("http://{address}/_sim/stats")).send().await.unwrap_err().is_connect());
    let attempted = control.stats().icsoc.push.attempted;
    control.seed_calls(5);
    tokio::task::yield_now().await;
    assert_eq!(control.stats().icsoc.push.attempted, attempted);
}

#[tokio::test]
async fn what_is_not_to_be_had_is_named() {
    let first = Simulator::start(config()).await.unwrap();
    let mut taken = config();
    taken.listen = first.address();
    let error = Simulator::start(taken).await.unwrap_err();
    assert!(matches!(error, SimulatorError::Listen { address, .. } if address == first.address()), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let mut nowhere = config();
    nowhere.ledger = Some(directory.path().join("missing").join("ledger"));
    let error = Simulator::start(nowhere).await.unwrap_err();
    assert!(error.to_string().contains("missing/ledger"), "{error}");
}
