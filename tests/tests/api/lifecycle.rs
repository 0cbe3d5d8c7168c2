//! Events about the gateway's own work: each once, as the catalogue says, on every channel, and for nobody else's eyes.

use std::{sync::Arc, time::Duration};

use outdial_core::Timestamp;
use outdial_tests::{
    client::Client,
    gateway::TestGateway,
    on_every_store,
    schema::{DOCUMENT, assert_fits, faults},
    setup::{Backend, ICSOC, Setup, WELLCLOUD, World},
    sse::EventStream,
    subscriber::{Behaviour, Subscriber},
    tokens::{ALL_SCOPES, claims, now, shared_key, sign},
    waiting::eventually,
};
use serde_json::{Value, json};

use crate::{bodies::result, pages::walk};

on_every_store!(
    a_disabled_subscription_is_told_once_on_every_channel,
    deliveries_that_are_given_up_are_told_in_few_events,
    a_push_that_does_not_come_is_told_once_by_all_replicas,
);

const DISABLED: &str = "io.outdial.subscription.disabled";
const EXHAUSTED: &str = "io.outdial.delivery.exhausted";
const OVERDUE: &str = "io.outdial.push.overdue";

fn setup(store: Backend) -> Setup {
    Setup::new(store).set("EGRESS__ALLOW", "127.0.0.1").vendors(|vendors| vendors.icsoc.calls = 0)
}

async fn subscribe(gateway: &TestGateway, id: &str, url: &str, more: Value) {
    let mut wanted = json!({ "id": id, "url": url });
    for (name, value) in more.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    let call = gateway.client().post("/v1/subscriptions", "application/json", wanted.to_string());
    call.send().await.expect(201);
}

async fn patch(gateway: &TestGateway, id: &str, change: Value) {
    let path = format!("/v1/subscriptions/{id}");
    gateway
        .client()
        .call_with("PATCH", &path, "application/json", change.to_string())
        .send()
        .await
        .expect(200);
}

async fn push(gateway: &TestGateway, from: usize, count: usize) {
    let body: Value = (from..from + count).map(result).collect();
    assert_eq!(gateway.push(WELLCLOUD, body.to_string()).await.body["stored"], count);
}

/// A caller whose token is good so much later.
fn later(gateway: &TestGateway, later: Duration) -> Client {
    let issued = now() + i64::try_from(later.as_secs()).unwrap();
    let mut claims = claims(ALL_SCOPES, &["*"]);
    (claims["iat"], claims["exp"]) = (json!(issued), json!(issued + 600));
    gateway.client_holding(Some(sign(&jsonwebtoken::Header::default(), &claims, &shared_key())))
}

async fn of_type(client: &Client, event_type: &str) -> Vec<Value> {
    walk(client, "/v1/events", &format!("?type={event_type}")).await
}

/// Waits for events of a type.
async fn told(client: &Client, event_type: &str) -> Vec<Value> {
    eventually("it is told", async || {
        Some(of_type(client, event_type).await).filter(|events| !events.is_empty())
    })
    .await
}

/// Holds an event to the catalogue.
fn assert_described(event: &Value) {
    assert_fits("Event", event);
    let entry = &DOCUMENT["x-event-types"][event["type"].as_str().unwrap()];
    let found = faults(&entry["schema"], &event["data"]);
    assert!(found.is_empty(), "{found:?}\n{event:#}");
}

async fn disabled(gateway: &TestGateway, id: &str) {
    eventually("it is disabled", async || {
        let shown = gateway.client().read(&format!("/v1/subscriptions/{id}")).await;
        (shown["status"] == "disabled").then_some(())
    })
    .await;
}

async fn a_disabled_subscription_is_told_once_on_every_channel(store: Backend) {
    let gateway = TestGateway::start(setup(store)).await;
    let (gone, reader, narrow_reader) =
        (Subscriber::start().await, Subscriber::start().await, Subscriber::start().await);
    gone.behave(Behaviour::Answer(410, ""));
    let records = json!(["io.outdial.call-record.created"]);
    subscribe(&gateway, "of-all", &gone.url(), json!({ "types": records })).await;
    subscribe(&gateway, "of-one", &gone.url(), json!({ "types": records, "accounts": [WELLCLOUD] })).await;
    subscribe(&gateway, "stopped", &reader.url(), json!({ "types": records })).await;
    subscribe(&gateway, "reader", &reader.url(), json!({ "types": [DISABLED] })).await;
    let narrow = json!({ "types": [DISABLED], "accounts": [WELLCLOUD] });
    subscribe(&gateway, "narrow", &narrow_reader.url(), narrow).await;
    let open = async |client: &Client| {
        let call = client.get("/v1/events").accept("text/event-stream");
        EventStream::new(call.open().await).begun().await
    };
    let mut stream = open(&gateway.client()).await;
    let mut narrow_stream = open(&gateway.client_with(ALL_SCOPES, &[WELLCLOUD])).await;

    patch(&gateway, "stopped", json!({ "status": "paused" })).await;
    push(&gateway, 0, 1).await;
    for id in ["of-all", "of-one"] {
        disabled(&gateway, id).await;
    }
    let told = eventually("both are told", async || {
        Some(of_type(&gateway.client(), DISABLED).await).filter(|events| events.len() == 2)
    })
    .await;
    let of = |id: &str| told.iter().find(|event| event["subject"] == id).unwrap().clone();
    let (of_all, of_one) = (of("of-all"), of("of-one"));
    told.iter().for_each(assert_described);
    assert_eq!(
        (&of_one["data"]["reason"], &of_one["data"]["accounts"]),
        (&json!("gone"), &json!([WELLCLOUD]))
    );
    assert_eq!(
        (&of_all["source"], &of_all["data"]["accounts"]),
        (&json!("/subscriptions/of-all"), &Value::Null)
    );

    let brought = eventually("webhooks bring both", async || {
        let events: Vec<Value> = reader.received().iter().flat_map(|one| one.events()).collect();
        (events.len() >= 2).then_some(events)
    })
    .await;
    assert_eq!(sorted(brought), sorted(told.clone()), "the same, and each once");
    let seen: Vec<Value> = stream.take(3).await.into_iter().map(|event| event.data).collect();
    assert_eq!(seen[1..], told);
    let seen = narrow_stream.take(2).await;
    assert_eq!(seen[1].data, of_one, "of one that is for all accounts a narrow reader hears nothing");
    let narrowly = of_type(&gateway.client_with(ALL_SCOPES, &[WELLCLOUD, ICSOC]), DISABLED).await;
    assert_eq!(narrowly, std::slice::from_ref(&of_one));
    assert_eq!(of_type(&gateway.client_with(ALL_SCOPES, &[ICSOC]), DISABLED).await, Vec::<Value>::new());
    assert_eq!(
        walk(&gateway.client(), "/v1/events", &format!("?type={DISABLED}&account={WELLCLOUD}")).await,
        std::slice::from_ref(&of_one)
    );
    eventually("the narrow webhook brings it", async || (!narrow_reader.received().is_empty()).then_some(()))
        .await;
    assert_eq!(narrow_reader.received()[0].json(), of_one);

    // Told once is told for good; set going again and stopped again is another time.
    let gateway = gateway.restart().await;
    patch(&gateway, "of-one", json!({ "status": "active" })).await;
    eventually("it is stopped again, and told again", async || {
        Some(of_type(&gateway.client(), DISABLED).await).filter(|events| events.len() == 3)
    })
    .await;
    assert_eq!(gateway.metric("outdial_subscriptions_disabled_total", &["reason=\"gone\""]).await, 1.0);
    gateway.finish().await;
}

fn sorted(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| event["id"].as_str().unwrap().to_owned());
    events
}

#[tokio::test]
async fn who_fails_for_five_days_is_told_to_have_failed() {
    const LATER: Duration = Duration::from_secs(6 * 86_400);
    let gateway = TestGateway::start(setup(Backend::Sqlite)).await;
    let subscriber = Subscriber::start().await;
    subscriber.behave(Behaviour::Answer(500, ""));
    subscribe(&gateway, "s", &subscriber.url(), json!({ "retry_schedule": ["1s", "24h", "24h"] })).await;
    push(&gateway, 0, 1).await;
    eventually("it was tried twice", async || (subscriber.received().len() >= 2).then_some(())).await;
    let gateway = TestGateway::start_later(gateway.stop().await, LATER).await;
    let told = told(&later(&gateway, LATER), DISABLED).await;
    told.iter().for_each(assert_described);
    assert_eq!((told.len(), &told[0]["data"]["reason"]), (1, &json!("failing")));
    assert!(told[0]["data"]["failing_since"].is_string());
    gateway.finish().await;
}

async fn deliveries_that_are_given_up_are_told_in_few_events(store: Backend) {
    const EVENTS: usize = 3;
    let gateway = TestGateway::start(setup(store)).await;
    let (failing, reader) = (Subscriber::start().await, Subscriber::start().await);
    // It wants every type, those of its own failure too.
    let more = json!({ "retry_schedule": ["2s"], "accounts": [WELLCLOUD], "concurrency": 64 });
    subscribe(&gateway, "failing", &failing.url(), more).await;
    subscribe(&gateway, "reader", &reader.url(), json!({ "types": [EXHAUSTED] })).await;
    for n in 0..EVENTS {
        failing.behave_with(&format!("call-{:05}", n * 2), Behaviour::Answer(503, ""));
    }
    failing.behave_with(EXHAUSTED, Behaviour::Answer(503, ""));
    push(&gateway, 0, EVENTS * 2).await;
    eventually("each was tried", async || (failing.received().len() >= EVENTS * 2).then_some(())).await;
    // One that is taken between those that are not keeps the circuit closed.
    push(&gateway, 99, 1).await;
    let dead = async |gateway: &TestGateway| {
        walk(&gateway.client(), "/v1/subscriptions/failing/deliveries", "?status=dead&limit=1000").await
    };
    let first = told(&gateway.client(), EXHAUSTED).await;
    assert_eq!(first.len(), 1, "the first is told at once, and the rest waits");
    push(&gateway, 100, 1).await;
    assert_described(&first[0]);
    assert_eq!(first[0]["data"]["accounts"], json!([WELLCLOUD]));
    let all = eventually("all are given up, with the event of the first", async || {
        Some(dead(&gateway).await).filter(|dead| dead.len() == EVENTS + 1)
    })
    .await;
    let listed = &first[0]["data"]["deliveries"][0];
    let same = all.iter().find(|delivery| delivery["id"] == listed["delivery_id"]).unwrap();
    assert_eq!((&same["events"][0]["id"], &same["attempts"]), (&listed["event_id"], &listed["attempts"]));
    assert_eq!((&listed["last_status"], &listed["last_error"]), (&json!(503), &json!("status")));

    let gateway = gateway.restart().await;
    let all = of_type(&gateway.client(), EXHAUSTED).await;
    all.iter().for_each(assert_described);
    let sum: u64 = all.iter().map(|event| event["data"]["deliveries_total"].as_u64().unwrap()).sum();
    assert_eq!(
        (all.len(), sum),
        (2, u64::try_from(EVENTS).unwrap()),
        "what waited is told at a stop at the latest"
    );
    eventually("both of the reader's and of the failing one's are dealt with", async || {
        (dead(&gateway).await.len() == EVENTS + 2 && reader.received().len() == 2).then_some(())
    })
    .await;
    let gateway = gateway.restart().await;
    assert_eq!(of_type(&gateway.client(), EXHAUSTED).await, all, "of events of the kind nothing is told");
    gateway.finish().await;
}

/// So much later, half past an hour by the clock, and so many hours and minutes after that.
fn half_past(hours: u64, minutes: u64) -> Duration {
    let past = u64::try_from(now()).unwrap() % 3_600;
    Duration::from_secs(1_800 + 3_600 - past + hours * 3_600 + minutes * 60)
}

async fn looked_at(gateway: &TestGateway, by: Duration) {
    eventually("the account is looked at", async || {
        let account = later(gateway, by).read(&format!("/v1/accounts/{WELLCLOUD}")).await;
        account["last_push_at"].is_string().then_some(())
    })
    .await;
}

async fn a_push_that_does_not_come_is_told_once_by_all_replicas(store: Backend) {
    let world = World::new(setup(store)).await;
    for hour in 0..3 {
        let by = half_past(hour, 0);
        let gateway = TestGateway::start_later(Arc::clone(&world), by).await;
        if hour > 0 {
            looked_at(&gateway, by).await;
        }
        push(&gateway, usize::try_from(hour).unwrap(), 1).await;
        gateway.stop().await;
    }
    // An hour and fourteen minutes after the last.
    let early = half_past(3, 14);
    let gateway = TestGateway::start_later(world, early).await;
    looked_at(&gateway, early).await;
    let late = half_past(3, 16);
    let gateway = TestGateway::start_later(gateway.stop().await, late).await;
    let other = match store {
        Backend::Redis => Some(TestGateway::start_later(Arc::clone(&gateway.world), late).await),
        Backend::Sqlite => None,
    };
    let told = told(&later(&gateway, late), OVERDUE).await;
    assert_described(&told[0]);
    assert_eq!(
        (told.len(), &told[0]["account"], &told[0]["vendor"]),
        (1, &json!(WELLCLOUD), &json!("wellcloud"))
    );
    let millis = |value: &Value| Timestamp::parse(value.as_str().unwrap()).unwrap().millis();
    let (data, time) = (&told[0]["data"], millis(&told[0]["time"]));
    assert_eq!(millis(&data["expected_by"]) - millis(&data["last_push_at"]), 75 * 60_000);
    assert!(time > millis(&data["expected_by"]), "not before: the gateway that looked early told nothing");
    if let Some(other) = other {
        looked_at(&other, late).await;
        other.stop().await;
    }

    let tomorrow = half_past(26, 0);
    let gateway = TestGateway::start_later(gateway.stop().await, tomorrow).await;
    looked_at(&gateway, tomorrow).await;
    assert_eq!(of_type(&later(&gateway, tomorrow), OVERDUE).await, told, "no push has come since");
    push(&gateway, 9, 1).await;
    let next = half_past(52, 0);
    let gateway = TestGateway::start_later(gateway.stop().await, next).await;
    let again = eventually("the next one is missed too", async || {
        Some(of_type(&later(&gateway, next), OVERDUE).await).filter(|told| told.len() > 1)
    })
    .await;
    assert_eq!((again.len(), &again[0]), (2, &told[0]));
    gateway.finish().await;
}
