//! `Prefer: respond-async`: the answer comes when the store has the roster, and the vendor gets it whatever happens then.

use std::{sync::Arc, time::Duration};

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    child::GatewayProcess,
    client::{Answer, Client},
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, Setup, World},
    waiting::eventually,
};
use serde_json::{Value, json};

use crate::uploads::{
    CAMPAIGN, CSV, JSON, csv, ended, kept, only_upload, taken, target, upload, upload_count, with_agents,
};

on_every_store!(the_answer_comes_before_the_vendors, a_key_gives_the_same_roster, as_many_as_allowed);

/// Every upload takes so long.
fn slow(milliseconds: u64) -> Faults {
    Faults {
        vendor: Some(Vendor::Wellcloud),
        path_prefix: Some("/ocm".to_owned()),
        delay_ms: milliseconds,
        ..Faults::default()
    }
}

/// A gateway whose JSON parts hold one entry each.
fn one_by_one(store: Backend) -> Setup {
    Setup::new(store).set("ACCOUNTS__0__JSON_ENTRIES_MAX", "1")
}

async fn upload_async(client: &Client, entries: Value, key: Option<&str>) -> Answer {
    let call = client.post(&target(CAMPAIGN, ""), JSON, json!({ "entries": entries }).to_string());
    let call = call.header("prefer", "respond-async");
    match key {
        Some(key) => call.header("idempotency-key", key).send().await,
        None => call.send().await,
    }
}

async fn the_answer_comes_before_the_vendors(store: Backend) {
    let gateway = TestGateway::start(one_by_one(store)).await;
    let client = gateway.client();
    gateway.control().set_faults(slow(300));
    let answer = upload_async(&client, with_agents(0..3), None).await;
    let roster = answer.expect(202);
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    let location = format!("/v1/rosters/{}", roster["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!((&roster["status"], &roster["accepted"]), (&json!("sending"), &json!(0)));
    assert_eq!(roster["progress"], json!({ "parts_done": 0, "parts_total": 3 }));
    assert!(taken(&gateway).len() < 3, "the vendor is slower than that");
    let halfway = eventually("a part is done", async || {
        let roster = kept(&client, &roster).await;
        Some(roster).filter(|roster| roster["progress"]["parts_done"] == 1)
    })
    .await;
    assert_eq!((&halfway["status"], &halfway["accepted"]), (&json!("sending"), &json!(1)));
    let listed = client.read("/v1/rosters?status=sending").await;
    assert_eq!(listed["data"][0]["id"], roster["id"]);
    let busy = client.call("POST", &format!("{location}/retry")).send().await;
    busy.expect_problem(409, "roster-sending");

    let done = ended(&client, &roster).await;
    assert_eq!((&done["status"], &done["accepted"]), (&json!("accepted"), &json!(3)));
    assert_eq!(done["progress"], json!({ "parts_done": 3, "parts_total": 3 }));
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"], ["e-2"]]);
    let events = client.read("/v1/events").await;
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
    assert_eq!(events["data"][0]["data"]["status"], "accepted");
    gateway.finish().await;
}

async fn a_key_gives_the_same_roster(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let client = gateway.client();
    let first = upload_async(&client, with_agents(0..2), Some("key-1")).await;
    let roster = first.expect(202);
    ended(&client, &roster).await;
    for _ in 0..2 {
        let again = upload_async(&client, with_agents(0..2), Some("key-1")).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "the first answer again");
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.header("location"), first.header("location"));
    }
    let other = upload_async(&client, with_agents(0..3), Some("key-1")).await;
    other.expect_problem(422, "idempotency-key-reused");
    only_upload(&gateway);
    gateway.finish().await;
}

async fn as_many_as_allowed(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store).set("ROSTERS__MAX_ASYNC", "1")).await;
    let client = gateway.client();
    gateway.control().set_faults(slow(1_000));
    let roster = upload_async(&client, with_agents(0..1), None).await.expect(202);
    let full = upload_async(&client, with_agents(1..2), Some("key-1")).await;
    let problem = full.expect_problem(503, "too-many-rosters");
    assert_eq!(problem["retryable"], true);
    assert!(full.header("retry-after").is_some());
    upload(&client, "", CSV, csv(1)).await.expect(201);
    assert_eq!(ended(&client, &roster).await["status"], "accepted");
    // Nothing was begun, so the key stands for nothing yet.
    let second = eventually("there is a place again", async || {
        let answer = upload_async(&client, with_agents(1..2), Some("key-1")).await;
        Some(answer).filter(|answer| answer.status == 202)
    });
    assert_eq!(ended(&client, &second.await.expect(202)).await["status"], "accepted");
    assert_eq!(taken(&gateway).len(), 3);
    gateway.finish().await;
}

#[tokio::test]
async fn preferences_are_read_as_a_list() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let client = gateway.client();
    for (prefer, query, status) in [
        ("wait=10, Respond-Async; foo=\"a\"", "", 202),
        ("respond-async, wait=5", "", 202),
        ("wait=10, handling=lenient", "", 201),
        ("respond-asynchronously", "", 201),
        ("respond-async", "?dry_run=true", 200),
    ] {
        let call = client.post(&target(CAMPAIGN, query), CSV, csv(1)).header("prefer", prefer);
        let answer = call.send().await;
        let roster = answer.expect(status);
        assert_eq!(answer.header("preference-applied").is_some(), status == 202, "{prefer}");
        if status == 202 {
            ended(&client, &roster).await;
        }
    }
    assert_eq!(upload_count(&gateway), 4);
    gateway.finish().await;
}

#[tokio::test]
async fn what_the_vendor_refuses_waits_for_a_retry() {
    let gateway = TestGateway::start(one_by_one(Backend::Sqlite)).await;
    let client = gateway.client();
    gateway.control().set_faults(Faults { status: Some(500), status_count: 1, ..slow(0) });
    let roster = upload_async(&client, with_agents(0..2), None).await.expect(202);
    let failed = ended(&client, &roster).await;
    assert_eq!((&failed["status"], &failed["rejected"]), (&json!("failed"), &json!(2)));
    assert_eq!(upload_count(&gateway), 1, "what stands behind a failure is not begun");
    let path = format!("/v1/rosters/{}/retry", roster["id"].as_str().unwrap());
    let retry = async || {
        let call = client.call("POST", &path).header("prefer", "respond-async");
        call.header("idempotency-key", "key-1").send().await
    };
    let answer = retry().await;
    assert_eq!(answer.expect(202)["attempts"], 2);
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    let done = ended(&client, &roster).await;
    assert_eq!((&done["status"], &done["attempts"]), (&json!("accepted"), &json!(2)));
    assert_eq!(retry().await.body, answer.body);
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"]]);
    gateway.finish().await;
}

/// A gateway that is asked to stop sees the part through that is on its way; the next one sends the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_gateway_goes_on() {
    let world = World::new(one_by_one(Backend::Sqlite)).await;
    world.vendors.control().set_faults(slow(400));
    let child = GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    let roster = upload_async(&child.client(), with_agents(0..4), Some("key-1")).await.expect(202);
    eventually("the vendor has a part", async || {
        (!world.vendors.control().uploads().is_empty()).then_some(())
    })
    .await;
    assert!(child.terminate().await);
    let before = world.vendors.control().uploads().len();
    assert!(before < 4, "the stop waited for the whole roster");
    world.vendors.control().set_faults(Faults::default());

    let gateway = TestGateway::start_in(world).await;
    let client = gateway.client();
    let done = ended(&client, &roster).await;
    assert_eq!((&done["status"], &done["accepted"]), (&json!("accepted"), &json!(4)));
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"], ["e-2"], ["e-3"]], "each part once, in order");
    let again = upload_async(&client, with_agents(0..4), Some("key-1")).await;
    assert_eq!(again.expect(202)["id"], roster["id"]);
    assert_eq!(upload_count(&gateway), 4);
    gateway.finish().await;
}

/// A stop does not wait for turns, and whoever goes on does not wait for a lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_what_waits_for_its_turn() {
    let setup = one_by_one(Backend::Sqlite).set("ACCOUNTS__0__MAX_RPS", "0.04");
    let gateway = TestGateway::start(setup).await;
    let client = gateway.client();
    let roster = upload_async(&client, with_agents(0..2), None).await.expect(202);
    eventually("a part is done", async || {
        let roster = kept(&client, &roster).await;
        Some(roster).filter(|roster| roster["progress"]["parts_done"] == 1)
    })
    .await;
    let world = gateway.stop().await;
    world.set("ACCOUNTS__0__MAX_RPS", "1000");
    let gateway = TestGateway::start_in(world).await;
    let done = ended(&gateway.client(), &roster).await;
    assert_eq!((&done["status"], &done["accepted"]), (&json!("accepted"), &json!(2)));
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"]]);
    gateway.finish().await;
}

/// A part that waits for its turn was not begun: nothing is unknown after a kill, and the next gateway sends what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_two_parts_costs_nothing() {
    let world = World::new(one_by_one(Backend::Sqlite).set("ACCOUNTS__0__MAX_RPS", "0.2")).await;
    let child = GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    let roster = upload_async(&child.client(), with_agents(0..3), Some("key-1")).await.expect(202);
    let halfway = eventually("a part is done", async || {
        let roster = kept(&child.client(), &roster).await;
        Some(roster).filter(|roster| roster["progress"]["parts_done"] == 1)
    })
    .await;
    let waiting = &halfway["parts"][1];
    assert_eq!((&waiting["status"], &waiting["sent"]), (&json!("pending"), &json!(false)));
    child.kill();
    world.set("ACCOUNTS__0__MAX_RPS", "1000");

    let gateway = TestGateway::start_later(world, Duration::from_secs(120)).await;
    let client = gateway.client();
    let done = ended(&client, &roster).await;
    assert_eq!((&done["status"], &done["accepted"]), (&json!("accepted"), &json!(3)));
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"], ["e-2"]]);
    let again = upload_async(&client, with_agents(0..3), Some("key-1")).await;
    assert_eq!(again.expect(202)["id"], roster["id"]);
    assert_eq!(upload_count(&gateway), 3);
    gateway.finish().await;
}

/// One that stood still for longer than its lease finds that another has settled the roster, and sends no more of it.
#[tokio::test]
async fn who_lost_the_roster_sends_no_more_of_it() {
    let world = World::new(one_by_one(Backend::Redis)).await;
    let late = TestGateway::start_in(Arc::clone(&world)).await;
    late.control().set_faults(slow(1_500));
    let client = late.client();
    let call = client.post(&target(CAMPAIGN, ""), JSON, json!({ "entries": with_agents(0..3) }).to_string());
    let take_over = async {
        eventually("the vendor has a part", async || (upload_count(&late) == 1).then_some(())).await;
        let redis = redis::Client::open(world.redis().url()).unwrap();
        let mut connection = redis.get_multiplexed_async_connection().await.unwrap();
        let mut leases = redis::cmd("KEYS");
        let leases: Vec<String> =
            leases.arg("{outdial}:lease:roster:*").query_async(&mut connection).await.unwrap();
        assert_eq!(leases.len(), 1);
        let _: () = redis::cmd("DEL").arg(&leases).query_async(&mut connection).await.unwrap();
        let next = TestGateway::start_in(Arc::clone(&world)).await;
        let listed = next.client().read("/v1/rosters").await["data"][0].clone();
        (ended(&next.client(), &listed).await, next)
    };
    let (answer, (settled, next)) = tokio::join!(call.send(), take_over);
    let problem = answer.expect_problem(504, "upstream-outcome-unknown");
    assert_eq!(problem["retryable"], false, "the vendor has a part of it");
    assert_eq!(problem["roster"]["id"], settled["id"]);
    let words: Vec<&str> =
        settled["parts"].as_array().unwrap().iter().map(|part| part["status"].as_str().unwrap()).collect();
    assert_eq!(words, ["unknown", "refused", "refused"]);
    assert_eq!(kept(&next.client(), &settled).await, settled, "the late one overwrites nothing");
    only_upload(&next);
    assert_eq!(next.client().read("/v1/events").await["data"].as_array().unwrap().len(), 1);
    late.stop().await;
    next.finish().await;
}

/// A gateway that loses its store in the middle of a roster tells nobody how it ended: another goes on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_go_on_with_is_not_told_to_have_ended() {
    let world = World::new(one_by_one(Backend::Redis).set("ACCOUNTS__0__MAX_RPS", "0.2")).await;
    world.set("STORE__SPOOL_DIR", &world.path("spool"));
    world.set("STORE__SPOOL_CLASS", "volume");
    let gateway = TestGateway::start_in(world).await;
    let client = gateway.client();
    let roster = upload_async(&client, with_agents(0..2), None).await.expect(202);
    eventually("a part is done", async || {
        (kept(&client, &roster).await["progress"]["parts_done"] == 1).then_some(())
    })
    .await;
    gateway.world.redis().kill();
    let world = gateway.stop().await;
    world.redis().restart().await;
    let redis = redis::Client::open(world.redis().url()).unwrap();
    let mut connection = redis.get_multiplexed_async_connection().await.unwrap();
    let mut leases = redis::cmd("KEYS");
    let leases: Vec<String> = leases.arg("{outdial}:lease:*").query_async(&mut connection).await.unwrap();
    let _: () = redis::cmd("DEL").arg(&leases).query_async(&mut connection).await.unwrap();
    world.set("ACCOUNTS__0__MAX_RPS", "1000");

    let gateway = TestGateway::start_in(world).await;
    let client = gateway.client();
    let done = ended(&client, &roster).await;
    assert_eq!((&done["status"], &done["accepted"]), (&json!("accepted"), &json!(2)));
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"]]);
    eventually("the spool is drained", async || {
        (gateway.metric("outdial_spool_records", &[]).await == 0.0).then_some(())
    })
    .await;
    let events = client.read("/v1/events").await["data"].clone();
    let told: Vec<&Value> = events.as_array().unwrap().iter().map(|event| &event["data"]["status"]).collect();
    assert_eq!(told, ["accepted"], "who hears that it failed uploads it again");
    gateway.finish().await;
}

/// A gateway that is killed leaves a part of which nobody knows: nothing behind it is sent before somebody has looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_what_was_begun_unknown() {
    let world = World::new(one_by_one(Backend::Sqlite)).await;
    world.vendors.control().set_faults(slow(60_000));
    let child = GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    let roster = upload_async(&child.client(), with_agents(0..3), None).await.expect(202);
    eventually("the vendor has a part", async || {
        (!world.vendors.control().uploads().is_empty()).then_some(())
    })
    .await;
    child.kill();
    world.vendors.control().set_faults(Faults::default());

    let gateway = TestGateway::start_later(world, Duration::from_secs(120)).await;
    let client = gateway.client();
    let left = ended(&client, &roster).await;
    assert_eq!(left["status"], "unknown");
    let words: Vec<&str> =
        left["parts"].as_array().unwrap().iter().map(|part| part["status"].as_str().unwrap()).collect();
    assert_eq!(words, ["unknown", "refused", "refused"]);
    only_upload(&gateway);
    let path = format!("/v1/rosters/{}/retry", roster["id"].as_str().unwrap());
    let retried = client.call("POST", &path).send().await.expect(200);
    assert_eq!((&retried["status"], &retried["accepted"]), (&json!("unknown"), &json!(2)));
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"], ["e-2"]]);
    gateway.finish().await;
}
