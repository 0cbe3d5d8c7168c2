//! A supervisor over a store and a subscriber.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use outdial_core::{
    EventDraft, ExhaustedDelivery, ManualClock, Position, RosterEvent, SecretString, Timestamp, VendorId,
};
use outdial_store::{
    Batch, DeliveredEvent, DeliveryCommit, DeliveryProgress, DeliveryStatus, Disabling, ExhaustedNotice,
    Exhaustion, SigningSecret, Store, StoreSettings, StoredDelivery, StoredSubscription, SubscriptionFilter,
    SubscriptionStatus,
};
use tempfile::TempDir;

use super::{Context, Supervisor, sender::Sender, signature::generate_secret};
use crate::{
    egress::{AllowEntry, Egress, EgressConfig},
    tasks::Tasks,
    telemetry::Metrics,
};

const NOW: Timestamp = Timestamp::from_millis(1_795_248_000_000);
const ID: &str = "sub_1";
const TIMEOUT: Duration = Duration::from_secs(15);

/// A subscriber that takes everything.
fn listen() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || take_all(stream));
        }
    });
    address
}

fn take_all(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().ok()?
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    }
}

async fn open(directory: &TempDir, clock: &Arc<ManualClock>) -> Arc<dyn Store> {
    let settings = StoreSettings {
        url: SecretString::from(format!("sqlite:{}", directory.path().join("store.db").display())),
        prefix: "tests".into(),
        spool_dir: None,
        spool_max_bytes: 1 << 20,
        retention: Duration::from_secs(7 * 86_400),
        min_replicas: 0,
        allow_relaxed: false,
        clock: Arc::clone(clock) as Arc<_>,
    };
    outdial_store::open(settings).await.unwrap()
}

fn subscription(address: SocketAddr) -> StoredSubscription {
    StoredSubscription {
        id: ID.into(),
        version: 1,
        url: format!("http://{address}/"),
        description: None,
        filter: SubscriptionFilter::default(),
        ordered: false,
        max_events: 1,
        linger_ms: 0,
        concurrency: 64,
        rate_per_second: None,
        full_numbers: false,
        headers: BTreeMap::new(),
        retry_schedule: Vec::new(),
        status: SubscriptionStatus::Active,
        disabled_reason: None,
        untold: None,
        secrets: vec![SigningSecret { text: generate_secret().unwrap(), ends_at: None }],
        replay: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn draft() -> EventDraft {
    let event = RosterEvent {
        roster_id: "ros_1".into(),
        campaign_id: "c".into(),
        attempt: 1,
        status: "accepted".into(),
        received: 1,
        accepted: 1,
        rejected: 0,
    };
    event.into_draft("wc-1".parse().unwrap(), VendorId::new("wellcloud"), NOW)
}

fn owed(n: usize, position: Position) -> StoredDelivery {
    StoredDelivery {
        id: format!("dlv_{n:024}"),
        status: DeliveryStatus::Pending,
        events: vec![DeliveredEvent {
            id: "evt_1".into(),
            position,
            subject: "ros_1".into(),
            is_lifecycle: false,
        }],
        attempts: 1,
        last_attempts: Vec::new(),
        next_attempt_at: Some(NOW),
        created_at: NOW,
    }
}

fn supervise(store: &Arc<dyn Store>, clock: Arc<ManualClock>) -> (Supervisor, Tasks) {
    let allow = vec![AllowEntry::parse("127.0.0.1").unwrap()];
    let egress = Arc::new(Egress::new(&EgressConfig { allow }));
    let tasks = Tasks::new(tokio::runtime::Handle::current());
    let context = Context {
        store: Arc::clone(store),
        sender: Arc::new(Sender::start(1, Arc::clone(&egress), TIMEOUT).unwrap()),
        egress,
        clock,
        metrics: Arc::new(Metrics::new().unwrap()),
        tasks: tasks.clone(),
        timeout: TIMEOUT,
    };
    (Supervisor::new(context, "replica".into()), tasks)
}

/// What a replica wrote before it died is told by the next one as it was written: whether the event is there already or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_to_be_told_is_told_once_over_a_crash() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new(NOW)));
    let store = open(&directory, &clock).await;
    let subscription = StoredSubscription {
        status: SubscriptionStatus::Active,
        untold: Some(Disabling { reason: "gone".into(), at: NOW, failing_since: None }),
        ..subscription(listen())
    };
    assert!(store.create_subscription(&subscription, Position(0)).await.unwrap());
    let listed = ExhaustedDelivery {
        delivery_id: "dlv_1".into(),
        event_id: "evt_1".into(),
        events: 1,
        attempts: 2,
        last_error: None,
        last_status: None,
        at: NOW,
    };
    let notice =
        ExhaustedNotice { deliveries: vec![listed], deliveries_total: 1, events_total: 1, since: NOW };
    for round in 0..2 {
        let exhaustion = Exhaustion { telling: Some(notice.clone()), ..Exhaustion::default() };
        let progress = DeliveryProgress { exhaustion, ..DeliveryProgress::default() };
        let commit = DeliveryCommit { progress, deliveries: Vec::new() };
        assert!(store.commit_deliveries(ID, round, commit).await.unwrap());
        let (supervisor, tasks) = supervise(&store, Arc::clone(&clock));
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let mut is_told = false;
        for _ in 0..1_500 {
            ticks.tick().await;
            supervisor.look().await;
            let left = store.get_progress(ID).await.unwrap().unwrap().exhaustion.telling;
            let known = store.get_subscription(ID).await.unwrap().unwrap();
            is_told = left.is_none() && known.untold.is_none();
            if is_told {
                break;
            }
        }
        assert!(is_told, "round {round}");
        assert!(tasks.stop(TIMEOUT).await);
        let again = StoredSubscription {
            version: store.get_subscription(ID).await.unwrap().unwrap().version + 1,
            ..subscription.clone()
        };
        assert!(store.replace_subscription(&again).await.unwrap());
    }
    let log = store.read(Position(0), 100).await.unwrap();
    let kinds = ["io.outdial.subscription.disabled", "io.outdial.delivery.exhausted"];
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(kinds.iter().all(|kind| log.iter().any(|event| event.json.contains(kind))), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_may_be_owed_than_is_read_at_once() {
    const OWED: usize = 10_050;
    let (directory, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new(NOW)));
    let store = open(&directory, &clock).await;
    store.append(Batch { events: vec![draft()], ..Batch::default() }, NOW).await.unwrap();
    let last = store.bounds().await.unwrap().last;
    assert!(store.create_subscription(&subscription(listen()), last).await.unwrap());
    let all: Vec<StoredDelivery> = (0..OWED).map(|n| owed(n, last)).collect();
    for some in all.chunks(DeliveryCommit::LIMIT) {
        let progress = DeliveryProgress { cursor: last, ..DeliveryProgress::default() };
        let commit = DeliveryCommit { progress, deliveries: some.to_vec() };
        assert!(store.commit_deliveries(ID, 0, commit).await.unwrap());
    }
    let (supervisor, tasks) = supervise(&store, clock);
    supervisor.look().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let mut pending = u64::MAX;
    for _ in 0..1_500 {
        ticks.tick().await;
        pending = store.count_deliveries(ID, DeliveryStatus::Pending).await.unwrap();
        if pending == 0 {
            break;
        }
    }
    assert_eq!(pending, 0);
    assert!(tasks.stop(TIMEOUT).await);
    assert_eq!(store.get_progress(ID).await.unwrap().unwrap().delivered, 10_050);
}
