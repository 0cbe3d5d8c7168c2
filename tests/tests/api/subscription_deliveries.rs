//! Replays and dead deliveries, asked for over the API and served by a real subscriber.

use std::collections::BTreeSet;

use outdial_tests::{
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, Setup, WELLCLOUD},
    subscriber::{Behaviour, Subscriber},
    waiting::eventually,
};
use serde_json::{Value, json};

use crate::{
    bodies::{result, results},
    pages::{events, walk},
    subscriptions::create,
};

on_every_store!(what_was_before_a_subscription_is_replayed_to_it, dead_deliveries_are_found_and_tried_again);

async fn start(store: Backend) -> TestGateway {
    TestGateway::start(Setup::new(store).set("EGRESS__ALLOW", "127.0.0.1")).await
}

async fn post(gateway: &TestGateway, tail: &str, body: &Value) -> outdial_tests::client::Answer {
    let target = format!("/v1/subscriptions/s/{tail}");
    gateway.client().post(&target, "application/json", body.to_string()).send().await
}

async fn progress(gateway: &TestGateway) -> Value {
    gateway.client().read("/v1/subscriptions/s").await["progress"].clone()
}

async fn replay_done(gateway: &TestGateway) -> Value {
    eventually("the replay ends", async || {
        let replay = progress(gateway).await["replay"].clone();
        (replay["status"] == "done").then_some(replay)
    })
    .await
}

fn received_ids(subscriber: &Subscriber) -> BTreeSet<String> {
    let events = subscriber.received().into_iter().flat_map(|received| received.events());
    events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

async fn what_was_before_a_subscription_is_replayed_to_it(store: Backend) {
    let gateway = start(store).await;
    let subscriber = Subscriber::start().await;
    gateway.push(WELLCLOUD, results(20)).await;
    let asked = json!({ "id": "s", "url": subscriber.url(), "accounts": [WELLCLOUD] });
    create(&gateway.client(), &asked).await.expect(201);
    let before = events(&gateway).await;
    let dry = post(&gateway, "replay", &json!({ "from_sequence": "0", "dry_run": true })).await.expect(200);
    assert_eq!((&dry["total"], &dry["id"]), (&json!(20), &Value::Null));
    let narrow = json!({ "from_sequence": before[5]["sequence"], "to_sequence": before[9]["sequence"] });
    let begun = post(&gateway, "replay", &narrow).await.expect(202);
    assert_eq!(begun["total"], 5);
    let replay = replay_done(&gateway).await;
    assert_eq!((&replay["delivered"], &replay["id"]), (&json!(5), &begun["id"]));
    let ids = |from: usize, to: usize| -> BTreeSet<String> {
        before[from..to].iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(received_ids(&subscriber), ids(5, 10));

    // One that wants nothing of its range ends too, and lets the next one begin.
    let nothing = json!({ "from_sequence": "0", "types": ["io.outdial.roster.failed"] });
    assert_eq!(post(&gateway, "replay", &nothing).await.expect(202)["total"], 0);
    assert_eq!(replay_done(&gateway).await["delivered"], 0);
    let since = json!({ "from_time": before[0]["time"] });
    assert_eq!(post(&gateway, "replay", &since).await.expect(202)["total"], 20);
    assert_eq!(replay_done(&gateway).await["delivered"], 20);
    assert_eq!(received_ids(&subscriber), ids(0, 20));
    gateway.finish().await;
}

async fn dead_deliveries_are_found_and_tried_again(store: Backend) {
    let gateway = start(store).await;
    let subscriber = Subscriber::start().await;
    let types = ["io.outdial.call-record.created"];
    let asked = json!({ "id": "s", "url": subscriber.url(), "types": types, "retry_schedule": ["1s"] });
    create(&gateway.client(), &asked).await.expect(201);
    for index in [3, 5, 7] {
        subscriber.behave_with(&format!("call-{index:05}"), Behaviour::Answer(500, ""));
    }
    gateway.push(WELLCLOUD, (0..10).map(result).collect::<Value>().to_string()).await;
    let dead = eventually("three deliveries die", async || {
        let dead = walk(&gateway.client(), "/v1/subscriptions/s/deliveries", "?status=dead&limit=2").await;
        (dead.len() == 3).then_some(dead)
    })
    .await;
    for delivery in &dead {
        assert_eq!((&delivery["attempts"], &delivery["events_total"]), (&json!(2), &json!(1)));
        let attempts = delivery["last_attempts"].as_array().unwrap();
        assert!(attempts.iter().all(|one| one["status"] == 500 && one["error"] == "status"), "{delivery:#}");
    }
    let subjects: Vec<&Value> = dead.iter().map(|delivery| &delivery["events"][0]["subject"]).collect();
    assert_eq!(subjects, ["call-00007", "call-00005", "call-00003"], "newest first");
    let stands = progress(&gateway).await;
    assert_eq!((&stands["dead"], &stands["delivered"]), (&json!(3), &json!(7)));

    subscriber.recover();
    let one = format!("deliveries/{}/retry", dead[0]["id"].as_str().unwrap());
    assert_eq!(post(&gateway, &one, &json!({})).await.expect(202)["retried"], 1);
    eventually("the one is taken", async || (progress(&gateway).await["delivered"] == 8).then_some(())).await;
    post(&gateway, &one, &json!({})).await.expect_problem(409, "delivery-not-dead");
    assert_eq!(post(&gateway, "deliveries/retry", &json!({})).await.expect(202)["retried"], 2);
    let all = eventually("all are taken", async || {
        let all = walk(&gateway.client(), "/v1/subscriptions/s/deliveries", "?limit=3").await;
        (all.iter().filter(|delivery| delivery["status"] == "delivered").count() == 10).then_some(all)
    })
    .await;
    let ids: Vec<&str> = all.iter().filter_map(|delivery| delivery["id"].as_str()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    assert_eq!(progress(&gateway).await["dead"], 0);
    assert_eq!(received_ids(&subscriber).len(), 10);
    gateway.finish().await;
}
