//! What is done with entries that cannot be sent, and what is kept of rosters.

use outdial_tests::{
    gateway::TestGateway,
    on_every_store,
    secrets::number,
    setup::{Backend, ICSOC, Setup},
    tokens::ALL_SCOPES,
};
use serde_json::{Value, json};

use crate::uploads::{
    COLUMNS, CSV, JSON, csv, entries, kept, only_upload, summary, target, upload, upload_count,
    upload_entries,
};

on_every_store!(equal_ids_are_refused_skipped_or_sent, rosters_are_listed_newest_first_and_page_by_page);

async fn start() -> TestGateway {
    TestGateway::start(Setup::new(Backend::Sqlite)).await
}

async fn equal_ids_are_refused_skipped_or_sent(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let client = gateway.client();
    let twins = format!("entry_id,number\ne-1,{}\ne-2,{}\ne-1,{}\n", number(1), number(2), number(3));
    for query in ["", "?on_duplicate=reject"] {
        let problem = upload(&client, query, CSV, twins.clone()).await.expect_problem(422, "roster-rejected");
        assert_eq!(problem["errors_total"], 1);
        let fault = &problem["errors"][0];
        assert_eq!(
            (&fault["code"], &fault["line"], &fault["entry_id"]),
            (&json!("duplicate-entry-id"), &json!(4), &json!("e-1"))
        );
    }
    assert_eq!(upload_count(&gateway), 0);
    let roster = upload(&client, "?on_duplicate=skip", CSV, twins.clone()).await.expect(201);
    assert_eq!((&roster["status"], &roster["accepted"]), (&json!("partial"), &json!(2)));
    assert_eq!((&roster["rejected"], &roster["rejections"][0]["line"]), (&json!(1), &json!(4)));
    assert_eq!(only_upload(&gateway).numbers, [number(1), number(2)], "the first is kept");
    let roster = upload(&client, "?on_duplicate=allow", CSV, twins).await.expect(201);
    assert_eq!((&roster["status"], &roster["accepted"]), (&json!("accepted"), &json!(3)));
    assert_eq!(gateway.control().uploads()[1].entry_ids, ["e-1", "e-2", "e-1"]);
    gateway.finish().await;
}

#[tokio::test]
async fn an_empty_roster_is_refused() {
    let gateway = start().await;
    for (content_type, body) in
        [(JSON, r#"{"entries":[]}"#), (CSV, "entry_id,number\n"), (COLUMNS, ""), (COLUMNS, "\n\n")]
    {
        let problem = upload(&gateway.client(), "", content_type, body).await;
        let problem = problem.expect_problem(422, "roster-rejected");
        assert_eq!(problem["errors"][0]["code"], "empty", "{content_type}: {body:?}");
    }
    assert_eq!(upload_count(&gateway), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn the_good_entries_go_alone_when_that_is_wished() {
    let gateway = start().await;
    let client = gateway.client();
    let mixed = json!([
        { "entry_id": "e-0", "number": number(0) },
        { "entry_id": "e-1", "number": "12" },
        { "entry_id": "e-2" },
        { "entry_id": "e-3", "number": number(3), "colour": "red" },
        { "entry_id": "e-4", "number": number(4), "user_data": { "a|b": "c" } },
        { "entry_id": "e-5", "number": number(5) },
    ]);
    let problem = upload_entries(&client, "", mixed.clone()).await.expect_problem(422, "roster-rejected");
    assert_eq!(problem["errors_total"], 4, "{problem:#}");
    let roster = upload_entries(&client, "?on_invalid=skip", mixed).await.expect(201);
    assert_eq!((&roster["status"], &roster["received"]), (&json!("partial"), &json!(6)));
    assert_eq!((&roster["accepted"], &roster["rejected"]), (&json!(2), &json!(4)));
    assert_eq!(roster["rejections_total"], 4);
    let codes: Vec<(u64, &str)> = roster["rejections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejection| (rejection["index"].as_u64().unwrap(), rejection["code"].as_str().unwrap()))
        .collect();
    let wanted =
        [(1, "invalid-number"), (2, "missing-field"), (3, "unknown-field"), (4, "separator-in-user-data")];
    assert_eq!(codes, wanted);
    assert_eq!(only_upload(&gateway).entry_ids, ["e-0", "e-5"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_thousand_rejections_are_told_and_all_are_counted() {
    let gateway = start().await;
    let client = gateway.client();
    let bad = |count: usize| -> String { (0..count).map(|row| format!("b-{row},1\n")).collect() };
    for query in ["", "?on_invalid=skip"] {
        let body = format!("entry_id,number\n{}", bad(1_500));
        let problem = upload(&client, query, CSV, body).await.expect_problem(422, "roster-rejected");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1_000);
        assert_eq!(problem["errors_total"], 1_500);
    }
    let body = csv(3) + &bad(1_500);
    let roster = upload(&client, "?on_invalid=skip", CSV, body).await.expect(201);
    assert_eq!(roster["rejections"].as_array().unwrap().len(), 1_000);
    assert_eq!((&roster["rejections_total"], &roster["accepted"]), (&json!(1_500), &json!(3)));
    gateway.finish().await;
}

#[tokio::test]
async fn a_dry_run_sends_and_keeps_nothing() {
    let gateway = start().await;
    let client = gateway.client();
    let plan = upload(&client, "?dry_run=true", CSV, csv(3)).await.expect(200);
    assert_eq!((&plan["id"], &plan["status"]), (&Value::Null, &json!("dry_run")));
    assert_eq!((&plan["parts"][0]["status"], &plan["parts"][0]["entries"]), (&json!("planned"), &json!(3)));
    let bad = format!("entry_id,number\ne-1,{}\ne-2,1\n", number(1));
    let plan = upload(&client, "?dry_run=true&on_invalid=skip", CSV, bad).await.expect(200);
    assert_eq!((&plan["rejected"], &plan["rejections"][0]["line"]), (&json!(1), &json!(3)));
    let stats = gateway.control().stats().wellcloud;
    assert_eq!((stats.uploads, stats.token_fetches), (0, 0), "nobody was asked for anything");
    assert_eq!(client.read("/v1/rosters").await["data"], json!([]));
    assert_eq!(summary(&gateway).await["entries"]["uploaded"], 0);
    gateway.finish().await;
}

#[tokio::test]
async fn a_vendor_without_rosters_takes_none() {
    let gateway = start().await;
    let target = format!("/v1/accounts/{ICSOC}/campaigns/10008/rosters");
    let answer = gateway.client().post(&target, CSV, csv(1)).send().await;
    answer.expect_problem(422, "unsupported-by-vendor");
    gateway.finish().await;
}

async fn rosters_are_listed_newest_first_and_page_by_page(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let client = gateway.client();
    let mut made = Vec::new();
    for index in 0..5 {
        let campaign = if index % 2 == 0 { "even" } else { "odd" };
        let body = json!({ "entries": entries(index + 1) }).to_string();
        let answer = client.post(&target(campaign, ""), JSON, body).send().await;
        made.insert(0, answer.expect(201));
    }
    assert_eq!(client.read("/v1/rosters").await, json!({ "data": made, "next_cursor": null }));

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.read(&format!("/v1/rosters?limit=2{cursor}")).await;
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 2);
        seen.extend(data.clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    let page = client.read("/v1/rosters?campaign_id=odd&status=accepted").await;
    assert_eq!(page["data"], json!([made[1], made[3]]));
    assert_eq!(client.read("/v1/rosters?status=failed").await["data"], json!([]));

    let first = client.read("/v1/rosters?limit=2&campaign_id=even").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let page = client.read(&format!("/v1/rosters?limit=1&campaign_id=even&cursor={cursor}")).await;
    assert_eq!(page["data"], json!([made[4]]), "the size of a page may change");
    let other = format!("/v1/rosters?campaign_id=odd&cursor={cursor}");
    client.get(&other).send().await.expect_problem(400, "cursor-mismatch");
    client.get("/v1/rosters?cursor=cur_nothing").send().await.expect_problem(400, "invalid-cursor");

    let stranger = gateway.client_with(ALL_SCOPES, &[ICSOC]);
    let path = format!("/v1/rosters/{}", made[0]["id"].as_str().unwrap());
    stranger.get(&path).send().await.expect_problem(404, "not-found");
    assert_eq!(stranger.read("/v1/rosters").await["data"], json!([]));
    stranger
        .get(&format!("/v1/rosters?campaign_id=even&cursor={cursor}"))
        .send()
        .await
        .expect_problem(400, "cursor-mismatch");
    assert_eq!(kept(&client, &made[0]).await, made[0]);

    let gateway = gateway.restart().await;
    assert_eq!(gateway.client().read("/v1/rosters").await["data"], json!(made), "rosters outlive a restart");
    gateway.finish().await;
}
