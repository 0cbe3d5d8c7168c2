//! `Idempotency-Key`: one key, one roster, whatever happens between the first request and the last.

use std::time::Duration;

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    child::GatewayProcess,
    client::{Answer, Client},
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, Setup, World},
    tokens::{ALL_SCOPES, claims, shared_key, sign},
    waiting::eventually,
};
use serde_json::json;

use crate::uploads::{CAMPAIGN, CSV, csv, only_upload, target, upload_count};

on_every_store!(the_first_answer_is_given_again, a_key_stands_for_one_request, many_at_once_send_one_roster);

async fn upload_with(client: &Client, key: &str, query: &str, body: String) -> Answer {
    client.post(&target(CAMPAIGN, query), CSV, body).header("idempotency-key", key).send().await
}

fn slow(milliseconds: u64) -> Faults {
    Faults {
        vendor: Some(Vendor::Wellcloud),
        path_prefix: Some("/ocm".to_owned()),
        delay_ms: milliseconds,
        ..Faults::default()
    }
}

async fn the_first_answer_is_given_again(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let first = upload_with(&gateway.client(), "key-1", "", csv(2)).await;
    first.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    let gateway = gateway.restart().await;
    for _ in 0..3 {
        let again = upload_with(&gateway.client(), "key-1", "", csv(2)).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    only_upload(&gateway);
    upload_with(&gateway.client(), "key-2", "", csv(2)).await.expect(201);
    assert_eq!(upload_count(&gateway), 2, "another key is another request");
    gateway.finish().await;
}

async fn a_key_stands_for_one_request(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let client = gateway.client();
    upload_with(&client, "key-1", "", csv(2)).await.expect(201);
    for (query, body) in [("", csv(3)), ("?on_invalid=skip", csv(2))] {
        upload_with(&client, "key-1", query, body).await.expect_problem(422, "idempotency-key-reused");
    }
    only_upload(&gateway);
    // The key belongs to the caller and the campaign.
    let mut other = claims(ALL_SCOPES, &["*"]);
    other["sub"] = json!("somebody else");
    let other = sign(&jsonwebtoken::Header::default(), &other, &shared_key());
    upload_with(&gateway.client_holding(Some(other)), "key-1", "", csv(3)).await.expect(201);
    let elsewhere =
        client.post(&target("another", ""), CSV, csv(3)).header("idempotency-key", "key-1").send();
    elsewhere.await.expect(201);
    // What was refused before anything was sent does not use the key up.
    let bad = "entry_id,number\ne-1,1\n".to_owned();
    upload_with(&client, "key-2", "", bad).await.expect_problem(422, "roster-rejected");
    upload_with(&client, "key-2", "", csv(2)).await.expect(201);
    assert_eq!(upload_count(&gateway), 4);
    let long = "k".repeat(256);
    for key in ["", "a key", "schlüssel", long.as_str()] {
        upload_with(&client, key, "", csv(1)).await.expect_problem(400, "invalid-header");
    }
    gateway.finish().await;
}

async fn many_at_once_send_one_roster(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    gateway.control().set_faults(slow(400));
    let client = gateway.client();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        calls.spawn(async move { upload_with(&client, "key-1", "", csv(2)).await });
    }
    let answers = calls.join_all().await;
    let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert!(!made.is_empty() && made.iter().all(|answer| answer.body == made[0].body));
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.expect_problem(409, "idempotency-in-progress");
    }
    only_upload(&gateway);
    let later = upload_with(&client, "key-1", "", csv(2)).await;
    assert_eq!(later.body, made[0].body);
    gateway.finish().await;
}

#[tokio::test]
async fn a_failure_behind_the_vendor_is_given_again_too() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite).set("ACCOUNTS__0__TIMEOUT", "300ms")).await;
    upload_with(&gateway.client(), "before", "", csv(1)).await.expect(201);
    gateway.control().set_faults(slow(1_000));
    let first = upload_with(&gateway.client(), "key-1", "", csv(2)).await;
    first.expect_problem(504, "upstream-outcome-unknown");
    gateway.control().set_faults(Faults::default());
    let again = upload_with(&gateway.client(), "key-1", "", csv(2)).await;
    let again = again.expect_problem(504, "upstream-outcome-unknown");
    assert_eq!(again["roster"]["id"], first.expect(504)["roster"]["id"]);
    assert_eq!(upload_count(&gateway), 2);
    gateway.finish().await;
}

/// The gateway is killed while the vendor takes its time; another finds what it left, when its leases have ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roster_whose_sender_died_is_unknown_and_never_sent_again() {
    let world = World::new(Setup::new(Backend::Sqlite)).await;
    world.vendors.control().set_faults(slow(60_000));
    let child = GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    let client = child.client();
    let call = client.post(&target(CAMPAIGN, ""), CSV, csv(2)).header("idempotency-key", "key-1").send();
    let sent = eventually("the vendor has the roster", async || {
        (world.vendors.control().uploads().len() == 1).then_some(())
    });
    tokio::select! {
        _ = call => panic!("the vendor is slower than that"),
        () = sent => {}
    }
    child.kill();
    world.vendors.control().set_faults(Faults::default());

    let gateway = TestGateway::start_later(world, Duration::from_secs(120)).await;
    let client = gateway.client();
    let roster = eventually("the roster is settled", async || {
        let page = client.read("/v1/rosters").await;
        Some(page["data"][0].clone()).filter(|roster| roster["status"] != "sending")
    })
    .await;
    assert_eq!((&roster["status"], &roster["parts"][0]["status"]), (&json!("unknown"), &json!("unknown")));
    let again = upload_with(&client, "key-1", "", csv(2)).await;
    let problem = again.expect_problem(504, "upstream-outcome-unknown");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(roster["id"].as_str().unwrap()), "{detail}");
    assert_eq!(upload_with(&client, "key-1", "", csv(2)).await.body.len(), again.body.len());
    only_upload(&gateway);
    let events = client.read("/v1/events").await;
    assert_eq!(events["data"][0]["data"]["status"], "unknown");
    gateway.finish().await;
}
