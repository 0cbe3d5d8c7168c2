//! Vendors on bad days, over bare sockets: each gives its problem within the deadline, and costs nobody else anything.

use std::time::{Duration, Instant};

use outdial_tests::{
    client::{Answer, Client},
    gateway::TestGateway,
    setup::{Backend, Setup},
    vendor_stub::{Act, EMPTY_PAGE, Seen, VendorStub, answer, json_answer},
    waiting::eventually,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::uploads::{CSV, csv, upload};

async fn search(client: &Client, n: usize) -> Answer {
    client.get(&format!("/v1/call-records?account=ic-1&source=vendor&call_id=c-{n}")).send().await
}

/// A gateway whose ICSOC is the stub.
async fn with_icsoc(stub: &VendorStub, settings: &[(&str, &str)]) -> TestGateway {
    let mut setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__1__BASE_URL", &stub.url());
    for (key, value) in settings {
        setup = setup.set(&format!("ACCOUNTS__1__{key}"), value);
    }
    TestGateway::start(setup).await
}

/// A gateway whose WellCloud is the stub.
async fn with_wellcloud(stub: &VendorStub, timeout: &str) -> TestGateway {
    let setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__0__BASE_URL", &stub.url());
    TestGateway::start(setup.set("ACCOUNTS__0__TIMEOUT", timeout)).await
}

fn bytes(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

fn page(_: &Seen) -> Vec<Act> {
    vec![Act::Read, json_answer(200, EMPTY_PAGE)]
}

struct BadDay {
    name: &'static str,
    acts: Vec<Act>,
    status: u16,
    code: &'static str,
    retryable: bool,
    /// Requests that the vendor sees of one search.
    seen: usize,
}

fn day(name: &'static str, acts: Vec<Act>, (status, code, retryable): (u16, &'static str, bool)) -> BadDay {
    BadDay { name, acts: [vec![Act::Read], acts].concat(), status, code, retryable, seen: 1 }
}

const UNAVAILABLE: (u16, &str, bool) = (503, "upstream-unavailable", true);
const TIMEOUT: (u16, &str, bool) = (504, "upstream-timeout", true);
const PROTOCOL: (u16, &str, bool) = (502, "upstream-protocol", false);
const REJECTED: (u16, &str, bool) = (502, "upstream-rejected", false);

fn bad_days() -> Vec<BadDay> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let whole = EMPTY_PAGE.len();
    let drip = (0..40).flat_map(|_| [bytes(" "), Act::Wait(Duration::from_millis(100))]);
    let huge = [bytes(&format!("{head}content-length: 33554432\r\n\r\n")), bytes(&" ".repeat(1 << 20))];
    let huge_chunks = [bytes(&format!("{head}transfer-encoding: chunked\r\n\r\n"))].into_iter();
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let huge_chunks = huge_chunks.chain((0..17).map(|_| bytes(&chunk))).collect();
    let mut days = vec![
        day("never answers", vec![Act::Hang], TIMEOUT),
        day("sends half a head", vec![bytes("HTTP/1.1 200 OK\r\ncont"), Act::Hang], TIMEOUT),
        day(
            "sends half a body",
            vec![bytes(&format!("{head}content-length: {whole}\r\n\r\n{{\"code\":0")), Act::Hang],
            TIMEOUT,
        ),
        day(
            "drips",
            [vec![bytes(&format!("{head}content-length: {whole}\r\n\r\n"))], drip.collect()].concat(),
            TIMEOUT,
        ),
        // The first bytes are JSON as well as the whole is.
        day(
            "ends a body before its length",
            vec![bytes(&format!("{head}content-length: 100\r\n\r\n{{}}")), Act::Close],
            PROTOCOL,
        ),
        day(
            "ends a whole page before its length",
            vec![bytes(&format!("{head}content-length: {}\r\n\r\n{EMPTY_PAGE}", whole + 10)), Act::Close],
            PROTOCOL,
        ),
        day(
            "ends a chunked body in the middle",
            vec![
                bytes(&format!("{head}transfer-encoding: chunked\r\n\r\n9\r\n{{\"code\":0\r\n")),
                Act::Close,
            ],
            PROTOCOL,
        ),
        day(
            "ends a chunked body after a whole page",
            vec![
                bytes(&format!("{head}transfer-encoding: chunked\r\n\r\n{whole:x}\r\n{EMPTY_PAGE}\r\n")),
                Act::Close,
            ],
            PROTOCOL,
        ),
        day(
            "gives a body no length",
            vec![bytes(&format!("{head}connection: close\r\n\r\n{EMPTY_PAGE}")), Act::Close],
            PROTOCOL,
        ),
        day("answers HTML", vec![answer(200, "content-type: text/html\r\n", "<html>login</html>")], PROTOCOL),
        day("answers nothing", vec![json_answer(200, "")], PROTOCOL),
        day("announces too much", huge.to_vec(), PROTOCOL),
        day("sends too much", huge_chunks, PROTOCOL),
        day("is broken", vec![json_answer(500, "{}")], UNAVAILABLE),
        day("is behind a broken gateway", vec![answer(502, "", "<html>bad gateway</html>")], UNAVAILABLE),
        day("answers what is no HTTP", vec![bytes("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Act::Close], UNAVAILABLE),
        day(
            "sends an interim status alone",
            vec![bytes("HTTP/1.1 100 Continue\r\n\r\n"), Act::Hang],
            TIMEOUT,
        ),
        day(
            "sends interim statuses without end",
            vec![bytes(&"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(17)), Act::Hang],
            PROTOCOL,
        ),
        day(
            "switches to what nobody speaks",
            vec![
                bytes("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
                Act::Hang,
            ],
            PROTOCOL,
        ),
        day(
            "rejects in its own words",
            vec![json_answer(200, r#"{"code":10001,"message":"no","request_id":"r"}"#)],
            REJECTED,
        ),
        day("redirects", vec![answer(302, "location: http://127.0.0.1:1/\r\n", "")], PROTOCOL),
        day("hangs up", vec![Act::Close], UNAVAILABLE),
        day("resets", vec![Act::Reset], UNAVAILABLE),
    ];
    for broken in ["hangs up", "resets", "answers what is no HTTP"] {
        // A search is made once more when its connection breaks.
        days.iter_mut().filter(|day| day.name == broken).for_each(|day| day.seen = 2);
    }
    days
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_day_has_its_problem() {
    let stub = VendorStub::start(page).await;
    for bad in bad_days() {
        let name = bad.name;
        stub.behave(page);
        // Each has its own gateway, so that none meets a circuit that another opened.
        let gateway = with_icsoc(&stub, &[("TIMEOUT", "1500ms")]).await;
        let client = gateway.client();
        search(&client, 0).await.expect(200);
        let (acts, before) = (bad.acts, stub.seen().len());
        stub.behave(move |_| acts.clone());
        let begin = Instant::now();
        let answer = search(&client, 1).await;
        let took = begin.elapsed();
        assert_eq!(answer.status.as_u16(), bad.status, "{name}: {}", answer.text());
        let problem = answer.expect_problem(bad.status, bad.code);
        assert_eq!(problem["retryable"], json!(bad.retryable), "{name}");
        assert!(took < Duration::from_secs(4), "{name} took {took:?}");
        assert_eq!(stub.seen().len() - before, bad.seen, "{name}");
        // What was left on the connection is nobody's answer.
        stub.behave(page);
        search(&client, 2).await.expect(200);
        gateway.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_stands_behind_its_interim_statuses() {
    let stub = VendorStub::start(|_| {
        let interim =
            bytes("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP");
        let rest = bytes("/1.1 102 Processing\r\n\r\n");
        let wait = || Act::Wait(Duration::from_millis(50));
        vec![Act::Read, interim, wait(), rest, wait(), json_answer(200, EMPTY_PAGE)]
    })
    .await;
    let gateway = with_icsoc(&stub, &[]).await;
    for n in 0..3 {
        assert_eq!(search(&gateway.client(), n).await.expect(200)["data"], json!([]));
    }
    gateway.finish().await;
}

/// The vendor sends the head of an answer, after a while a whole one behind it, and leaves the connection open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_is_nobodys_answer() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let late = json!({ "code": 10001, "message": "meant for another", "request_id": "late" }).to_string();
    let stub = VendorStub::start(page).await;
    let gateway = with_icsoc(&stub, &[]).await;
    search(&gateway.client(), 0).await.expect(200);
    stub.behave(move |_| {
        let wait = Act::Wait(Duration::from_millis(300));
        vec![Act::Read, bytes(head), wait, json_answer(200, &late)]
    });
    search(&gateway.client(), 1).await.expect_problem(502, "upstream-protocol");
    stub.behave(move |_| {
        vec![Act::Read, Act::Wait(Duration::from_millis(600)), json_answer(200, EMPTY_PAGE)]
    });
    // More than there are threads with connections, so that one of them would find that of the search before.
    let mut searches = JoinSet::new();
    for n in 2..8 {
        let client = gateway.client();
        searches.spawn(async move { search(&client, n).await.status.as_u16() });
    }
    assert_eq!(searches.join_all().await, [200; 6]);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_only_hangs_holds_no_other_account_up() {
    let stub = VendorStub::start(|_| vec![Act::Read, Act::Hang]).await;
    let gateway = with_icsoc(&stub, &[("TIMEOUT", "60s"), ("MAX_CONCURRENCY", "300")]).await;
    let mut stuck = JoinSet::new();
    for n in 0..250 {
        let client = gateway.client();
        stuck.spawn(async move { search(&client, n).await });
    }
    // More than one pool of awc lets through by itself.
    eventually("the vendor has them all", async || (stub.seen().len() == 250).then_some(())).await;
    for _ in 0..10 {
        let begin = Instant::now();
        upload(&gateway.client(), "", CSV, csv(2)).await.expect(201);
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(2), "an upload for another account took {took:?}");
    }
    drop(stuck);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_may_take_longer_than_five_seconds() {
    let stub = VendorStub::start(|_| {
        // awc's own limit is five seconds, the upload included.
        vec![Act::ReadSlowly(256 * 1024, Duration::from_millis(170)), json_answer(200, "{}")]
    })
    .await;
    let gateway = with_wellcloud(&stub, "30s").await;
    let begin = Instant::now();
    upload(&gateway.client(), "", CSV, csv(300_000)).await.expect(201);
    assert!(begin.elapsed() > Duration::from_secs(5), "the upload was too fast to show anything");
    gateway.finish().await;
}

/// What became of the one part of a roster.
fn only_part(answer: &Answer) -> (Value, Value) {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    let roster = &problem["roster"];
    let part = &roster["parts"][0];
    (part["status"].clone(), part["upstream_status"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_before_the_upload_ended_is_told_when_it_was_read() {
    // Who reads on to the end can be heard.
    let stub = VendorStub::start(|_| vec![answer(413, "", ""), Act::Read]).await;
    let gateway = with_wellcloud(&stub, "30s").await;
    let refused = upload(&gateway.client(), "", CSV, csv(100_000)).await;
    refused.expect_problem(502, "upstream-protocol");
    assert_eq!(only_part(&refused), (json!("refused"), json!(413)));
    // Nor is it waited for who reads none of it.
    stub.behave(|_| vec![answer(413, "", ""), Act::Hang]);
    let begin = Instant::now();
    let unread = upload(&gateway.client(), "", CSV, csv(500_000)).await;
    unread.expect_problem(502, "upstream-protocol");
    assert_eq!(only_part(&unread), (json!("refused"), json!(413)));
    assert!(begin.elapsed() < Duration::from_secs(20), "it waited for the vendor to read");
    // Who closes with the upload under way may be heard or not; what is not known is not called refused.
    stub.behave(|_| vec![answer(413, "connection: close\r\n", ""), Act::Reset]);
    let cut = upload(&gateway.client(), "", CSV, csv(100_000)).await;
    match cut.status.as_u16() {
        502 => assert_eq!(only_part(&cut), (json!("refused"), json!(413))),
        _ => {
            cut.expect_problem(504, "upstream-outcome-unknown");
            assert_eq!(only_part(&cut).0, json!("unknown"));
        }
    }
    assert_eq!(stub.seen().len(), 3, "none was sent again");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_body_is_not_waited_for() {
    for answer in
        ["HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]
    {
        let stub = VendorStub::start(move |_| vec![Act::Read, bytes(answer), Act::Hang]).await;
        let gateway = with_wellcloud(&stub, "5s").await;
        upload(&gateway.client(), "", CSV, csv(2)).await.expect(201);
        gateway.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interim_status_is_no_answer_to_a_roster() {
    let stub = VendorStub::start(|_| {
        vec![bytes("HTTP/1.1 100 Continue\r\n\r\n"), Act::Read, json_answer(200, "{}")]
    })
    .await;
    let gateway = with_wellcloud(&stub, "5s").await;
    upload(&gateway.client(), "", CSV, csv(2)).await.expect(201);
    stub.behave(|_| vec![Act::Read, bytes("HTTP/1.1 100 Continue\r\n\r\n"), Act::Close]);
    let answer = upload(&gateway.client(), "", CSV, csv(2)).await;
    assert_eq!(answer.expect_problem(504, "upstream-outcome-unknown")["retryable"], false);
    assert_eq!((only_part(&answer).0, stub.seen().len()), (json!("unknown"), 2));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_only_fails_is_spared_until_a_probe_succeeds() {
    let stub = VendorStub::start(|_| vec![Act::Read, json_answer(500, "{}")]).await;
    let gateway = with_icsoc(&stub, &[]).await;
    let client = gateway.client();
    for n in 0..5 {
        search(&client, n).await.expect_problem(503, "upstream-unavailable");
    }
    assert_eq!(stub.seen().len(), 5);
    let begin = Instant::now();
    let held = search(&client, 5).await;
    let problem = held.expect_problem(503, "upstream-unavailable");
    assert_eq!((&problem["retryable"], &problem["upstream"]["status"]), (&json!(true), &Value::Null));
    let seconds: u64 = held.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    assert!(begin.elapsed() < Duration::from_secs(1));
    let account = client.read("/v1/accounts/ic-1").await;
    assert_eq!((&account["state"], &account["circuit"]), (&json!("unavailable"), &json!("open")));
    let shown = async |state: &str| {
        let label = format!("state=\"{state}\"");
        gateway.metric("outdial_upstream_circuit_state", &["account=\"ic-1\"", &label]).await
    };
    assert_eq!([shown("open").await, shown("closed").await], [1.0, 0.0]);
    assert_eq!(client.read("/v1/accounts/wc-1").await["circuit"], "closed", "each account has its own");
    assert_eq!(stub.seen().len(), 5);
    // One probe at a time: of ten calls one is made, and its success lets all others through.
    stub.behave(|_| vec![Act::Read, Act::Wait(Duration::from_millis(500)), json_answer(200, EMPTY_PAGE)]);
    eventually("a probe may begin", async || {
        (client.read("/v1/accounts/ic-1").await["circuit"] == "half_open").then_some(())
    })
    .await;
    let mut searches = JoinSet::new();
    for n in 10..20 {
        let client = client.clone();
        searches.spawn(async move { search(&client, n).await.status.as_u16() });
    }
    let mut statuses = searches.join_all().await;
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[503; 9][..]));
    assert_eq!(stub.seen().len(), 6);
    assert_eq!(client.read("/v1/accounts/ic-1").await["circuit"], "closed");
    search(&client, 20).await.expect(200);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_do_not_open_the_circuit() {
    let stub = VendorStub::start(|_| vec![Act::Read, json_answer(404, "{}")]).await;
    let gateway = with_icsoc(&stub, &[]).await;
    for n in 0..10 {
        search(&gateway.client(), n).await.expect_problem(502, "upstream-rejected");
    }
    stub.behave(|_| vec![Act::Read, json_answer(200, r#"{"code":1,"message":"no","request_id":"r"}"#)]);
    for n in 10..20 {
        search(&gateway.client(), n).await.expect_problem(502, "upstream-rejected");
    }
    assert_eq!(stub.seen().len(), 20);
    assert_eq!(gateway.client().read("/v1/accounts/ic-1").await["circuit"], "closed");
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roster_without_an_answer_counts_once() {
    let stub = VendorStub::start(|_| vec![Act::Read, Act::Hang]).await;
    let gateway = with_wellcloud(&stub, "1s").await;
    for _ in 0..4 {
        upload(&gateway.client(), "", CSV, csv(1)).await.expect_problem(504, "upstream-outcome-unknown");
    }
    let account = gateway.client().read("/v1/accounts/wc-1").await;
    assert_eq!((&account["state"], &account["circuit"]), (&json!("unavailable"), &json!("closed")));
    upload(&gateway.client(), "", CSV, csv(1)).await.expect_problem(504, "upstream-outcome-unknown");
    assert_eq!(gateway.client().read("/v1/accounts/wc-1").await["circuit"], "open");
    // A roster that is held back was not sent: that is known.
    let held = upload(&gateway.client(), "", CSV, csv(1)).await;
    held.expect_problem(503, "upstream-unavailable");
    assert_eq!((only_part(&held).0, stub.seen().len()), (json!("refused"), 5));
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_repetitions_are_few() {
    let stub = VendorStub::start(page).await;
    let gateway = with_icsoc(&stub, &[]).await;
    let mut made = 0;
    for n in 0..20 {
        stub.behave(page);
        search(&gateway.client(), 1_000 + n).await.expect(200);
        // A success between them keeps the circuit closed.
        stub.behave(|_| vec![Act::Read, Act::Reset]);
        let before = stub.seen().len();
        search(&gateway.client(), n).await.expect_problem(503, "upstream-unavailable");
        made += stub.seen().len() - before - 1;
    }
    assert_eq!(made, 8, "a fifth of forty calls");
    let counted = async |outcome: &str| {
        let outcome = format!("outcome=\"{outcome}\"");
        gateway.metric("outdial_upstream_retries_total", &["reason=\"broken\"", &outcome]).await
    };
    assert_eq!([counted("made").await, counted("withheld").await], [8.0, 12.0]);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_covers_the_wait_for_a_turn() {
    let stub = VendorStub::start(|_| vec![Act::Read, Act::Hang]).await;
    let gateway = with_icsoc(&stub, &[("MAX_CONCURRENCY", "1"), ("TIMEOUT", "800ms")]).await;
    let client = gateway.client();
    let begin = Instant::now();
    let mut searches = JoinSet::new();
    for n in 0..4 {
        let client = client.clone();
        searches.spawn(async move { search(&client, n).await });
    }
    let statuses = searches.join_all().await;
    assert!(begin.elapsed() < Duration::from_secs(3));
    for answer in statuses {
        match answer.status.as_u16() {
            504 => answer.expect_problem(504, "upstream-timeout"),
            _ => answer.expect_problem(429, "upstream-rate-limited"),
        };
    }
    gateway.finish().await;
}
