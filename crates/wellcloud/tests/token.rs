//! Tokens, as the public documents describe them.

mod support;

use bytes::Bytes;
use http::{HeaderMap, Response};
use outdial_core::{ErrorClass, ExposeSecret, SecretString, Timestamp};
use support::adapter;

fn reply(status: u16, body: &'static str) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap()
}

#[test]
fn the_request_of_the_documents() {
    let adapter = adapter(&[("app_id", "id&1"), ("app_secret", "s/=")]);
    let request = adapter.token_request(None).unwrap();
    assert_eq!(request.method(), "POST");
    assert_eq!(
        request.uri(),
        "http://tpiag.wellcloud.cc/p/api/operation/operation/apply/token?appId=id%261&appSecret=s%2F%3D&type=tenant"
    );
    assert_eq!(request.headers()["content-type"], "application/json;charset=utf-8");
    assert!(adapter.fixed_token().is_none());
}

#[test]
fn a_token_lives_a_day() {
    let adapter = adapter(&[("app_id", "i"), ("app_secret", "s")]);
    let now = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
    let token = adapter.parse_token(&reply(200, r#"{"token":"12345678"}"#), now).unwrap();
    assert_eq!(token.access.expose_secret(), "12345678");
    assert_eq!(token.expires_at, Timestamp::parse("2026-01-03T03:04:05Z").unwrap());
    for (status, body, class) in [
        (425, "", ErrorClass::Unauthenticated),
        (500, "", ErrorClass::Unavailable),
        (200, "<html>", ErrorClass::Protocol),
        (200, r#"{"token":null}"#, ErrorClass::Protocol),
        (200, "{}", ErrorClass::Protocol),
        (302, "", ErrorClass::Protocol),
    ] {
        assert_eq!(
            adapter.parse_token(&reply(status, body), now).unwrap_err().class,
            class,
            "{status} {body}"
        );
    }
}

#[test]
fn the_token_stands_bare_and_hidden_from_debug() {
    let adapter = adapter(&[("token", "fixed-1")]);
    assert_eq!(adapter.fixed_token().unwrap().expose_secret(), "fixed-1");
    let mut headers = HeaderMap::new();
    adapter.authorize(&mut headers, &SecretString::from("12345678")).unwrap();
    assert_eq!(headers["authorization"], "12345678");
    assert!(!format!("{headers:?}").contains("12345678"));
    assert!(adapter.authorize(&mut headers, &SecretString::from("a\nb")).is_err());
}

#[test]
fn replies_to_rosters_by_status_alone() {
    let adapter = adapter(&[("token", "t")]);
    assert!(adapter.parse_roster_reply(&reply(200, "<html>whatever")).is_ok());
    for (status, class) in [
        (401, ErrorClass::Unauthenticated),
        (403, ErrorClass::Forbidden),
        (404, ErrorClass::NotFound),
        (429, ErrorClass::RateLimited),
        (500, ErrorClass::Unavailable),
        (201, ErrorClass::Protocol),
    ] {
        let error = adapter.parse_roster_reply(&reply(status, "")).unwrap_err();
        assert_eq!(error.class, class);
        assert_eq!(error.upstream.unwrap().status, Some(status));
    }
}
