//! What a vendor sees of several gateways: never more than its account may use, and nothing while it asks to be spared.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use outdial_tests::{
    client::{Answer, Client},
    gateway::TestGateway,
    setup::{Backend, Setup, World},
    vendor_stub::{Act, EMPTY_PAGE, Seen, VendorStub, answer, json_answer},
    waiting::eventually,
};
use tokio::task::JoinSet;

/// A search that no other one is identical to.
fn target(n: usize) -> String {
    format!("/v1/call-records?account=ic-1&source=vendor&call_id=c-{n}")
}

async fn search(client: &Client, n: usize) -> Answer {
    client.get(&target(n)).send().await
}

/// An empty page, after a while.
fn page_after(wait: Duration) -> impl Fn(&Seen) -> Vec<Act> {
    move |_| vec![Act::Read, Act::Wait(wait), json_answer(200, EMPTY_PAGE)]
}

async fn world(store: Backend, stub: &VendorStub, settings: &[(&str, &str)]) -> Arc<World> {
    let mut setup = Setup::new(store).set("ACCOUNTS__1__BASE_URL", &stub.url());
    for (key, value) in settings {
        setup = setup.set(&format!("ACCOUNTS__1__{key}"), value);
    }
    World::new(setup).await
}

/// Two gateways on one Redis.
async fn two_gateways(stub: &VendorStub, settings: &[(&str, &str)]) -> [TestGateway; 2] {
    let world = world(Backend::Redis, stub, settings).await;
    [TestGateway::start_in(Arc::clone(&world)).await, TestGateway::start_in(world).await]
}

async fn finish(gateways: [TestGateway; 2]) {
    for gateway in gateways {
        gateway.finish().await;
    }
}

/// So many searches at each of the gateways, all at once. Answers their statuses.
async fn search_all(gateways: &[TestGateway], each: usize) -> Vec<u16> {
    let mut searches = JoinSet::new();
    for (g, gateway) in gateways.iter().enumerate() {
        for n in 0..each {
            let client = gateway.client();
            searches.spawn(async move { search(&client, g * 10_000 + n).await.status.as_u16() });
        }
    }
    searches.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendor_sees_no_more_calls_at_once_than_allowed() {
    let stub = VendorStub::start(page_after(Duration::from_millis(30))).await;
    let gateways = two_gateways(&stub, &[("MAX_CONCURRENCY", "3")]).await;
    let statuses = search_all(&gateways, 30).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let seen = stub.seen();
    assert_eq!(seen.len(), 60);
    let most = seen.iter().map(|seen| seen.under_way).max();
    assert_eq!(most, Some(3), "two gateways share three slots, and use them");
    finish(gateways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendor_sees_no_more_calls_a_second_than_allowed() {
    let stub = VendorStub::start(page_after(Duration::ZERO)).await;
    let gateways = two_gateways(&stub, &[("MAX_RPS", "20")]).await;
    let begin = Instant::now();
    let statuses = search_all(&gateways, 30).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let at: Vec<Instant> = stub.seen().iter().map(|seen| seen.at).collect();
    assert_eq!(at.len(), 60);
    // While the first ones still make their connections they are late.
    for window in at[20..].windows(21) {
        let took = window[20] - window[0];
        assert!(took > Duration::from_millis(900), "21 calls within {took:?}");
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(8), "sixty calls at twenty a second took {took:?}");
    finish(gateways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_asks_for_it_is_spared_by_all_gateways() {
    let stub = VendorStub::start(|_| vec![Act::Read, answer(429, "retry-after: 40\r\n", "{}")]).await;
    let gateways = two_gateways(&stub, &[("TIMEOUT", "20s")]).await;
    let delay = |answer: &Answer| answer.header("retry-after").unwrap().parse::<u64>().unwrap();
    let first = search(&gateways[0].client(), 1).await;
    let problem = first.expect_problem(429, "upstream-rate-limited");
    assert_eq!((delay(&first), &problem["upstream"]["status"]), (40, &serde_json::json!(429)));
    assert_eq!(problem["retryable"], true);
    stub.behave(page_after(Duration::ZERO));
    for gateway in &gateways {
        // The other gateway learns of it by the store.
        let begin = Instant::now();
        let held = search(&gateway.client(), 2).await;
        held.expect_problem(429, "upstream-rate-limited");
        assert!((30..=40).contains(&delay(&held)), "{}", delay(&held));
        assert!(begin.elapsed() < Duration::from_secs(10), "there is no use in waiting");
        let held = gateway.metric("outdial_upstream_held_back_total", &["reason=\"paused\""]).await;
        assert!(held > 0.0);
    }
    assert_eq!(stub.seen().len(), 1);
    finish(gateways).await;
}

#[tokio::test]
async fn a_delay_is_passed_on_within_bounds() {
    for (said, passed_on) in [
        ("retry-after: 1000000000\r\n", "3600"),
        ("retry-after: 0\r\n", "1"),
        ("retry-after: soon\r\n", "1"),
        ("retry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\n", "3600"),
        ("", "1"),
    ] {
        let stub = VendorStub::start(move |_| vec![Act::Read, answer(429, said, "")]).await;
        let gateway = TestGateway::start_in(world(Backend::Sqlite, &stub, &[]).await).await;
        let limited = search(&gateway.client(), 1).await;
        limited.expect_problem(429, "upstream-rate-limited");
        assert_eq!(limited.header("retry-after"), Some(passed_on), "{said:?}");
        gateway.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_each_gateway_uses_its_part() {
    let stub = VendorStub::start(page_after(Duration::from_millis(30))).await;
    let gateways = two_gateways(&stub, &[("MAX_CONCURRENCY", "4")]).await;
    for gateway in [&gateways[0], &gateways[1], &gateways[0]] {
        // Each has its token, and has heard of the other.
        search(&gateway.client(), 1).await.expect(200);
    }
    gateways[0].world.redis().kill();
    let statuses = search_all(&gateways, 10).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let most = stub.seen().iter().map(|seen| seen.under_way).max();
    assert_eq!(most, Some(4), "each of two gateways uses two of the four slots");
    gateways[0].world.redis().restart().await;
    eventually("turns are counted together again", async || {
        let client = gateways[0].client();
        (search(&client, 2).await.status == 200 && client.get("/v1/rosters").send().await.status == 200)
            .then_some(())
    })
    .await;
    finish(gateways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_searches_at_once_are_one_call() {
    let stub = VendorStub::start(page_after(Duration::from_millis(400))).await;
    let gateway = TestGateway::start_in(world(Backend::Sqlite, &stub, &[]).await).await;
    // The token is there, so that the searches begin together.
    search(&gateway.client(), 0).await.expect(200);
    let leader = {
        let client = gateway.client();
        let mut searches = JoinSet::new();
        searches.spawn(async move { search(&client, 1).await });
        searches
    };
    eventually("the vendor has the search", async || (stub.seen().len() == 2).then_some(())).await;
    let mut followers = JoinSet::new();
    for _ in 0..10 {
        let client = gateway.client();
        followers.spawn(async move { search(&client, 1).await.status.as_u16() });
    }
    eventually("the searches are joined", async || {
        let joined = gateway.metric("outdial_upstream_searches_shared_total", &[]).await;
        (joined >= 10.0).then_some(())
    })
    .await;
    // Whoever asked first goes away.
    drop(leader);
    let statuses = followers.join_all().await;
    assert_eq!(statuses, [200; 10]);
    assert_eq!(stub.seen().len(), 2);
    search(&gateway.client(), 1).await.expect(200);
    assert_eq!(stub.seen().len(), 3, "nothing is kept beyond the call");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_leaves_its_slot() {
    let stub = VendorStub::start(page_after(Duration::ZERO)).await;
    let settings = [("MAX_CONCURRENCY", "2"), ("TIMEOUT", "60s")];
    let gateway = TestGateway::start_in(world(Backend::Redis, &stub, &settings).await).await;
    search(&gateway.client(), 0).await.expect(200);
    stub.behave(|_| vec![Act::Read, Act::Hang]);
    let mut gone = JoinSet::new();
    for n in 1..10 {
        let client = gateway.client();
        gone.spawn(async move { search(&client, n).await });
    }
    eventually("two are under way", async || (stub.seen().len() == 3).then_some(())).await;
    // Two that have a slot, and seven that wait for one.
    drop(gone);
    stub.behave(page_after(Duration::ZERO));
    let begin = Instant::now();
    search(&gateway.client(), 10).await.expect(200);
    assert!(begin.elapsed() < Duration::from_secs(20), "the slots were kept for the dead");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_services_ask_for_goes_before_the_search_on_a_timer() {
    // Only what a service asks for hands a trace on.
    let is_background = |seen: &Seen| !seen.headers.contains_key("traceparent");
    let stub = VendorStub::start(move |seen| match is_background(seen) {
        true => vec![Act::Read, Act::Hang],
        false => vec![Act::Read, Act::Wait(Duration::from_millis(20)), json_answer(200, EMPTY_PAGE)],
    })
    .await;
    let settings = [("MAX_CONCURRENCY", "2"), ("SYNC__ENABLED", "true"), ("SYNC__INTERVAL", "1s")];
    let gateway = TestGateway::start_in(world(Backend::Sqlite, &stub, &settings).await).await;
    eventually("the search on a timer hangs", async || (stub.seen().len() == 1).then_some(())).await;
    let begin = Instant::now();
    let mut searches = JoinSet::new();
    for n in 0..20 {
        let client = gateway.client();
        searches.spawn(async move {
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            client.get(&target(n)).header("traceparent", trace).send().await.status.as_u16()
        });
    }
    assert_eq!(searches.join_all().await, [200; 20]);
    assert!(begin.elapsed() < Duration::from_secs(10), "they waited for it");
    assert_eq!(stub.seen().iter().filter(|seen| is_background(seen)).count(), 1);
    gateway.finish().await;
}
