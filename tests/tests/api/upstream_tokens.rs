//! Vendors' tokens over several gateways and a whole day: fetched once, renewed before anybody waits, and never in a loop.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, Header};
use outdial_core::{Clock, ManualClock, SystemClock};
use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    child::GatewayProcess,
    client::{Answer, Client},
    gateway::TestGateway,
    redis_server::RedisServer,
    setup::{Backend, Setup, World},
    tokens::{ALL_SCOPES, claims, shared_key, sign},
    vendor_stub::{Act, EMPTY_PAGE, VendorStub, json_answer},
    waiting::eventually,
};
use serde_json::json;
use tokio::task::JoinSet;

const DAY: i64 = 24 * 3_600_000;
const MINUTE: i64 = 60_000;

/// A search that no other one is identical to.
async fn search(client: &Client, n: usize) -> Answer {
    client.get(&format!("/v1/call-records?account=ic-1&source=vendor&call_id=c-{n}")).send().await
}

fn fetches(world: &World) -> u64 {
    world.vendors.control().stats().icsoc.token_fetches
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(SystemClock.now()))
}

/// A caller whose own token is good by that clock.
fn client_at(gateway: &TestGateway, clock: &ManualClock) -> Client {
    let (mut claims, now) = (claims(ALL_SCOPES, &["*"]), clock.now().seconds());
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 3_600);
    gateway.client_holding(Some(sign(&Header::new(Algorithm::HS256), &claims, &shared_key())))
}

async fn five_gateways(world: &Arc<World>, clock: &Arc<ManualClock>) -> Vec<TestGateway> {
    let mut gateways = Vec::new();
    for _ in 0..5 {
        gateways.push(TestGateway::start_by(Arc::clone(world), Arc::clone(clock) as Arc<_>).await);
    }
    gateways
}

async fn finish(gateways: Vec<TestGateway>) {
    for gateway in gateways {
        gateway.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_with_an_expired_token_fetch_one() {
    let world = World::new(Setup::new(Backend::Redis)).await;
    let gateways = five_gateways(&world, &clock()).await;
    for (n, gateway) in gateways.iter().enumerate() {
        search(&gateway.client(), n).await.expect(200);
    }
    assert_eq!(fetches(&world), 1, "five gateways share one");
    world.vendors.control().expire_tokens();
    let mut searches = JoinSet::new();
    for (g, gateway) in gateways.iter().enumerate() {
        let client = gateway.client();
        for n in 0..200 {
            let client = client.clone();
            searches.spawn(async move { search(&client, g * 1_000 + n).await.status.as_u16() });
        }
    }
    let statuses = searches.join_all().await;
    let good = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!((good, statuses.len()), (1_000, 1_000), "nobody was told of it");
    assert_eq!(fetches(&world), 2);
    finish(gateways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_cost_eight_fetches_a_day() {
    let world =
        World::new(Setup::new(Backend::Redis).set("ACCOUNTS__1__CLIENT_SECRET", "canary-wrong-77")).await;
    let clock = clock();
    let gateways = five_gateways(&world, &clock).await;
    // Fetches at 0, 15 min, 45 min, 1:45, 3:45, 7:45, 13:45 and 19:45.
    let quarters = usize::try_from(DAY / (15 * MINUTE)).unwrap();
    for quarter in 0..quarters {
        let begin = Instant::now();
        for (n, gateway) in gateways.iter().enumerate() {
            let answer = search(&client_at(gateway, &clock), quarter * 10 + n).await;
            answer.expect_problem(502, "upstream-auth");
        }
        assert!(begin.elapsed() < Duration::from_secs(15), "calls fail fast");
        clock.advance(15 * MINUTE);
    }
    let (made, stats) = (fetches(&world), world.vendors.control().stats().icsoc);
    assert!((7..=8).contains(&made), "{made} fetches");
    assert_eq!((stats.token_refusals, stats.searches), (made, 0));
    let account = client_at(&gateways[0], &clock).read("/v1/accounts/ic-1").await;
    assert_eq!(
        (&account["state"], &account["token"]["state"]),
        (&json!("token_failing"), &json!("backing_off"))
    );
    let left = account["token"]["fetches_left"].as_u64().unwrap();
    assert!((92..=94).contains(&left), "a hundred in a day, of which {left} are left");
    let shown = gateways[0].metric("outdial_token_budget_remaining", &["account=\"ic-1\""]).await;
    assert!((92.0..=94.0).contains(&shown), "{shown}");
    finish(gateways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_before_its_end_and_nobody_waits() {
    let (world, clock) = (World::new(Setup::new(Backend::Sqlite)).await, clock());
    let gateway = TestGateway::start_by(Arc::clone(&world), Arc::clone(&clock) as Arc<_>).await;
    search(&client_at(&gateway, &clock), 0).await.expect(200);
    clock.advance(DAY - 6 * MINUTE);
    search(&client_at(&gateway, &clock), 1).await.expect(200);
    assert_eq!(fetches(&world), 1, "it is good for six more minutes");
    let slow = Faults { path_prefix: Some("/oauth2".to_owned()), delay_ms: 3_000, ..Faults::default() };
    world.vendors.control().set_faults(slow);
    clock.advance(2 * MINUTE);
    let begin = Instant::now();
    for n in 2..10 {
        search(&client_at(&gateway, &clock), n).await.expect(200);
    }
    assert!(begin.elapsed() < Duration::from_millis(2_500), "somebody waited for the token");
    eventually("the token is renewed", async || {
        let account = client_at(&gateway, &clock).read("/v1/accounts/ic-1").await;
        let ends = outdial_core::Timestamp::parse(account["token"]["expires_at"].as_str().unwrap()).unwrap();
        (ends.millis() > clock.now().millis() + DAY / 2).then_some(())
    })
    .await;
    assert_eq!(fetches(&world), 2, "by one fetch");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_fails_costs_nobody_anything_until_the_token_ends() {
    let (world, clock) = (World::new(Setup::new(Backend::Sqlite)).await, clock());
    let gateway = TestGateway::start_by(Arc::clone(&world), Arc::clone(&clock) as Arc<_>).await;
    search(&client_at(&gateway, &clock), 0).await.expect(200);
    let broken = Faults { path_prefix: Some("/oauth2".to_owned()), status: Some(500), ..Faults::default() };
    world.vendors.control().set_faults(broken);
    clock.advance(DAY - 4 * MINUTE);
    search(&client_at(&gateway, &clock), 1).await.expect(200);
    eventually("the renewal has failed", async || {
        let client = client_at(&gateway, &clock);
        (client.read("/v1/accounts/ic-1").await["token"]["state"] == "backing_off").then_some(())
    })
    .await;
    for n in 2..6 {
        search(&client_at(&gateway, &clock), n).await.expect(200);
    }
    assert_eq!(fetches(&world), 2);
    clock.advance(5 * MINUTE);
    // Now it has ended.
    search(&client_at(&gateway, &clock), 6).await.expect_problem(503, "upstream-unavailable");
    world.vendors.control().set_faults(Faults::default());
    clock.advance(15 * MINUTE);
    search(&client_at(&gateway, &clock), 7).await.expect(200);
    gateway.finish().await;
}

/// One command, and the first line of its answer.
fn ask_redis(redis: &RedisServer, command: &str) -> String {
    let url = redis.url();
    let address = url.trim_start_matches("redis://").trim_end_matches("/0");
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut answer = [0; 256];
    let read = connection.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dies_while_fetching_is_followed_when_its_lease_ends() {
    let world = World::new(Setup::new(Backend::Redis)).await;
    let stuck = Faults {
        vendor: Some(Vendor::Icsoc),
        path_prefix: Some("/oauth2".to_owned()),
        delay_ms: 60_000,
        ..Faults::default()
    };
    world.vendors.control().set_faults(stuck.clone());
    let child = GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), &world);
    let mut doomed = JoinSet::new();
    let target = format!("http://{}/v1/call-records?account=ic-1&source=vendor", child.api);
    let bearer = outdial_tests::tokens::token(ALL_SCOPES, &["*"]);
    doomed.spawn(outdial_tests::client::http_client().get(target).bearer_auth(bearer).send());
    eventually("the child fetches", async || (fetches(&world) == 1).then_some(())).await;
    child.kill();
    world.vendors.control().set_faults(Faults { delay_ms: 0, ..stuck });
    let lease = "{outdial}:lease:token:ic-1";
    let left: i64 =
        ask_redis(world.redis(), &format!("PTTL {lease}")).trim_start_matches(':').parse().unwrap();
    assert!((1..=30_000).contains(&left), "the lease of the dead ends in {left} ms");
    let gateway = TestGateway::start_in(Arc::clone(&world)).await;
    let client = gateway.client();
    let waiting = async { search(&client, 1).await };
    let ended = async {
        eventually("somebody waits for the lease", async || {
            (ask_redis(world.redis(), "EXISTS {outdial}:turn-starts:ic-1") == ":0").then_some(())
        })
        .await;
        assert_eq!(fetches(&world), 1, "as long as the lease lasts nobody else fetches");
        // As if the half minute were over.
        assert_eq!(ask_redis(world.redis(), &format!("PEXPIRE {lease} 1")), ":1");
    };
    let (found, ()) = tokio::join!(waiting, ended);
    found.expect(200);
    assert_eq!(fetches(&world), 2);
    let account = client.read("/v1/accounts/ic-1").await;
    assert_eq!(account["token"]["fetches_left"], 98, "the fetch of the dead counts");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_the_token_in_memory_serves_on() {
    let (world, clock) = (World::new(Setup::new(Backend::Redis)).await, clock());
    let gateway = TestGateway::start_by(Arc::clone(&world), Arc::clone(&clock) as Arc<_>).await;
    search(&client_at(&gateway, &clock), 0).await.expect(200);
    world.redis().kill();
    clock.advance(DAY - 4 * MINUTE);
    for n in 1..5 {
        search(&client_at(&gateway, &clock), n).await.expect(200);
    }
    assert_eq!(fetches(&world), 1, "it is due, and good still");
    // Then four fetches in a day, which nobody counts.
    for n in 5..9 {
        clock.advance(5 * MINUTE);
        world.vendors.control().expire_tokens();
        search(&client_at(&gateway, &clock), n).await.expect(200);
    }
    assert_eq!(fetches(&world), 5);
    world.vendors.control().expire_tokens();
    search(&client_at(&gateway, &clock), 9).await.expect_problem(503, "store-unavailable");
    assert_eq!(fetches(&world), 5);
    world.redis().restart().await;
    eventually("the store is back", async || {
        (search(&client_at(&gateway, &clock), 10).await.status == 200).then_some(())
    })
    .await;
    gateway.finish().await;
}

/// A token service: the third fetch is refused, the others give `a-1`, `a-2` and `a-4`.
async fn token_service() -> VendorStub {
    let fetches = AtomicUsize::new(0);
    VendorStub::start(move |_| {
        let n = fetches.fetch_add(1, Ordering::SeqCst) + 1;
        let token = json!({
            "access_token": format!("a-{n}"), "refresh_token": format!("r-{n}"), "expires_in": 86_400,
            "token_type": "Bearer",
        });
        let refused = json_answer(400, r#"{"error":"invalid_grant"}"#);
        vec![Act::Read, if n == 3 { refused } else { json_answer(200, &token.to_string()) }]
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_is_used_before_the_credentials() {
    let tokens = token_service().await;
    let ended: Arc<Mutex<Vec<String>>> = Arc::default();
    let refused = Arc::clone(&ended);
    let vendor = VendorStub::start(move |seen| {
        let is_ended = refused.lock().unwrap().contains(&seen.headers["authorization"]);
        vec![Act::Read, if is_ended { json_answer(401, "{}") } else { json_answer(200, EMPTY_PAGE) }]
    })
    .await;
    let setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__1__BASE_URL", &vendor.url());
    let setup = setup.set("ACCOUNTS__1__TOKEN_URL", &format!("{}/oauth2/token", tokens.url()));
    let clock = clock();
    let gateway = TestGateway::start_by(World::new(setup).await, Arc::clone(&clock) as Arc<_>).await;
    search(&client_at(&gateway, &clock), 0).await.expect(200);
    for (n, token) in ["Bearer a-1", "Bearer a-2"].into_iter().enumerate() {
        // Long enough for the token to have proved good.
        clock.advance(2 * 60 * MINUTE);
        ended.lock().unwrap().push(token.to_owned());
        search(&client_at(&gateway, &clock), n + 1).await.expect(200);
    }
    let bodies: Vec<String> =
        tokens.seen().iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect();
    assert_eq!(bodies.len(), 4);
    assert!(bodies[1].contains("grant_type=refresh_token") && bodies[1].contains("refresh_token=r-1"));
    assert!(bodies[2].contains("refresh_token=r-2"), "the newest one");
    for with_credentials in [&bodies[0], &bodies[3]] {
        assert!(!with_credentials.contains("refresh_token"), "what is refused is not tried again");
        assert!(with_credentials.contains("grant_type="));
    }
    assert_eq!(vendor.seen().last().unwrap().headers["authorization"], "Bearer a-4");
    let account = client_at(&gateway, &clock).read("/v1/accounts/ic-1").await;
    assert_eq!(account["token"]["fetches_left"], 96, "each try counts");
    gateway.finish().await;
}
