//! Tens of thousands of events to a subscriber that dies, and from replicas that are killed at random.

use std::{collections::BTreeSet, time::Duration};

use outdial_tests::{
    child::GatewayProcess,
    client::Client,
    gateway::{PushReply, TestGateway},
    on_every_store,
    setup::{Backend, Setup, WELLCLOUD, World},
    subscriber::{Behaviour, Subscriber},
    waiting::eventually,
};
use serde_json::{Value, json};

use crate::bodies::result;

on_every_store!(
    twenty_thousand_events_arrive_once_each,
    a_subscriber_that_dies_twice_gets_all_of_twenty_thousand
);

const EVENTS: usize = 20_000;
/// Results of one push.
const PART: usize = 500;

async fn subscribe(client: &Client, subscriber: &Subscriber) {
    let waits = ["1s"; 20];
    let wanted = json!({
        "url": subscriber.url(), "types": ["io.outdial.call-record.created"], "numbers": "full",
        "retry_schedule": waits, "concurrency": 16,
    });
    client.post("/v1/subscriptions", "application/json", wanted.to_string()).send().await.expect(201);
}

fn part(number: usize) -> String {
    (number * PART..(number + 1) * PART).map(result).collect::<Value>().to_string()
}

/// Pushes a part until it is taken: on a busy machine it may be shed, or stored and then asked about once more.
async fn taken(push: impl AsyncFn() -> PushReply) {
    eventually("the push is taken", async || {
        let body = push().await.body;
        let count = |name: &str| body[name].as_u64().unwrap_or(0);
        (count("stored") + count("duplicate") == u64::try_from(PART).unwrap()).then_some(())
    })
    .await;
}

/// Waits until so many different messages have come, as long as there are more and more of them.
async fn arrived(subscriber: &Subscriber, count: usize) {
    let mut known = 0;
    while known < count {
        known = eventually("more events have arrived", async || {
            Some(subscriber.messages()).filter(|different| *different > known)
        })
        .await;
    }
}

/// What the events are about.
fn subjects(subscriber: &Subscriber) -> BTreeSet<String> {
    let received = subscriber.received();
    received.iter().map(|one| one.json()["subject"].as_str().unwrap().to_owned()).collect()
}

fn all_subjects(count: usize) -> BTreeSet<String> {
    (0..count).map(|index| format!("call-{index:05}")).collect()
}

async fn start(store: Backend) -> TestGateway {
    let setup = Setup::new(store).set("EGRESS__ALLOW", "127.0.0.1");
    TestGateway::start(setup.vendors(|vendors| vendors.icsoc.calls = 0)).await
}

async fn twenty_thousand_events_arrive_once_each(store: Backend) {
    let gateway = start(store).await;
    let subscriber = Subscriber::start().await;
    subscribe(&gateway.client(), &subscriber).await;
    for number in 0..EVENTS / PART {
        taken(async || gateway.push(WELLCLOUD, part(number)).await).await;
    }
    arrived(&subscriber, EVENTS).await;
    assert_eq!(
        (subscriber.count(), subjects(&subscriber)),
        (EVENTS, all_subjects(EVENTS)),
        "each, and none twice"
    );
    gateway.finish().await;
}

async fn a_subscriber_that_dies_twice_gets_all_of_twenty_thousand(store: Backend) {
    let gateway = start(store).await;
    let mut subscriber = Subscriber::start().await;
    subscribe(&gateway.client(), &subscriber).await;
    for number in 0..EVENTS / PART {
        taken(async || gateway.push(WELLCLOUD, part(number)).await).await;
        match number {
            8 | 24 => subscriber.kill(),
            12 | 28 => subscriber.restart().await,
            _ => {}
        }
    }
    arrived(&subscriber, EVENTS).await;
    assert_eq!(subscriber.messages(), EVENTS, "as many ids as events");
    assert_eq!(subjects(&subscriber), all_subjects(EVENTS));
    gateway.finish().await;
}

/// A sequence that looks like chance and can be had again (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(below).unwrap()).unwrap()
    }
}

/// Tells the seed of a run that fails, so that it can be had again: `OUTDIAL_TEST_SEED`.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("OUTDIAL_TEST_SEED={}", self.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_may_be_killed_at_any_point() {
    const PARTS: usize = 40;
    const KILLS: usize = 12;
    let given = std::env::var("OUTDIAL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = Seed(given.unwrap_or_else(|| u64::from(std::process::id())));
    let mut dice = Dice(seed.0);
    let setup = Setup::new(Backend::Redis).set("EGRESS__ALLOW", "127.0.0.1").set("DELIVERY__TIMEOUT", "1s");
    let world = World::new(setup.vendors(|vendors| vendors.icsoc.calls = 0)).await;
    let start = || GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    let mut replicas = [start(), start()];
    let subscriber = Subscriber::start().await;
    // So that there is always something under way, and something read and not yet sent.
    subscriber.behave(Behaviour::Late(Duration::from_millis(10)));
    subscribe(&replicas[0].client(), &subscriber).await;
    let mut pushed = 0;
    for _ in 0..KILLS {
        // Some more to deliver, unless all was pushed; then one dies somewhere on the way.
        for _ in 0..=dice.roll(2) {
            if pushed < PARTS {
                let replica = &replicas[dice.roll(2)];
                taken(async || replica.push(WELLCLOUD, part(pushed)).await).await;
                pushed += 1;
            }
        }
        let left = (pushed * PART).saturating_sub(subscriber.messages());
        let point = subscriber.messages() + dice.roll(left.max(1));
        eventually("deliveries get to the point", async || (subscriber.messages() >= point).then_some(()))
            .await;
        std::mem::replace(&mut replicas[dice.roll(2)], start()).kill();
    }
    while pushed < PARTS {
        let replica = &replicas[dice.roll(2)];
        taken(async || replica.push(WELLCLOUD, part(pushed)).await).await;
        pushed += 1;
    }
    arrived(&subscriber, PARTS * PART).await;
    assert_eq!(subscriber.messages(), PARTS * PART, "the same event has the same id");
    assert_eq!(subjects(&subscriber), all_subjects(PARTS * PART));
}
