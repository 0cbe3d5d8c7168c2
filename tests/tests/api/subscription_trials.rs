//! Samples sent to subscribers, on request.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use outdial_tests::{
    gateway::TestGateway,
    logs,
    schema::assert_fits,
    setup::{Backend, ICSOC, Setup},
    subscriber::{Behaviour, Subscriber},
};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{pages::events, subscriptions::create};

async fn start() -> TestGateway {
    TestGateway::start(Setup::new(Backend::Sqlite).set("EGRESS__ALLOW", "127.0.0.1")).await
}

async fn test(gateway: &TestGateway, id: &str) -> Value {
    gateway.client().call("POST", &format!("/v1/subscriptions/{id}/test")).send().await.expect(200)
}

/// The signature that Standard Webhooks wants.
fn signature(secret: &Value, headers: &HashMap<String, String>, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.as_str().unwrap().strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", headers["webhook-id"], headers["webhook-timestamp"]).as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_sample_goes_the_way_of_events_and_leaves_no_trace() {
    let gateway = start().await;
    let subscriber = Subscriber::start().await;
    let asked = json!({
        "id": "s", "url": subscriber.url(), "types": ["io.outdial.roster.failed", "io.outdial.call-record.updated"],
        "accounts": [ICSOC], "headers": { "x-team": "dialling" }, "status": "paused",
    });
    let created = create(&gateway.client(), &asked).await.expect(201);
    let rotated = gateway.client().call("POST", "/v1/subscriptions/s/rotate-secret").send().await.expect(200);
    let result = test(&gateway, "s").await;
    assert_eq!((&result["attempt"]["status"], &result["attempt"]["error"]), (&json!(204), &Value::Null));

    let received = subscriber.received();
    assert_eq!(received.len(), 1);
    let (headers, event) = (&received[0].headers, received[0].json());
    assert_eq!(event, result["event"]);
    assert_fits("Event", &event);
    for (name, value) in [
        ("type", json!("io.outdial.call-record.updated")),
        ("account", json!(ICSOC)),
        ("vendor", json!("icsoc")),
        ("subject", json!("test")),
        ("sequence", json!("0")),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    assert_eq!((&event["data"]["call_id"], &event["data"]["id"]), (&json!("test"), &json!("ic-1/test")));
    assert_eq!((&json!(headers["webhook-id"]), &event["id"]), (&result["webhook_id"], &result["webhook_id"]));
    assert_eq!(headers["content-type"], "application/cloudevents+json");
    assert_eq!(headers["x-team"], "dialling");
    let both = [&rotated["secret"], &created["secret"]]
        .map(|secret| signature(secret, headers, &received[0].body))
        .join(" ");
    assert_eq!(headers["webhook-signature"], both, "for a day both secrets sign");

    assert_eq!(events(&gateway).await, Vec::<Value>::new());
    let read = gateway.client().read("/v1/subscriptions/s").await;
    assert_eq!((&read["status"], &read["progress"]["delivered"]), (&json!("paused"), &json!(0)));
    assert!(!logs::kept().contains(created["secret"].as_str().unwrap()));
    gateway.finish().await;
}

#[tokio::test]
async fn what_comes_of_a_sample_is_told() {
    let gateway = start().await;
    let subscriber = Subscriber::start().await;
    let asked = json!({ "id": "s", "url": subscriber.url(), "batch": { "max_events": 5 } });
    create(&gateway.client(), &asked).await.expect(201);
    subscriber.behave(Behaviour::Answer(503, "retry-after: 9\r\n"));
    let result = test(&gateway, "s").await;
    assert_eq!((&result["attempt"]["status"], &result["attempt"]["error"]), (&json!(503), &json!("status")));
    let received = subscriber.received();
    assert_eq!(received.len(), 1, "it is tried once");
    assert_eq!(received[0].headers["content-type"], "application/cloudevents-batch+json");
    assert_eq!(received[0].json(), json!([result["event"]]));
    assert_eq!(json!(received[0].headers["webhook-id"]), result["webhook_id"]);
    subscriber.kill();
    let result = test(&gateway, "s").await;
    assert_eq!(result["attempt"]["status"], Value::Null);
    assert!(result["attempt"]["error"].is_string(), "{result:#}");

    // What the operator allowed when it was created may be forbidden since.
    let world = gateway.stop().await;
    world.set("EGRESS__ALLOW", "10.0.0.0/8");
    let gateway = TestGateway::start_in(world).await;
    assert_eq!(test(&gateway, "s").await["attempt"]["error"], "blocked-target");
    let pause = gateway.client().call_with(
        "PATCH",
        "/v1/subscriptions/s",
        "application/json",
        r#"{"status":"paused"}"#,
    );
    assert_eq!(pause.send().await.expect(200)["status"], "paused", "it can still be stopped");
    gateway.finish().await;
}
