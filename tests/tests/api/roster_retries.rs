//! Retries of rosters: what was refused or never begun goes out once more, and nothing else does.

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    client::{Answer, Client},
    gateway::TestGateway,
    on_every_store,
    secrets::number,
    setup::{Backend, ICSOC, Setup, World},
    tokens::ALL_SCOPES,
};
use serde_json::{Value, json};

use crate::uploads::{
    CSV, csv, kept, only_upload, summary, taken, upload, upload_count, upload_entries, with_agents,
};

on_every_store!(
    what_was_refused_is_sent_again_and_nothing_else,
    what_was_never_begun_is_told_from_what_was_refused,
    what_may_have_been_taken_is_never_sent_again,
    one_retry_goes_on_at_a_time,
);

/// Faults of one of WellCloud's forms, or of both.
fn faults(path: &str) -> Faults {
    Faults { vendor: Some(Vendor::Wellcloud), path_prefix: Some(path.to_owned()), ..Faults::default() }
}

/// A gateway whose JSON parts hold one entry each.
fn one_by_one(store: Backend) -> Setup {
    Setup::new(store).set("ACCOUNTS__0__JSON_ENTRIES_MAX", "1")
}

fn retry_path(roster: &Value) -> String {
    format!("/v1/rosters/{}/retry", roster["id"].as_str().unwrap())
}

async fn retry(client: &Client, roster: &Value) -> Answer {
    client.call("POST", &retry_path(roster)).send().await
}

/// What the events say of a roster: attempt and status, and that no two have one id.
async fn told(client: &Client) -> Vec<(u64, String)> {
    let events = client.read("/v1/events").await["data"].as_array().unwrap().clone();
    let mut ids: Vec<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
    let said = |event: &Value| {
        let data = &event["data"];
        (data["attempt"].as_u64().unwrap(), data["status"].as_str().unwrap().to_owned())
    };
    events.iter().map(said).collect()
}

fn statuses(roster: &Value) -> Vec<(&str, bool, Option<u64>)> {
    let parts = roster["parts"].as_array().unwrap().iter();
    parts
        .map(|part| {
            (
                part["status"].as_str().unwrap(),
                part["sent"].as_bool().unwrap(),
                part["upstream_status"].as_u64(),
            )
        })
        .collect()
}

async fn what_was_refused_is_sent_again_and_nothing_else(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    gateway.control().set_faults(Faults { status: Some(500), ..faults("/ocm/v1") });
    let mixed = json!([
        { "entry_id": "e-0", "number": number(0), "user_data": { "name": "张三" } },
        { "entry_id": "e-1", "number": number(1), "agent": "5902@ocm.test", "customer_id": "c-1" },
    ]);
    let roster = upload_entries(&gateway.client(), "", mixed).await.expect(201);
    assert_eq!((&roster["status"], &roster["attempts"]), (&json!("partial"), &json!(1)));
    let problem = retry(&gateway.client(), &roster).await.expect_problem(503, "upstream-unavailable");
    assert_eq!(
        (&problem["roster"]["status"], &problem["roster"]["attempts"]),
        (&json!("partial"), &json!(2))
    );
    assert_eq!(kept(&gateway.client(), &roster).await, problem["roster"]);
    assert_eq!(summary(&gateway).await["entries"]["uploaded"], 1, "a refused entry is not waited for");

    // What is sent again is what the store has, not what a process remembers.
    let gateway = gateway.restart().await;
    let client = gateway.client();
    gateway.control().set_faults(Faults::default());
    let answer = retry(&client, &roster).await;
    let again = answer.expect(200);
    assert_eq!(answer.header("location"), None);
    assert_eq!((&again["status"], &again["attempts"]), (&json!("accepted"), &json!(3)));
    assert_eq!((&again["accepted"], &again["rejected"]), (&json!(2), &json!(0)));
    assert_eq!(statuses(&again), [("accepted", true, Some(200)), ("accepted", true, Some(200))]);
    assert_eq!(kept(&client, &roster).await, again);
    assert_eq!(summary(&gateway).await["entries"]["uploaded"], 2, "it is waited for from now on");
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"]], "nobody is called twice");
    let uploads = gateway.control().uploads();
    assert_eq!(uploads.len(), 4);
    let (first, last) = (&uploads[1], &uploads[3]);
    assert_eq!((first.form, &first.details, first.bytes), (last.form, &last.details, last.bytes));
    assert_eq!(first.campaign, last.campaign);

    retry(&client, &roster).await.expect_problem(409, "nothing-to-retry");
    assert_eq!(upload_count(&gateway), 4);
    let wanted = [(1, "partial"), (2, "partial"), (3, "accepted")];
    assert_eq!(told(&client).await, wanted.map(|(attempt, status)| (attempt, status.to_owned())));
    let accepted = gateway.metric("outdial_roster_entries_total", &["result=\"accepted\""]).await;
    assert_eq!(accepted, 1.0, "counted is what this attempt brought");
    gateway.finish().await;
}

async fn what_was_never_begun_is_told_from_what_was_refused(store: Backend) {
    let gateway = TestGateway::start(one_by_one(store)).await;
    let client = gateway.client();
    gateway.control().set_faults(Faults { status: Some(500), status_count: 1, ..faults("/ocm/v1") });
    let problem = upload_entries(&client, "", with_agents(0..3)).await;
    let problem = problem.expect_problem(503, "upstream-unavailable");
    let roster = &problem["roster"];
    assert_eq!(
        statuses(roster),
        [("refused", true, Some(500)), ("refused", false, None), ("refused", false, None)]
    );
    assert_eq!(roster["progress"], json!({ "parts_done": 3, "parts_total": 3 }));
    only_upload(&gateway);
    let again = retry(&client, roster).await.expect(200);
    assert_eq!(statuses(&again), [("accepted", true, Some(200)); 3]);
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"], ["e-2"]]);
    assert_eq!(told(&client).await, [(1, "failed".to_owned()), (2, "accepted".to_owned())]);
    gateway.finish().await;
}

async fn what_may_have_been_taken_is_never_sent_again(store: Backend) {
    let gateway = TestGateway::start(one_by_one(store)).await;
    let client = gateway.client();
    gateway.control().set_faults(Faults { hang_up: true, status_count: 1, ..faults("/ocm/v1") });
    let problem = upload_entries(&client, "", with_agents(0..3)).await;
    let problem = problem.expect_problem(504, "upstream-outcome-unknown");
    let roster = &problem["roster"];
    assert_eq!(
        statuses(roster),
        [("unknown", true, None), ("refused", false, None), ("refused", false, None)]
    );
    let again = retry(&client, roster).await.expect(200);
    assert_eq!(
        statuses(&again),
        [("unknown", true, None), ("accepted", true, Some(200)), ("accepted", true, Some(200))]
    );
    assert_eq!((&again["status"], &again["accepted"]), (&json!("unknown"), &json!(2)));
    let refused = retry(&client, roster).await.expect_problem(409, "nothing-to-retry");
    assert_eq!(refused["retryable"], false);
    assert_eq!(taken(&gateway), [["e-0"], ["e-1"], ["e-2"]], "the vendor had taken it, as it turns out");
    assert_eq!(upload_count(&gateway), 3);
    gateway.finish().await;
}

async fn one_retry_goes_on_at_a_time(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let client = gateway.client();
    gateway.control().set_faults(Faults {
        status: Some(500),
        status_count: 1,
        delay_ms: 300,
        ..faults("/ocm")
    });
    let problem = upload(&client, "", CSV, csv(2)).await.expect_problem(503, "upstream-unavailable");
    let mut retries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, roster) = (client.clone(), problem["roster"].clone());
        retries.spawn(async move { retry(&client, &roster).await });
    }
    let answers = retries.join_all().await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(made.len(), 1);
    for answer in refused {
        let problem = answer.expect(409);
        // One that came late enough found the roster sent.
        assert!(["roster-sending", "nothing-to-retry"].contains(&problem["code"].as_str().unwrap()));
        assert_eq!(problem["code"] == "roster-sending", answer.header("retry-after").is_some());
    }
    assert_eq!((taken(&gateway).len(), upload_count(&gateway)), (1, 2));
    gateway.finish().await;
}

#[tokio::test]
async fn a_key_stands_for_one_retry() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let client = gateway.client();
    gateway.control().set_faults(Faults { status: Some(500), status_count: 2, ..faults("/ocm") });
    let problem = upload(&client, "", CSV, csv(2)).await.expect_problem(503, "upstream-unavailable");
    let roster = &problem["roster"];
    let with_key = async |key: &str| {
        client.call("POST", &retry_path(roster)).header("idempotency-key", key).send().await
    };
    let first = with_key("key-1").await;
    first.expect_problem(503, "upstream-unavailable");
    let again = with_key("key-1").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(upload_count(&gateway), 2);
    let second = with_key("key-2").await;
    second.expect(200);
    let again = with_key("key-2").await;
    assert_eq!((again.status, &again.body), (second.status, &second.body));
    // What began nothing does not use the key up.
    with_key("key-3").await.expect_problem(409, "nothing-to-retry");
    with_key("a key").await.expect_problem(400, "invalid-header");
    assert_eq!(upload_count(&gateway), 3);
    gateway.finish().await;
}

#[tokio::test]
async fn who_may_not_know_of_a_roster_cannot_retry_it() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    gateway.control().set_faults(Faults { status: Some(500), ..faults("/ocm") });
    let problem =
        upload(&gateway.client(), "", CSV, csv(2)).await.expect_problem(503, "upstream-unavailable");
    let stranger = gateway.client_with(ALL_SCOPES, &[ICSOC]);
    retry(&stranger, &problem["roster"]).await.expect_problem(404, "not-found");
    let reader = gateway.client_with("rosters:read", &["*"]);
    retry(&reader, &problem["roster"]).await.expect_problem(403, "insufficient-scope");
    retry(&gateway.client(), &json!({ "id": "ros_none" })).await.expect_problem(404, "not-found");
    let path = format!("{}?dry_run=true", retry_path(&problem["roster"]));
    gateway.client().call("POST", &path).send().await.expect_problem(400, "invalid-parameter");
    assert_eq!(upload_count(&gateway), 1);
    gateway.finish().await;
}

#[tokio::test]
async fn what_never_went_out_goes_to_where_the_vendor_is_now() {
    let world = World::new(Setup::new(Backend::Sqlite)).await;
    let address = world.vendors.wellcloud_base_url();
    world.set("ACCOUNTS__0__BASE_URL", "http://127.0.0.1:1");
    let gateway = TestGateway::start_in(world).await;
    let problem =
        upload(&gateway.client(), "", CSV, csv(2)).await.expect_problem(503, "upstream-unavailable");
    assert_eq!(statuses(&problem["roster"]), [("refused", false, None)]);
    let world = gateway.stop().await;
    world.set("ACCOUNTS__0__BASE_URL", &address);
    let gateway = TestGateway::start_in(world).await;
    retry(&gateway.client(), &problem["roster"]).await.expect(200);
    assert!(only_upload(&gateway).taken);
    gateway.finish().await;
}

/// The keys of a store that begin so.
async fn keys(gateway: &TestGateway, beginning: &str) -> Vec<String> {
    let mut connection = connect(gateway).await;
    redis::cmd("KEYS").arg(format!("{{outdial}}:{beginning}*")).query_async(&mut connection).await.unwrap()
}

async fn connect(gateway: &TestGateway) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(gateway.world.redis().url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn bodies_are_kept_until_the_vendor_has_them_and_without_them_nothing_is_sent() {
    let gateway = TestGateway::start(Setup::new(Backend::Redis)).await;
    let client = gateway.client();
    let json_form = Faults { status: Some(500), ..faults("/ocm/v1") };
    gateway.control().set_faults(json_form);
    let mixed = json!([
        { "entry_id": "e-0", "number": number(0) },
        { "entry_id": "e-1", "number": number(1), "agent": "5902@ocm.test" },
    ]);
    let roster = upload_entries(&client, "", mixed).await.expect(201);
    let left = keys(&gateway, "body:").await;
    let refused = format!("{{outdial}}:body:{}/2", roster["id"].as_str().unwrap());
    assert_eq!(left, [refused.as_str()], "what was taken is not kept");
    gateway.control().set_faults(Faults::default());
    let again = upload_entries(&client, "", with_agents(2..3)).await.expect(201);
    assert_eq!((again["status"].as_str(), keys(&gateway, "body:").await.len()), (Some("accepted"), 1));

    gateway.control().set_faults(Faults { hang_up: true, status_count: 1, ..faults("/ocm") });
    let unknown = upload_entries(&client, "", with_agents(3..4)).await;
    unknown.expect_problem(504, "upstream-outcome-unknown");
    assert_eq!(keys(&gateway, "body:").await.len(), 1, "what may have been taken is not kept either");

    let uploads = upload_count(&gateway);
    let mut connection = connect(&gateway).await;
    let _: () = redis::cmd("DEL").arg(&refused).query_async(&mut connection).await.unwrap();
    let problem = retry(&client, &roster).await.expect_problem(410, "roster-bodies-gone");
    assert_eq!(problem["retryable"], false);
    assert_eq!(kept(&client, &roster).await, roster, "nothing was begun");
    assert_eq!(upload_count(&gateway), uploads);
    gateway.finish().await;
}
