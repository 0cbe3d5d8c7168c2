//! The passthrough's bodies: streamed both ways, as fast as the slower side, never ended as if they were whole.

#![expect(clippy::disallowed_methods, reason = "callers are not the gateway's tasks: they run beside it")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use outdial_tests::{
    gateway::TestGateway,
    setup::{Backend, Setup},
    waiting::{eventually, soon},
};
use reqwest::Body;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    join,
    sync::mpsc,
};

use crate::{
    raw_vendor::{RawCall, RawVendor},
    relay::relayed,
};

/// Larger than what two sockets on one machine buffer.
const LARGE: u64 = 128 * 1024 * 1024;
/// What they may buffer, and the gateway with them.
const BUFFERED: u64 = 48 * 1024 * 1024;
/// A part of a body that does not end with it.
const PIECE: usize = 16 * 1024;
/// Looks of 20 ms in which nothing moves.
const STILL: usize = 25;

/// A body of the chunks that are sent into the channel.
fn streamed() -> (mpsc::Sender<Vec<u8>>, Body) {
    let (sender, mut receiver) = mpsc::channel(1);
    (sender, chunks(move |context| receiver.poll_recv(context)))
}

fn chunks(poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Vec<u8>>> + Send + 'static) -> Body {
    Body::wrap_stream(stream::poll_fn(poll).map(Ok::<_, io::Error>))
}

/// Waits until a count stands still, and answers it.
async fn standstill(count: &AtomicU64) -> u64 {
    let (mut last, mut still) = (u64::MAX, 0);
    eventually("it comes to a stop", async || {
        let now = count.load(Ordering::Relaxed);
        still = if now == last { still + 1 } else { 0 };
        last = now;
        (still >= STILL && now > 0).then_some(now)
    })
    .await
}

#[tokio::test]
async fn chunks_pass_as_they_come() {
    let (vendor, gateway) = RawVendor::start().await;
    let (sender, body) = streamed();
    let answering =
        tokio::spawn(gateway.client().call_with("POST", &relayed("x"), "text/plain", body).open());
    sender.send(b"one".to_vec()).await.unwrap();
    let mut call = vendor.call().await;
    assert_eq!(call.header("transfer-encoding"), ["chunked"]);
    assert_eq!(call.body(8).await, b"3\r\none\r\n", "it is there before the second is sent");
    sender.send(b"zwei".to_vec()).await.unwrap();
    assert_eq!(call.body(9).await, b"4\r\nzwei\r\n");
    drop(sender);
    assert_eq!(call.body(5).await, b"0\r\n\r\n");

    call.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nein\r\n").await;
    let mut answer = soon("the head comes", answering).await.unwrap();
    assert_eq!(soon("the first chunk", answer.chunk()).await.unwrap().unwrap(), "ein");
    call.write(b"4\r\nzwei\r\n0\r\n\r\n").await;
    assert_eq!(soon("the second chunk", answer.chunk()).await.unwrap().unwrap(), "zwei");
    assert!(soon("the end", answer.chunk()).await.unwrap().is_none());
    gateway.finish().await;
}

#[tokio::test]
async fn a_large_answer_waits_for_its_reader() {
    let (vendor, gateway) = RawVendor::start().await;
    let (answer, mut call) = join!(gateway.client().get(&relayed("x")).open(), async {
        let mut call = vendor.call().await;
        call.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n").as_bytes()).await;
        call
    });
    let written = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&written);
    let writing = tokio::spawn(async move {
        let piece = vec![b'x'; 64 * 1024];
        while counted.load(Ordering::Relaxed) < LARGE {
            call.stream.write_all(&piece).await.unwrap();
            counted.fetch_add(64 * 1024, Ordering::Relaxed);
        }
        call
    });
    let held = standstill(&written).await;
    assert!(held < BUFFERED, "{held} bytes left the vendor although nobody reads");
    let mut answer = answer;
    let mut read = 0;
    while let Some(chunk) = soon("the rest comes", answer.chunk()).await.unwrap() {
        read += u64::try_from(chunk.len()).unwrap();
    }
    assert_eq!(read, LARGE);
    drop(writing.await.unwrap());
    gateway.finish().await;
}

#[tokio::test]
async fn a_large_body_waits_for_its_vendor() {
    let setup = Setup::new(Backend::Sqlite).set("HTTP__PASSTHROUGH_MAX_REQUEST", "1GiB");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let body = chunks(move |_| {
        let so_far = counted.fetch_add(64 * 1024, Ordering::Relaxed);
        Poll::Ready((so_far < LARGE).then(|| vec![b'x'; 64 * 1024]))
    });
    let answering = tokio::spawn(gateway.client().call_with("PUT", &relayed("x"), "text/plain", body).send());
    let mut call = vendor.call().await;
    let held = standstill(&taken).await;
    assert!(held < BUFFERED, "{held} bytes left the caller although the vendor reads none");
    let mut read = 0;
    let mut bytes = vec![0; 256 * 1024];
    while read < LARGE {
        let more = soon("the rest comes", call.stream.read(&mut bytes)).await;
        read += u64::try_from(more.unwrap()).unwrap();
    }
    call.write(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    assert_eq!(soon("the answer", answering).await.unwrap().status, 201);
    gateway.finish().await;
}

#[tokio::test]
async fn a_refusal_is_heard_with_the_body_under_way() {
    let setup = Setup::new(Backend::Sqlite).set("HTTP__PASSTHROUGH_MAX_REQUEST", "1GiB");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    let body = chunks(move |_| Poll::Ready(Some(vec![b'x'; 64 * 1024])));
    let (answer, mut call) = join!(
        gateway.client().call_with("PUT", &relayed("x"), "text/plain", body).send(),
        vendor.answer("HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\n\r\nmuch")
    );
    assert_eq!((answer.status.as_u16(), answer.text()), (413, "much".into()));
    assert_eq!(answer.header("outdial-upstream"), Some("wellcloud"));
    // It may be in the middle of a chunk: nothing else can be said on the connection.
    let said = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (next, _) = join!(gateway.client().get(&relayed("y")).send(), vendor.answer(said));
    assert_eq!(next.text(), "ok");
    call.ended().await;
    gateway.finish().await;
}

#[tokio::test]
async fn an_early_answer_that_refuses_nothing_waits_for_the_body() {
    let (vendor, gateway) = RawVendor::start().await;
    let (sender, body) = streamed();
    let answering = tokio::spawn(gateway.client().call_with("PUT", &relayed("x"), "text/plain", body).send());
    sender.send(b"one".to_vec()).await.unwrap();
    let mut call = vendor.answer("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(call.body(8).await, b"3\r\none\r\n");
    sender.send(b"zwei".to_vec()).await.unwrap();
    drop(sender);
    assert_eq!(call.body(14).await, b"4\r\nzwei\r\n0\r\n\r\n");
    let answer = soon("the answer", answering).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text()), (201, "ok".into()));
    gateway.finish().await;
}

#[tokio::test]
async fn interim_statuses_stay_behind() {
    let (vendor, gateway) = RawVendor::start().await;
    let said = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (answer, call) = join!(gateway.client().get(&relayed("x")).send(), vendor.answer(said));
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok".into()));
    assert_eq!(answer.header("link"), None);
    let (answer, mut again) = join!(gateway.client().get(&relayed("y")).send(), async {
        let mut again = call.next().await.expect("the connection serves the next call");
        again.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await;
        again
    });
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "no".into()));
    drop(gateway);
    again.ended().await;
}

#[tokio::test]
async fn how_a_body_ends_is_read_as_the_protocol_has_it() {
    let (vendor, gateway) = RawVendor::start().await;
    let client = gateway.client();
    let mut open = Vec::new();
    // None of them leaves a connection for the next one, who would not be heard on it.
    for (said, body) in [
        // That of HTTP/1.0 ends with its connection.
        ("HTTP/1.0 200 OK\r\n\r\nto the end", "to the end"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
        // Chunks count more than a length, and who sends both is not trusted with another call.
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
            "four",
        ),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok, and more", "ok"),
    ] {
        let answered = async {
            let mut call = vendor.answer(said).await;
            if said.starts_with("HTTP/1.0 200 OK\r\n\r\n") {
                call.stream.shutdown().await.unwrap();
            }
            open.push(call);
        };
        let (answer, ()) = join!(client.get(&relayed("x")).send(), answered);
        assert_eq!(answer.text(), body, "{said}");
    }
    gateway.finish().await;
}

/// Answers a call with these bytes, waits until its head has passed, and closes.
async fn cut(vendor: &RawVendor, gateway: &TestGateway, bytes: &str) -> Result<Vec<u8>, reqwest::Error> {
    let (answer, call) = join!(gateway.client().get(&relayed("x")).open(), vendor.answer(bytes));
    drop(call);
    soon("the answer ends", answer.bytes()).await.map(|bytes| bytes.to_vec())
}

#[tokio::test]
async fn an_answer_that_is_cut_does_not_look_whole() {
    let (vendor, gateway) = RawVendor::start().await;
    let heads = [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n",
    ];
    for head in heads {
        let failed = cut(&vendor, &gateway, &format!("{head}hello")).await;
        assert!(failed.is_err(), "{head}{failed:?}");
    }
    let between =
        cut(&vendor, &gateway, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    assert!(between.is_err(), "{between:?}");
    let whole = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(cut(&vendor, &gateway, whole).await.unwrap(), b"hello", "what is whole stays so");
    let counted = ["operation=\"passthrough\"", "outcome=\"protocol\""];
    assert_eq!(gateway.metric("outdial_upstream_requests_total", &counted).await, 3.0);
    gateway.finish().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_told_whole_is_a_problem() {
    let setup = Setup::new(Backend::Sqlite).set("HTTP__PASSTHROUGH_MAX_RESPONSE", "10B");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    for bytes in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"ends\":\"with the connection\"}",
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
    ] {
        let (answer, _) = join!(gateway.client().get(&relayed("x")).send(), vendor.answer(bytes));
        let problem = answer.expect_problem(502, "upstream-protocol");
        assert_eq!(
            (&problem["retryable"], &problem["upstream"]["vendor"]),
            (&false.into(), &"wellcloud".into())
        );
        assert_eq!(answer.header("outdial-upstream"), None);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn bodies_that_are_too_large_do_not_pass() {
    let setup = Setup::new(Backend::Sqlite).set("HTTP__PASSTHROUGH_MAX_REQUEST", "20KiB");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    let announced =
        gateway.client().post(&relayed("x"), "text/plain", vec![b'x'; 20 * 1024 + 1]).send().await;
    announced.expect_problem(413, "body-too-large");
    assert!(vendor.is_left_alone().await);
    let (sender, body) = streamed();
    let answering =
        tokio::spawn(gateway.client().call_with("POST", &relayed("x"), "text/plain", body).send());
    sender.send(vec![b'x'; PIECE]).await.unwrap();
    let mut call = vendor.call().await;
    sender.send(vec![b'x'; PIECE]).await.unwrap();
    soon("the answer", answering).await.unwrap().expect_problem(413, "body-too-large");
    call.ended().await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_the_call() {
    let (vendor, gateway) = RawVendor::start().await;
    let waiting = tokio::spawn(gateway.client().get(&relayed("x")).send());
    let mut call = vendor.call().await;
    waiting.abort();
    call.ended().await;

    let (answer, mut call) = join!(
        gateway.client().get(&relayed("x")).open(),
        vendor.answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
    );
    drop(answer);
    call.ended().await;

    let (sender, body) = streamed();
    let sending = tokio::spawn(gateway.client().call_with("POST", &relayed("x"), "text/plain", body).send());
    sender.send(vec![b'x'; PIECE]).await.unwrap();
    let mut call = vendor.call().await;
    sending.abort();
    call.ended().await;
    let counted = ["operation=\"passthrough\"", "outcome=\"abandoned\""];
    eventually("each is counted", async || {
        (gateway.metric("outdial_upstream_requests_total", &counted).await >= 2.0).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_caller_who_takes_nothing_does_not_hold_the_vendor() {
    let setup = Setup::new(Backend::Sqlite).set("HTTP__PASSTHROUGH_IDLE", "300ms");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    let (answer, mut call) = join!(gateway.client().get(&relayed("x")).open(), async {
        let mut call = vendor.call().await;
        call.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n").as_bytes()).await;
        call
    });
    let piece = vec![b'x'; 64 * 1024];
    let writing = async { while call.stream.write_all(&piece).await.is_ok() {} };
    soon("the vendor is let go", writing).await;
    assert!(soon("the answer ends", answer.bytes()).await.is_err());
    gateway.finish().await;
}

#[tokio::test]
async fn silence_inside_a_body_ends_it() {
    let setup = Setup::new(Backend::Sqlite).set("HTTP__PASSTHROUGH_IDLE", "300ms");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    let (answer, mut call) = join!(
        gateway.client().get(&relayed("x")).open(),
        vendor.answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
    );
    assert!(soon("the answer ends", answer.bytes()).await.is_err());
    call.ended().await;

    let (sender, body) = streamed();
    let answering =
        tokio::spawn(gateway.client().call_with("POST", &relayed("x"), "text/plain", body).send());
    sender.send(vec![b'x'; PIECE]).await.unwrap();
    let mut call: RawCall = vendor.call().await;
    soon("the answer", answering).await.unwrap().expect_problem(408, "request-timeout");
    call.ended().await;
    drop(sender);
    gateway.finish().await;
}

#[tokio::test]
async fn the_whole_has_its_time() {
    let setup = Setup::new(Backend::Sqlite).set("HTTP__PASSTHROUGH_TIMEOUT", "1s");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    let (answer, mut call) = join!(
        gateway.client().get(&relayed("x")).open(),
        vendor.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhello")
    );
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let dripping = async {
        loop {
            ticks.tick().await;
            if call.stream.write_all(b"x").await.is_err() {
                break;
            }
        }
    };
    let (ended, ()) = soon("the answer ends", async { join!(answer.bytes(), dripping) }).await;
    assert!(ended.is_err());
    gateway.finish().await;
}
