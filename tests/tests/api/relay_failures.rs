//! The passthrough without an answer: what is said, whether it may be tried again, and that it is not tried here.

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    setup::{Backend, Setup, WELLCLOUD},
    waiting::{eventually, soon},
};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, join, net::TcpStream};

use crate::{raw_vendor::RawVendor, relay::relayed};

#[track_caller]
fn check(problem: &Value, retryable: bool) {
    assert_eq!(problem["retryable"], retryable, "{problem:#}");
    assert_eq!(
        (&problem["upstream"]["account"], &problem["upstream"]["vendor"]),
        (&WELLCLOUD.into(), &"wellcloud".into())
    );
}

#[tokio::test]
async fn a_vendor_that_cannot_be_reached_is_said_so() {
    // A port that nobody listens on: it was taken, and given back.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__0__BASE_URL", &format!("http://{free}"));
    let gateway = outdial_tests::gateway::TestGateway::start(setup).await;
    for method in ["GET", "POST"] {
        let answer = gateway.client().call(method, &relayed("x")).send().await;
        check(&answer.expect_problem(503, "upstream-unavailable"), true);
        assert!(answer.header("retry-after").is_some());
    }
    let counted = ["operation=\"passthrough\"", "outcome=\"unavailable\""];
    assert_eq!(gateway.metric("outdial_upstream_requests_total", &counted).await, 2.0);
    gateway.finish().await;
}

#[tokio::test]
async fn a_call_that_broke_is_not_made_again() {
    let (vendor, gateway) = RawVendor::start().await;
    for (method, status, code, retryable) in [
        ("GET", 503, "upstream-unavailable", true),
        ("OPTIONS", 503, "upstream-unavailable", true),
        ("POST", 504, "upstream-outcome-unknown", false),
        ("PUT", 504, "upstream-outcome-unknown", false),
        ("DELETE", 504, "upstream-outcome-unknown", false),
    ] {
        let (answer, _) = join!(gateway.client().call(method, &relayed("x")).send(), vendor.hang_up());
        check(&answer.expect_problem(status, code), retryable);
        assert!(vendor.is_left_alone().await, "{method} was sent again");
    }
    gateway.finish().await;
}

/// What is still to come would be taken for the answer to the next call on the connection.
#[tokio::test]
async fn a_connection_on_which_more_comes_serves_no_other_call() {
    let (vendor, gateway) = RawVendor::start().await;
    let client = gateway.client();
    let mut open = Vec::new();
    for head in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ng",
        "HTTP/1.1 200 OK\r\nupgrade: websocket\r\ncontent-length: 5\r\n\r\n",
    ] {
        for method in ["GET", "POST"] {
            let (answer, call) = join!(client.call(method, &relayed("x")).send(), vendor.answer(head));
            check(&answer.expect_problem(502, "upstream-protocol"), false);
            open.push(call);
        }
        let said = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        let (next, _) = join!(client.get(&relayed("y")).send(), vendor.answer(said));
        assert_eq!((next.status.as_u16(), next.text()), (200, "ok".into()), "{head}");
    }
    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let (answer, call) = join!(client.call("HEAD", &relayed("x")).send(), vendor.answer(switched));
    assert_eq!(answer.status, 502, "nothing else is waited for");
    open.push(call);
    for mut call in open {
        call.ended().await;
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_vendor_that_says_nothing_is_not_waited_for() {
    let setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__0__TIMEOUT", "300ms");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    for (method, code, retryable) in
        [("GET", "upstream-timeout", true), ("POST", "upstream-outcome-unknown", false)]
    {
        let waiting = async {
            let mut call = vendor.call().await;
            call.ended().await;
        };
        let (answer, ()) = join!(gateway.client().call(method, &relayed("x")).send(), waiting);
        check(&answer.expect_problem(504, code), retryable);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_accounts_limits_hold() {
    let setup = Setup::new(Backend::Sqlite);
    let setup = setup.set("ACCOUNTS__0__MAX_CONCURRENCY", "1").set("ACCOUNTS__0__TIMEOUT", "1s");
    let (vendor, gateway) = RawVendor::behind(setup).await;
    // A body that is still coming holds its turn.
    let (first, mut call) = join!(
        gateway.client().get(&relayed("x")).open(),
        vendor.answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
    );
    let second = gateway.client().get(&relayed("y")).send().await;
    check(&second.expect_problem(429, "upstream-rate-limited"), true);
    call.write(b"world").await;
    assert_eq!(soon("the first ends", first.bytes()).await.unwrap(), "helloworld");
    drop(call);
    let said = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (third, _) = join!(gateway.client().get(&relayed("z")).send(), vendor.answer(said));
    assert_eq!(third.status, 200);
    gateway.finish().await;
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let (vendor, gateway) = RawVendor::start().await;
    let faults = Faults { vendor: Some(Vendor::Wellcloud), status: Some(401), ..Faults::default() };
    assert!(gateway.control().set_faults(faults));
    let answer = gateway.client().get(&relayed("x")).send().await;
    check(&answer.expect_problem(502, "upstream-auth"), false);
    assert!(vendor.is_left_alone().await);
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_that_the_caller_cuts_is_cut_for_the_vendor() {
    let (vendor, gateway) = RawVendor::start().await;
    let token = outdial_tests::tokens::token(outdial_tests::tokens::ALL_SCOPES, &["*"]);
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 20000\r\n\r\n{}",
        relayed("x"),
        "x".repeat(10_000)
    );
    let mut stream = TcpStream::connect(gateway.api()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut call = vendor.call().await;
    assert_eq!(call.body(10_000).await, [b'x'; 10_000]);
    drop(stream);
    call.ended().await;
    eventually("it is counted", async || {
        let all = gateway.metric("outdial_upstream_requests_total", &["operation=\"passthrough\""]).await;
        (all == 1.0).then_some(())
    })
    .await;
    gateway.finish().await;
}
