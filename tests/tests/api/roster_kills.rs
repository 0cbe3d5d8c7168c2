//! Gateways that are killed at random points while rosters go out, are retried and repeated: nobody is called twice, and what
//! is told to be taken was taken. `OUTDIAL_TEST_KILLS` says how often, `OUTDIAL_TEST_SEED` where the dice begin.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    child::GatewayProcess,
    client::{Client, http_client},
    secrets::number,
    setup::{Backend, Setup, World},
    tokens::{ALL_SCOPES, token},
    waiting::eventually,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::uploads::{JSON, target};

/// Kills unless more are asked for.
const KILLS: usize = 40;
/// Kills of gateways on one store; each life is a minute later, so that the leases of the one before have ended.
const KILLS_OF_WORLD: usize = 10;
/// Stores at once.
const WORLDS: usize = 4;
/// Callers of one gateway.
const CALLERS: usize = 3;
/// A gateway is killed within this many milliseconds.
const LIFE: u64 = 300;
/// Longer than a lease.
const LATER: Duration = Duration::from_secs(61);

/// Numbers that depend on the seed alone (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// One caller of a gateway: uploads, repeats and retries until the gateway is gone.
struct Caller {
    http: reqwest::Client,
    base: String,
    token: String,
    dice: Dice,
    /// How many rosters were begun, by all callers of the world.
    begun: Arc<AtomicUsize>,
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// The entries of the `n`th roster: one to four, each a part of its own.
fn entries(n: usize) -> Value {
    let entry = |index: usize| json!({ "entry_id": format!("k-{n}-{index}"), "number": number(index), "agent": "5902@ocm.test" });
    json!({ "entries": (0..1 + n % 4).map(entry).collect::<Vec<_>>() })
}

fn campaign(n: usize) -> String {
    format!("kill-{n}")
}

impl Caller {
    async fn call_until_the_end(mut self) {
        loop {
            let done = match self.dice.below(10) {
                0..=5 => {
                    let n = self.begun.fetch_add(1, Ordering::Relaxed);
                    self.upload(n).await
                }
                6 | 7 => {
                    let begun = u64::try_from(self.begun.load(Ordering::Relaxed)).unwrap();
                    let n = self.dice.below(begun.max(1));
                    self.upload(usize::try_from(n).unwrap()).await
                }
                _ => self.retry_one().await,
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    /// Sends a request; half of them do not wait.
    async fn send(&mut self, request: reqwest::RequestBuilder) -> reqwest::Result<()> {
        let is_async = self.dice.below(2) == 0;
        let request = if is_async { request.header("prefer", "respond-async") } else { request };
        let answer = request.send().await?;
        assert_ne!(answer.status(), 500);
        answer.bytes().await.map(drop)
    }

    async fn upload(&mut self, n: usize) -> reqwest::Result<()> {
        let request = self.request("POST", &target(&campaign(n), ""));
        let request = request.header("content-type", JSON).header("idempotency-key", campaign(n));
        self.send(request.body(entries(n).to_string())).await
    }

    async fn retry_one(&mut self) -> reqwest::Result<()> {
        let status = ["failed", "partial", "unknown"][usize::try_from(self.dice.below(3)).unwrap()];
        let page = self.request("GET", &format!("/v1/rosters?status={status}")).send().await?;
        let page: Value = page.json().await?;
        let rosters = page["data"].as_array().unwrap();
        if rosters.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(u64::try_from(rosters.len()).unwrap());
        let id = rosters[usize::try_from(at).unwrap()]["id"].as_str().unwrap();
        let request = self.request("POST", &format!("/v1/rosters/{id}/retry"));
        self.send(request).await
    }
}

/// What the vendor does wrong during one life of a gateway.
fn faults(dice: &mut Dice) -> Faults {
    let some =
        Faults { vendor: Some(Vendor::Wellcloud), path_prefix: Some("/ocm".to_owned()), ..Faults::default() };
    match dice.below(4) {
        0 => Faults { status: Some(500), status_count: 3, ..some },
        1 => Faults { hang_up: true, status_count: 1, ..some },
        2 => Faults { delay_ms: dice.below(30), ..some },
        _ => some,
    }
}

async fn live_and_be_killed(world: &World, later: Duration, dice: &mut Dice, begun: &Arc<AtomicUsize>) {
    world.vendors.control().set_faults(faults(dice));
    let child = GatewayProcess::start_later(env!("CARGO_BIN_EXE_gateway_process"), world, later);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let caller = Caller {
            http: http_client(),
            base: format!("http://{}", child.api),
            token: token(ALL_SCOPES, &["*"]),
            dice: Dice(dice.below(u64::MAX)),
            begun: Arc::clone(begun),
        };
        callers.spawn(caller.call_until_the_end());
    }
    // Not to wait for anything: this is the point at which it dies.
    tokio::time::sleep(Duration::from_millis(dice.below(LIFE))).await;
    child.kill();
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
}

async fn rosters(client: &Client) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.read(&format!("/v1/rosters?limit=1000{cursor}")).await;
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Retries whatever can be retried, in peace.
async fn retry_all(client: &Client) {
    eventually("no roster is being sent", async || {
        let page = client.read("/v1/rosters?status=sending").await;
        page["data"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    for roster in rosters(client).await {
        let path = format!("/v1/rosters/{}/retry", roster["id"].as_str().unwrap());
        let answer = client.call("POST", &path).send().await;
        assert!([200, 409, 410].contains(&answer.status.as_u16()), "{}", answer.text());
        assert_ne!(answer.expect(answer.status.as_u16())["code"], "roster-sending");
    }
}

/// How many entries of a roster are in parts of this status.
fn count(roster: &Value, status: &str) -> u64 {
    let parts = roster["parts"].as_array().unwrap().iter();
    parts.filter(|part| part["status"] == status).map(|part| part["entries"].as_u64().unwrap()).sum()
}

/// Holds what the gateways say against what the vendor has. Answers how many entries there are of each kind.
fn compare(world: &World, rosters: &[Value], seed: u64) -> BTreeMap<&'static str, u64> {
    let mut taken: HashMap<String, u64> = HashMap::new();
    let mut entries: HashMap<String, u64> = HashMap::new();
    for upload in world.vendors.control().uploads().into_iter().filter(|upload| upload.taken) {
        *taken.entry(upload.campaign).or_default() += u64::try_from(upload.entry_ids.len()).unwrap();
        for id in upload.entry_ids {
            *entries.entry(id).or_default() += 1;
        }
    }
    let twice: Vec<_> = entries.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "called twice, seed {seed}: {twice:?}");
    let (mut sums, mut told) = (BTreeMap::new(), HashMap::<&str, (u64, u64)>::new());
    for roster in rosters {
        let (accepted, unknown) = (count(roster, "accepted"), count(roster, "unknown"));
        assert_eq!(roster["accepted"], accepted, "seed {seed}: {roster:#}");
        let of_campaign = told.entry(roster["campaign_id"].as_str().unwrap()).or_default();
        (of_campaign.0, of_campaign.1) = (of_campaign.0 + accepted, of_campaign.1 + unknown);
        let refused = count(roster, "refused");
        for (name, count) in [("accepted", accepted), ("unknown", unknown), ("refused", refused)] {
            *sums.entry(name).or_default() += count;
        }
    }
    for (campaign, (accepted, unknown)) in &told {
        let there = taken.get(*campaign).copied().unwrap_or_default();
        assert!(
            (*accepted..=accepted + unknown).contains(&there),
            "of {campaign} {accepted} are told to be taken and {unknown} are unknown, but {there} are there, seed {seed}"
        );
    }
    assert!(taken.keys().all(|campaign| told.contains_key(campaign.as_str())), "seed {seed}");
    sums
}

async fn run_world(seed: u64, kills: usize) -> BTreeMap<&'static str, u64> {
    let mut dice = Dice(seed);
    let setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__0__JSON_ENTRIES_MAX", "1");
    let world = World::new(setup).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let mut later = Duration::ZERO;
    for _ in 0..kills {
        live_and_be_killed(&world, later, &mut dice, &begun).await;
        later += LATER;
    }
    world.vendors.control().set_faults(Faults::default());
    let child = GatewayProcess::start_later(env!("CARGO_BIN_EXE_gateway_process"), &world, later);
    let client = child.client();
    retry_all(&client).await;
    let mut sums = compare(&world, &rosters(&client).await, seed);
    sums.insert("rosters", u64::try_from(begun.load(Ordering::Relaxed)).unwrap());
    sums
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_called_twice_whenever_a_gateway_dies() {
    let kills = usize::try_from(environment("OUTDIAL_TEST_KILLS", KILLS as u64)).unwrap();
    let seed = environment("OUTDIAL_TEST_SEED", 20_261_121);
    let mut left = (0_u64..).zip((0..kills).step_by(KILLS_OF_WORLD));
    let (mut worlds, mut sums) = (JoinSet::new(), BTreeMap::<&str, u64>::new());
    loop {
        while worlds.len() < WORLDS
            && let Some((n, done)) = left.next()
        {
            let (seed, kills) = (seed.wrapping_add(n), KILLS_OF_WORLD.min(kills - done));
            worlds.spawn_blocking(move || tokio::runtime::Handle::current().block_on(run_world(seed, kills)));
        }
        let Some(world) = worlds.join_next().await else { break };
        for (name, count) in world.unwrap() {
            *sums.entry(name).or_default() += count;
        }
    }
    println!("{kills} kills from seed {seed}: {sums:?}");
    assert!(sums["accepted"] > 0);
}
