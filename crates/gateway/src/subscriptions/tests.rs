//! Deliveries and replays, over a store that a worker has written to.

use std::{sync::Arc, time::Duration};

use outdial_core::{
    AccountId, CallRecord, Clock, ManualClock, Outcome, Position, ReceivedVia, SecretString, Timestamp,
    VendorId,
};
use outdial_store::{
    Batch, DeliveredEvent, DeliveryCommit, DeliveryProgress, DeliveryStatus, ReplayProgress, Store,
    StoreSettings, StoredDelivery,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::SubscriptionService;
use crate::{
    accounts::Accounts,
    api_error::ApiError,
    auth::{AccountGrant, Principal, Scope},
    delivery::sender::Sender,
    egress::{AllowEntry, Egress, EgressConfig},
};

/// When it takes place.
const NOW: i64 = 1_790_000_000_000;

struct Bench {
    service: SubscriptionService,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    principal: Principal,
    _directory: TempDir,
}

impl Bench {
    /// A service with one subscription, `s`.
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
        let settings = StoreSettings {
            url: SecretString::from(format!("sqlite:{}", directory.path().join("store.db").display())),
            prefix: "tests".into(),
            spool_dir: None,
            spool_max_bytes: 1 << 20,
            retention: Duration::from_secs(7 * 86_400),
            min_replicas: 0,
            allow_relaxed: false,
            clock: Arc::clone(&clock) as Arc<_>,
        };
        let store = outdial_store::open(settings).await.unwrap();
        let egress = Arc::new(Egress::new(&EgressConfig { allow: vec![AllowEntry::parse("*").unwrap()] }));
        let service = SubscriptionService::new(
            Arc::clone(&store) as Arc<_>,
            Arc::clone(&store) as Arc<_>,
            Accounts::default(),
            Arc::clone(&egress),
            Arc::new(Sender::start(1, egress, Duration::from_secs(15)).unwrap()),
            Arc::clone(&clock) as Arc<_>,
        );
        let principal = Principal {
            issuer: "i".into(),
            subject: "tests".into(),
            scopes: Scope::ALL.iter().copied().collect(),
            accounts: AccountGrant::All,
        };
        let bench = Self { service, store, clock, principal, _directory: directory };
        let body = json!({ "id": "s", "url": "https://example.com/", "outcomes": ["busy", "answered"] });
        bench.service.create(&bench.principal, body).await.unwrap();
        bench
    }

    /// Appends records with these outcomes, a second after the other.
    async fn append(&self, outcomes: &[Outcome]) -> Vec<Position> {
        for (n, outcome) in outcomes.iter().enumerate() {
            self.clock.advance(1_000);
            let now = self.clock.now();
            let account: AccountId = "wc-1".parse().unwrap();
            let call = format!("call-{n}-{}", now.millis());
            let mut record =
                CallRecord::new(account, VendorId::new("wellcloud"), call.into(), ReceivedVia::Push, now);
            record.outcome = *outcome;
            let batch = Batch { records: vec![record], ..Batch::default() };
            self.store.append(batch, now).await.unwrap();
        }
        let events = self.store.read(Position(0), 1_000).await.unwrap();
        events.iter().map(|event| event.position).collect()
    }

    /// Writes what a worker would.
    async fn commit(&self, progress: DeliveryProgress, deliveries: Vec<StoredDelivery>) {
        let lease = self.store.acquire_lease("tests", "worker", Duration::from_secs(60)).await.unwrap();
        let fence = lease.unwrap().fence;
        let commit = DeliveryCommit { progress, deliveries };
        assert!(self.store.commit_deliveries("s", fence, commit).await.unwrap());
    }

    async fn deliveries(&self, status: Option<DeliveryStatus>, before: Option<&str>, limit: usize) -> Value {
        let listed = self.service.list_deliveries(&self.principal, "s", status, before, limit).await;
        let page = listed.unwrap_or_else(|error| panic!("{}", error.error));
        let ids: Vec<Value> = page.data.iter().map(|one| json!(one)["id"].clone()).collect();
        json!({ "ids": ids, "last": page.last })
    }

    async fn replay(&self, body: Value) -> Result<Value, ApiError> {
        self.service.replay(&self.principal, "s", body).await.map(|planned| json!(planned))
    }

    async fn progress(&self) -> Value {
        let got = self.service.get(&self.principal, "s").await;
        json!(got.unwrap_or_else(|error| panic!("{}", error.error)))["progress"].clone()
    }
}

fn id(n: u64) -> String {
    format!("dlv_{n:016x}00000000")
}

fn delivery(n: u64, status: DeliveryStatus) -> StoredDelivery {
    let now = Timestamp::from_millis(NOW);
    let event = |at: u64| DeliveredEvent {
        id: format!("evt_{at}"),
        position: Position(at),
        subject: format!("call-{at}"),
        is_lifecycle: false,
    };
    StoredDelivery {
        id: id(n),
        status,
        events: (n..n + 150).map(event).collect(),
        attempts: 3,
        last_attempts: Vec::new(),
        // The order in which they are due is not that of their ids.
        next_attempt_at: (status == DeliveryStatus::Pending)
            .then(|| now.plus_millis(1_000 * i64::try_from(100 - n).unwrap())),
        created_at: now,
    }
}

fn code(refused: Result<impl Sized, ApiError>) -> &'static str {
    refused.err().map_or("none", |error| error.error.code)
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_whatever_their_state() {
    use DeliveryStatus::{Dead, Delivered, Pending};
    let bench = Bench::start().await;
    let states = [Pending, Dead, Delivered, Pending, Pending, Dead];
    let deliveries = (1..).zip(states).map(|(n, status)| delivery(n, status)).collect();
    bench.commit(DeliveryProgress::default(), deliveries).await;
    let ids = |numbers: &[u64]| numbers.iter().map(|n| json!(id(*n))).collect::<Vec<_>>();
    for (status, numbers) in [
        (None, &[6, 5, 4, 3, 2, 1][..]),
        (Some(Pending), &[5, 4, 1][..]),
        (Some(Dead), &[6, 2][..]),
        (Some(Delivered), &[3][..]),
    ] {
        let (mut seen, mut before) = (Vec::new(), None::<String>);
        loop {
            let page = bench.deliveries(status, before.as_deref(), 2).await;
            seen.extend(page["ids"].as_array().unwrap().clone());
            match page["last"].as_str() {
                Some(last) => before = Some(last.to_owned()),
                None => break,
            }
        }
        assert_eq!(seen, ids(numbers), "{status:?}");
    }
    let page = bench.service.list_deliveries(&bench.principal, "s", Some(Dead), None, 1).await;
    let shown = json!(page.map_err(|error| error.error).unwrap().data[0]);
    assert_eq!((shown["events"].as_array().unwrap().len(), &shown["events_total"]), (100, &json!(150)));
    assert_eq!(shown["events"][0], json!({ "id": "evt_6", "sequence": "6", "subject": "call-6" }));
    let progress = bench.progress().await;
    assert_eq!((&progress["pending"], &progress["dead"]), (&json!(3), &json!(2)));
}

#[tokio::test]
async fn dead_deliveries_alone_are_tried_again() {
    use DeliveryStatus::{Dead, Pending};
    let bench = Bench::start().await;
    let deliveries = vec![delivery(1, Dead), delivery(2, Pending), delivery(3, Dead), delivery(4, Dead)];
    bench.commit(DeliveryProgress::default(), deliveries).await;
    let retry = async |n: u64| bench.service.retry_delivery(&bench.principal, "s", &id(n)).await;
    assert_eq!(json!(retry(1).await.map_err(|error| error.error).unwrap()), json!({ "retried": 1 }));
    assert_eq!(code(retry(1).await), "delivery-not-dead");
    assert_eq!(code(retry(2).await), "delivery-not-dead");
    assert_eq!(code(retry(9).await), "not-found");
    let all = bench.service.retry_deliveries(&bench.principal, "s").await.map_err(|error| error.error);
    assert_eq!(json!(all.unwrap()), json!({ "retried": 2 }));
    let none = bench.service.retry_deliveries(&bench.principal, "s").await.map_err(|error| error.error);
    assert_eq!(json!(none.unwrap()), json!({ "retried": 0 }));
    assert_eq!(bench.deliveries(Some(Dead), None, 10).await["ids"], json!([]));
}

#[tokio::test]
async fn a_replay_counts_what_both_filters_want_in_its_range() {
    let bench = Bench::start().await;
    let outcomes = [
        Outcome::Busy,
        Outcome::NoAnswer,
        Outcome::Answered,
        Outcome::Busy,
        Outcome::Busy,
        Outcome::Answered,
    ];
    let at = bench.append(&outcomes).await;
    let text = |n: usize| at[n].to_string();
    let second = Timestamp::from_millis(NOW + 4_000).to_string();
    for (asked, total) in [
        (json!({ "from_sequence": "0" }), 5),
        (json!({ "from_sequence": text(0), "to_sequence": text(3) }), 3),
        (json!({ "from_sequence": text(2), "to_sequence": text(2) }), 1),
        (json!({ "from_sequence": text(1), "to_sequence": text(1) }), 0),
        (json!({ "from_time": second }), 3),
        (json!({ "from_sequence": "0", "outcomes": ["busy"] }), 3),
        (json!({ "from_sequence": "0", "outcomes": ["no_answer"] }), 0),
        (json!({ "from_sequence": "0", "types": ["io.outdial.roster.failed"] }), 0),
        (json!({ "from_sequence": "18446744073709551615" }), 0),
    ] {
        let mut body = asked.clone();
        body["dry_run"] = json!(true);
        let planned = bench.replay(body).await.map_err(|error| error.error).unwrap();
        assert_eq!((&planned["total"], &planned["id"]), (&json!(total), &Value::Null), "{asked}");
    }
    assert_eq!(bench.progress().await["replay"], Value::Null, "a dry run leaves nothing behind");
    for asked in [
        json!({}),
        json!({ "from_time": "2026-11-21T08:00:00Z", "from_sequence": "1" }),
        json!({ "from_sequence": "5", "to_sequence": "4" }),
        json!({ "from_sequence": "-1" }),
        json!({ "from_sequence": 1 }),
        json!({ "from_time": "yesterday" }),
        json!({ "from_sequence": "1", "accounts": ["nobody"] }),
        json!({ "from_sequence": "1", "until": "2" }),
    ] {
        assert_eq!(code(bench.replay(asked.clone()).await), "invalid-members", "{asked}");
    }
}

#[tokio::test]
async fn one_replay_runs_at_a_time_and_tells_how_it_stands() {
    let bench = Bench::start().await;
    let at = bench.append(&[Outcome::Busy, Outcome::Busy, Outcome::Busy]).await;
    let begun = bench.replay(json!({ "from_sequence": at[1].to_string() })).await;
    let begun = begun.map_err(|error| error.error).unwrap();
    assert_eq!(
        (&begun["total"], &begun["starts_at_oldest"], &begun["dry_run"]),
        (&json!(2), &json!(false), &json!(false))
    );
    let stands = bench.progress().await["replay"].clone();
    let expected = [
        ("status", json!("running")),
        ("id", begun["id"].clone()),
        ("from_sequence", json!(at[1].to_string())),
        ("to_sequence", json!(at[2].to_string())),
        ("total", json!(2)),
        ("delivered", json!(0)),
    ];
    for (name, value) in expected {
        assert_eq!(stands[name], value, "{name}");
    }
    assert_eq!(code(bench.replay(json!({ "from_sequence": "0" })).await), "replay-running");
    assert!(bench.replay(json!({ "from_sequence": "0", "dry_run": true })).await.is_ok());

    let reached = |cursor: Position| DeliveryProgress {
        replay: Some(ReplayProgress { id: begun["id"].as_str().unwrap().into(), cursor, delivered: 2 }),
        ..DeliveryProgress::default()
    };
    bench.commit(reached(at[1]), Vec::new()).await;
    assert_eq!(code(bench.replay(json!({ "from_sequence": "0" })).await), "replay-running");
    bench.commit(reached(at[2]), Vec::new()).await;
    let stands = bench.progress().await["replay"].clone();
    assert_eq!((&stands["status"], &stands["delivered"]), (&json!("done"), &json!(2)));
    assert!(bench.replay(json!({ "from_sequence": "0" })).await.is_ok());
}

#[tokio::test]
async fn a_replay_older_than_what_is_kept_begins_at_the_oldest() {
    let bench = Bench::start().await;
    let at = bench.append(&[Outcome::Busy, Outcome::Busy, Outcome::Busy]).await;
    bench.store.trim(at[0]).await.unwrap();
    for (from, is_older) in [(at[0], true), (Position(at[0].0 + 1), false), (at[1], false)] {
        let asked = json!({ "from_sequence": from.to_string(), "dry_run": true });
        let planned = bench.replay(asked).await.map_err(|error| error.error).unwrap();
        assert_eq!((&planned["total"], &planned["starts_at_oldest"]), (&json!(2), &json!(is_older)));
    }
}
