//! Redis away: pushes are spooled, acknowledged as the spool's class allows, and drained when it is back.

use std::{collections::BTreeSet, sync::Arc};

use outdial_gateway::{Gateway, StartError};
use outdial_tests::{
    child::GatewayProcess,
    gateway::TestGateway,
    redis_server::{RedisServer, SAFE},
    secrets::PUSH_SECRET,
    setup::{Backend, ICSOC, Setup, WELLCLOUD, World},
    waiting::{eventually, soon},
};
use serde_json::json;

use crate::{
    bodies::{call, envelope, result, results, sign},
    pages::{quarantined, record_events, stored},
    uploads::{CSV, csv, upload, upload_count},
};

/// A world with a Redis and, if it has a class, a spool.
async fn world(spool_class: Option<&str>) -> Arc<World> {
    let world = World::new(Setup::new(Backend::Redis).vendors(|vendors| vendors.icsoc.calls = 0)).await;
    if let Some(class) = spool_class {
        world.set("STORE__SPOOL_DIR", &world.path("spool"));
        world.set("STORE__SPOOL_CLASS", class);
    }
    world
}

/// So many results from the `from`th on.
fn some(from: usize, count: usize) -> String {
    (from..from + count).map(result).collect::<serde_json::Value>().to_string()
}

async fn mode(gateway: &TestGateway, mode: &str) {
    let label = format!("mode=\"{mode}\"");
    eventually(mode, async || (gateway.metric("outdial_store_mode", &[&label]).await == 1.0).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_redis_is_away_is_there_when_it_is_back() {
    let gateway = TestGateway::start_in(world(Some("volume")).await).await;
    assert_eq!(gateway.push(WELLCLOUD, some(0, 50)).await.body["stored"], 50);
    gateway.world.redis().kill();
    for part in 1..5 {
        let reply = gateway.push(WELLCLOUD, some(part * 50, 50)).await;
        assert_eq!((reply.status, &reply.body["code"]), (200, &json!(0)), "{:?}", reply.body);
    }
    let reply = gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    assert_eq!((reply.status, &reply.body["code"]), (200, &json!(0)));
    mode(&gateway, "spool").await;
    assert_eq!(gateway.ask_admin("/readyz").await.0, 200, "pushes can be stored, so it is ready");
    let away = gateway.client().get("/v1/call-records?source=store").send().await;
    away.expect_problem(503, "store-unavailable");
    let roster = upload(&gateway.client(), "", CSV, csv(2)).await;
    roster.expect_problem(503, "store-unavailable");
    assert_eq!(upload_count(&gateway), 0, "what cannot be remembered is not sent");

    gateway.world.redis().restart().await;
    mode(&gateway, "redis").await;
    eventually("the spool is drained", async || {
        (gateway.metric("outdial_spool_records", &[]).await == 0.0).then_some(())
    })
    .await;
    let records = eventually("all records are there", async || {
        let answer = gateway.client().get("/v1/call-records?source=store").send().await;
        (answer.status == 200 && stored(&gateway).await.len() == 251).then_some(())
    });
    records.await;
    let events = record_events(&gateway).await;
    let subjects: BTreeSet<&str> = events.iter().filter_map(|event| event["subject"].as_str()).collect();
    assert_eq!((events.len(), subjects.len()), (251, 251), "one event each");
    let again = gateway.push(WELLCLOUD, results(250)).await.body;
    assert_eq!((&again["stored"], &again["duplicate"]), (&json!(0), &json!(250)));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_goes_with_the_pod_is_no_promise_to_those_who_repeat() {
    let gateway = TestGateway::start_in(world(Some("pod")).await).await;
    gateway.world.redis().kill();
    let reply = gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!(50_302)));
    let reply = gateway.push(WELLCLOUD, some(0, 5)).await;
    assert_eq!(reply.status, 200, "WellCloud comes only once");
    gateway.world.redis().restart().await;
    eventually("all records are there", async || {
        let answer = gateway.client().get("/v1/call-records?source=store").send().await;
        (answer.status == 200 && stored(&gateway).await.len() == 6).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_spool_pushes_are_refused_and_it_is_not_ready() {
    let gateway = TestGateway::start_in(world(None).await).await;
    gateway.world.redis().kill();
    let unready = async || (gateway.ask_admin("/readyz").await.0 == 503).then_some(());
    for (account, body) in [(WELLCLOUD, some(0, 5)), (ICSOC, envelope("1", &call("6811535818021285888")))] {
        let reply = gateway.push(account, body).await;
        assert_eq!((reply.status, &reply.body["code"]), (503, &json!(50_301)), "{account}");
        assert!(reply.headers.contains_key("retry-after"));
    }
    eventually("it is not ready", unready).await;
    let refused = gateway.metric("outdial_push_records_total", &["result=\"refused\""]).await;
    assert_eq!(refused, 6.0);
    gateway.world.redis().restart().await;
    eventually("it is ready again", async || (gateway.ask_admin("/readyz").await.0 == 200).then_some(()))
        .await;
    assert_eq!(gateway.push(WELLCLOUD, some(0, 5)).await.body["stored"], 5);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_outlives_its_gateway_and_one_may_start_without_redis() {
    let world = world(Some("volume")).await;
    world.redis().kill();
    let child = GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    child.connect_pushes(&world);
    world.vendors.control().seed_calls(30);
    soon("the calls are pushed", world.vendors.control().settled()).await;
    assert_eq!(world.vendors.control().stats().icsoc.push.records_acknowledged, 30);
    child.kill();
    world.redis().restart().await;
    let gateway = TestGateway::start_in(world).await;
    eventually("the spool is drained", async || (stored(&gateway).await.len() == 30).then_some(())).await;
    assert_eq!(record_events(&gateway).await.len(), 30);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_would_lose_records_is_refused() {
    for (name, value) in
        [("--appendonly", "no"), ("--maxmemory-policy", "allkeys-lru"), ("--appendfsync", "everysec")]
    {
        let settings: Vec<_> =
            SAFE.into_iter().filter(|(known, _)| *known != name).chain([(name, value)]).collect();
        let redis = RedisServer::start_with(&settings).await;
        let world = World::new(Setup::new(Backend::Sqlite).set("STORE__URL", &redis.url())).await;
        match Gateway::start(world.config()).await {
            Err(StartError::Misconfigured(problem)) => {
                let setting = name.trim_start_matches("--");
                assert!(problem.contains(setting), "{setting} is not named: {problem}");
            }
            Err(other) => panic!("{name} {value}: {other}"),
            Ok(_) => panic!("{name} {value} is taken"),
        }
    }
}

/// A spool can go with its volume: an item of the quarantine stays until the store itself has what was in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replayed_into_the_spool_stays_in_the_quarantine() {
    const OTHER: &str = "anotherSecret0123456789abcdefghi";
    let gateway = TestGateway::start_in(world(Some("pod")).await).await;
    let data = call("7");
    let [ours, other] = [PUSH_SECRET, OTHER].map(|secret| sign(&data, secret));
    assert_eq!(gateway.push(ICSOC, envelope("1", &data).replace(&ours, &other)).await.status, 401);
    let world = gateway.stop().await;
    world.set("ACCOUNTS__1__PUSH_SECRETS__1", OTHER);
    let gateway = TestGateway::start_in(world).await;
    let redis = redis::Client::open(gateway.world.redis().url()).unwrap();
    let mut connection = redis.get_multiplexed_async_connection().await.unwrap();
    let mut permit = async |rule: &str| {
        let mut set = redis::cmd("ACL");
        let _: () = set.arg("SETUSER").arg("default").arg(rule).query_async(&mut connection).await.unwrap();
    };
    let path = format!("/v1/quarantine/{}", quarantined(&gateway).await[0]["id"].as_str().unwrap());
    let replay = async || gateway.client().call("POST", &format!("{path}/replay")).send().await.expect(200);

    // It answers and removes, but takes no records.
    permit("-xadd").await;
    let spooled = replay().await;
    assert_eq!((&spooled["stored"], &spooled["removed"]), (&json!(1), &json!(false)));
    assert_eq!(quarantined(&gateway).await.len(), 1);
    permit("+xadd").await;
    eventually("the spool is drained", async || (stored(&gateway).await.len() == 1).then_some(())).await;
    let known = replay().await;
    assert_eq!((&known["duplicate"], &known["removed"]), (&json!(1), &json!(true)));
    assert_eq!(quarantined(&gateway).await.len(), 0);
    gateway.finish().await;
}
