//! Subscriptions: created, read, listed and removed, by those who may.

use base64::{Engine, engine::general_purpose::STANDARD};
use outdial_tests::{
    client::{Answer, Client},
    gateway::TestGateway,
    logs, on_every_store,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    tokens::ALL_SCOPES,
};
use serde_json::{Value, json};

use crate::pages::walk;

on_every_store!(
    a_subscription_is_kept_as_it_was_asked_for,
    ids_are_taken_once,
    subscriptions_are_listed_in_pages,
    a_token_sees_what_it_covers_whole
);

/// Where nothing listens; it is never called by these tests.
pub const URL: &str = "https://crm.example.com/hooks/calls";

/// Creates a subscription.
pub async fn create(client: &Client, body: &Value) -> Answer {
    client.post("/v1/subscriptions", "application/json", body.to_string()).send().await
}

/// A gateway whose subscriptions wait: none is served while a test looks.
pub async fn start(store: Backend) -> TestGateway {
    TestGateway::start(Setup::new(store)).await
}

fn path(id: &str) -> String {
    format!("/v1/subscriptions/{id}")
}

async fn a_subscription_is_kept_as_it_was_asked_for(store: Backend) {
    let gateway = start(store).await;
    let client = gateway.client();
    let asked = json!({
        "id": "crm_1", "url": URL, "description": "客户关系", "types": ["io.outdial.call-record.updated"],
        "accounts": [ICSOC, WELLCLOUD], "campaigns": ["spring"], "outcomes": ["no_answer", "busy"],
        "dispositions": ["not_connected"], "ordered": true, "batch": { "max_events": 100, "linger_ms": 250 },
        "concurrency": 3, "rate_per_second": 50, "numbers": "full",
        "headers": { "X-Team": "dialling", "Authorization": "Bearer s3cret" },
        "retry_schedule": ["5s", "90s", "60m"], "status": "paused",
    });
    let answer = create(&client, &asked).await;
    let created = answer.expect(201);
    assert_eq!(answer.header("location"), Some("/v1/subscriptions/crm_1"));
    let secret = created["secret"].as_str().unwrap();
    assert_eq!(STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap().len(), 32);

    let mut expected = asked.clone();
    expected["headers"] = json!({ "x-team": "dialling", "authorization": "***" });
    expected["retry_schedule"] = json!(["5s", "90s", "1h"]);
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&created[name], value, "{name}");
    }
    let gateway = gateway.restart().await;
    let mut read = gateway.client().read(&path("crm_1")).await;
    let progress = read.as_object_mut().unwrap().remove("progress").unwrap();
    let mut without_secret = created.clone();
    without_secret.as_object_mut().unwrap().remove("secret");
    assert_eq!(read, without_secret, "the secret is shown once");
    for (name, value) in [("delivered", json!(0)), ("pending", json!(0)), ("replay", Value::Null)] {
        assert_eq!(progress[name], value, "{name}");
    }
    assert!(!logs::kept().contains(secret), "the secret stands in the log");
    assert!(!logs::kept().contains("s3cret"), "a header's value stands in the log");

    let least = create(&gateway.client(), &json!({ "url": URL, "batch": null, "types": null })).await;
    let least = least.expect(201);
    assert!(least["id"].as_str().unwrap().starts_with("sub_"));
    for (name, value) in [
        ("types", Value::Null),
        ("accounts", Value::Null),
        ("ordered", json!(false)),
        ("batch", json!({ "max_events": 1, "linger_ms": 0 })),
        ("concurrency", json!(8)),
        ("rate_per_second", Value::Null),
        ("numbers", json!("masked")),
        ("headers", json!({})),
        ("retry_schedule", Value::Null),
        ("status", json!("active")),
        ("disabled_reason", Value::Null),
        ("previous_secret_ends_at", Value::Null),
    ] {
        assert_eq!(least[name], value, "{name}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn nothing_may_be_called_that_is_not_listed_nor_what_is_our_own() {
    let refused = async |gateway: &TestGateway, url: &str| {
        let answer = create(&gateway.client(), &json!({ "url": url })).await;
        answer.expect_problem(422, "invalid-members")["errors"][0].clone()
    };
    let gateway = TestGateway::start(Setup::new(Backend::Redis).set("EGRESS__ALLOW", "")).await;
    for url in [URL, "https://8.8.8.8/in", "http://10.0.0.1/in"] {
        let error = refused(&gateway, url).await;
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/url"), &json!("blocked-target")), "{url}");
        assert!(error["detail"].as_str().unwrap().contains("egress.allow is empty"), "{error}");
    }
    let world = gateway.stop().await;
    world.set("EGRESS__ALLOW", "127.0.0.1, crm.example.com:443, *:8443");
    let gateway = TestGateway::start_in(world).await;
    assert_eq!(refused(&gateway, "http://8.8.8.8:8443/").await["code"], "https-required");
    let redis = gateway.world.redis().url();
    let redis_port: u16 = redis.trim_end_matches("/0").rsplit(':').next().unwrap().parse().unwrap();
    let ports = [gateway.api().port(), gateway.push_port().port(), gateway.admin().port()];
    for port in ports.into_iter().chain([redis_port]) {
        let error = refused(&gateway, &format!("http://127.0.0.1:{port}/metrics")).await;
        assert_eq!(error["code"], "blocked-target", "{port}");
        assert!(error["detail"].as_str().unwrap().contains("never called"), "{error}");
    }
    for url in [URL, "https://a.example.org:8443/"] {
        create(&gateway.client(), &json!({ "url": url })).await.expect(201);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn every_mistake_is_told_at_once() {
    let gateway = start(Backend::Sqlite).await;
    let client = gateway.client();
    let wrong = json!({
        "id": "no spaces", "url": "https://169.254.169.254/latest/meta-data", "description": "",
        "types": ["io.outdial.call-record.created", "io.outdial.call-record.deleted"],
        "accounts": [WELLCLOUD, "nobody", "No One"], "campaigns": [], "outcomes": ["great"],
        "dispositions": ["maybe"], "ordered": "yes", "batch": { "max_events": 1_001, "linger_ms": -1, "size": 1 },
        "concurrency": 65, "rate_per_second": 0, "numbers": "some", "headers": { "Host": "x", "a b": "x", "x-a": "\r\n" },
        "retry_schedule": ["5s", "500ms", "25h", "soon"], "status": "disabled", "secret": "whsec_mine",
    });
    let problem = create(&client, &wrong).await.expect_problem(422, "invalid-members");
    let mut pointers: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().filter_map(|error| error["pointer"].as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/accounts/1",
            "/accounts/2",
            "/batch/linger_ms",
            "/batch/max_events",
            "/batch/size",
            "/campaigns",
            "/concurrency",
            "/description",
            "/dispositions/0",
            "/headers/Host",
            "/headers/a b",
            "/headers/x-a",
            "/id",
            "/numbers",
            "/ordered",
            "/outcomes/0",
            "/rate_per_second",
            "/retry_schedule/1",
            "/retry_schedule/2",
            "/retry_schedule/3",
            "/secret",
            "/status",
            "/types/1",
            "/url",
        ]
    );
    for url in
        ["", "crm.example.com", "ftp://example.com/", "http://127.0.0.1:9/", "https://a:b@example.com/"]
    {
        let problem = create(&client, &json!({ "url": url })).await.expect_problem(422, "invalid-members");
        assert_eq!(problem["errors"][0]["pointer"], "/url", "{url}");
    }
    let problem = create(&client, &json!({})).await.expect_problem(422, "invalid-members");
    assert_eq!((&problem["errors"][0]["pointer"], &problem["errors_total"]), (&json!("/url"), &json!(1)));
    assert_eq!(walk(&client, "/v1/subscriptions", "").await, Vec::<Value>::new());
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_is_one_json_object_of_a_known_type_and_size() {
    let gateway = start(Backend::Sqlite).await;
    let client = gateway.client();
    let post = async |media_type: &str, body: String| {
        client.post("/v1/subscriptions", media_type, body).send().await
    };
    for body in ["", "not json", "[]", "\"x\"", "{\"url\":", "null"] {
        post("application/json", body.to_owned()).await.expect_problem(400, "invalid-body");
    }
    let body = json!({ "url": URL }).to_string();
    post("text/plain", body.clone()).await.expect_problem(415, "unsupported-media-type");
    let encoded = client.post("/v1/subscriptions", "application/json", body.clone());
    encoded.header("content-encoding", "gzip").send().await.expect_problem(415, "unsupported-media-type");
    let large = json!({ "url": URL, "description": "x".repeat(140_000) }).to_string();
    post("application/json", large).await.expect_problem(413, "body-too-large");
    post("Application/JSON; charset=utf-8", body).await.expect(201);
    gateway.finish().await;
}

async fn ids_are_taken_once(store: Backend) {
    let gateway = start(store).await;
    let client = gateway.client();
    create(&client, &json!({ "id": "only", "url": URL })).await.expect(201);
    let again = create(&client, &json!({ "id": "only", "url": "https://other.example.com/" })).await;
    again.expect_problem(409, "subscription-exists");
    assert_eq!(client.read(&path("only")).await["url"], URL);

    let deleted = client.call("DELETE", &path("only")).send().await;
    assert_eq!((deleted.status.as_u16(), deleted.body.as_slice()), (204, &b""[..]));
    client.call("DELETE", &path("only")).send().await.expect_problem(404, "not-found");
    client.get(&path("only")).send().await.expect_problem(404, "not-found");
    create(&client, &json!({ "id": "only", "url": URL })).await.expect(201);
    gateway.finish().await;
}

async fn subscriptions_are_listed_in_pages(store: Backend) {
    let gateway = start(store).await;
    let client = gateway.client();
    for id in ["c", "a", "e", "b", "d"] {
        let status = if id < "c" { "paused" } else { "active" };
        create(&client, &json!({ "id": id, "url": URL, "status": status })).await.expect(201);
    }
    let ids = async |query: &str| -> Vec<String> {
        let found = walk(&client, "/v1/subscriptions", query).await;
        found.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    for query in ["", "?limit=1", "?limit=2", "?limit=5"] {
        assert_eq!(ids(query).await, ["a", "b", "c", "d", "e"], "{query}");
    }
    assert_eq!(ids("?status=paused&limit=1").await, ["a", "b"]);
    assert_eq!(ids("?status=disabled").await, Vec::<String>::new());
    let all = walk(&client, "/v1/subscriptions", "").await;
    assert!(all.iter().all(|one| one.get("secret").is_none() && one.get("progress").is_none()));

    let page = client.read("/v1/subscriptions?limit=2").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let other = format!("/v1/subscriptions?limit=2&status=active&cursor={cursor}");
    client.get(&other).send().await.expect_problem(400, "cursor-mismatch");
    let narrow = gateway.client_with(ALL_SCOPES, &[WELLCLOUD]);
    let foreign = format!("/v1/subscriptions?limit=2&cursor={cursor}");
    narrow.get(&foreign).send().await.expect_problem(400, "cursor-mismatch");
    gateway.finish().await;
}

async fn a_token_sees_what_it_covers_whole(store: Backend) {
    let gateway = start(store).await;
    let all = gateway.client();
    let narrow = gateway.client_with(ALL_SCOPES, &[WELLCLOUD]);
    let both = gateway.client_with(ALL_SCOPES, &[WELLCLOUD, ICSOC]);
    let none = gateway.client_with(ALL_SCOPES, &[]);
    create(&all, &json!({ "id": "all", "url": URL })).await.expect(201);
    create(&all, &json!({ "id": "two", "url": URL, "accounts": [WELLCLOUD, ICSOC] })).await.expect(201);
    let own = create(&narrow, &json!({ "id": "own", "url": URL })).await.expect(201);
    assert_eq!(own["accounts"], json!([WELLCLOUD]), "left out by a narrow token: its accounts alone");
    let problem = create(&narrow, &json!({ "url": URL, "accounts": [WELLCLOUD, ICSOC] })).await;
    let problem = problem.expect_problem(422, "invalid-members");
    assert_eq!(problem["errors"][0]["pointer"], "/accounts/1");
    let unknown = create(&narrow, &json!({ "url": URL, "accounts": [WELLCLOUD, "nobody"] })).await;
    assert_eq!(
        unknown.expect_problem(422, "invalid-members")["errors"],
        problem["errors"],
        "an account of others is as one that is not there"
    );
    // No account at all must not become every account.
    create(&none, &json!({ "url": URL })).await.expect_problem(422, "invalid-members");

    let seen = async |client: &Client| -> Vec<String> {
        let found = walk(client, "/v1/subscriptions", "").await;
        found.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(seen(&all).await, ["all", "own", "two"]);
    assert_eq!(seen(&both).await, ["own", "two"]);
    assert_eq!(seen(&narrow).await, ["own"]);
    assert_eq!(seen(&none).await, Vec::<String>::new());
    for (method, tail) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/retry"),
        ("POST", "/deliveries/dlv_1/retry"),
    ] {
        for id in ["two", "all", "nothing"] {
            let answer = narrow.call(method, &format!("{}{tail}", path(id))).send().await;
            answer.expect_problem(404, "not-found");
        }
    }
    for (method, tail, body) in
        [("PATCH", "", json!({ "status": "paused" })), ("POST", "/replay", json!({ "from_sequence": "0" }))]
    {
        let call =
            narrow.call_with(method, &format!("{}{tail}", path("two")), "application/json", body.to_string());
        call.send().await.expect_problem(404, "not-found");
    }
    assert_eq!(seen(&all).await, ["all", "own", "two"]);
    gateway.finish().await;
}

#[tokio::test]
async fn numbers_in_full_are_for_those_who_may_see_them() {
    let gateway = start(Backend::Sqlite).await;
    let without = gateway.client_with("subscriptions:manage", &["*"]);
    let refused = create(&without, &json!({ "id": "x", "url": URL, "numbers": "full" })).await;
    refused.expect_problem(403, "insufficient-scope");
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"records:pii\"";
    assert_eq!(refused.header("www-authenticate"), Some(challenge));
    gateway.client().get(&path("x")).send().await.expect_problem(404, "not-found");
    create(&without, &json!({ "id": "x", "url": URL, "numbers": "masked" })).await.expect(201);
    create(&gateway.client(), &json!({ "id": "y", "url": URL, "numbers": "full" })).await.expect(201);

    let patch = async |client: &Client, id: &str, patch: Value| {
        client.call_with("PATCH", &path(id), "application/json", patch.to_string()).send().await
    };
    for (id, change) in [
        ("x", json!({ "numbers": "full" })),
        ("y", json!({ "url": "https://elsewhere.example.com/" })),
        ("y", json!({ "headers": { "x-route": "elsewhere" } })),
        ("y", json!({ "types": ["io.outdial.roster.failed"] })),
    ] {
        patch(&without, id, change.clone()).await.expect_problem(403, "insufficient-scope");
        patch(&gateway.client(), id, change).await.expect(200);
    }
    patch(&without, "y", json!({ "status": "paused" })).await.expect(200);
    patch(&without, "y", json!({ "numbers": "masked" })).await.expect(200);
    gateway.finish().await;
}
