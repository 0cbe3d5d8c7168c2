//! Tokens for the API, good ones and bad ones.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use outdial_core::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::secrets::HS256_SECRET;

/// `iss` of the tokens.
pub const ISSUER: &str = "https://issuer.test";
/// `aud` of the tokens.
pub const AUDIENCE: &str = "outdial-tests";

/// Every scope there is.
pub const ALL_SCOPES: &str = "accounts:read rosters:read rosters:write records:read records:pii events:read \
                              subscriptions:manage quarantine:manage vendor:call";

/// Seconds since the epoch.
pub fn now() -> i64 {
    SystemClock.now().seconds()
}

/// Claims that are good for an hour.
pub fn claims(scopes: &str, accounts: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "tests", "iat": now(), "exp": now() + 3_600,
        "scope": scopes, "accounts": accounts,
    })
}

/// A token with these scopes for these accounts, signed with the shared secret.
pub fn token(scopes: &str, accounts: &[&str]) -> String {
    sign(&Header::new(Algorithm::HS256), &claims(scopes, accounts), &shared_key())
}

/// The shared secret as a key.
pub fn shared_key() -> EncodingKey {
    EncodingKey::from_secret(HS256_SECRET.as_bytes())
}

/// Signs whatever is asked.
///
/// # Panics
/// When the header does not go with the key.
pub fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}
