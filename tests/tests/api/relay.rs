//! The passthrough: what passes, what stays behind, and what must not lead elsewhere.

use outdial_tests::{
    gateway::TestGateway,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    tokens::{ALL_SCOPES, token},
    waiting::soon,
};
use tokio::join;

use crate::raw_vendor::{RawCall, RawVendor, ask};

/// Where calls pass to the account's vendor.
pub fn relayed(path: &str) -> String {
    format!("/v1/accounts/{WELLCLOUD}/vendor/{path}")
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_call_passes_as_it_is() {
    let (vendor, gateway) = RawVendor::start().await;
    let body = b"\x1f\x8b not really gzip".to_vec();
    let target = relayed("a%2Fb/%E4%BD%A0//c;d=1/?x=%2e%2e%2f&y=a+b&&z=%0d%0a");
    let call = gateway
        .client()
        .post(&target, "application/x-vendor", body.clone())
        .header("content-encoding", "gzip")
        .header("accept-language", "zh-CN")
        .header("cookie", "session=1")
        .header("x-forwarded-for", "10.0.0.1")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("x-request-id", "order-7");
    let answer = "HTTP/1.1 207 Multi\r\ncontent-type: application/x-odd\r\nset-cookie: a=b\r\nserver: nginx\r\n\
                  etag: \"1\"\r\nx-request-id: vendor-9\r\ncache-control: public\r\ncontent-encoding: br\r\n\
                  content-length: 5\r\n\r\n\x00\x01\x02\x03\x04";
    let (answered, mut called) = join!(call.send(), vendor.answer(answer));
    assert_eq!(called.line(), "POST /base/a%2Fb/%E4%BD%A0//c;d=1/?x=%2e%2e%2f&y=a+b&&z=%0d%0a HTTP/1.1");
    assert_eq!(called.body(body.len()).await, body);
    let authorization = called.header("authorization");
    assert!(authorization.len() == 1 && !authorization[0].starts_with("Bearer"), "{authorization:?}");
    for (name, values) in [
        ("content-type", &["application/x-vendor"][..]),
        ("content-encoding", &["gzip"]),
        ("content-length", &[&body.len().to_string()]),
        ("accept-language", &["zh-CN"]),
        ("x-request-id", &["order-7"]),
        ("traceparent", &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
        ("cookie", &[]),
        ("x-forwarded-for", &[]),
        ("transfer-encoding", &[]),
    ] {
        assert_eq!(called.header(name), values, "{name}");
    }
    assert_eq!((answered.status.as_u16(), answered.body.as_slice()), (207, &[0, 1, 2, 3, 4][..]));
    for (name, value) in [
        ("outdial-upstream", Some("wellcloud")),
        ("outdial-upstream-request-id", Some("vendor-9")),
        ("x-request-id", Some("order-7")),
        ("content-type", Some("application/x-odd")),
        ("content-encoding", Some("br")),
        ("content-length", Some("5")),
        ("etag", Some("\"1\"")),
        ("cache-control", Some("no-store")),
        ("set-cookie", None),
        ("server", None),
    ] {
        assert_eq!(answered.header(name), value, "{name}");
    }
    let counted = ["operation=\"passthrough\"", "outcome=\"ok\"", "account=\"wc-1\""];
    assert_eq!(gateway.metric("outdial_upstream_requests_total", &counted).await, 1.0);
    let timed = gateway.metric("outdial_upstream_request_duration_seconds_count", &counted[..1]).await;
    assert_eq!(timed, 1.0);
    gateway.finish().await;
}

#[tokio::test]
async fn every_method_passes_over_one_connection() {
    let (vendor, gateway) = RawVendor::start().await;
    let client = gateway.client();
    let mut call = None;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let asked = client.call(method, &relayed("x"));
        let serve = async {
            let mut next = match call.take() {
                Some(before) => RawCall::next(before).await.expect("the connection is used again"),
                None => vendor.call().await,
            };
            next.write(OK.as_bytes()).await;
            next
        };
        let (answer, served) = join!(asked.send(), serve);
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok".to_owned()), "{method}");
        assert_eq!(served.line(), format!("{method} /base/x HTTP/1.1"));
        call = Some(served);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn heads_and_answers_without_a_body_stay_so() {
    let (vendor, gateway) = RawVendor::start().await;
    let client = gateway.client();
    let head = client.call("HEAD", &relayed("x"));
    let said = "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\nconnection: close\r\n\r\n";
    let (answer, _) = join!(head.send(), vendor.answer(said));
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, Some("1234")));
    for said in ["204 No Content", "304 Not Modified"] {
        let bytes = format!("HTTP/1.1 {said}\r\netag: \"1\"\r\nconnection: close\r\n\r\n");
        let (answer, _) = join!(client.get(&relayed("x")).send(), vendor.answer(&bytes));
        assert!(answer.body.is_empty() && said.starts_with(answer.status.as_str()), "{said}");
        assert_eq!(answer.header("etag"), Some("\"1\""));
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_vendors_failure_stays_the_vendors() {
    let (vendor, gateway) = RawVendor::start().await;
    for status in [400, 401, 403, 404, 405, 418, 429, 500, 502, 503, 599] {
        let bytes = format!(
            "HTTP/1.1 {status} No\r\nwww-authenticate: Bearer\r\nretry-after: 7\r\ncontent-length: 4\r\n\
             connection: close\r\n\r\nnein"
        );
        let (answer, _) = join!(gateway.client().get(&relayed("x")).send(), vendor.answer(&bytes));
        assert_eq!((answer.status.as_u16(), answer.text()), (status, "nein".to_owned()));
        assert_eq!(answer.header("outdial-upstream"), Some("wellcloud"));
        assert_eq!((answer.header("www-authenticate"), answer.header("retry-after")), (None, Some("7")));
        assert_eq!(answer.header("content-type"), None, "nobody gives it a type that it does not have");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_for_the_next_call() {
    let gateway =
        TestGateway::start(Setup::new(Backend::Sqlite).vendors(|vendors| vendors.icsoc.calls = 3)).await;
    let client = gateway.client();
    let search = async || {
        let target = format!("/v1/accounts/{ICSOC}/vendor/api/v1/cdr/search");
        client.post(&target, "application/json", r#"{"perPage":2}"#).send().await
    };
    let first = search().await;
    assert_eq!(first.status, 200, "{}", first.text());
    gateway.control().expire_tokens();
    let refused = search().await;
    assert_eq!((refused.status.as_u16(), refused.header("outdial-upstream")), (401, Some("icsoc")));
    let fetches = async || gateway.metric("outdial_token_fetches_total", &["account=\"ic-1\""]).await;
    assert_eq!(fetches().await, 1.0, "nothing is fetched, or sent again, for a call that was refused");
    assert_eq!(search().await.status, 200);
    assert_eq!(fetches().await, 2.0);
    gateway.finish().await;
}

/// A vendor that refuses a call for other reasons must not cost the others their token.
#[tokio::test]
async fn a_call_that_is_refused_always_costs_nobody_the_token() {
    let (vendor, gateway) = RawVendor::start().await;
    let refuse = "HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for _ in 0..5 {
        let (answer, _) = join!(gateway.client().get(&relayed("x")).send(), vendor.answer(refuse));
        assert_eq!(answer.status, 401);
    }
    let said = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let (answer, _) = join!(gateway.client().get(&relayed("x")).send(), vendor.answer(said));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let fetches = gateway.metric("outdial_token_fetches_total", &["account=\"wc-1\""]).await;
    assert_eq!(fetches, 2.0, "a second token that is refused at once is kept for a while");
    gateway.finish().await;
}

#[tokio::test]
async fn a_path_that_leads_elsewhere_is_refused() {
    let (vendor, gateway) = RawVendor::start().await;
    let token = token(ALL_SCOPES, &["*"]);
    let head = format!("host: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    for path in [
        "..",
        "../token",
        "a/../../token",
        "a/..",
        ".",
        "%2e%2e/token",
        "a/%2E%2e/%2e./b",
        "%2e%2e%2ftoken",
        "..%5ctoken",
        "%252e%252e/token",
        "..;x/token",
        "/evil.test/x",
        "%2Fevil.test",
        "a%0d%0ax:%20y",
        "a%00b",
        "a/..?b",
    ] {
        let reply = ask(gateway.api(), &format!("GET {} HTTP/1.1\r\n{head}", relayed(path))).await;
        assert!(
            reply.starts_with("HTTP/1.1 400") && reply.contains("\"pointer\":\"path\""),
            "{path}: {reply}"
        );
    }
    assert!(vendor.is_left_alone().await);
    for (target, sent) in [
        ("x#fragment".to_owned(), "GET /base/x HTTP/1.1"),
        ("...".to_owned(), "GET /base/... HTTP/1.1"),
        ("a?../../b".to_owned(), "GET /base/a?../../b HTTP/1.1"),
        ("@evil.test:1/x".to_owned(), "GET /base/@evil.test:1/x HTTP/1.1"),
    ] {
        let bytes = format!("GET {} HTTP/1.1\r\n{head}", relayed(&target));
        let said = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let (reply, called) =
            soon("it passes", async { join!(ask(gateway.api(), &bytes), vendor.answer(said)) }).await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        assert_eq!(called.line(), sent);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_smuggled_second_request_is_none() {
    let (vendor, gateway) = RawVendor::start().await;
    let token = token(ALL_SCOPES, &["*"]);
    let both = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        relayed("x")
    );
    let reply = ask(gateway.api(), &both).await;
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
    assert!(vendor.is_left_alone().await);
    gateway.finish().await;
}
