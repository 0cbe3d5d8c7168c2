//! Webhooks: what is pushed reaches every subscriber, once from a healthy run and at least once over every fault.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use outdial_tests::{
    child::GatewayProcess,
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, ICSOC, Setup, WELLCLOUD, World},
    subscriber::{Behaviour, Received, Subscriber},
    waiting::eventually,
};
use serde_json::{Value, json};

use crate::{
    bodies::{call, envelope, result},
    pages::{record_events, walk},
};

on_every_store!(
    every_event_arrives_once_and_as_it_is,
    what_fails_is_tried_again_and_then_waits_for_a_person,
    a_subscriber_that_dies_misses_nothing,
    a_restart_of_the_gateway_repeats_nothing,
    events_of_one_call_keep_their_order,
);

/// A gateway that may call subscribers on this machine.
async fn start(store: Backend) -> TestGateway {
    let setup = Setup::new(store).set("EGRESS__ALLOW", "127.0.0.1");
    TestGateway::start(setup.vendors(|vendors| vendors.icsoc.calls = 0)).await
}

/// Subscribes; the members of `more` are added to what has to be there. Answers the subscription.
async fn subscribe(gateway: &TestGateway, url: &str, more: Value) -> Value {
    let mut wanted =
        json!({ "url": url, "types": ["io.outdial.call-record.created", "io.outdial.call-record.updated"] });
    for (name, value) in more.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    let call = gateway.client().post("/v1/subscriptions", "application/json", wanted.to_string());
    call.send().await.expect(201)
}

fn path(subscription: &Value) -> String {
    format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap())
}

async fn set_active(gateway: &TestGateway, subscription: &Value) {
    let change = json!({ "status": "active" }).to_string();
    let call = gateway.client().call_with("PATCH", &path(subscription), "application/json", change);
    call.send().await.expect(200);
}

async fn push(gateway: &TestGateway, from: usize, count: usize) {
    let body: Value = (from..from + count).map(result).collect();
    assert_eq!(gateway.push(WELLCLOUD, body.to_string()).await.body["stored"], count);
}

fn events_of(received: &[Received]) -> Vec<Value> {
    received.iter().flat_map(Received::events).collect()
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until so many different events have come.
async fn arrived(subscriber: &Subscriber, count: usize) -> Vec<Value> {
    eventually("the events have arrived", async || {
        let events = events_of(&subscriber.received());
        (ids(&events).len() >= count).then_some(events)
    })
    .await
}

async fn deliveries(gateway: &TestGateway, subscription: &Value, status: &str) -> Vec<Value> {
    let path = format!("{}/deliveries", path(subscription));
    walk(&gateway.client(), &path, &format!("?status={status}&limit=1000")).await
}

async fn every_event_arrives_once_and_as_it_is(store: Backend) {
    let gateway = start(store).await;
    let (one, lists) = (Subscriber::start().await, Subscriber::start().await);
    let single = subscribe(&gateway, &one.url(), json!({ "numbers": "full" })).await;
    subscribe(&gateway, &lists.url(), json!({ "batch": { "max_events": 100, "linger_ms": 50 } })).await;
    push(&gateway, 0, 700).await;
    gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    let (seen, in_lists) = (arrived(&one, 701).await, arrived(&lists, 701).await);
    let log = record_events(&gateway).await;
    assert_eq!((seen.len(), in_lists.len(), ids(&seen), ids(&in_lists)), (701, 701, ids(&log), ids(&log)));
    for event in &log {
        assert!(seen.contains(event), "what is delivered is what is in the log");
    }
    let requests = one.received();
    for request in &requests {
        let header = |name: &str| request.headers.get(name).map_or("", String::as_str);
        assert_eq!(header("webhook-id"), request.json()["id"]);
        assert_eq!(header("content-type"), "application/cloudevents+json");
        assert!(
            header("webhook-signature").starts_with("v1,")
                && header("webhook-timestamp").parse::<u64>().is_ok()
        );
    }
    let request = &lists.received()[0];
    assert_eq!(request.headers["content-type"], "application/cloudevents-batch+json");
    assert!(lists.received().len() < 30, "{} lists", lists.received().len());
    let masked = in_lists.iter().find(|event| event["account"] == ICSOC).unwrap();
    assert_eq!(masked["data"]["called"], "133****4321");
    eventually("what was delivered is written down", async || {
        let shown = gateway.client().read(&path(&single)).await;
        (shown["progress"]["delivered"] == 701).then_some(())
    })
    .await;
    gateway.finish().await;
}

async fn what_fails_is_tried_again_and_then_waits_for_a_person(store: Backend) {
    let gateway = start(store).await;
    let subscriber = Subscriber::start().await;
    subscriber.behave_with("call-00001", Behaviour::Answer(503, ""));
    let subscription = subscribe(&gateway, &subscriber.url(), json!({ "retry_schedule": ["1s"] })).await;
    push(&gateway, 0, 3).await;
    let dead = eventually("the attempts are exhausted", async || {
        deliveries(&gateway, &subscription, "dead").await.into_iter().next()
    })
    .await;
    assert_eq!((&dead["attempts"], &dead["events"][0]["subject"]), (&json!(2), &json!("call-00001")));
    assert_eq!(dead["last_attempts"][0]["status"], 503);
    assert_eq!(events_of(&subscriber.received()).len(), 4, "two were taken at once, one was tried twice");
    let bodies: Vec<_> =
        subscriber.received().into_iter().filter(|one| one.events()[0]["subject"] == "call-00001").collect();
    assert_eq!(bodies[0].body, bodies[1].body);
    assert_eq!(bodies[0].headers["webhook-id"], bodies[1].headers["webhook-id"]);
    subscriber.recover();
    let retry = format!("{}/deliveries/{}/retry", path(&subscription), dead["id"].as_str().unwrap());
    gateway.client().post(&retry, "application/json", "").send().await.expect(202);
    eventually("it is delivered after all", async || {
        deliveries(&gateway, &subscription, "dead").await.is_empty().then_some(())
    })
    .await;
    eventually("three are delivered", async || {
        (deliveries(&gateway, &subscription, "delivered").await.len() == 3).then_some(())
    })
    .await;
    gateway.finish().await;
}

async fn a_subscriber_that_dies_misses_nothing(store: Backend) {
    const EVENTS: usize = 2_000;
    let gateway = start(store).await;
    let mut subscriber = Subscriber::start().await;
    let more = json!({ "retry_schedule": ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"] });
    subscribe(&gateway, &subscriber.url(), more).await;
    for part in 0..EVENTS / 200 {
        push(&gateway, part * 200, 200).await;
        if part == 3 {
            subscriber.kill();
        }
    }
    subscriber.restart().await;
    let seen = arrived(&subscriber, EVENTS).await;
    assert_eq!(ids(&seen), ids(&record_events(&gateway).await));
    gateway.finish().await;
}

async fn a_restart_of_the_gateway_repeats_nothing(store: Backend) {
    let gateway = start(store).await;
    let subscriber = Subscriber::start().await;
    subscribe(&gateway, &subscriber.url(), json!({})).await;
    push(&gateway, 0, 300).await;
    arrived(&subscriber, 100).await;
    let gateway = gateway.restart().await;
    push(&gateway, 300, 300).await;
    let seen = arrived(&subscriber, 600).await;
    assert_eq!(seen.len(), 600, "nothing twice");
    gateway.finish().await;
}

async fn events_of_one_call_keep_their_order(store: Backend) {
    let gateway = start(store).await;
    let subscriber = Subscriber::start().await;
    subscriber.behave(Behaviour::Answer(500, ""));
    let more = json!({ "ordered": true, "retry_schedule": ["1s", "1s", "1s", "1s", "1s", "1s"] });
    subscribe(&gateway, &subscriber.url(), more).await;
    for agent in ["first", "second", "third"] {
        let mut changed = result(1);
        changed["agent"] = json!(agent);
        gateway.push(WELLCLOUD, json!([changed]).to_string()).await;
        eventually("the first is tried", async || (!subscriber.received().is_empty()).then_some(())).await;
    }
    subscriber.recover();
    let taken = eventually("all three have been taken", async || {
        let events = events_of(&subscriber.received());
        events.iter().any(|event| event["data"]["revision"] == 3).then_some(events)
    })
    .await;
    let mut revisions: Vec<u64> =
        taken.iter().map(|event| event["data"]["revision"].as_u64().unwrap()).collect();
    revisions.dedup();
    assert_eq!(revisions, [1, 2, 3]);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_may_be_killed_while_they_deliver() {
    const PARTS: usize = 12;
    let setup = Setup::new(Backend::Redis).set("EGRESS__ALLOW", "127.0.0.1").set("DELIVERY__TIMEOUT", "1s");
    let world = World::new(setup.vendors(|vendors| vendors.icsoc.calls = 0)).await;
    let start = || GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    let subscriber = Subscriber::start().await;
    // So that there is always something under way, and something read and not yet sent.
    subscriber.behave(Behaviour::Late(Duration::from_millis(20)));
    let mut replicas = [start(), start()];
    let wanted =
        json!({ "url": subscriber.url(), "types": ["io.outdial.call-record.created"], "numbers": "full" });
    let client = replicas[0].client();
    client.post("/v1/subscriptions", "application/json", wanted.to_string()).send().await.expect(201);
    for part in 0..PARTS {
        let body: Value = (part * 100..(part + 1) * 100).map(result).collect();
        let reply = replicas[part % 2].push(WELLCLOUD, body.to_string()).await;
        assert_eq!(reply.body["stored"], 100);
        // In the middle of it: the one that delivers, or the other.
        if part % 4 == 3 {
            let replica = &mut replicas[part / 4 % 2];
            std::mem::replace(replica, start()).kill();
        }
    }
    let seen = arrived(&subscriber, PARTS * 100).await;
    let gateway = TestGateway::start_in(Arc::clone(&world)).await;
    assert_eq!(ids(&seen), ids(&record_events(&gateway).await));
    for event in &seen {
        let same = seen.iter().filter(|other| other["id"] == event["id"]);
        assert!(same.into_iter().all(|other| other == event), "the same event has the same content");
    }
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_keeps_nobody_waiting() {
    let gateway = start(Backend::Sqlite).await;
    let hanging = Subscriber::start().await;
    hanging.behave(Behaviour::Hang);
    subscribe(&gateway, &hanging.url(), json!({})).await;
    let healthy = Subscriber::start().await;
    subscribe(&gateway, &healthy.url(), json!({})).await;
    push(&gateway, 0, 500).await;
    arrived(&healthy, 500).await;
    assert!(hanging.received().len() <= 8, "{} requests hang", hanging.received().len());
    hanging.kill();
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_gone_is_not_asked_again_until_its_owner_says_so() {
    let gateway = start(Backend::Sqlite).await;
    let subscriber = Subscriber::start().await;
    subscriber.behave(Behaviour::Answer(410, ""));
    let subscription =
        subscribe(&gateway, &subscriber.url(), json!({ "concurrency": 1, "retry_schedule": ["1s"] })).await;
    push(&gateway, 0, 20).await;
    eventually("it is disabled", async || {
        let shown = gateway.client().read(&path(&subscription)).await;
        (shown["status"] == "disabled" && shown["disabled_reason"] == "gone").then_some(())
    })
    .await;
    assert_eq!(gateway.metric("outdial_subscriptions_disabled_total", &["reason=\"gone\""]).await, 1.0);
    subscriber.recover();
    set_active(&gateway, &subscription).await;
    arrived(&subscriber, 20).await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_one_gets_everything_when_it_goes_on() {
    let gateway = start(Backend::Sqlite).await;
    let subscriber = Subscriber::start().await;
    let subscription = subscribe(&gateway, &subscriber.url(), json!({ "status": "paused" })).await;
    push(&gateway, 0, 50).await;
    let healthy = Subscriber::start().await;
    subscribe(&gateway, &healthy.url(), json!({})).await;
    push(&gateway, 50, 1).await;
    arrived(&healthy, 1).await;
    assert!(subscriber.received().is_empty());
    set_active(&gateway, &subscription).await;
    assert_eq!(arrived(&subscriber, 51).await.len(), 51);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_wanted_is_delivered() {
    let gateway = start(Backend::Sqlite).await;
    let subscriber = Subscriber::start().await;
    let wanted = json!({ "outcomes": ["busy"], "accounts": [WELLCLOUD], "numbers": "masked" });
    subscribe(&gateway, &subscriber.url(), wanted).await;
    gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    let mut busy = result(7);
    (busy["state"], busy["msg"]) = (json!(1), json!(1));
    gateway.push(WELLCLOUD, json!([result(1), busy, result(2)]).to_string()).await;
    let seen = arrived(&subscriber, 1).await;
    let busy = record_events(&gateway).await.into_iter().filter(|event| event["data"]["outcome"] == "busy");
    assert_eq!(ids(&seen), busy.map(|event| event["id"].as_str().unwrap().to_owned()).collect());
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_delivered_can_be_had_once_more() {
    let gateway = start(Backend::Sqlite).await;
    let subscriber = Subscriber::start().await;
    let subscription = subscribe(&gateway, &subscriber.url(), json!({})).await;
    push(&gateway, 0, 30).await;
    arrived(&subscriber, 30).await;
    let log = record_events(&gateway).await;
    let from = &log[10]["sequence"];
    let replay = format!("{}/replay", path(&subscription));
    let asked = json!({ "from_sequence": from }).to_string();
    let accepted = gateway.client().post(&replay, "application/json", asked).send().await.expect(202);
    assert_eq!(accepted["total"], 20);
    eventually("the replay is through", async || {
        (events_of(&subscriber.received()).len() == 50).then_some(())
    })
    .await;
    push(&gateway, 30, 1).await;
    arrived(&subscriber, 31).await;
    assert_eq!(events_of(&subscriber.received()).len(), 51);
    gateway.finish().await;
}
