//! What becomes of a roster when the vendor fails: whatever happens, no one is called twice.

use std::time::Duration;

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    gateway::TestGateway,
    on_every_store,
    secrets::number,
    setup::{Backend, Setup},
    waiting::eventually,
};
use serde_json::{Value, json};

use crate::uploads::{
    CAMPAIGN, CSV, csv, kept, only_upload, summary, target, upload, upload_count, upload_entries,
};

on_every_store!(a_late_answer_leaves_the_outcome_unknown, concurrent_uploads_share_one_token);

/// Faults of WellCloud's addresses for rosters.
fn faults() -> Faults {
    Faults { vendor: Some(Vendor::Wellcloud), path_prefix: Some("/ocm".to_owned()), ..Faults::default() }
}

async fn start() -> TestGateway {
    TestGateway::start(Setup::new(Backend::Sqlite)).await
}

/// The roster in a problem is the one that is kept.
async fn assert_kept(gateway: &TestGateway, problem: &Value, status: &str) {
    let roster = &problem["roster"];
    assert_eq!(roster["status"], status, "{problem:#}");
    assert_eq!(kept(&gateway.client(), roster).await, *roster);
}

#[tokio::test]
async fn what_the_vendor_refuses_is_told_and_not_repeated() {
    for (status, answered, code) in [
        (500, 503, "upstream-unavailable"),
        (503, 503, "upstream-unavailable"),
        (403, 502, "upstream-auth"),
        (404, 502, "upstream-rejected"),
        (429, 429, "upstream-rate-limited"),
        (418, 502, "upstream-protocol"),
    ] {
        let gateway = start().await;
        gateway.control().set_faults(Faults { status: Some(status), ..faults() });
        let problem = upload(&gateway.client(), "", CSV, csv(2)).await.expect_problem(answered, code);
        assert_eq!(problem["upstream"]["status"], status);
        assert_eq!(problem["upstream"]["account"], "wc-1");
        assert_kept(&gateway, &problem, "failed").await;
        assert_eq!(problem["roster"]["parts"][0]["status"], "refused");
        assert_eq!(upload_count(&gateway), 1, "{status} is not repeated");
        gateway.finish().await;
    }
}

#[tokio::test]
async fn a_token_that_is_taken_no_longer_is_renewed_once() {
    let gateway = start().await;
    let client = gateway.client();
    gateway.control().set_faults(Faults { reject_token_once: true, ..faults() });
    upload(&client, "", CSV, csv(2)).await.expect(201);
    assert_eq!(gateway.control().stats().wellcloud.token_fetches, 2);
    assert!(only_upload(&gateway).taken, "a refused token means that nothing was taken");
    gateway.finish().await;

    let gateway = start().await;
    let client = gateway.client();
    gateway.control().set_faults(Faults { status: Some(401), ..faults() });
    for fetches in [2, 2, 2] {
        let problem = upload(&client, "", CSV, csv(2)).await.expect_problem(502, "upstream-auth");
        assert_kept(&gateway, &problem, "failed").await;
        let stats = gateway.control().stats().wellcloud;
        assert_eq!(stats.token_fetches, fetches, "who refuses fresh tokens is not asked for more at once");
    }
    // Tokens that expire early are renewed; the next one in a row has to wait, but not for ever.
    gateway.control().set_faults(Faults::default());
    upload(&client, "", CSV, csv(2)).await.expect(201);
    gateway.control().expire_tokens();
    upload(&client, "", CSV, csv(2)).await.expect_problem(502, "upstream-auth");
    let gateway = TestGateway::start_later(gateway.stop().await, Duration::from_secs(60)).await;
    upload(&gateway.client(), "", CSV, csv(2)).await.expect(201);
    assert_eq!(gateway.control().stats().wellcloud.token_fetches, 3);
    gateway.finish().await;
}

#[tokio::test]
async fn wrong_credentials_cost_one_fetch_and_no_upload() {
    let setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__0__APP_SECRET", "canary-app-secret-5f2e-wrong");
    let gateway = TestGateway::start(setup).await;
    for _ in 0..5 {
        upload(&gateway.client(), "", CSV, csv(2)).await.expect_problem(502, "upstream-auth");
    }
    let stats = gateway.control().stats().wellcloud;
    assert_eq!((stats.token_fetches, stats.uploads), (1, 0));
    let account = gateway.client().read("/v1/accounts/wc-1").await;
    assert_eq!(
        (&account["state"], &account["token"]["state"]),
        (&json!("token_failing"), &json!("backing_off"))
    );
    let rosters = gateway.client().read("/v1/rosters").await;
    assert_eq!(rosters["data"], json!([]), "nothing was begun, so nothing is kept");
    gateway.finish().await;
}

async fn concurrent_uploads_share_one_token(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let client = gateway.client();
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        uploads.spawn(async move { upload(&client, "", CSV, csv(3)).await.expect(201)["id"].clone() });
    }
    let ids = uploads.join_all().await;
    assert_eq!(ids.len(), 20);
    let stats = gateway.control().stats().wellcloud;
    assert_eq!((stats.token_fetches, stats.uploads_taken), (1, 20));
    let account = client.read("/v1/accounts/wc-1").await;
    assert_eq!((&account["state"], &account["token"]["state"]), (&json!("ok"), &json!("cached")));
    gateway.finish().await;
}

async fn a_late_answer_leaves_the_outcome_unknown(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store).set("ACCOUNTS__0__TIMEOUT", "400ms")).await;
    let client = gateway.client();
    // The token is fetched before, so that the time is spent on the roster.
    upload(&client, "", CSV, csv(1)).await.expect(201);
    gateway.control().set_faults(Faults { delay_ms: 1_500, ..faults() });
    let problem = upload(&client, "", CSV, csv(2)).await.expect_problem(504, "upstream-outcome-unknown");
    assert_eq!(problem["retryable"], false);
    assert_kept(&gateway, &problem, "unknown").await;
    assert_eq!(problem["roster"]["parts"][0]["status"], "unknown");
    assert_eq!(upload_count(&gateway), 2, "the vendor saw exactly one request for it");
    assert_eq!(gateway.metric("outdial_upstream_retries_total", &[]).await, 0.0);
    let events = client.read("/v1/events").await;
    let last = events["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["data"]["roster_id"], problem["roster"]["id"]);
    assert_eq!(last["data"]["status"], "unknown");
    // The entries may have been taken: they are still waited for.
    assert_eq!(summary(&gateway).await["entries"]["uploaded"], 2, "one of the two went up before");
    gateway.finish().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_apart_from_one_that_never_came() {
    let gateway = start().await;
    let client = gateway.client();
    // The status came, and WellCloud's body says nothing.
    gateway.control().set_faults(Faults { cut_body: true, ..faults() });
    upload(&client, "", CSV, csv(2)).await.expect(201);
    gateway.control().set_faults(Faults { hang_up: true, ..faults() });
    let problem = upload(&client, "", CSV, csv(2)).await.expect_problem(504, "upstream-outcome-unknown");
    assert_kept(&gateway, &problem, "unknown").await;
    for status in [202, 302, 502, 504, 524] {
        gateway.control().set_faults(Faults { status: Some(status), ..faults() });
        let problem = upload(&client, "", CSV, csv(2)).await;
        let problem = problem.expect_problem(504, "upstream-outcome-unknown");
        assert_eq!(problem["upstream"]["status"], status, "who stands between may have passed it on");
        // A vendor that only fails would not be called any more.
        gateway.control().set_faults(faults());
        upload(&client, "", CSV, csv(2)).await.expect(201);
    }
    assert_eq!(upload_count(&gateway), 12);
    gateway.finish().await;
}

#[tokio::test]
async fn a_vendor_that_cannot_be_reached_took_nothing() {
    let setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__0__BASE_URL", "http://127.0.0.1:1");
    let gateway = TestGateway::start(setup).await;
    let problem = upload(&gateway.client(), "", CSV, csv(2)).await;
    let problem = problem.expect_problem(503, "upstream-unavailable");
    assert_eq!(problem["retryable"], true);
    assert_kept(&gateway, &problem, "failed").await;
    assert_eq!(problem["roster"]["parts"][0]["sent"], false);
    // No byte left, so it was safe to try once more by ourselves.
    assert_eq!(gateway.metric("outdial_upstream_retries_total", &["reason=\"connect\""]).await, 1.0);
    assert_eq!(gateway.client().read("/v1/accounts/wc-1").await["state"], "unavailable");
    gateway.finish().await;
}

#[tokio::test]
async fn what_was_taken_stays_taken_when_another_part_is_refused() {
    let gateway = start().await;
    let json_form = Faults { path_prefix: Some("/ocm/v1".to_owned()), status: Some(500), ..faults() };
    gateway.control().set_faults(json_form);
    let mixed = json!([
        { "entry_id": "e-1", "number": number(1) },
        { "entry_id": "e-2", "number": number(2), "agent": "5902@ocm.test" },
        { "entry_id": "e-3", "number": number(3) },
    ]);
    let roster = upload_entries(&gateway.client(), "", mixed).await.expect(201);
    assert_eq!(
        (&roster["status"], &roster["accepted"], &roster["rejected"]),
        (&json!("partial"), &json!(2), &json!(1))
    );
    let parts: Vec<(&Value, &Value, &Value)> = roster["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (&part["form"], &part["status"], &part["upstream_status"]))
        .collect();
    let wanted =
        [(json!("file"), json!("accepted"), json!(200)), (json!("json"), json!("refused"), json!(500))];
    assert_eq!(parts, wanted.iter().map(|(form, status, code)| (form, status, code)).collect::<Vec<_>>());
    assert_eq!(summary(&gateway).await["entries"]["uploaded"], 2, "a refused entry is not waited for");
    gateway.finish().await;
}

#[tokio::test]
async fn who_hangs_up_does_not_stop_an_upload() {
    let gateway = start().await;
    gateway.control().set_faults(Faults { delay_ms: 300, ..faults() });
    let client = gateway.client();
    let call = client.post(&target(CAMPAIGN, ""), CSV, csv(2)).send();
    let sent = eventually_sent(&gateway);
    tokio::select! {
        _ = call => panic!("the vendor is slower than that"),
        () = sent => {}
    }
    let roster = eventually("the roster ends", async || {
        let page = gateway.client().read("/v1/rosters").await;
        Some(page["data"][0].clone()).filter(|roster| roster["status"] != "sending")
    })
    .await;
    assert_eq!((&roster["status"], &roster["accepted"]), (&json!("accepted"), &json!(2)));
    only_upload(&gateway);
    gateway.finish().await;
}

async fn eventually_sent(gateway: &TestGateway) {
    eventually("the vendor has the roster", async || (upload_count(gateway) == 1).then_some(())).await;
}
