//! Tokens that must not be taken, and that nobody learns why.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use outdial_tests::{
    client::{Client, http_client},
    gateway::TestGateway,
    setup::{Backend, Setup},
    tokens::{ALL_SCOPES, claims, now, shared_key, sign, token},
};
use serde_json::{Value, json};

const HS256: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

/// Signs header and claims as they are written, with the shared secret.
fn sign_text(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &shared_key(), Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Good claims but for these members; null takes one away.
fn changed(changes: &Value) -> String {
    let mut claims = claims(ALL_SCOPES, &["*"]);
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims.to_string()
}

/// Tokens whose claims are wrong.
fn with_bad_claims() -> Vec<(&'static str, String)> {
    let text = |changes: Value| sign_text(HS256, &changed(&changes));
    let good = claims(ALL_SCOPES, &["*"]).to_string();
    let exp = now() + 3_600;
    vec![
        ("no iss", text(json!({ "iss": null }))),
        ("another iss", text(json!({ "iss": "https://issuer.test/" }))),
        ("iss as list", text(json!({ "iss": ["https://issuer.test"] }))),
        ("no aud", text(json!({ "aud": null }))),
        ("another aud", text(json!({ "aud": "somebody" }))),
        ("no sub", text(json!({ "sub": null }))),
        ("no exp", text(json!({ "exp": null }))),
        ("exp as text", text(json!({ "exp": exp.to_string() }))),
        ("exp passed", text(json!({ "exp": now() - 120, "iat": now() - 3_720 }))),
        ("exp in ten years", text(json!({ "exp": now() + 315_360_000 }))),
        ("exp beyond numbers", sign_text(HS256, &good.replace(&exp.to_string(), "1e400"))),
        ("exp as fraction of nothing", sign_text(HS256, &good.replace(&exp.to_string(), "NaN"))),
        ("not yet", text(json!({ "nbf": now() + 600 }))),
        ("nbf as text", text(json!({ "nbf": "0" }))),
        ("issued tomorrow", text(json!({ "iat": now() + 86_400 }))),
        ("claims that are no object", sign_text(HS256, "[]")),
        ("claims that are no JSON", sign_text(HS256, "{")),
    ]
}

/// Tokens whose header is wrong.
fn with_bad_header() -> Vec<(&'static str, String)> {
    let good = claims(ALL_SCOPES, &["*"]).to_string();
    let headed = |header: Value| sign_text(&header.to_string(), &good);
    let unsigned = |alg: &str| {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&good))
    };
    vec![
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg empty", unsigned("")),
        ("no signature", unsigned("HS256")),
        ("alg HS384", headed(json!({ "alg": "HS384" }))),
        ("alg RS256", headed(json!({ "alg": "RS256" }))),
        ("alg as list", headed(json!({ "alg": ["HS256"] }))),
        ("jku", headed(json!({ "alg": "HS256", "jku": "https://127.0.0.1/keys" }))),
        ("jwk", headed(json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "AAAA" } }))),
        ("x5u", headed(json!({ "alg": "HS256", "x5u": "https://127.0.0.1/cert" }))),
        ("crit", headed(json!({ "alg": "HS256", "crit": ["exp"] }))),
        ("kid as path", headed(json!({ "alg": "HS256", "kid": "../../dev/null" }))),
        ("kid as SQL", headed(json!({ "alg": "HS256", "kid": "' or 1=1 --" }))),
        ("kid of 10 KB", headed(json!({ "alg": "HS256", "kid": "k".repeat(10_240) }))),
    ]
}

/// Tokens whose bytes are wrong.
fn misspelt() -> Vec<(&'static str, String)> {
    let good = token(ALL_SCOPES, &["*"]);
    let other = EncodingKey::from_secret(b"another secret of more than thirty-two bytes");
    let (head, signature) = good.rsplit_once('.').unwrap();
    // 32 bytes are 43 characters, the last of which has two bits that say nothing: set, they spell the same signature.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let respelt = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    vec![
        ("another secret", sign(&Header::new(Algorithm::HS256), &claims(ALL_SCOPES, &["*"]), &other)),
        ("padded", format!("{good}=")),
        ("re-spelt", format!("{head}.{}{respelt}", &signature[..signature.len() - 1])),
        ("cut", good[..good.len() - 1].to_owned()),
        ("a fourth part", format!("{good}.x")),
        ("20 KB", token(&"x".repeat(20_480), &["*"])),
        ("nothing", String::new()),
        ("no token", "token".to_owned()),
    ]
}

async fn refusal(client: &Client) -> Vec<u8> {
    let answer = client.get("/v1/accounts").header("x-request-id", "same").send().await;
    answer.expect_problem(401, "unauthenticated");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    answer.body
}

#[tokio::test]
async fn every_bad_token_is_refused_in_the_same_words() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let without = refusal(&gateway.client_holding(None)).await;
    let good = sign_text(HS256, &changed(&json!({})));
    assert_eq!(gateway.client_holding(Some(good)).get("/v1/accounts").send().await.status, 200);
    let bad = [with_bad_claims(), with_bad_header(), misspelt()].concat();
    for (name, token) in &bad {
        assert_eq!(refusal(&gateway.client_holding(Some(token.clone()))).await, without, "{name}");
    }
    let counted = gateway.metric("outdial_auth_failures_total", &[]).await;
    assert!(counted >= 30.0, "{counted} refusals were counted");
    gateway.finish().await;
}

#[tokio::test]
async fn only_one_authorization_of_the_bearer_kind_is_believed() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let (good, url) = (token(ALL_SCOPES, &["*"]), format!("http://{}/v1/accounts", gateway.api()));
    let status = async |values: &[String]| {
        let mut request = http_client().get(&url);
        for value in values {
            request = request.header("authorization", value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(&[format!("bearer {good}")]).await, 200, "the scheme's case does not matter");
    let bearer = format!("Bearer {good}");
    for values in [
        vec![bearer.clone(), bearer.clone()],
        vec![bearer.clone(), "Basic eDp5".to_owned()],
        vec![format!("Basic {good}")],
        vec![format!("Bearer{good}")],
        vec![good.clone()],
    ] {
        assert_eq!(status(&values).await, 401, "{} headers", values.len());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute_and_no_more() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let status = async |changes: Value| {
        let token = sign_text(HS256, &changed(&changes));
        gateway.client_holding(Some(token)).get("/v1/accounts").send().await.status.as_u16()
    };
    assert_eq!(status(json!({ "exp": now() - 30 })).await, 200);
    assert_eq!(status(json!({ "exp": now() - 90 })).await, 401);
    assert_eq!(status(json!({ "nbf": now() + 30 })).await, 200);
    assert_eq!(status(json!({ "nbf": now() + 120 })).await, 401);
    assert_eq!(status(json!({ "exp": now() + 86_400 })).await, 200, "a day is the longest life");
    assert_eq!(status(json!({ "exp": now() + 90_000 })).await, 401);
    gateway.finish().await;
}
