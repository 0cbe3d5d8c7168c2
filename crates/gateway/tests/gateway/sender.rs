//! Attempts at subscribers that behave in every way there is.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::{IpAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use outdial_core::Timestamp;
use outdial_gateway::{
    delivery::{
        sender::{Form, Outgoing, Sender, Sent},
        signature::{SigningKey, sign},
        target::Target,
    },
    egress::{AllowEntry, Egress, EgressConfig, Lookup},
};

use crate::subscriber::Subscriber;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: i64 = 1_761_955_200_123;
/// Far above what any of these attempts needs.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

/// A resolver that knows these addresses of every name.
struct Fixed(Result<Vec<&'static str>, io::ErrorKind>);

impl Lookup for Fixed {
    fn addresses(&self, _: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + '_>> {
        let addresses = self.0.clone().map_err(io::Error::from);
        Box::pin(async move { Ok(addresses?.iter().map(|text| text.parse().unwrap()).collect()) })
    }
}

fn egress(allow: &[&str]) -> Arc<Egress> {
    let allow = allow.iter().map(|entry| AllowEntry::parse(entry).unwrap()).collect();
    Arc::new(Egress::new(&EgressConfig { allow }))
}

fn sender(allow: &[&str], names: Fixed, limit: Duration) -> Sender {
    Sender::start_with(1, egress(allow), Arc::new(names), limit).unwrap()
}

fn local(limit: Duration) -> Sender {
    sender(&["127.0.0.0/8"], Fixed(Ok(vec!["127.0.0.1"])), limit)
}

/// A target that is judged only when it is called.
fn target(url: &str) -> Target {
    Target::new(&egress(&["127.0.0.0/8", "::1", "0.0.0.0/0", "::/0"]), "sub_1", url, &BTreeMap::new())
        .unwrap()
}

async fn send(sender: &Sender, target: &Target) -> Sent {
    let keys = [SigningKey::parse(SECRET).unwrap()];
    let body = Bytes::from_static(b"{\"n\":1}");
    let outgoing = Outgoing { id: "evt_1", body, form: Form::Event, keys: &keys };
    sender.send(target, outgoing, Timestamp::from_millis(NOW)).await
}

fn why(sent: &Sent) -> (Option<u16>, Option<&'static str>) {
    (sent.status, sent.error)
}

#[tokio::test]
async fn an_event_is_posted_signed() {
    let subscriber = Subscriber::answering(OK);
    let headers = BTreeMap::from([
        ("X-Tenant".to_owned(), "blue".to_owned()),
        ("Host".to_owned(), "elsewhere".to_owned()),
        ("webhook-id".to_owned(), "another".to_owned()),
    ]);
    let url = subscriber.url("/in?key=1");
    let target = Target::new(&egress(&["127.0.0.1"]), "sub_1", &url, &headers).unwrap();
    let keys =
        [SECRET, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"].map(|text| SigningKey::parse(text).unwrap());
    let body = Bytes::from("[\"号\"]");
    let outgoing = Outgoing { id: "evt_2", body: body.clone(), form: Form::Batch, keys: &keys };
    let sent = local(LONG).send(&target, outgoing, Timestamp::from_millis(NOW)).await;
    assert_eq!((why(&sent), sent.detail, sent.retry_after), ((Some(200), None), None, None));
    let [received] = subscriber.received().try_into().unwrap();
    assert_eq!(received.line, "POST /in?key=1 HTTP/1.1");
    assert_eq!(received.body, body);
    let signature = sign(&keys, "evt_2", "1761955200", &body);
    assert_eq!(signature.split(' ').count(), 2);
    let agent = format!("Outdial/{}", env!("CARGO_PKG_VERSION"));
    for (name, value) in [
        ("content-type", "application/cloudevents-batch+json"),
        ("webhook-id", "evt_2"),
        ("webhook-timestamp", "1761955200"),
        ("webhook-signature", signature.as_str()),
        ("user-agent", agent.as_str()),
        ("x-tenant", "blue"),
        ("host", &subscriber.address.to_string()),
    ] {
        let given: Vec<_> = received.headers.iter().filter(|(found, _)| found == name).collect();
        assert_eq!(given, [&(name.to_owned(), value.to_owned())]);
    }
    assert_eq!(received.header("accept-encoding"), None);
}

#[tokio::test]
async fn a_connection_serves_until_it_is_closed_and_a_closed_one_costs_no_attempt() {
    let subscriber = Subscriber::start(|mut connection| {
        for _ in 0..2 {
            connection.read();
            connection.write(OK);
        }
        // The third request of the first connection gets no answer.
        connection.read();
    });
    let (sender, target) = (local(LONG), target(&subscriber.url("/in")));
    for _ in 0..3 {
        assert_eq!(why(&send(&sender, &target).await), (Some(200), None));
    }
    assert_eq!((subscriber.received().len(), subscriber.connections()), (4, 2));
}

#[tokio::test]
async fn a_status_is_told_with_what_the_subscriber_says() {
    let answer = "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 17\r\n\r\nask\n13312345678 !";
    let subscriber = Subscriber::answering(answer);
    let sent = send(&local(LONG), &target(&subscriber.url("/in"))).await;
    assert_eq!(why(&sent), (Some(503), Some("status")));
    assert_eq!(sent.detail.as_deref(), Some("status 503: ask 133****5678 !"));
    assert_eq!(sent.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Subscriber::answering(OK);
    let location = elsewhere.url("/stolen");
    let answer = format!("HTTP/1.1 307 Over There\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let subscriber = Subscriber::answering(answer);
    let sent = send(&local(LONG), &target(&subscriber.url("/in"))).await;
    assert_eq!(why(&sent), (Some(307), Some("status")));
    assert_eq!(sent.detail.as_deref(), Some("status 307, and redirects are not followed"));
    assert_eq!((subscriber.received().len(), elsewhere.connections()), (1, 0));
}

#[tokio::test]
async fn the_limit_covers_the_last_byte_of_the_answer() {
    let drip = Subscriber::start(|mut connection| {
        connection.read();
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n");
        while connection.write("x") {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let silent = Subscriber::start(|mut connection| while connection.read().is_some() {});
    let sender = local(SHORT);
    for subscriber in [&drip, &silent] {
        let sent = send(&sender, &target(&subscriber.url("/in"))).await;
        assert_eq!(why(&sent), (None, Some("timeout")));
        assert!(sent.millis >= 300 && sent.millis < 10_000, "{}", sent.millis);
        assert_eq!((subscriber.received().len(), subscriber.connections()), (1, 1));
    }
}

#[tokio::test]
async fn a_long_answer_is_not_read_and_its_connection_not_used_again() {
    let heads = ["content-length: 100000000", "transfer-encoding: chunked"];
    for head in heads {
        let (closed, was_closed) = std::sync::mpsc::sync_channel(1);
        let subscriber = Subscriber::start(move |mut connection| {
            connection.read();
            if connection.number == 0 {
                connection.write(format!("HTTP/1.1 500 Oh\r\n{head}\r\n\r\n"));
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                connection.write_on(chunk.as_bytes());
                closed.send(()).unwrap();
            }
            connection.write(OK);
        });
        let (sender, target) = (local(LONG), target(&subscriber.url("/in")));
        let sent = send(&sender, &target).await;
        assert_eq!(why(&sent), (Some(500), Some("status")));
        assert!(sent.detail.unwrap().len() <= 512);
        was_closed.recv_timeout(LONG).unwrap();
        assert_eq!(why(&send(&sender, &target).await), (Some(200), None));
        assert_eq!(subscriber.connections(), 2);
    }
}

#[tokio::test]
async fn what_breaks_is_told_apart() {
    // Closing a socket with bytes that nobody read makes Linux send RST.
    let reset = Subscriber::start(|connection| {
        connection.stream.peek(&mut [0]).unwrap();
    });
    let hung_up = Subscriber::start(|mut connection| {
        connection.read();
    });
    let babble = Subscriber::start(|mut connection| {
        connection.read();
        connection.write("220 mail.example.net ESMTP\r\n\r\n");
    });
    let sender = local(LONG);
    for subscriber in [&reset, &hung_up, &babble] {
        let sent = send(&sender, &target(&subscriber.url("/in"))).await;
        assert_eq!(why(&sent), (None, Some("reset")), "{sent:?}");
        assert!(sent.detail.is_some());
        assert_eq!(subscriber.connections(), 1, "a new connection is tried once");
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sent = send(&sender, &target(&format!("http://{free}/in"))).await;
    assert_eq!(why(&sent), (None, Some("refused")), "{sent:?}");
    for plain in [&babble, &hung_up] {
        let url = format!("https://hooks.example.net:{}/in", plain.address.port());
        let sent = send(&sender, &target(&url)).await;
        assert_eq!(why(&sent), (None, Some("tls")), "{sent:?}");
    }
}

#[tokio::test]
async fn names_lead_to_allowed_addresses_or_nowhere() {
    let subscriber = Subscriber::answering(OK);
    let url = format!("http://hooks.example.net:{}/in?key=k33p-quiet", subscriber.address.port());
    let target = target(&url);
    for (allow, names, expected) in [
        (&["127.0.0.1"][..], Ok(vec!["10.0.0.1", "169.254.169.254", "127.0.0.1"]), (Some(200), None)),
        (&["0.0.0.0/0"], Ok(vec!["127.0.0.1", "169.254.169.254"]), (None, Some("blocked-target"))),
        (&["hooks.example.net"], Ok(vec!["127.0.0.1"]), (None, Some("blocked-target"))),
        (&["hooks.example.net"], Ok(vec!["::ffff:127.0.0.1"]), (None, Some("blocked-target"))),
        (&[], Ok(vec!["10.0.0.1", "100.100.100.200", "::1"]), (None, Some("blocked-target"))),
        (&["10.0.0.0/8"], Ok(vec!["8.8.8.8"]), (None, Some("blocked-target"))),
        (&[], Ok(vec![]), (None, Some("dns"))),
        (&[], Err(io::ErrorKind::NotFound), (None, Some("dns"))),
    ] {
        let before = subscriber.connections();
        let sent = send(&sender(allow, Fixed(names.clone()), LONG), &target).await;
        assert_eq!(why(&sent), expected, "{allow:?} {names:?}: {sent:?}");
        assert!(!format!("{sent:?}").contains("k33p"), "{sent:?}");
        assert_eq!(subscriber.connections() - before, usize::from(sent.error.is_none()));
    }
}

#[tokio::test]
async fn an_address_in_the_url_is_judged_when_it_is_dialled_too() {
    let subscriber = Subscriber::answering(OK);
    let port = subscriber.address.port();
    // The resolver would let all of them through.
    let sender = sender(&["0.0.0.0/0", "::/0"], Fixed(Ok(vec!["8.8.8.8"])), LONG);
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]"] {
        let sent = send(&sender, &target(&format!("http://{host}:{port}/in"))).await;
        assert_eq!(why(&sent), (None, Some("blocked-target")), "{host}: {sent:?}");
    }
    assert_eq!(subscriber.connections(), 0);
    let sent = send(&local(LONG), &target(&format!("http://[::ffff:127.0.0.1]:{port}/in"))).await;
    assert_eq!(why(&sent), (Some(200), None), "{sent:?}");
}

#[tokio::test]
async fn what_cannot_be_a_request_is_ours() {
    let subscriber = Subscriber::answering(OK);
    let outgoing = Outgoing { id: "evt\n1", body: Bytes::new(), form: Form::Event, keys: &[] };
    let sent = local(LONG).send(&target(&subscriber.url("/in")), outgoing, Timestamp::from_millis(NOW)).await;
    assert_eq!((why(&sent), subscriber.connections()), ((None, Some("internal")), 0));
}
