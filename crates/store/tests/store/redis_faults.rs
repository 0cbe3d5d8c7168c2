//! What is special to Redis: servers that would lose records, that go away, that are full, and that come back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_core::{ManualClock, Position, RecordQuery};
use outdial_store::{Appended, Durability, Store, StoreErrorKind, StoreMode, StoreSettings, open};

use crate::{
    backend::{at, settings, until},
    proxy::Proxy,
    redis_server::RedisServer,
    samples::{account, append, append_one, batch, log, record, records, roster_event, stored},
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(at(0)))
}

async fn open_at(url: &str) -> Arc<dyn Store> {
    open(settings(url, &clock())).await.unwrap()
}

/// Opens a store that is refused, and gives why.
async fn refusal(settings: StoreSettings) -> (StoreErrorKind, String) {
    let refused = open(settings).await.err().expect("it was not refused");
    (refused.kind, refused.detail)
}

#[tokio::test]
async fn a_server_that_would_lose_records_is_refused_by_setting() {
    for (name, value, words) in [
        ("--appendonly", "no", "appendonly is no (aof_enabled:0)"),
        ("--maxmemory-policy", "allkeys-lru", "maxmemory-policy is allkeys-lru"),
        ("--maxmemory-policy", "volatile-ttl", "maxmemory-policy is volatile-ttl"),
        ("--appendfsync", "everysec", "appendfsync is everysec"),
        ("--no-appendfsync-on-rewrite", "yes", "no-appendfsync-on-rewrite is yes"),
    ] {
        let server = RedisServer::start_with(&[name, value]);
        let (kind, detail) = refusal(settings(&server.url(), &clock())).await;
        assert_eq!(kind, StoreErrorKind::Invalid, "{detail}");
        assert!(detail.contains(words) && !detail.contains('\n'), "{detail}");
    }
}

#[tokio::test]
async fn a_relaxed_server_is_taken_when_allowed_and_told_of() {
    let server = RedisServer::start_with(&["--appendfsync", "everysec"]);
    let store =
        open(StoreSettings { allow_relaxed: true, ..settings(&server.url(), &clock()) }).await.unwrap();
    let status = store.status().await;
    assert_eq!((status.mode, status.durability), (StoreMode::Redis, Durability::Relaxed));
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let relaxed = StoreSettings { allow_relaxed: true, ..settings(&server.url(), &clock()) };
    assert_eq!(refusal(relaxed).await.0, StoreErrorKind::Invalid);
}

#[tokio::test]
async fn a_user_of_few_rights_is_enough() {
    const USER: &str = "ACL SETUSER gate on >hunter2 ~{suite}* +@all -@admin -@dangerous +info";
    let server = RedisServer::start();
    assert_eq!(server.command(USER).as_deref(), Some("+OK\r\n"));
    let url = server.url().replace("redis://", "redis://gate:hunter2@");
    let store = open_at(&url).await;
    append(&*store, records("ic-1", 3)).await;
    store
        .append(outdial_store::Batch { events: vec![roster_event("ros_1")], ..Default::default() }, at(0))
        .await
        .unwrap();
    assert_eq!(log(&*store).await.len(), 4);
    assert_eq!(store.trim(Position(u64::MAX)).await.unwrap(), 4);
    assert!(
        store.query(&[account("ic-1")], &RecordQuery::default(), None, 10).await.unwrap().records.len() == 3
    );
    assert_eq!(store.expire(at(1)).await.unwrap(), 3);
    // CONFIG is not for this user, so nobody can say how often the file is synced.
    assert_eq!(store.status().await.durability, Durability::Relaxed);

    let losing = RedisServer::start_with(&["--appendonly", "no"]);
    losing.command(USER).unwrap();
    let url = losing.url().replace("redis://", "redis://gate:hunter2@");
    let (kind, detail) = refusal(settings(&url, &clock())).await;
    assert_eq!(kind, StoreErrorKind::Invalid);
    assert!(detail.contains("aof_enabled:0"), "{detail}");
}

#[tokio::test]
async fn a_server_that_is_away_or_refuses_us_is_unavailable_and_no_secret_is_told() {
    let server = RedisServer::start_with(&["--requirepass", "correct-horse"]);
    let away = RedisServer::prepare(&[]);
    for url in [
        server.url(),
        server.url().replace("redis://", "redis://:hunter2@"),
        away.url().replace("redis://", "redis://u:hunter2@"),
        "redis://u:hunter2@nowhere.invalid/".to_owned(),
    ] {
        let settings = settings(&url, &clock());
        assert!(!format!("{settings:?}").contains("hunter2"));
        let (kind, detail) = refusal(settings).await;
        assert_eq!(kind, StoreErrorKind::Unavailable, "{detail}");
        assert!(!detail.contains("hunter2"), "{detail}");
    }
    let store = open_at(&server.url().replace("redis://", "redis://:correct-horse@")).await;
    append_one(&*store, record("ic-1", "68")).await;
}

#[tokio::test]
async fn a_prefix_names_a_store_of_its_own() {
    let server = RedisServer::start();
    let store = open_at(&server.url()).await;
    let other = StoreSettings { prefix: "other".into(), ..settings(&server.url(), &clock()) };
    let other = open(other).await.unwrap();
    append_one(&*store, record("ic-1", "68")).await;
    assert!(log(&*other).await.is_empty());
    assert_eq!(stored(append_one(&*other, record("ic-1", "68")).await).1, 1);
    let stream = server.command("XRANGE {other}:events - +").unwrap();
    assert!(stream.contains("\r\nevent\r\n") && stream.contains("\"subject\":\"68\""), "{stream}");
    for prefix in ["", "a}b", "a b"] {
        let bad = StoreSettings { prefix: prefix.into(), ..settings(&server.url(), &clock()) };
        assert_eq!(refusal(bad).await.0, StoreErrorKind::Invalid, "{prefix:?}");
    }
}

#[tokio::test]
async fn a_server_that_was_restarted_is_found_again() {
    let mut server = RedisServer::start();
    let store = open_at(&server.url()).await;
    append_one(&*store, record("ic-1", "1")).await;
    let mut tail = store.tail();
    server.kill();
    let down = store.append(batch(records("ic-1", 1)), at(0)).await.unwrap_err();
    assert_eq!(down.kind, StoreErrorKind::Unavailable, "{down}");
    assert_eq!(store.status().await.mode, StoreMode::Down);
    assert_eq!(store.get_value("k").await.unwrap_err().kind, StoreErrorKind::Unavailable);
    server.run();
    until("the store takes appends again", async || {
        store.append(batch(vec![record("ic-1", "2")]), at(0)).await.is_ok()
    })
    .await;
    assert_eq!(log(&*store).await.len(), 2);
    tail.borrow_and_update();

    // With nothing asked in between, the connection is found cut by an append, which nobody is to notice.
    server.kill();
    server.run();
    stored(append_one(&*store, record("ic-1", "3")).await);
    assert!(tail.has_changed().unwrap());
    let other = open_at(&server.url()).await;
    let (position, _) = stored(append_one(&*other, record("ic-1", "4")).await);
    until("the tail follows again", async || *store.tail().borrow() == position).await;
}

#[tokio::test]
async fn a_full_server_refuses_and_reads_on() {
    let server = RedisServer::start();
    let store = open_at(&server.url()).await;
    append(&*store, records("ic-1", 10)).await;
    server.configure("maxmemory", "1mb");
    let full = store.append(batch(vec![record("ic-1", "new")]), at(0)).await.unwrap_err();
    assert_eq!(full.kind, StoreErrorKind::Unavailable);
    assert!(full.detail.contains("OOM"), "{full}");
    assert_eq!(log(&*store).await.len(), 10);
    let status = store.status().await;
    assert!(status.mode == StoreMode::Down && status.problem.unwrap().contains("OOM"));
    server.configure("maxmemory", "0");
    stored(append_one(&*store, record("ic-1", "new")).await);
    assert_eq!(store.status().await.mode, StoreMode::Redis);
}

#[tokio::test]
async fn a_server_that_lost_its_replicas_or_became_one_is_unavailable() {
    let (server, other) = (RedisServer::start(), RedisServer::start());
    let store = open_at(&server.url()).await;
    server.configure("min-replicas-to-write", "1");
    let refused = store.append(batch(records("ic-1", 1)), at(0)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unavailable);
    assert!(refused.detail.contains("NOREPLICAS"), "{refused}");
    server.configure("min-replicas-to-write", "0");

    let port = other.url().trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    server.command(&format!("REPLICAOF 127.0.0.1 {port}")).unwrap();
    let refused = store.append(batch(records("ic-1", 1)), at(0)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unavailable, "{refused}");
    server.command("REPLICAOF NO ONE").unwrap();
    until("the store takes appends again", async || {
        store.append(batch(records("ic-1", 1)), at(0)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn an_append_that_replicas_did_not_acknowledge_is_no_success() {
    let server = RedisServer::start();
    let demanding = StoreSettings { min_replicas: 1, ..settings(&server.url(), &clock()) };
    let store = open(demanding).await.unwrap();
    // The second time it is a duplicate of what no replica has.
    for _ in 0..2 {
        let alone = store.append(batch(records("ic-1", 1)), at(0)).await.unwrap_err();
        assert_eq!(alone.kind, StoreErrorKind::OutcomeUnknown);
        assert!(alone.detail.contains("under-replicated, 0 of 1"), "{alone}");
    }
    let port = server.url().trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    let replica = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {port}")]);
    until("the replica has joined", async || store.append(batch(records("ic-1", 1)), at(0)).await.is_ok())
        .await;
    assert_eq!(append(&*store, records("ic-1", 2)).await[0], Appended::Duplicate);
    let copied = replica.command("XLEN {suite}:events").unwrap();
    assert_eq!(copied, ":2\r\n");
}

#[tokio::test]
async fn a_value_that_replicas_did_not_acknowledge_is_not_won() {
    let server = RedisServer::start();
    let demanding = StoreSettings { min_replicas: 1, ..settings(&server.url(), &clock()) };
    let store = open(demanding).await.unwrap();
    let (value, life) = (Bytes::from_static(b"mine"), Duration::from_secs(60));
    let alone = store.compare_and_set("key", None, value.clone(), life).await.unwrap_err();
    assert_eq!(alone.kind, StoreErrorKind::OutcomeUnknown, "{alone}");
    assert!(!store.compare_and_set("key", None, value, life).await.unwrap(), "it may be set all the same");
}

#[tokio::test]
async fn a_duplicate_is_no_success_while_replicas_lack_the_first() {
    let server = RedisServer::start();
    let replica =
        RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {}", server.address().port())]);
    let demanding = || StoreSettings { min_replicas: 1, ..settings(&server.url(), &clock()) };
    let store = open(demanding()).await.unwrap();
    until("the replica has joined", async || {
        store.append(batch(vec![record("ic-1", "1")]), at(0)).await.is_ok()
    })
    .await;
    replica.freeze();
    // To another process the record is a duplicate, and its own connection has written nothing that a replica could lack.
    let other = open(demanding()).await.unwrap();
    for store in [&store, &other] {
        let lacking = store.append(batch(vec![record("ic-1", "2")]), at(0)).await.unwrap_err();
        assert_eq!(lacking.kind, StoreErrorKind::OutcomeUnknown);
        assert!(lacking.detail.contains("under-replicated"), "{lacking}");
    }
    replica.thaw();
    until("the replica has caught up", async || {
        other.append(batch(vec![record("ic-1", "2")]), at(0)).await.is_ok()
    })
    .await;
    assert_eq!(log(&*store).await.len(), 2);
}

#[tokio::test]
async fn a_frozen_server_is_given_up_in_time() {
    let server = RedisServer::start();
    let store = open_at(&server.url()).await;
    append_one(&*store, record("ic-1", "1")).await;
    server.freeze();
    let started = std::time::Instant::now();
    let gave_up = store.append(batch(vec![record("ic-1", "2")]), at(0)).await.unwrap_err();
    assert_eq!(gave_up.kind, StoreErrorKind::OutcomeUnknown, "{gave_up}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(store.status().await.mode, StoreMode::Down);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    server.thaw();
    until("the store takes appends again", async || {
        store.append(batch(vec![record("ic-1", "2")]), at(0)).await.is_ok()
    })
    .await;
    assert_eq!(log(&*store).await.len(), 2);
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_may_be_repeated() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.address()).await;
    let store = open_at(&proxy.url()).await;
    append_one(&*store, record("ic-1", "1")).await;
    proxy.cut_after_next("EVALSHA");
    let whole = outdial_store::Batch {
        records: records("ic-1", 3),
        events: vec![roster_event("ros_1")],
        ..outdial_store::Batch::default()
    };
    let unknown = store.append(whole.clone(), at(0)).await.unwrap_err();
    assert_eq!(unknown.kind, StoreErrorKind::OutcomeUnknown, "{unknown}");
    assert_eq!(log(&*store).await.len(), 5, "the server had taken it");
    let again = store.append(whole, at(0)).await.unwrap();
    assert_eq!(again, [Appended::Duplicate; 3]);
    assert_eq!(log(&*store).await.len(), 5);
}

#[tokio::test]
async fn a_log_that_others_trimmed_or_deleted_shows_the_gap() {
    let server = RedisServer::start();
    let store = open_at(&server.url()).await;
    append(&*store, records("ic-1", 20)).await;
    let positions: Vec<Position> = log(&*store).await.iter().map(|event| event.position).collect();
    assert_eq!(store.trim(positions[4]).await.unwrap(), 5);
    assert_eq!(store.bounds().await.unwrap().trimmed, positions[4]);
    server.command("XTRIM {suite}:events MAXLEN 10").unwrap();
    assert_eq!(store.bounds().await.unwrap().trimmed, positions[9]);
    server.command("DEL {suite}:events").unwrap();
    assert_eq!(store.bounds().await.unwrap().trimmed, positions[19]);
    let mut tail = store.tail();
    tail.borrow_and_update();
    server.command("FLUSHALL").unwrap();
    let (position, revision) = stored(append_one(&*store, record("ic-1", "call-0001")).await);
    assert_eq!((position, revision), (positions[0], 1), "the clock of the test stands still");
    assert_eq!(log(&*store).await.len(), 1);
}

#[tokio::test]
async fn durability_that_was_turned_off_at_run_time_is_told() {
    let server = RedisServer::start();
    let store = open_at(&server.url()).await;
    server.configure("appendonly", "no");
    let status = store.status().await;
    assert_eq!((status.mode, status.durability), (StoreMode::Redis, Durability::Relaxed));
    assert!(status.problem.unwrap().contains("appendonly is no"));
    server.configure("appendonly", "yes");
    server.configure("maxmemory-policy", "allkeys-lru");
    assert!(store.status().await.problem.unwrap().contains("maxmemory-policy is allkeys-lru"));
}

#[tokio::test]
async fn records_end_with_their_life_time_and_leave_nothing_behind() {
    let server = RedisServer::start();
    let short = StoreSettings { retention: Duration::from_millis(100), ..settings(&server.url(), &clock()) };
    let store = open(short).await.unwrap();
    store.append(batch(records("ic-1", 3)), at(0)).await.unwrap();
    until("the records have ended", async || {
        store.get(&account("ic-1"), "call-0002").await.unwrap().is_none()
    })
    .await;
    let page = store.query(&[account("ic-1")], &RecordQuery::default(), None, 2).await.unwrap();
    assert!(page.records.is_empty() && page.next.is_none());
    assert_eq!(store.expire(at(1)).await.unwrap(), 3);
    store.trim(Position(u64::MAX)).await.unwrap();
    let left = server.command("KEYS *").unwrap();
    assert!(left.contains("{suite}:log") && left.contains("{suite}:events"), "{left}");
    assert!(left.starts_with("*2\r\n"), "{left}");
}

#[tokio::test]
async fn positions_stay_exact_when_the_clock_goes_mad() {
    let server = RedisServer::start();
    let clock = clock();
    let store = open(settings(&server.url(), &clock)).await.unwrap();
    let mut positions = Vec::new();
    for (n, millis) in [0, 250_000_000_000_000, -500_000_000_000_000].into_iter().enumerate() {
        clock.advance(millis);
        for call in 0..3 {
            positions.push(stored(append_one(&*store, record("ic-1", &format!("{n}-{call}"))).await).0);
        }
    }
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    let read: Vec<Position> = log(&*store).await.iter().map(|event| event.position).collect();
    assert_eq!(read, positions);
    assert!(positions[8] < Position(1 << 53));
}

#[tokio::test]
async fn the_primary_is_found_by_a_sentinel_and_again_after_it_moved() {
    let (mut primary, next) = (RedisServer::start(), RedisServer::start());
    let sentinel = RedisServer::start_sentinel("main", primary.address());
    let store = open_at(&format!("redis+sentinel://{}/main", sentinel.address())).await;
    append_one(&*store, record("ic-1", "1")).await;
    assert_eq!(primary.command("XLEN {suite}:events").as_deref(), Some(":1\r\n"));

    // As after a failover: the old primary is a replica of the new one.
    let port = next.address().port();
    assert_eq!(sentinel.command("SENTINEL REMOVE main").as_deref(), Some("+OK\r\n"));
    let monitor = format!("SENTINEL MONITOR main 127.0.0.1 {port} 1");
    assert_eq!(sentinel.command(&monitor).as_deref(), Some("+OK\r\n"));
    primary.command(&format!("REPLICAOF 127.0.0.1 {port}")).unwrap();
    until("the store takes appends again", async || {
        store.append(batch(vec![record("ic-1", "2")]), at(0)).await.is_ok()
    })
    .await;
    primary.kill();
    append_one(&*store, record("ic-1", "3")).await;
    assert_eq!(next.command("XLEN {suite}:events").as_deref(), Some(":2\r\n"));
}
