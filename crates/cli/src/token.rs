//! `token`: signs a token for development.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use outdial_gateway::{
    auth::Scope,
    config::{Issuer, KeySource},
};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::{arguments::TokenOptions, configuration::load, failure::Failure};

/// What a token is to say.
pub struct Wanted<'a> {
    /// Scopes, separated by spaces; all where `None`.
    pub scope: Option<&'a str>,
    /// Accounts; all where empty.
    pub accounts: &'a [String],
    /// Who it is for.
    pub subject: &'a str,
    /// How long it lives.
    pub life: Duration,
}

/// Prints a token.
pub fn run(options: &TokenOptions) -> Result<(), Failure> {
    let config = load(&options.config)?;
    let issuer = config.issuers.iter().find(|issuer| matches!(issuer.keys, KeySource::Hs256(_)));
    let issuer = issuer.ok_or_else(|| {
        Failure::new(
            "no issuer of the configuration has an hs256_secret; others sign their tokens themselves",
        )
    })?;
    let wanted = Wanted {
        scope: options.scope.as_deref(),
        accounts: &options.accounts,
        subject: &options.subject,
        life: Duration::from_secs(u64::from(options.minutes) * 60),
    };
    println!("{}", sign(issuer, &wanted)?);
    Ok(())
}

/// Signs a token with the shared secret of an issuer.
pub fn sign(issuer: &Issuer, wanted: &Wanted<'_>) -> Result<String, Failure> {
    let KeySource::Hs256(secret) = &issuer.keys else {
        return Err(Failure::new("the issuer has no shared secret"));
    };
    let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let scope = wanted.scope.map_or_else(|| all.join(" "), str::to_owned);
    let everything = ["*".to_owned()];
    let accounts = if wanted.accounts.is_empty() { &everything[..] } else { wanted.accounts };
    let now = now();
    let claims = json!({
        "iss": issuer.issuer,
        "aud": issuer.audience.first(),
        "sub": wanted.subject,
        "iat": now.as_secs(),
        "exp": (now + wanted.life).as_secs(),
        "scope": scope,
        issuer.accounts_claim.as_str(): accounts,
    });
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    encode(&Header::default(), &claims, &key).map_err(|error| Failure::new(format!("no token: {error}")))
}

/// Since the epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "this program has no Clock; the gateway checks the times by its own"
)]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
