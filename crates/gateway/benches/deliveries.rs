//! How many deliveries leave in a second, signed, over connections that are kept; beside bare sockets that exchange the same
//! bytes in the same run.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to a person and may stop")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use bytes::Bytes;
use outdial_core::Timestamp;
use outdial_gateway::{
    delivery::{
        sender::{Form, Outgoing, Sender},
        signature::{SigningKey, generate_secret},
        target::Target,
    },
    egress::{AllowEntry, Egress, EgressConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

const DELIVERIES: usize = 60_000;
const SUBSCRIPTIONS: usize = 8;
const SLOTS: usize = 64;
const BODY: usize = 900;
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Answers whatever ends a body, without reading it as HTTP.
async fn answer(listener: tokio::net::TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.spawn(async move {
            stream.set_nodelay(true).unwrap();
            let mut buffer = vec![0; 64 * 1024];
            let mut last = 0;
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                last = if buffer[count - 1] == b'}' { 0 } else { last + count };
                if last == 0 && stream.write_all(ANSWER).await.is_err() {
                    break;
                }
            }
        });
    }
}

fn start_subscriber() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { answer(tokio::net::TcpListener::from_std(listener).unwrap()).await });
    });
    address
}

fn body() -> Bytes {
    Bytes::from(format!("{{\"text\":\"{}\"}}", "x".repeat(BODY - 11)))
}

async fn deliver(address: SocketAddr) {
    let allow = vec![AllowEntry::parse("127.0.0.1").unwrap()];
    let egress = Arc::new(Egress::new(&EgressConfig { allow }));
    let sender = Arc::new(Sender::start(2, Arc::clone(&egress), std::time::Duration::from_secs(15)).unwrap());
    let key = SigningKey::parse(&generate_secret().unwrap()).unwrap();
    let left = Arc::new(AtomicUsize::new(DELIVERIES));
    let mut slots = JoinSet::new();
    for slot in 0..SLOTS {
        let name = format!("sub_{}", slot % SUBSCRIPTIONS);
        let url = format!("http://{address}/in");
        let target = Target::new(&egress, &name, &url, &BTreeMap::new()).unwrap();
        let (sender, keys, left, body) = (Arc::clone(&sender), [key.clone()], Arc::clone(&left), body());
        slots.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                let id = "evt_0123456789abcdef0123456789abcdef";
                let outgoing = Outgoing { id, body: body.clone(), form: Form::Event, keys: &keys };
                let sent = sender.send(&target, outgoing, Timestamp::from_millis(1_761_955_200_000)).await;
                assert_eq!(sent.error, None, "{sent:?}");
            }
        });
    }
    while let Some(slot) = slots.join_next().await {
        slot.unwrap();
    }
}

fn exchange(address: SocketAddr) {
    let head = format!("POST /in HTTP/1.1\r\nhost: {address}\r\n{}\r\n\r\n", "x".repeat(300));
    let request = [head.as_bytes(), &body()].concat();
    let each = DELIVERIES / SLOTS;
    thread::scope(|scope| {
        for _ in 0..SLOTS {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut answer = [0; ANSWER.len()];
                for _ in 0..each {
                    stream.write_all(&request).unwrap();
                    stream.read_exact(&mut answer).unwrap();
                }
            });
        }
    });
}

fn per_second(run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    f64::from(u32::try_from(DELIVERIES).unwrap()) / started.elapsed().as_secs_f64()
}

fn main() {
    let address = start_subscriber();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(deliver(address));
    let bare = per_second(|| exchange(address));
    let ours = per_second(|| runtime.block_on(deliver(address)));
    println!("| {DELIVERIES} deliveries of {BODY} bytes | per second | of bare sockets |");
    println!("|---|---:|---:|");
    println!("| signed and sent | {ours:.0} | {:.2} |", ours / bare);
}
