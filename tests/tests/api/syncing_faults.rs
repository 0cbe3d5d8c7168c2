//! The search on the timer when something goes wrong: the vendor, the store, or the gateway itself.

use std::{collections::BTreeSet, time::Duration};

use outdial_simulator::{Faults, SearchSeen};
use outdial_tests::{
    child::GatewayProcess,
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, ICSOC, World},
    tokens::now,
    waiting::{eventually, soon},
};
use serde_json::{Value, json};

use crate::{
    bodies::{head, stall},
    pages::{quarantined, record_events, stored, walk},
    syncing::{has_calls, runs, search_faults, setup},
};

/// The program that a test may kill.
const GATEWAY: &str = env!("CARGO_BIN_EXE_gateway_process");

on_every_store!(a_walk_goes_on_at_its_mark_after_a_kill);

/// With Redis on a replica that runs already, else in a process that is started anew.
async fn a_walk_goes_on_at_its_mark_after_a_kill(store: Backend) {
    let world = World::new(setup(store).set("ACCOUNTS__1__TIMEOUT", "2s")).await;
    let control = world.vendors.control();
    let calls: BTreeSet<String> = control.seed_calls(3_000).into_iter().collect();
    control.set_faults(Faults { delay_ms: 900, ..search_faults() });
    let child = GatewayProcess::start(GATEWAY, &world);
    eventually("the walk is under way", async || (control.searches().len() >= 2).then_some(())).await;
    let other = (store == Backend::Redis).then(|| GatewayProcess::start(GATEWAY, &world));
    eventually("it goes on", async || (control.searches().len() >= 3).then_some(())).await;
    child.kill();
    let before = control.searches();
    assert!(before.len() < 6, "it was killed too late");
    control.set_faults(search_faults());
    let child = other.unwrap_or_else(|| GatewayProcess::start(GATEWAY, &world));
    let client = child.client();
    eventually("every call is in the store", async || {
        let records = walk(&client, "/v1/call-records", "?source=store&limit=1000").await;
        (records.len() == calls.len()).then_some(())
    })
    .await;
    let searches = control.searches();
    let window = |search: &SearchSeen| (search.started_from, search.started_to);
    let walked: Vec<_> = searches.iter().filter(|search| window(search) == window(&before[0])).collect();
    let from_the_start = walked.iter().filter(|search| search.after.is_none()).count();
    assert_eq!(from_the_start, 1, "the walk began anew: {walked:#?}");
    let pages: BTreeSet<_> = walked.iter().map(|search| search.after.clone()).collect();
    assert_eq!(pages.len(), 7, "six pages, and the one that says so");
    assert!(walked.len() <= 8, "only the page under way is asked for again: {walked:#?}");
    assert!(child.terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_fails_is_caught_up_with() {
    let gateway = TestGateway::start(setup(Backend::Sqlite)).await;
    let control = gateway.control();
    runs(&gateway, "complete", 1.0).await;
    let quiet = gateway.metric("outdial_sync_lag_seconds", &["account=\"ic-1\""]).await;
    control.set_faults(Faults { status: Some(500), ..search_faults() });
    let calls: BTreeSet<String> = control.seed_calls(20).into_iter().collect();
    runs(&gateway, "failed", 2.0).await;
    let account = gateway.client().read("/v1/accounts/ic-1").await;
    assert_eq!(account["sync"]["state"], "failing");
    eventually("the lag grows", async || {
        let lag = gateway.metric("outdial_sync_lag_seconds", &["account=\"ic-1\""]).await;
        (lag >= quiet + 3.0).then_some(())
    })
    .await;
    let asked = control.stats().icsoc.searches;
    assert!(asked < 30, "it asks again and again: {asked}");
    control.set_faults(search_faults());
    has_calls(&gateway, &calls).await;
    eventually("all is well", async || {
        let account = gateway.client().read("/v1/accounts/ic-1").await;
        (account["sync"]["state"] == "ok").then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_the_vendor() {
    let gateway = TestGateway::start(setup(Backend::Sqlite)).await;
    runs(&gateway, "complete", 1.0).await;
    gateway.control().set_faults(Faults { delay_ms: 25_000, ..search_faults() });
    let asked = gateway.control().searches().len();
    eventually("the vendor is asked", async || (gateway.control().searches().len() > asked).then_some(()))
        .await;
    // That all background work ended in time is what a stop asserts.
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_mark_ends_a_walk_and_proves_nothing() {
    let gateway = TestGateway::start(setup(Backend::Sqlite)).await;
    let control = gateway.control();
    control.set_faults(Faults { repeat_mark: true, ..search_faults() });
    let calls: BTreeSet<String> = control.seed_calls(1_200).into_iter().collect();
    runs(&gateway, "repeated_mark", 2.0).await;
    assert_eq!(stored(&gateway).await.len(), 1_000, "the first two pages");
    let searches = control.searches().into_iter().skip_while(|search| search.found == 0);
    let first: Vec<Option<String>> = searches.take(3).map(|search| search.after).collect();
    assert!(first[0].is_none() && first[1].is_some() && first[2].is_none(), "{first:?}");
    control.set_faults(search_faults());
    has_calls(&gateway, &calls).await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_search_shows_unreadable_is_kept_once() {
    let gateway = TestGateway::start(setup(Backend::Sqlite)).await;
    let control = gateway.control();
    control.set_faults(Faults { broken_results: 10, ..search_faults() });
    let calls: BTreeSet<String> = control.seed_calls(50).into_iter().collect();
    runs(&gateway, "complete", 4.0).await;
    assert_eq!(stored(&gateway).await.len(), 45);
    let items = quarantined(&gateway).await;
    assert_eq!(items.len(), 1, "all five are the same bytes");
    assert!(items[0]["reason"]["detail"].as_str().unwrap().starts_with("found by search: "), "{items:#?}");
    let unreadable = gateway.metric("outdial_sync_records_total", &["result=\"unreadable\""]).await;
    assert!(unreadable >= 10.0, "they are counted each time: {unreadable}");
    control.set_faults(search_faults());
    has_calls(&gateway, &calls).await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_without_redis_is_walked() {
    let world = World::new(setup(Backend::Redis)).await;
    world.set("STORE__SPOOL_DIR", &world.path("spool"));
    let gateway = TestGateway::start_in(world).await;
    let control = gateway.control();
    runs(&gateway, "complete", 1.0).await;
    gateway.connect_pushes();
    gateway.world.redis().kill();
    control.set_faults(Faults { dropped_percent: 50, ..Faults::default() });
    let calls: BTreeSet<String> = control.seed_calls(60).into_iter().collect();
    soon("what is pushed is spooled", control.settled()).await;
    let pushed = control.stats().icsoc.push.records_acknowledged;
    assert!((10..50).contains(&pushed), "{pushed}");
    gateway.world.redis().restart().await;
    let complete = eventually("every call is in the store", async || {
        let answer = gateway.client().get("/v1/call-records?source=store").send().await;
        (answer.status == 200 && stored(&gateway).await.len() == calls.len()).then_some(())
    });
    complete.await;
    has_calls(&gateway, &calls).await;
    eventually("what was found before it was drained is known to be pushed", async || {
        let coverage = gateway.client().read("/v1/accounts/ic-1/coverage").await;
        (coverage["totals"]["by_push"] == json!(pushed)).then_some(())
    })
    .await;
    let created = record_events(&gateway)
        .await
        .into_iter()
        .filter(|event| event["type"] == "io.outdial.call-record.created");
    assert_eq!(created.count(), 60);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_push_is_remembered_until_its_time_was_walked() {
    let hourly =
        setup(Backend::Redis).set("ACCOUNTS__1__SYNC__INTERVAL", "1h").set("PUSH__BODY_IDLE", "100ms");
    let gateway = TestGateway::start(hourly).await;
    runs(&gateway, "complete", 1.0).await;
    let client = redis::Client::open(gateway.world.redis().url()).unwrap();
    let remembered = || -> Option<Value> {
        let mut connection = client.get_connection().unwrap();
        let key = "{outdial}:value:sync:ic-1:trouble";
        let json: Option<String> = redis::cmd("GET").arg(key).query(&mut connection).unwrap();
        serde_json::from_str(&json?).unwrap()
    };
    assert_eq!(remembered(), None);
    let before = now();
    let reply = stall(gateway.push_port(), (head(&gateway.push_url(ICSOC), 100) + "{").as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    let trouble = eventually("it is remembered", async || remembered()).await;
    let since = trouble["since"].as_i64().unwrap() / 1_000;
    assert!((before..=now()).contains(&since), "{trouble}");
    let gateway = TestGateway::start_later(gateway.stop().await, Duration::from_secs(3_660)).await;
    eventually("it is made up for", async || remembered().is_none().then_some(())).await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_records_take_no_more_memory_than_twenty_thousand() {
    const CALLS: usize = 100_000;
    let world = World::new(setup(Backend::Sqlite).set("ACCOUNTS__1__SYNC__INTERVAL", "1h")).await;
    let control = world.vendors.control();
    assert_eq!(control.seed_calls(CALLS).len(), CALLS);
    let child = GatewayProcess::start(GATEWAY, &world);
    let found = || control.searches().iter().map(|search| search.found).sum::<usize>();
    let reached = async |records: usize| {
        // Half a minute is little for so many, so each part of it has its own.
        for part in (0..=records).step_by(5_000) {
            eventually("more records are found", async || (found() >= part).then_some(())).await;
        }
    };
    reached(CALLS / 5).await;
    let early = child.resident_kib();
    reached(CALLS).await;
    let client = child.client();
    eventually("the walk ends", async || {
        let account = client.read("/v1/accounts/ic-1").await;
        account["last_sync_at"].is_string().then_some(())
    })
    .await;
    let late = child.resident_kib();
    println!("resident: {early} KiB after a fifth, {late} KiB at the end");
    assert!(late <= early + 16 * 1_024, "{early} KiB after a fifth, {late} KiB at the end");
    let newest = client.read("/v1/call-records?source=store&limit=1").await;
    assert_eq!(newest["data"][0]["received_via"], "search");
    assert!(child.terminate().await);
}
