//! The search on the timer: what no push brought is found, once, by one replica, and is proved to be all.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use outdial_simulator::{Faults, SearchSeen, Vendor};
use outdial_tests::{
    client::Client,
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, ICSOC, Setup, World},
    tokens::{ALL_SCOPES, claims, now, shared_key, sign},
    waiting::{eventually, soon},
};
use serde_json::{Value, json};

use crate::{
    bodies::{call, envelope},
    pages::{record_events, stored},
};

on_every_store!(calls_whose_pushes_are_dropped_are_found_and_a_day_later_that_is_proved);

/// A vendor without calls, searched every second, as far back as its calls last.
pub fn setup(store: Backend) -> Setup {
    Setup::new(store)
        .vendors(|vendors| vendors.icsoc.calls = 0)
        .set("ACCOUNTS__1__SYNC__ENABLED", "true")
        .set("ACCOUNTS__1__SYNC__INTERVAL", "1s")
        .set("ACCOUNTS__1__SYNC__LOOKBACK", "10m")
}

/// Faults of the vendor's search.
pub fn search_faults() -> Faults {
    Faults { vendor: Some(Vendor::Icsoc), path_prefix: Some("/api".to_owned()), ..Faults::default() }
}

/// So many runs ended so.
pub async fn runs(gateway: &TestGateway, result: &str, count: f64) {
    let label = format!("result=\"{result}\"");
    eventually(&label, async || {
        (gateway.metric("outdial_sync_runs_total", &[&label]).await >= count).then_some(())
    })
    .await;
}

/// The store has exactly these calls.
pub async fn has_calls(gateway: &TestGateway, calls: &BTreeSet<String>) -> Vec<Value> {
    eventually("every call is in the store", async || {
        let records = stored(gateway).await;
        let ids: BTreeSet<&str> = records.iter().filter_map(|record| record["call_id"].as_str()).collect();
        calls.iter().map(String::as_str).eq(ids).then_some(records)
    })
    .await
}

/// A caller whose token is good so much later.
fn client_later(gateway: &TestGateway, later: Duration) -> Client {
    let mut claims = claims(ALL_SCOPES, &["*"]);
    let issued = now() + i64::try_from(later.as_secs()).unwrap();
    (claims["iat"], claims["exp"]) = (json!(issued), json!(issued + 600));
    gateway.client_holding(Some(sign(&jsonwebtoken::Header::default(), &claims, &shared_key())))
}

async fn calls_whose_pushes_are_dropped_are_found_and_a_day_later_that_is_proved(store: Backend) {
    let gateway = TestGateway::start(setup(store)).await;
    runs(&gateway, "complete", 1.0).await;
    gateway.connect_pushes();
    gateway.control().set_faults(Faults { dropped_percent: 40, ..Faults::default() });
    let calls: BTreeSet<String> = gateway.control().seed_calls(300).into_iter().collect();
    soon("what is pushed is pushed", gateway.control().settled()).await;
    let pushed = gateway.control().stats().icsoc.push.records_acknowledged;
    assert!((100..250).contains(&pushed), "{pushed}");
    let records = has_calls(&gateway, &calls).await;
    let by_search = records.iter().filter(|record| record["received_via"] == "search").count();
    assert_eq!(u64::try_from(by_search).unwrap() + pushed, 300);
    runs(&gateway, "complete", 4.0).await;
    let records = has_calls(&gateway, &calls).await;
    // Some pushes come without the uploader's data, and so without the campaign; the search adds both.
    let updated = records.iter().filter(|record| record["revision"] == 2).count();
    assert!(updated < 40 && records.iter().all(|record| record["revision"].as_u64() <= Some(2)), "{updated}");
    assert_eq!(record_events(&gateway).await.len(), 300 + updated, "a call that was pushed is no news");
    let account = gateway.client().read("/v1/accounts/ic-1").await;
    assert_eq!(account["sync"]["state"], "ok");
    assert!(account["last_sync_at"].as_str() >= account["sync"]["through"].as_str(), "{account:#}");
    assert!(gateway.metric("outdial_sync_lag_seconds", &["account=\"ic-1\""]).await < 30.0);

    let first = records.iter().filter_map(|record| record["started_at"].as_str()).min().unwrap().to_owned();
    let last = records.iter().filter_map(|record| record["started_at"].as_str()).max().unwrap().to_owned();
    let target = format!("/v1/accounts/ic-1/coverage?from={first}&to={last}");
    let sums = gateway.client().read(&target).await["totals"].clone();
    assert_eq!((&sums["by_push"], &sums["only_by_search"]), (&json!(pushed), &json!(by_search)));
    assert_eq!((&sums["at_vendor"], &sums["complete"]), (&Value::Null, &json!(false)), "it is not over yet");

    let later = Duration::from_secs(24 * 3_600 + 60);
    let gateway = TestGateway::start_later(gateway.stop().await, later).await;
    let client = client_later(&gateway, later);
    let proved = eventually("the day is proved", async || {
        let coverage = client.read(&target).await;
        (coverage["totals"]["complete"] == true).then_some(coverage)
    })
    .await;
    let expected = json!({
        "by_push": pushed, "only_by_search": by_search, "differing": updated, "at_vendor": 300, "missing": 0, "complete": true,
    });
    assert_eq!(proved["totals"], expected);
    let mut found = 0;
    for campaign in ["10008", "10195", "none-of-ours"] {
        let coverage = client.read(&format!("{target}&campaign_id={campaign}")).await;
        let sums = &coverage["totals"];
        let known = sums["by_push"].as_u64().unwrap() + sums["only_by_search"].as_u64().unwrap();
        assert_eq!((&sums["at_vendor"], &sums["complete"]), (&json!(known), &json!(true)), "{coverage:#}");
        found += known;
    }
    assert_eq!(found, 300);
    gateway.finish().await;
}

#[tokio::test]
async fn what_a_push_told_is_a_duplicate_and_what_the_search_adds_is_an_update() {
    let gateway = TestGateway::start(setup(Backend::Sqlite).set("ACCOUNTS__1__SYNC__ENABLED", "false")).await;
    let ids = gateway.control().seed_calls(2);
    gateway.push(ICSOC, envelope("1", &call(&ids[0]))).await;
    gateway.connect_pushes();
    assert!(gateway.control().push_icsoc_again(&ids[1]));
    soon("the call is pushed", gateway.control().settled()).await;
    assert!(gateway.client().read("/v1/accounts/ic-1").await["sync"].is_null());
    let world = gateway.stop().await;
    world.set("ACCOUNTS__1__SYNC__ENABLED", "true");
    let gateway = TestGateway::start_in(world).await;
    runs(&gateway, "complete", 3.0).await;
    let told: Vec<(String, String)> = record_events(&gateway)
        .await
        .iter()
        .map(|event| {
            (event["subject"].as_str().unwrap().to_owned(), event["type"].as_str().unwrap().to_owned())
        })
        .collect();
    let event = |id: &String, what: &str| (id.clone(), format!("io.outdial.call-record.{what}"));
    assert_eq!(told, [event(&ids[0], "created"), event(&ids[1], "created"), event(&ids[0], "updated")]);
    let records = stored(&gateway).await;
    assert!(records.iter().all(|record| record["received_via"] == "push"), "{records:#?}");
    let coverage = gateway.client().read("/v1/accounts/ic-1/coverage").await;
    assert_eq!((&coverage["totals"]["differing"], &coverage["totals"]["by_push"]), (&json!(1), &json!(2)));
    gateway.finish().await;
}

/// A window that was asked for, and the marks it was asked with.
struct Window {
    from: Option<i64>,
    to: Option<i64>,
    marks: Vec<Option<String>>,
}

/// Windows in the order in which they were asked for.
fn windows(searches: &[SearchSeen]) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for SearchSeen { after, started_from: from, started_to: to, .. } in searches.iter().cloned() {
        match windows.last_mut().filter(|last| (last.from, last.to) == (from, to) && after.is_some()) {
            Some(last) => last.marks.push(after),
            None => windows.push(Window { from, to, marks: vec![after] }),
        }
    }
    windows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_one_walks() {
    let world: Arc<World> = World::new(setup(Backend::Redis)).await;
    let calls: BTreeSet<String> = world.vendors.control().seed_calls(1_800).into_iter().collect();
    world.vendors.control().set_faults(Faults { delay_ms: 60, ..search_faults() });
    let replicas =
        [TestGateway::start_in(Arc::clone(&world)).await, TestGateway::start_in(Arc::clone(&world)).await];
    let searches = eventually("five windows are walked", async || {
        let searches = world.vendors.control().searches();
        (windows(&searches).len() > 5).then_some(searches)
    })
    .await;
    let windows = windows(&searches);
    for Window { from, to, marks } in &windows[..5] {
        assert_eq!((marks[0].as_ref(), marks.len()), (None, 5), "{from:?} {to:?}: {marks:?}");
        let distinct: BTreeSet<_> = marks.iter().collect();
        assert_eq!(distinct.len(), 5, "no page twice");
    }
    let ends: Vec<i64> = windows.iter().filter_map(|window| window.to).collect();
    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{ends:?}");
    for gateway in replicas {
        has_calls(&gateway, &calls).await;
        eventually("it knows of the other's search", async || {
            let account = gateway.client().read("/v1/accounts/ic-1").await;
            account["last_sync_at"].is_string().then_some(())
        })
        .await;
        assert_eq!(record_events(&gateway).await.len(), 1_800);
        gateway.finish().await;
    }
}
