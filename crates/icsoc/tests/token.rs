//! Tokens, as the public documents describe them.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Response};
use outdial_core::{ErrorClass, ExposeSecret, SecretString, Timestamp, Token};
use support::{adapter, now};

const CLIENT: [(&str, &str); 2] = [("client_id", "c&1"), ("client_secret", "s=2")];

fn form(pairs: &[(&str, &str)], previous: Option<&Token>) -> BTreeMap<String, String> {
    let request = adapter(&[&CLIENT, pairs].concat()).token_request(previous).unwrap();
    assert_eq!(request.uri(), "https://account.icsoc.net/oauth2/token");
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    body.split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

#[test]
fn the_three_grants() {
    let password = form(&[("username", "e|1001"), ("password", "p")], None);
    assert_eq!(password["grant_type"], "password");
    assert_eq!(
        (&*password["username"], &*password["password"], &*password["scope"]),
        ("e%7C1001", "p", "openid")
    );
    assert_eq!((&*password["client_id"], &*password["client_secret"]), ("c%261", "s%3D2"));
    assert_eq!(form(&[], None)["grant_type"], "client_credentials");
    let previous = Token { access: "a".into(), refresh: Some("r".into()), expires_at: now() };
    let refresh = form(&[("username", "e|1001"), ("password", "p")], Some(&previous));
    assert_eq!((&*refresh["grant_type"], &*refresh["refresh_token"]), ("refresh_token", "r"));
    assert!(!refresh.contains_key("password"));
    let without = Token { refresh: None, ..previous };
    assert_eq!(form(&[], Some(&without))["grant_type"], "client_credentials");
}

#[test]
fn replies_of_the_token_service() {
    let adapter = adapter(&CLIENT);
    let parse = |status: u16, body: &'static str| {
        adapter.parse_token(
            &Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap(),
            now(),
        )
    };
    let token =
        parse(200, r#"{"access_token":"abc","expires_in":3600,"token_type":"Bearer","refresh_token":"r"}"#)
            .unwrap();
    assert_eq!((token.access.expose_secret(), token.refresh.unwrap().expose_secret()), ("abc", "r"));
    assert_eq!(Some(token.expires_at), Timestamp::parse("2026-01-02T04:04:05.678Z"));
    let token = parse(200, r#"{"access_token":"abc","expires_in":"60"}"#).unwrap();
    assert_eq!(Some(token.expires_at), Timestamp::parse("2026-01-02T03:05:05.678Z"));
    assert_eq!(
        Some(parse(200, r#"{"access_token":"abc"}"#).unwrap().expires_at),
        Timestamp::parse("2026-01-03T03:04:05.678Z")
    );
    for (status, body, class) in [
        (401, r#"{"error":"invalid_client"}"#, ErrorClass::Unauthenticated),
        (400, r#"{"error":"invalid_grant"}"#, ErrorClass::Unauthenticated),
        (429, "", ErrorClass::RateLimited),
        (503, "", ErrorClass::Unavailable),
        (200, "<html>", ErrorClass::Protocol),
        (200, r#"{"access_token":""}"#, ErrorClass::Protocol),
    ] {
        assert_eq!(parse(status, body).unwrap_err().class, class, "{status} {body}");
    }
}

#[test]
fn the_token_is_a_bearer_and_hidden_from_debug() {
    let mut headers = HeaderMap::new();
    adapter(&CLIENT).authorize(&mut headers, &SecretString::from("abc")).unwrap();
    assert_eq!(headers["authorization"], "Bearer abc");
    assert!(!format!("{headers:?}").contains("abc"));
}

#[test]
fn rosters_are_not_taken_by_this_vendor() {
    let adapter = adapter(&CLIENT);
    assert_eq!(adapter.roster_encoder("1").err().unwrap().class, ErrorClass::Unsupported);
    assert_eq!(adapter.descriptor().token_budget.unwrap().fetches, 128);
}
