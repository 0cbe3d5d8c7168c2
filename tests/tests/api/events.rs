//! Events: each one once and in order, by pages and by streams, over restarts.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use outdial_tests::{
    client::Client,
    gateway::TestGateway,
    on_every_store,
    schema::assert_fits,
    secrets::find_number,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    sse::EventStream,
    tokens::{ALL_SCOPES, claims, now, shared_key, sign},
    waiting::eventually,
};
use serde_json::{Value, json};

use crate::{
    bodies::{call, envelope, result, results},
    pages::{events, walk},
    uploads::{CAMPAIGN, CSV, csv, upload},
};

on_every_store!(
    pages_hold_every_event_once_and_in_order,
    a_stream_brings_what_comes_and_resumes_over_a_restart,
    readers_may_ask_for_some_of_the_events
);

const STREAM: &str = "text/event-stream";

async fn start(store: Backend) -> TestGateway {
    TestGateway::start(Setup::new(store).vendors(|vendors| vendors.icsoc.calls = 0)).await
}

async fn open(client: &Client, query: &str) -> EventStream {
    EventStream::new(client.get(&format!("/v1/events{query}")).accept(STREAM).open().await).begun().await
}

async fn resume(client: &Client, last: &str) -> EventStream {
    let call = client.get("/v1/events").accept(STREAM).header("last-event-id", last);
    EventStream::new(call.open().await).begun().await
}

async fn push(gateway: &TestGateway, from: usize, count: usize) {
    let body: Value = (from..from + count).map(result).collect();
    assert_eq!(gateway.push(WELLCLOUD, body.to_string()).await.body["stored"], count);
}

fn position(event: &Value) -> u64 {
    event["sequence"].as_str().unwrap().parse().unwrap()
}

async fn pages_hold_every_event_once_and_in_order(store: Backend) {
    let gateway = start(store).await;
    assert_eq!(gateway.client().read("/v1/events").await, json!({ "data": [], "next_cursor": null }));
    upload(&gateway.client(), "", CSV, csv(3)).await.expect(201);
    push(&gateway, 0, 25).await;
    gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    let all = events(&gateway).await;
    assert_eq!(all.len(), 27);
    assert!(all.is_sorted_by(|before, after| position(before) < position(after)));
    let ids: BTreeSet<&str> = all.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 27);
    assert_eq!(
        (&all[0]["type"], &all[0]["data"]["accepted"]),
        (&json!("io.outdial.roster.accepted"), &json!(3))
    );
    assert_eq!((&all[26]["account"], &all[26]["campaignid"]), (&json!(ICSOC), &json!("10195")));
    assert_eq!((&all[1]["source"], &all[1]["subject"]), (&json!("/accounts/wc-1"), &json!("call-00000")));
    all.iter().for_each(|event| assert_fits("Event", event));

    let (mut seen, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = gateway.client().read(&format!("/v1/events?limit=10&after={after}")).await;
        seen.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(seen, all);
    let later = format!("/v1/events?after={}", position(&all[26]));
    assert_eq!(gateway.client().read(&later).await["data"], json!([]));
    push(&gateway, 100, 1).await;
    let page = gateway.client().read(&later).await;
    assert_eq!(
        (page["data"].as_array().unwrap().len(), &page["data"][0]["subject"]),
        (1, &json!("call-00100"))
    );
    gateway.finish().await;
}

async fn a_stream_brings_what_comes_and_resumes_over_a_restart(store: Backend) {
    let gateway = start(store).await;
    push(&gateway, 0, 3).await;
    let mut live = open(&gateway.client(), "").await;
    let mut from_begin = open(&gateway.client(), "?after=0").await;
    push(&gateway, 3, 5).await;
    let seen = live.take(5).await;
    let all = events(&gateway).await;
    let data: Vec<Value> = seen.iter().map(|event| event.data.clone()).collect();
    assert_eq!(data, all[3..], "from now on, and nothing from before");
    for event in &seen {
        assert_eq!(
            (event.id.as_deref(), event.name.as_str()),
            (event.data["sequence"].as_str(), event.data["type"].as_str().unwrap())
        );
    }
    let seen_from_begin: Vec<Value> = from_begin.take(8).await.into_iter().map(|event| event.data).collect();
    assert_eq!(seen_from_begin, all);

    let last = seen[1].id.clone().unwrap();
    drop(live);
    let gateway = gateway.restart().await;
    let mut resumed = resume(&gateway.client(), &last).await;
    push(&gateway, 8, 600).await;
    let mut known = resumed.take(603).await;
    let wanted = events(&gateway).await;
    assert_eq!(
        known.drain(..).map(|event| event.data).collect::<Vec<_>>(),
        wanted[5..],
        "no hole and nothing twice"
    );
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_resumes_at_another_replica() {
    let first = start(Backend::Redis).await;
    let second = TestGateway::start_in(Arc::clone(&first.world)).await;
    let mut stream = open(&first.client(), "?after=0").await;
    push(&first, 0, 300).await;
    // While the one is read, the other takes a push too.
    push(&second, 300, 300).await;
    let mut seen = stream.take(400).await;
    let last = seen[399].id.clone().unwrap();
    drop(stream);
    push(&first, 600, 100).await;
    let mut resumed = resume(&second.client(), &last).await;
    push(&second, 700, 100).await;
    seen.extend(resumed.take(400).await);
    let seen: Vec<Value> = seen.into_iter().map(|event| event.data).collect();
    assert_eq!(seen, events(&first).await, "no hole and nothing twice");
    second.stop().await;
    first.finish().await;
}

async fn readers_may_ask_for_some_of_the_events(store: Backend) {
    let gateway = start(store).await;
    upload(&gateway.client(), "", CSV, csv(3)).await.expect(201);
    push(&gateway, 0, 4).await;
    let mut changed = result(0);
    changed["state"] = json!(-3);
    gateway.push(WELLCLOUD, json!([changed]).to_string()).await;
    let mut elsewhere = result(9);
    elsewhere["activityId"] = json!("another");
    gateway.push(WELLCLOUD, json!([elsewhere]).to_string()).await;
    gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    let (all, client) = (events(&gateway).await, gateway.client());
    assert_eq!(all.len(), 8);
    let of = |name: &'static str, values: &'static [&'static str]| {
        let fits = move |event: &&Value| values.contains(&event[name].as_str().unwrap_or_default());
        all.iter().filter(fits).cloned().collect::<Vec<Value>>()
    };
    const UPDATED: &str = "io.outdial.call-record.updated";
    const ACCEPTED: &str = "io.outdial.roster.accepted";
    for (query, wanted) in [
        (format!("type={UPDATED}"), of("type", &[UPDATED])),
        (format!("type={UPDATED}&type={ACCEPTED}"), of("type", &[UPDATED, ACCEPTED])),
        (format!("account={ICSOC}"), of("account", &[ICSOC])),
        (format!("campaign_id={CAMPAIGN}"), of("campaignid", &[CAMPAIGN])),
    ] {
        assert!(!wanted.is_empty() && wanted.len() < all.len());
        assert_eq!(client.read(&format!("/v1/events?{query}")).await["data"], json!(wanted), "{query}");
        let mut stream = open(&client, &format!("?after=0&{query}")).await;
        let seen: Vec<Value> = stream.take(wanted.len()).await.into_iter().map(|event| event.data).collect();
        assert_eq!(seen, wanted, "{query}");
    }
    let narrow = gateway.client_with(ALL_SCOPES, &[ICSOC]);
    assert_eq!(walk(&narrow, "/v1/events", "").await, of("account", &[ICSOC]));
    let mut stream = open(&narrow, "?after=0").await;
    assert_eq!(stream.take(1).await[0].data["account"], ICSOC);
    gateway.finish().await;
}

#[tokio::test]
async fn streams_show_numbers_only_to_those_who_may_see_them() {
    let gateway = start(Backend::Sqlite).await;
    upload(&gateway.client(), "", CSV, csv(3)).await.expect(201);
    push(&gateway, 0, 2).await;
    let poor = gateway.client_with("events:read", &["*"]);
    let shown = open(&poor, "?after=0").await.take(3).await;
    let full = open(&gateway.client(), "?after=0").await.take(3).await;
    assert_eq!(
        (&shown[1].id, &shown[1].data["id"]),
        (&full[1].id, &full[1].data["id"]),
        "the same event for all"
    );
    assert_eq!(full[1].data["data"]["called"], "13977000000");
    assert_eq!(shown[1].data["data"]["called"], "139****0000");
    assert!(shown.iter().all(|event| find_number(&event.data.to_string()).is_none()));
    gateway.finish().await;
}

#[tokio::test]
async fn a_position_that_is_not_there_is_told() {
    let gateway = start(Backend::Sqlite).await;
    push(&gateway, 0, 3).await;
    let all = events(&gateway).await;
    let ahead = (position(&all[2]) + 1_000_000).to_string();
    let mut stream = resume(&gateway.client(), &ahead).await;
    let reset = stream.next().await.unwrap();
    assert_eq!((reset.name.as_str(), &reset.data["reason"]), ("reset", &json!("ahead")));
    push(&gateway, 3, 1).await;
    assert_eq!(stream.next().await.unwrap().data["subject"], "call-00003");

    let client = gateway.client();
    for bad in ["-1", "now", "18446744073709551616"] {
        let call = client.get("/v1/events").accept(STREAM).header("last-event-id", bad);
        call.send().await.expect_problem(400, "invalid-header");
    }
    // What the client received last says more than where it began.
    let last = all[1]["sequence"].as_str().unwrap();
    let call = client.get("/v1/events?after=0").accept(STREAM).header("last-event-id", last);
    let mut stream = EventStream::new(call.open().await);
    assert_eq!(stream.next().await.unwrap().data, all[2]);
    gateway.finish().await;
}

/// Eight days later, of seven that are kept.
#[tokio::test]
async fn a_position_that_is_kept_no_longer_is_told() {
    const LATER: Duration = Duration::from_secs(8 * 86_400);
    let gateway = start(Backend::Sqlite).await;
    push(&gateway, 0, 3).await;
    let first = events(&gateway).await[0].clone();
    let gateway = TestGateway::start_later(gateway.stop().await, LATER).await;
    let issued = now() + i64::try_from(LATER.as_secs()).unwrap();
    let mut claims = claims(ALL_SCOPES, &["*"]);
    (claims["iat"], claims["exp"]) = (json!(issued), json!(issued + 600));
    let client = gateway.client_holding(Some(sign(&jsonwebtoken::Header::default(), &claims, &shared_key())));
    eventually("old events go", async || {
        client.read("/v1/events").await["data"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    let reset = resume(&client, first["sequence"].as_str().unwrap()).await.next().await.unwrap();
    assert_eq!((reset.name.as_str(), &reset.data["reason"]), ("reset", &json!("trimmed")));
    let oldest: u64 = reset.data["oldest"].as_str().unwrap().parse().unwrap();
    assert!(oldest >= position(&first));
    gateway.finish().await;
}

#[tokio::test]
async fn followers_are_bounded() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite).set("HTTP__SSE_STREAMS", "2")).await;
    let client = gateway.client();
    let (first, _second) = (open(&client, "").await, open(&client, "").await);
    let refused = client.get("/v1/events").accept(STREAM).send().await;
    refused.expect_problem(503, "too-many-streams");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(client.get("/v1/events").send().await.status, 200, "pages are always to be had");
    assert_eq!(gateway.metric("outdial_event_streams", &[]).await, 2.0);
    drop(first);
    eventually("a place is free again", async || {
        let response = client.get("/v1/events").accept(STREAM).open().await;
        (response.status() == 200).then_some(response)
    })
    .await;
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_does_not_read_is_dropped_and_resumes_without_a_hole() {
    const PARTS: usize = 4;
    const PART: usize = 500;
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite).set("HTTP__SSE_STALL", "1s")).await;
    let mut reader = open(&gateway.client(), "").await;
    let mut stalled = open(&gateway.client(), "").await;
    for part in 0..PARTS {
        // More than all the buffers on the way hold.
        let large = |index: usize| {
            let mut large = result(index);
            large["failMsg"] = json!("x".repeat(8_000));
            large
        };
        let body: Value = (part * PART..(part + 1) * PART).map(large).collect();
        assert_eq!(gateway.push(WELLCLOUD, body.to_string()).await.body["stored"], PART);
        reader.take(PART).await;
    }
    eventually("the one that does not read is dropped, and the other is not", async || {
        (gateway.metric("outdial_event_streams", &[]).await == 1.0).then_some(())
    })
    .await;
    let mut seen = Vec::new();
    let end = loop {
        let event = stalled.next().await.expect("it is told");
        match event.name.as_str() {
            "lagged" => break event,
            _ => seen.push(event),
        }
    };
    assert_eq!((&end.data["reason"], &end.id), (&json!("too slow"), &None));
    assert!(stalled.next().await.is_none(), "and the stream is closed");
    assert!(seen.len() < PARTS * PART, "it was not kept waiting with everything in memory");
    let last = seen.last().unwrap().id.clone().unwrap();
    let mut resumed = resume(&gateway.client(), &last).await;
    seen.extend(resumed.take(PARTS * PART - seen.len()).await);
    let seen: Vec<Value> = seen.into_iter().map(|event| event.data).collect();
    assert_eq!(seen, events(&gateway).await, "no hole and nothing twice");
    gateway.finish().await;
}

#[tokio::test]
async fn many_followers_see_the_same() {
    let gateway = start(Backend::Sqlite).await;
    let mut followers = Vec::new();
    for _ in 0..20 {
        followers.push(open(&gateway.client(), "").await);
    }
    gateway.push(WELLCLOUD, results(700)).await;
    let all = events(&gateway).await;
    for follower in &mut followers {
        let seen: Vec<Value> = follower.take(700).await.into_iter().map(|event| event.data).collect();
        assert_eq!(seen, all);
    }
    gateway.finish().await;
}
