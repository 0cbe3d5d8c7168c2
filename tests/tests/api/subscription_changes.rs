//! Subscriptions, changed: by merge patches, by several at once, and their secrets.

use std::time::Duration;

use outdial_tests::{
    client::{Answer, Client},
    gateway::TestGateway,
    logs, on_every_store,
    setup::{Backend, Setup, WELLCLOUD, World},
    tokens::ALL_SCOPES,
};
use serde_json::{Value, json};

use crate::subscriptions::{URL, create, start};

on_every_store!(
    a_patch_changes_what_it_names,
    changes_at_the_same_time_all_hold,
    a_secret_is_replaced_with_an_overlap
);

async fn patch(client: &Client, id: &str, patch: &Value) -> Answer {
    let target = format!("/v1/subscriptions/{id}");
    client.call_with("PATCH", &target, "application/merge-patch+json", patch.to_string()).send().await
}

async fn a_patch_changes_what_it_names(store: Backend) {
    let gateway = start(store).await;
    let client = gateway.client();
    let created = create(
        &client,
        &json!({
            "id": "s", "url": URL, "description": "first", "outcomes": ["busy"], "concurrency": 2,
            "batch": { "max_events": 10, "linger_ms": 5 },
            "headers": { "x-api-key": "one", "x-team": "a", "x-old": "b" }, "retry_schedule": ["5s"],
        }),
    )
    .await
    .expect(201);
    let change = json!({
        "description": null, "outcomes": ["answered", "bridged"], "concurrency": null, "status": "paused",
        "batch": { "linger_ms": 500 }, "retry_schedule": null, "rate_per_second": 9,
        "headers": { "X-Api-Key": "***", "X-Old": null, "x-new": "c" },
    });
    let changed = patch(&client, "s", &change).await.expect(200);
    let mut expected = created.clone();
    expected.as_object_mut().unwrap().remove("secret");
    for (name, value) in [
        ("description", Value::Null),
        ("outcomes", json!(["bridged", "answered"])),
        ("concurrency", json!(8)),
        ("status", json!("paused")),
        ("batch", json!({ "max_events": 10, "linger_ms": 500 })),
        ("retry_schedule", Value::Null),
        ("rate_per_second", json!(9)),
        ("headers", json!({ "x-api-key": "***", "x-team": "a", "x-new": "c" })),
        ("updated_at", changed["updated_at"].clone()),
    ] {
        expected[name] = value;
    }
    assert_eq!(changed, expected);
    assert!(changed["updated_at"].as_str() >= created["updated_at"].as_str());
    assert_eq!(patch(&client, "s", &json!({})).await.expect(200)["status"], "paused");
    assert_eq!(patch(&client, "s", &json!({ "status": "active" })).await.expect(200)["status"], "active");

    // What was answered can be sent back.
    let mut whole = client.read("/v1/subscriptions/s").await;
    let members = whole.as_object_mut().unwrap();
    for name in ["progress", "created_at", "updated_at", "disabled_reason", "previous_secret_ends_at"] {
        members.remove(name).unwrap();
    }
    let same = patch(&client, "s", &whole).await.expect(200);
    assert_eq!(same["headers"], expected["headers"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_patch_is_held_to_the_same_rules() {
    let gateway = start(Backend::Sqlite).await;
    let client = gateway.client();
    let before =
        create(&client, &json!({ "id": "s", "url": URL, "accounts": [WELLCLOUD] })).await.expect(201);
    for (change, pointer) in [
        (json!({ "id": "other" }), "/id"),
        (json!({ "url": null }), "/url"),
        (json!({ "url": "http://[::1]/" }), "/url"),
        (json!({ "status": "disabled" }), "/status"),
        (json!({ "batch": { "max_events": 0 } }), "/batch/max_events"),
        (json!({ "headers": { "Content-Type": "text/plain" } }), "/headers/content-type"),
        (json!({ "headers": { "x-new-token": "***" } }), "/headers/x-new-token"),
        (json!({ "created_at": "2026-11-21T08:00:00Z" }), "/created_at"),
        (json!({ "accounts": [] }), "/accounts"),
    ] {
        let problem = patch(&client, "s", &change).await.expect_problem(422, "invalid-members");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{change}");
    }
    let as_text = client.call_with("PATCH", "/v1/subscriptions/s", "text/plain", "{}");
    as_text.send().await.expect_problem(415, "unsupported-media-type");
    patch(&client, "s", &json!([])).await.expect_problem(400, "invalid-body");
    patch(&client, "nothing", &json!({})).await.expect_problem(404, "not-found");
    let mut after = client.read("/v1/subscriptions/s").await;
    after.as_object_mut().unwrap().remove("progress");
    let mut before = before;
    before.as_object_mut().unwrap().remove("secret");
    assert_eq!(after, before, "nothing has changed");

    // Null gives a narrow token its own accounts, and never everybody's.
    let narrow = gateway.client_with(ALL_SCOPES, &[WELLCLOUD]);
    let widened = patch(&narrow, "s", &json!({ "accounts": null })).await.expect(200);
    assert_eq!(widened["accounts"], json!([WELLCLOUD]));
    assert_eq!(patch(&client, "s", &json!({ "accounts": null })).await.expect(200)["accounts"], Value::Null);
    gateway.finish().await;
}

async fn changes_at_the_same_time_all_hold(store: Backend) {
    let gateway = start(store).await;
    let client = gateway.client();
    create(&client, &json!({ "id": "s", "url": URL })).await.expect(201);
    let changes: Vec<(String, Value)> = (0..6)
        .map(|n| (format!("x-{n}"), json!({ "headers": { format!("x-{n}"): n.to_string() } })))
        .collect();
    let mut patches = tokio::task::JoinSet::new();
    for (_, change) in changes.clone() {
        let client = client.clone();
        patches.spawn(async move { patch(&client, "s", &change).await.expect(200) });
    }
    patches.join_all().await;
    let headers = client.read("/v1/subscriptions/s").await["headers"].clone();
    assert_eq!(headers.as_object().unwrap().len(), changes.len(), "a change was lost: {headers}");
    gateway.finish().await;
}

async fn a_secret_is_replaced_with_an_overlap(store: Backend) {
    let gateway = start(store).await;
    let client = gateway.client();
    let created = create(&client, &json!({ "id": "s", "url": URL })).await.expect(201);
    let rotate = async |client: &Client| {
        client.call("POST", "/v1/subscriptions/s/rotate-secret").send().await.expect(200)
    };
    let rotated = rotate(&client).await;
    assert_ne!(rotated["secret"], created["secret"]);
    assert!(rotated["previous_secret_ends_at"].as_str() > rotated["updated_at"].as_str());
    let read = client.read("/v1/subscriptions/s").await;
    assert_eq!(read.get("secret"), None);
    assert_eq!(read["previous_secret_ends_at"], rotated["previous_secret_ends_at"]);
    for shown in [&created, &rotated, &rotate(&client).await] {
        assert!(!logs::kept().contains(shown["secret"].as_str().unwrap()), "a secret stands in the log");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn an_overlap_ends_after_a_day() {
    let world = World::new(Setup::new(Backend::Sqlite)).await;
    let gateway = TestGateway::start_in(world).await;
    create(&gateway.client(), &json!({ "id": "s", "url": URL })).await.expect(201);
    let call = gateway.client().call("POST", "/v1/subscriptions/s/rotate-secret");
    assert!(call.send().await.expect(200)["previous_secret_ends_at"].is_string());
    let world = gateway.stop().await;
    let later = TestGateway::start_later(world, Duration::from_secs(24 * 60 * 60 + 1)).await;
    let token = outdial_tests::tokens::now() + 24 * 60 * 60;
    let mut claims = outdial_tests::tokens::claims(ALL_SCOPES, &["*"]);
    claims["iat"] = json!(token);
    claims["exp"] = json!(token + 3_600);
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let signed = outdial_tests::tokens::sign(&header, &claims, &outdial_tests::tokens::shared_key());
    let read = later.client_holding(Some(signed)).read("/v1/subscriptions/s").await;
    assert_eq!(read["previous_secret_ends_at"], Value::Null);
    later.finish().await;
}
