//! What a bearer token says: its header before anything is believed, its claims after the signature was checked.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use outdial_core::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::principal::{AccountGrant, Scope};

/// Longest token, in bytes.
const TOKEN_LIMIT: usize = 8 * 1024;
/// Longest key id.
const KEY_ID_LIMIT: usize = 64;
/// How far clocks may differ.
const LEEWAY_SECONDS: i64 = 60;
/// Longest life of a token: what leaks is worth little the next day.
const LIFE_SECONDS: i64 = 24 * 60 * 60;

/// A token whose form was checked, and nothing else.
pub(super) struct Unverified {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) issuer: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

/// Header parameters that bring a key, or demand an extension: a token that has one wants something we do not do.
const REFUSED_PARAMETERS: [&str; 6] = ["jku", "jwk", "x5u", "x5c", "crit", "b64"];

impl Unverified {
    /// Takes the form of a token apart. The error is a label for metrics and the log.
    pub(super) fn parse(token: &str) -> Result<Self, &'static str> {
        if token.len() > TOKEN_LIMIT {
            return Err("too_long");
        }
        let mut segments = token.split('.');
        let (Some(header), Some(claims), Some(_), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err("not_a_jwt");
        };
        let header: Header = decode(header).ok_or("bad_header")?;
        if REFUSED_PARAMETERS.iter().any(|name| header.rest.contains_key(*name)) {
            return Err("refused_parameter");
        }
        let algorithm = match header.alg.as_str() {
            "HS256" => Algorithm::HS256,
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            _ => return Err("refused_algorithm"),
        };
        if header.kid.as_deref().is_some_and(|id| !is_plain_id(id)) {
            return Err("bad_key_id");
        }
        let IssuerClaim { iss } = decode(claims).ok_or("bad_claims")?;
        Ok(Self { algorithm, key_id: header.kid, issuer: iss })
    }
}

fn is_plain_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=KEY_ID_LIMIT).contains(&id.len()) && id.bytes().all(plain)
}

fn decode<T: serde::de::DeserializeOwned>(segment: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).ok()?).ok()
}

/// The claims we use, after the signature was checked. Times are whole seconds: text in their place is refused.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    #[serde(default)]
    scope: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// When a token is good, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Times {
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
}

impl Times {
    /// Checks the times.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), &'static str> {
        let now = now.seconds();
        if self.exp.saturating_add(LEEWAY_SECONDS) <= now {
            return Err("expired");
        }
        let begin = self.nbf.unwrap_or(now).max(self.iat.unwrap_or(now));
        if begin > now.saturating_add(LEEWAY_SECONDS) {
            return Err("not_yet_valid");
        }
        let since = self.iat.unwrap_or(now).min(now);
        if self.exp.saturating_sub(since) > LIFE_SECONDS + LEEWAY_SECONDS {
            return Err("lives_too_long");
        }
        Ok(())
    }
}

impl Claims {
    /// When the token is good.
    pub(super) fn times(&self) -> Times {
        Times { exp: self.exp, nbf: self.nbf, iat: self.iat }
    }

    /// The scopes that we know.
    pub(super) fn scopes(&self) -> BTreeSet<Scope> {
        let words: BTreeSet<&str> = self.scope.split_ascii_whitespace().collect();
        Scope::ALL.iter().copied().filter(|scope| words.contains(scope.as_str())).collect()
    }

    /// The accounts in a claim: a list, or `"*"` alone; none where the claim is missing. What is no account id covers
    /// nothing.
    pub(super) fn accounts(&self, claim: &str) -> AccountGrant {
        let words: Vec<&str> = match self.rest.get(claim) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(all)) if all == "*" => vec!["*"],
            _ => Vec::new(),
        };
        if words.contains(&"*") {
            return AccountGrant::All;
        }
        AccountGrant::Some(words.iter().filter_map(|word| word.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn accounts_are_a_list_or_a_star() {
        let grant = |accounts: Value| {
            let claims = json!({ "sub": "s", "exp": 1, "accounts": accounts });
            serde_json::from_value::<Claims>(claims).unwrap().accounts("accounts")
        };
        let some = |ids: &[&str]| AccountGrant::Some(ids.iter().map(|id| id.parse().unwrap()).collect());
        assert_eq!(grant(json!(["wc-1", "No Id", 7])), some(&["wc-1"]));
        assert_eq!(grant(json!(["wc-1", "*"])), AccountGrant::All);
        assert_eq!(grant(json!("*")), AccountGrant::All);
        for nothing in [json!("wc-1"), json!(null), json!(true), json!([]), json!(["**"])] {
            assert_eq!(grant(nothing.clone()), some(&[]), "{nothing}");
        }
    }
}
