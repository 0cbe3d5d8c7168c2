//! How fast events reach a subscriber: from a push, and out of a backlog. Vendor, gateway and subscriber share one process and
//! its cores; every delivery is signed, and what came of it and the cursor are written durably.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to a person and may stop")]
#![expect(clippy::disallowed_methods, reason = "the subscriber is not the gateway's: it runs beside it")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use outdial_tests::{
    gateway::TestGateway,
    setup::{Backend, Setup, WELLCLOUD},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const BACKLOG: usize = 60_000;
const PUSH: usize = 1_000;
const PACED: usize = 500;
const PACE: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(120);

/// When each call was heard of, where that is asked for, and how many events came.
#[derive(Default)]
struct Seen {
    events: AtomicUsize,
    /// Requests are taken and never answered.
    hangs: AtomicBool,
    arrivals: Mutex<HashMap<String, Instant>>,
}

async fn subscriber(notes: bool) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&counted), notes));
        }
    });
    (address, seen)
}

async fn converse(mut stream: TcpStream, seen: Arc<Seen>, notes: bool) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::with_capacity(256 * 1024);
    loop {
        let Some((head, length)) = head_and_length(&buffer) else {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        if buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        }
        if notes {
            let event: Value = serde_json::from_slice(&buffer[head..head + length]).unwrap();
            let subject = event["subject"].as_str().unwrap().to_owned();
            seen.arrivals.lock().unwrap().insert(subject, Instant::now());
        }
        let events =
            std::str::from_utf8(&buffer[head..head + length]).unwrap().matches("\"specversion\"").count();
        seen.events.fetch_add(events, Ordering::Relaxed);
        buffer.drain(..head + length);
        if seen.hangs.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    }
}

fn head_and_length(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).unwrap();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    Some((head, length.unwrap()))
}

fn result(call: &str) -> Value {
    json!({
        "respondTime": 1_559_124_423_101_u64, "state": 0, "round": 1, "batchId": "S-20190529100640892", "prdType": "S",
        "callId": call, "endTime": 1_559_124_433_101_u64, "agent": "5902@ocm.test", "msg": 0, "id": format!("e-{call}"),
        "startTime": 1_559_124_413_101_u64, "activityId": "92b8e0f87d3411e9ad53005056955a13", "failMsg": "成功",
    })
}

async fn push(gateway: &TestGateway, calls: &[String]) {
    let body: Value = calls.iter().map(|call| result(call)).collect();
    assert_eq!(gateway.push(WELLCLOUD, body.to_string()).await.status, 200);
}

async fn subscribe(gateway: &TestGateway, address: SocketAddr, more: Value) -> String {
    let mut wanted =
        json!({ "url": format!("http://{address}/"), "types": ["io.outdial.call-record.created"] });
    for (name, value) in more.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    let call = gateway.client().post("/v1/subscriptions", "application/json", wanted.to_string());
    call.send().await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn set_status(gateway: &TestGateway, id: &str, status: &str) {
    let change = json!({ "status": status }).to_string();
    let target = format!("/v1/subscriptions/{id}");
    gateway.client().call_with("PATCH", &target, "application/json", change).send().await.expect(200);
}

/// Answers milliseconds from the request of a push to the arrival of its event, at the median and the 99th percentile.
async fn measure_paced(gateway: &TestGateway, seen: &Seen, round: &str) -> (f64, f64) {
    let before = seen.events.load(Ordering::Relaxed);
    let mut begun = HashMap::new();
    let mut ticks = tokio::time::interval(PACE);
    for n in 0..PACED {
        ticks.tick().await;
        let call = format!("{round}-{n}");
        begun.insert(call.clone(), Instant::now());
        push(gateway, &[call]).await;
    }
    wait(seen, before + PACED).await;
    let arrivals = seen.arrivals.lock().unwrap();
    let mut millis: Vec<f64> =
        begun.iter().map(|(call, at)| arrivals[call].duration_since(*at).as_secs_f64() * 1e3).collect();
    drop(arrivals);
    millis.sort_by(f64::total_cmp);
    (millis[millis.len() / 2], millis[millis.len() * 99 / 100])
}

/// One subscriber, then ten, then ten of which one hangs: what the first one sees.
async fn measure_latency(gateway: &TestGateway) {
    let (address, seen) = subscriber(true).await;
    let mut ids = vec![subscribe(gateway, address, json!({})).await];
    push(gateway, &["warm".to_owned()]).await;
    wait(&seen, 1).await;
    let (p50, p99) = measure_paced(gateway, &seen, "one").await;
    println!("| from a push's request to its webhook, 50 a second: median | {p50:.1} ms |");
    println!("| … and 99th percentile | {p99:.1} ms |");
    let mut others = Vec::new();
    for _ in 0..9 {
        let (address, other) = subscriber(false).await;
        ids.push(subscribe(gateway, address, json!({})).await);
        others.push(other);
    }
    let (_, healthy) = measure_paced(gateway, &seen, "ten").await;
    others[0].hangs.store(true, Ordering::Relaxed);
    let (_, beside) = measure_paced(gateway, &seen, "hang").await;
    println!("| … the same with ten subscribers, at one of them | {healthy:.1} ms |");
    println!("| … while another one hangs | {beside:.1} ms, {:.2} of that |", beside / healthy);
    for id in ids {
        set_status(gateway, &id, "paused").await;
    }
}

async fn wait(seen: &Seen, count: usize) {
    let begun = Instant::now();
    while seen.events.load(Ordering::Relaxed) < count {
        assert!(begun.elapsed() < LIMIT, "{} of {count} have come", seen.events.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Events a second from the moment that a paused subscription goes on to its last event.
async fn measure_drain(gateway: &TestGateway, id: &str, seen: &Seen) -> f64 {
    let begun = Instant::now();
    set_status(gateway, id, "active").await;
    wait(seen, BACKLOG).await;
    let seconds = begun.elapsed().as_secs_f64();
    set_status(gateway, id, "paused").await;
    f64::from(u32::try_from(BACKLOG).unwrap()) / seconds
}

fn main() {
    // As many threads as the gateway's own runtime has.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let setup = Setup::new(Backend::Sqlite).set("EGRESS__ALLOW", "127.0.0.1");
    let gateway = TestGateway::start(setup).await;
    println!("| webhooks, embedded store, all parties on the same cores | |");
    println!("|---|---:|");
    measure_latency(&gateway).await;
    let (one, lists) = (subscriber(false).await, subscriber(false).await);
    let many = json!({ "status": "paused", "concurrency": 32 });
    let batched =
        json!({ "status": "paused", "concurrency": 8, "batch": { "max_events": 100, "linger_ms": 0 } });
    let single = subscribe(&gateway, one.0, many).await;
    let batched = subscribe(&gateway, lists.0, batched).await;
    for part in 0..BACKLOG / PUSH {
        let calls: Vec<String> = (0..PUSH).map(|n| format!("backlog-{}", part * PUSH + n)).collect();
        push(&gateway, &calls).await;
    }
    let singles = measure_drain(&gateway, &single, &one.1).await;
    let lists = measure_drain(&gateway, &batched, &lists.1).await;
    println!("| a backlog of {BACKLOG} events, one a request | {singles:.0}/s |");
    println!("| the same in lists of 100 | {lists:.0}/s |");
    gateway.finish().await;
}
