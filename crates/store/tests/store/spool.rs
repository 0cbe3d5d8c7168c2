//! What is special to the spool: Redis goes away, hangs and comes back, and files are damaged.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use outdial_core::{ManualClock, Outcome, Position};
use outdial_store::{
    Appended, Batch, Durability, QuarantineFilter, Store, StoreErrorKind, StoreMode, StoreSettings, open,
};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    backend::{at, open_spooled, reopen_spooled, settings, until},
    proxy::Proxy,
    redis_server::RedisServer,
    samples::{
        account, append, append_one, batch, draft, log, member, record, records, roster_event, stored,
    },
};

/// A Redis, a spool, and the store over both.
struct Scene {
    server: RedisServer,
    clock: Arc<ManualClock>,
    folder: TempDir,
    store: Option<Arc<dyn Store>>,
}

impl Scene {
    /// With Redis there, or not yet.
    async fn set(is_there: bool) -> Self {
        let mut server = RedisServer::prepare(&[]);
        if is_there {
            server.run();
        }
        let mut scene = Self {
            server,
            clock: Arc::new(ManualClock::new(at(0))),
            folder: tempfile::tempdir().unwrap(),
            store: None,
        };
        scene.open().await;
        scene
    }

    fn store(&self) -> &dyn Store {
        &**self.store.as_ref().unwrap()
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Opens the store, again if it is open.
    async fn open(&mut self) {
        self.store = None;
        self.store = Some(reopen_spooled(&self.server.url(), &self.clock, &self.spool()).await);
    }

    /// Waits until nothing is in the spool any more.
    async fn drained(&self) {
        until("the spool is drained", async || self.store().status().await.spooled == 0).await;
    }

    /// The file that the spool writes to, and its database.
    fn file(&self) -> (PathBuf, Connection) {
        let path = self.spool().join("spool-000001.db");
        (path.clone(), Connection::open(path).unwrap())
    }

    fn damaged_files(&self) -> Vec<String> {
        let mut names: Vec<String> = list(&self.spool());
        names.retain(|name| name.ends_with(".damaged"));
        names
    }
}

fn list(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_redis_cannot_take_is_spooled_and_drained_later() {
    let mut scene = Scene::set(true).await;
    stored(append_one(scene.store(), record("ic-1", "before")).await);
    scene.server.kill();
    let whole = Batch {
        records: records("ic-1", 3),
        events: vec![roster_event("ros_1")],
        quarantined: vec![draft("ic-1", 0, "not_json", b"\x00\xff raw")],
    };
    assert_eq!(scene.store().append(whole, at(0)).await.unwrap(), [Appended::Spooled; 3]);
    let mut call = record("ic-1", "before");
    call.raw = serde_json::from_str(r#"{ "n": 1e400 }"#).unwrap();
    assert_eq!(append_one(scene.store(), call).await, Appended::Spooled);
    let status = scene.store().status().await;
    assert_eq!((status.mode, status.durability, status.spooled), (StoreMode::Spool, Durability::Durable, 4));
    assert!(status.problem.is_some());
    assert!(scene.store().get(&account("ic-1"), "before").await.is_err());

    scene.server.run();
    scene.drained().await;
    assert_eq!(log(scene.store()).await.len(), 6);
    let kept = scene.store().get(&account("ic-1"), "before").await.unwrap().unwrap();
    assert_eq!((kept.revision, kept.raw.unwrap().get()), (2, r#"{ "n": 1e400 }"#));
    let filter = QuarantineFilter { accounts: vec![account("ic-1")], reason: None };
    let items = scene.store().list_quarantined(&filter, None, 10).await.unwrap();
    assert_eq!(items[0].draft.raw.as_ref(), b"\x00\xff raw");
    // The mode is held for a while, so that a server that comes and goes does not show as a flicker.
    let status = scene.store().status().await;
    assert_eq!((status.mode, status.problem), (StoreMode::Spool, None));
    stored(append_one(scene.store(), record("ic-1", "after")).await);
}

#[tokio::test]
async fn after_some_failures_the_spool_is_used_at_once() {
    let scene = Scene::set(true).await;
    append_one(scene.store(), record("ic-1", "before")).await;
    scene.server.freeze();
    let mut longest = Duration::ZERO;
    for n in 0..3 {
        let started = Instant::now();
        assert_eq!(append_one(scene.store(), record("ic-1", &format!("{n}"))).await, Appended::Spooled);
        longest = longest.max(started.elapsed());
    }
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    // Each attempt to reach the frozen server takes a second, and some append would meet it.
    let (begun, mut count) = (Instant::now(), 4);
    while begun.elapsed() < Duration::from_millis(1_500) {
        let started = Instant::now();
        assert_eq!(append_one(scene.store(), record("ic-1", &format!("{count}"))).await, Appended::Spooled);
        assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
        count += 1;
    }
    scene.server.thaw();
    scene.drained().await;
    // What Redis had been sent before it hung is not there twice.
    assert_eq!(log(scene.store()).await.len(), count);
    until("Redis is used again", async || {
        let call = record("ic-1", "after");
        scene.store().append(batch(vec![call]), at(0)).await.unwrap() != [Appended::Spooled]
    })
    .await;
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_spooled_and_stored_once() {
    let scene = Scene::set(true).await;
    let proxy = Proxy::start(scene.server.address()).await;
    let folder = scene.folder.path().join("behind the proxy");
    let store = open_spooled(&proxy.url(), &scene.clock, &folder).await.unwrap();
    append_one(&*store, record("ic-1", "before")).await;
    proxy.cut_after_next("EVALSHA");
    assert_eq!(append(&*store, records("ic-1", 3)).await, [Appended::Spooled; 3]);
    until("the spool is drained", async || store.status().await.spooled == 0).await;
    assert_eq!(log(&*store).await.len(), 4);
}

#[tokio::test]
async fn a_start_without_redis_works_and_the_spool_outlives_the_process() {
    let mut scene = Scene::set(false).await;
    assert_eq!(append(scene.store(), records("ic-1", 5)).await, [Appended::Spooled; 5]);
    assert_eq!(scene.store().bounds().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    scene.open().await;
    let status = scene.store().status().await;
    assert_eq!((status.mode, status.spooled), (StoreMode::Spool, 5));
    assert_eq!(append_one(scene.store(), record("ic-1", "new")).await, Appended::Spooled);
    let mut tail = scene.store().tail();
    tail.borrow_and_update();
    scene.server.run();
    scene.drained().await;
    let subjects: Vec<_> = log(scene.store()).await.iter().map(|event| member(event, "/subject")).collect();
    assert_eq!(subjects, ["call-0000", "call-0001", "call-0002", "call-0003", "call-0004", "new"]);
    assert!(tail.has_changed().unwrap());
}

#[tokio::test]
async fn the_oldest_goes_first_under_the_time_it_came() {
    let mut scene = Scene::set(false).await;
    for (n, outcome) in [Outcome::NoAnswer, Outcome::Busy, Outcome::Answered].into_iter().enumerate() {
        let mut call = record("ic-1", "68");
        (call.outcome, call.vendor_codes.outcome) = (outcome, Some(outcome.as_str().into()));
        let now = at(i64::try_from(n).unwrap() * 1_000);
        assert_eq!(scene.store().append(batch(vec![call]), now).await.unwrap(), [Appended::Spooled]);
    }
    scene.server.run();
    scene.drained().await;
    let told: Vec<_> = log(scene.store())
        .await
        .iter()
        .map(|event| (member(event, "/data/outcome"), member(event, "/time")))
        .collect();
    let expected = [
        ("no_answer", "2026-09-21T14:13:20.000Z"),
        ("busy", "2026-09-21T14:13:21.000Z"),
        ("answered", "2026-09-21T14:13:22.000Z"),
    ];
    assert_eq!(told, expected.map(|(outcome, time)| (outcome.into(), time.into())));
    let kept = scene.store().get(&account("ic-1"), "68").await.unwrap().unwrap();
    assert_eq!((kept.revision, kept.outcome), (3, Outcome::Answered));
}

#[tokio::test]
async fn a_full_spool_refuses_and_recovers() {
    let mut scene = Scene::set(false).await;
    let small = StoreSettings {
        spool_dir: Some(scene.folder.path().join("small")),
        spool_max_bytes: 80_000,
        ..settings(&scene.server.url(), &scene.clock)
    };
    let store = open(small).await.unwrap();
    let (mut spooled, mut refused) = (0, None);
    while refused.is_none() && spooled < 200 {
        match store.append(batch(vec![record("ic-1", &format!("{spooled}"))]), at(0)).await {
            Ok(_) => spooled += 1,
            Err(error) => refused = Some(error),
        }
    }
    let full = refused.expect("the spool takes more than its limit");
    assert_eq!(full.kind, StoreErrorKind::Unavailable);
    assert!(full.detail.contains("full"), "{full}");
    // An eighth is kept free; a record is about 750 bytes.
    assert!((80..100).contains(&spooled), "{spooled}");
    let status = store.status().await;
    assert_eq!((status.mode, status.spooled), (StoreMode::Down, spooled));
    scene.server.run();
    until("the spool is drained", async || store.status().await.spooled == 0).await;
    assert_eq!(log(&*store).await.len(), usize::try_from(spooled).unwrap());
    stored(append_one(&*store, record("ic-1", "new")).await);
    assert_ne!(store.status().await.mode, StoreMode::Down);
}

#[tokio::test]
async fn a_second_process_on_one_spool_is_refused() {
    let scene = Scene::set(true).await;
    let refused = open_spooled(&scene.server.url(), &scene.clock, &scene.spool()).await.err().unwrap();
    assert_eq!(refused.kind, StoreErrorKind::Locked);
    assert!(refused.detail.contains(&format!("pid {}", std::process::id())), "{refused}");
}

#[tokio::test]
async fn a_server_that_would_lose_records_gets_nothing_from_the_spool() {
    let mut server = RedisServer::prepare(&["--appendonly", "no"]);
    let clock = Arc::new(ManualClock::new(at(0)));
    let folder = tempfile::tempdir().unwrap();
    let store = open_spooled(&server.url(), &clock, folder.path()).await.unwrap();
    append(&*store, records("ic-1", 2)).await;
    server.run();
    until("the problem is told", async || {
        store.status().await.problem.is_some_and(|problem| problem.contains("aof_enabled:0"))
    })
    .await;
    assert_eq!(append_one(&*store, record("ic-1", "new")).await, Appended::Spooled);
    assert_eq!(server.command("DBSIZE").as_deref(), Some(":0\r\n"));
    server.configure("appendonly", "yes");
    until("the spool is drained", async || store.status().await.spooled == 0).await;
    assert_eq!(log(&*store).await.len(), 3);

    let refused = RedisServer::start_with(&["--appendonly", "no"]);
    let other = tempfile::tempdir().unwrap();
    let refused = open_spooled(&refused.url(), &clock, other.path()).await.err().unwrap();
    assert_eq!(refused.kind, StoreErrorKind::Invalid);
}

#[tokio::test]
async fn a_file_that_is_no_spool_is_set_aside() {
    let mut scene = Scene::set(false).await;
    append(scene.store(), records("ic-1", 2)).await;
    scene.store = None;
    until("the spool is closed", async || !scene.spool().join("spool-000001.db-wal").exists()).await;
    std::fs::write(scene.spool().join("spool-000001.db"), "nothing of ours ".repeat(1_000)).unwrap();
    scene.open().await;
    assert_eq!(scene.damaged_files(), ["spool-000001.db.damaged"]);
    assert_eq!(append_one(scene.store(), record("ic-1", "new")).await, Appended::Spooled);
    assert!(scene.store().status().await.problem.is_some());
    scene.server.run();
    scene.drained().await;
    assert_eq!(log(scene.store()).await.len(), 1);
}

#[tokio::test]
async fn a_damaged_batch_is_set_aside_and_its_neighbours_are_stored() {
    let mut scene = Scene::set(false).await;
    for call in ["1", "2", "3", "4"] {
        append_one(scene.store(), record("ic-1", call)).await;
    }
    let (_, connection) = scene.file();
    // One digit of a number: still JSON, and not what was acknowledged.
    let changed =
        "UPDATE batches SET body = CAST(REPLACE(body, '18512342456', '18512342457') AS BLOB) WHERE seq = 2";
    assert_eq!(connection.execute(changed, []).unwrap(), 1);
    drop(connection);
    scene.server.run();
    scene.drained().await;
    let subjects: Vec<_> = log(scene.store()).await.iter().map(|event| member(event, "/subject")).collect();
    assert_eq!(subjects, ["1", "3", "4"]);
    assert_eq!(scene.damaged_files(), ["batch-1-2.damaged"]);
    let kept = std::fs::read_to_string(scene.spool().join("batch-1-2.damaged")).unwrap();
    assert!(kept.contains("18512342457"), "{kept}");
    assert!(scene.store().status().await.problem.unwrap().contains("1 damaged"));
}

#[tokio::test]
async fn a_batch_that_can_never_be_stored_does_not_block_the_others() {
    let mut scene = Scene::set(true).await;
    scene.server.command("SET {suite}:record:ic-1/2 \"1 nonsense\"").unwrap();
    scene.server.kill();
    for call in ["1", "2", "3"] {
        assert_eq!(append_one(scene.store(), record("ic-1", call)).await, Appended::Spooled);
    }
    scene.server.run();
    scene.drained().await;
    let subjects: Vec<_> = log(scene.store()).await.iter().map(|event| member(event, "/subject")).collect();
    assert_eq!(subjects, ["1", "3"]);
    assert_eq!(scene.damaged_files(), ["batch-1-2.damaged"]);
}

#[tokio::test]
async fn what_can_be_read_of_a_damaged_file_is_stored() {
    let mut scene = Scene::set(false).await;
    for n in 0..200 {
        append_one(scene.store(), record("ic-1", &format!("{n:03}"))).await;
    }
    scene.store = None;
    until("the spool is closed", async || !scene.spool().join("spool-000001.db-wal").exists()).await;
    let path = scene.spool().join("spool-000001.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    scene.open().await;
    append_one(scene.store(), record("ic-1", "new")).await;
    scene.server.run();
    scene.drained().await;
    let stored = log(scene.store()).await.len();
    assert!((190..201).contains(&stored), "{stored}");
    assert!(!scene.damaged_files().is_empty());
    stored_next(&scene).await;
}

/// The store goes on as before.
async fn stored_next(scene: &Scene) {
    until("Redis is used again", async || {
        let answer = scene.store().append(batch(vec![record("ic-1", "next")]), at(0)).await.unwrap();
        answer != [Appended::Spooled]
    })
    .await;
}

#[tokio::test]
async fn any_damage_is_survived() {
    let mut scene = Scene::set(false).await;
    for n in 0..20 {
        append_one(scene.store(), record("ic-1", &format!("{n:02}"))).await;
    }
    scene.store = None;
    let path = scene.spool().join("spool-000001.db");
    until("the spool is closed", async || !scene.spool().join("spool-000001.db-wal").exists()).await;
    let sound = std::fs::read(&path).unwrap();
    scene.server.run();
    // A fixed stream of numbers, so that a failure can be repeated.
    let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for round in 0..25 {
        let mut bytes = sound.clone();
        match round % 3 {
            0 => bytes.truncate(next(bytes.len())),
            1 => (0..20).for_each(|_| {
                let place = next(bytes.len());
                bytes[place] ^= 1 << next(8);
            }),
            _ => {
                let (start, length) = (next(bytes.len()), next(3_000));
                bytes.iter_mut().skip(start).take(length).for_each(|byte| *byte = 0);
            }
        }
        for name in list(&scene.spool()) {
            std::fs::remove_file(scene.spool().join(name)).unwrap();
        }
        std::fs::write(&path, bytes).unwrap();
        scene.open().await;
        scene.drained().await;
        let call = record("ic-1", &format!("round {round}"));
        scene.store().append(batch(vec![call]), at(0)).await.unwrap();
        scene.drained().await;
        scene.store = None;
        until("the spool is closed", async || {
            !list(&scene.spool()).iter().any(|name| name.ends_with("-wal"))
        })
        .await;
    }
    scene.open().await;
    for event in log(scene.store()).await {
        assert!(event.position > Position(0) && member(&event, "/data/called") == "18512342456");
    }
}
