//! Tokens signed with private keys, whose public halves come from a file or from the issuer's own server.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use outdial_tests::{
    gateway::TestGateway,
    key_server::KeyServer,
    repository,
    setup::{Backend, Setup},
    tokens::{ALL_SCOPES, claims, sign},
    waiting::eventually,
};

const KEYS: &str = "tests/fixtures/keys/jwks.json";

fn private_key(algorithm: Algorithm) -> EncodingKey {
    let read = |name: &str| std::fs::read(repository::root().join("tests/fixtures/keys").join(name)).unwrap();
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_der(&read("rs256.der")),
        Algorithm::ES256 => EncodingKey::from_ec_der(&read("es256.der")),
        _ => EncodingKey::from_ed_der(&read("ed25519.der")),
    }
}

const SIGNERS: [(Algorithm, &str); 3] =
    [(Algorithm::RS256, "rsa-1"), (Algorithm::ES256, "ec-1"), (Algorithm::EdDSA, "ed-1")];

fn token(algorithm: Algorithm, key_id: Option<&str>) -> String {
    let header = Header { kid: key_id.map(str::to_owned), ..Header::new(algorithm) };
    sign(&header, &claims(ALL_SCOPES, &["*"]), &private_key(algorithm))
}

async fn status(gateway: &TestGateway, token: String) -> u16 {
    gateway.client_holding(Some(token)).get("/v1/accounts").send().await.status.as_u16()
}

/// Each key signs for its own algorithm and under its own name.
async fn assert_keys_work(gateway: &TestGateway) {
    for (algorithm, key_id) in SIGNERS {
        assert_eq!(status(gateway, token(algorithm, Some(key_id))).await, 200, "{algorithm:?}");
        assert_eq!(status(gateway, token(algorithm, None)).await, 200, "{algorithm:?}, unnamed");
        let (_, other) = SIGNERS.into_iter().find(|(other, _)| *other != algorithm).unwrap();
        assert_eq!(status(gateway, token(algorithm, Some(other))).await, 401, "{algorithm:?} as {other}");
    }
}

/// The public key is known to everybody: as a shared secret it must be worth nothing.
async fn assert_public_key_is_no_secret(gateway: &TestGateway) {
    let document: serde_json::Value = serde_json::from_str(&repository::read(KEYS)).unwrap();
    let modulus = document["keys"][0]["n"].as_str().unwrap();
    for secret in [modulus.as_bytes(), repository::read(KEYS).as_bytes()] {
        for key_id in [None, Some("rsa-1".to_owned())] {
            let header = Header { kid: key_id, ..Header::new(Algorithm::HS256) };
            let forged = sign(&header, &claims(ALL_SCOPES, &["*"]), &EncodingKey::from_secret(secret));
            assert_eq!(status(gateway, forged).await, 401);
        }
    }
}

#[tokio::test]
async fn keys_may_come_from_a_file() {
    let path = repository::root().join(KEYS);
    let setup = Setup::new(Backend::Sqlite).issuer_keys(format!("jwks_file = \"{}\"", path.display()));
    let gateway = TestGateway::start(setup).await;
    assert_keys_work(&gateway).await;
    assert_public_key_is_no_secret(&gateway).await;
    gateway.finish().await;
}

#[tokio::test]
async fn keys_may_come_from_the_issuer_who_is_not_asked_for_every_unknown_key() {
    let server = KeyServer::start(repository::read(KEYS)).await;
    let setup = Setup::new(Backend::Sqlite).issuer_keys(format!("jwks_url = \"{}\"", server.url()));
    let gateway = TestGateway::start(setup).await;
    assert_keys_work(&gateway).await;
    assert_public_key_is_no_secret(&gateway).await;
    let asked = server.asked();
    assert!(asked <= 2, "asked {asked} times");
    for number in 0..50 {
        let unknown = token(Algorithm::RS256, Some(&format!("unknown-{number}")));
        assert_eq!(status(&gateway, unknown).await, 401);
    }
    assert!(server.asked() <= asked + 1, "unknown keys made {} requests", server.asked() - asked);
    gateway.finish().await;
}

#[tokio::test]
async fn an_issuer_without_keys_is_not_asked_again_at_once() {
    let server = KeyServer::start(r#"{"keys":[]}"#.to_owned()).await;
    let setup = Setup::new(Backend::Sqlite).issuer_keys(format!("jwks_url = \"{}\"", server.url()));
    let gateway = TestGateway::start(setup).await;
    eventually("the keys are looked for", async || (server.asked() > 0).then_some(())).await;
    for _ in 0..20 {
        assert_eq!(status(&gateway, token(Algorithm::RS256, Some("rsa-1"))).await, 401);
    }
    assert_eq!(server.asked(), 1, "failures cost no more than successes");
    let (ready, _) = gateway.ask_admin("/readyz").await;
    assert_eq!(ready, 200, "pushes do not wait for the issuer");
    gateway.finish().await;
}
