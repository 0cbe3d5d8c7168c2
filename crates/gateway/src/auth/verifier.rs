//! Checks bearer tokens against the configured issuers.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use jsonwebtoken::Validation;
use outdial_core::{Clock, Error, ErrorClass, ExposeSecret};
use tokio::sync::Mutex;

use super::{
    Principal,
    keys::{JWKS_LIMIT, KeySet},
    memory::{Memory, Verified},
    token::{Claims, Unverified},
};
use crate::{
    config::{Issuer, KeySource},
    telemetry::Metrics,
};

/// Shortest time between two looks for keys, whatever came of the first: random key ids cost no more than this.
const FETCH_GAP: Duration = Duration::from_secs(30);
/// Keys are looked for at least this often.
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(300);
/// Keys that could not be renewed are trusted this long.
const STALE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Fetches the documents of public keys.
#[async_trait]
pub trait KeyFetcher: Send + Sync {
    /// The document behind a URL of the configuration, at most `limit` bytes.
    ///
    /// # Errors
    /// One line for the log.
    async fn fetch(&self, url: &str, limit: usize) -> Result<Bytes, String>;
}

/// Checks bearer tokens.
pub struct Verifier {
    issuers: Vec<Trusted>,
    memory: Memory,
    fetcher: Arc<dyn KeyFetcher>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

struct Trusted {
    issuer: Issuer,
    source: Source,
    keys: RwLock<Held>,
    /// When keys were last looked for. Held while looking, so that there is one look at a time.
    looked: Mutex<Option<Instant>>,
}

struct Held {
    keys: Arc<KeySet>,
    renewed: Option<Instant>,
}

enum Source {
    Fixed,
    File(PathBuf),
    Url(String),
}

impl Trusted {
    fn new(issuer: Issuer) -> Self {
        let (source, keys) = match &issuer.keys {
            KeySource::Hs256(secret) => (Source::Fixed, KeySet::shared(secret.expose_secret().as_bytes())),
            KeySource::File(path) => (Source::File(path.clone()), KeySet::default()),
            KeySource::Url(url) => (Source::Url(url.clone()), KeySet::default()),
        };
        let held = Held { keys: Arc::new(keys), renewed: None };
        Self { issuer, source, keys: RwLock::new(held), looked: Mutex::new(None) }
    }

    fn keys(&self) -> Arc<KeySet> {
        self.with_keys(Arc::clone).unwrap_or_default()
    }

    /// What `read` makes of the keys, unless they are too old.
    fn with_keys<T>(&self, read: impl FnOnce(&Arc<KeySet>) -> T) -> Option<T> {
        let held = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let fixed = matches!(self.source, Source::Fixed);
        let is_usable = fixed || held.renewed.is_some_and(|renewed| renewed.elapsed() < STALE_LIMIT);
        is_usable.then(|| read(&held.keys))
    }

    /// Looks for keys, unless that was done a moment ago.
    async fn look(&self, fetcher: &dyn KeyFetcher) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < FETCH_GAP) {
            return;
        }
        *looked = Some(Instant::now());
        let document = match &self.source {
            Source::Fixed => return,
            Source::File(path) => read_document(path).await,
            Source::Url(url) => fetcher.fetch(url, JWKS_LIMIT).await,
        };
        match document.and_then(|text| KeySet::parse(&text)) {
            Ok(keys) => {
                let held = Held { keys: Arc::new(keys), renewed: Some(Instant::now()) };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = held;
            }
            Err(problem) => {
                tracing::warn!(issuer = self.issuer.issuer, problem, "auth.keys_not_renewed");
            }
        }
    }
}

async fn read_document(path: &Path) -> Result<Bytes, String> {
    let size = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.len();
    if usize::try_from(size).map_or(true, |size| size > JWKS_LIMIT) {
        return Err(format!("larger than {JWKS_LIMIT} bytes"));
    }
    tokio::fs::read(path).await.map(Bytes::from).map_err(|error| error.to_string())
}

impl Verifier {
    /// A verifier of these issuers' tokens.
    pub fn new(
        issuers: Vec<Issuer>,
        fetcher: Arc<dyn KeyFetcher>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let issuers = issuers.into_iter().map(Trusted::new).collect();
        Self { issuers, memory: Memory::default(), fetcher, clock, metrics }
    }

    /// Looks for every issuer's keys.
    pub async fn refresh(&self) {
        for trusted in &self.issuers {
            trusted.look(&*self.fetcher).await;
        }
    }

    /// Who sends the value of an `Authorization` header.
    ///
    /// # Errors
    /// `Unauthenticated`, always with the same words: a caller learns nothing from trying.
    pub async fn verify(&self, authorization: Option<&[u8]>) -> Result<Arc<Principal>, Error> {
        match self.try_verify(authorization).await {
            Ok(principal) => Ok(principal),
            Err(reason) => {
                self.metrics.auth_failures.with_label_values(&[reason]).inc();
                let message = "The bearer token is missing or not valid.";
                Err(Error::new(ErrorClass::Unauthenticated, "unauthenticated", message).with_detail(reason))
            }
        }
    }

    /// Who sends it, where the same token was verified a moment ago.
    pub fn remembered(&self, authorization: Option<&[u8]>) -> Option<Arc<Principal>> {
        self.known(bearer(authorization).ok()?)?.ok()
    }

    /// What is known of a token, as long as the keys that it was checked against are the issuer's: whose it is, or that its
    /// time is over.
    fn known(&self, token: &[u8]) -> Option<Result<Arc<Principal>, &'static str>> {
        self.memory.find(&Memory::key(token), |known| {
            let has_keys =
                self.issuers[known.issuer].with_keys(|keys| Arc::ptr_eq(keys, &known.keys)) == Some(true);
            let judge = || known.times.check(self.clock.now()).map(|()| Arc::clone(&known.principal));
            has_keys.then(judge)
        })
    }

    async fn try_verify(&self, authorization: Option<&[u8]>) -> Result<Arc<Principal>, &'static str> {
        let token = bearer(authorization)?;
        if let Some(known) = self.known(token) {
            return known;
        }
        let text = std::str::from_utf8(token).map_err(|_| "not_valid")?;
        let verified = self.check(text).await?;
        let principal = Arc::clone(&verified.principal);
        self.memory.keep(Memory::key(token), verified);
        Ok(principal)
    }

    async fn check(&self, token: &str) -> Result<Verified, &'static str> {
        let unverified = Unverified::parse(token)?;
        let issuer = self.issuers.iter().position(|trusted| trusted.issuer.issuer == unverified.issuer);
        let issuer = issuer.ok_or("unknown_issuer")?;
        let trusted = &self.issuers[issuer];
        let known = trusted.keys().find(unverified.key_id.as_deref(), unverified.algorithm).is_some();
        if !known {
            trusted.look(&*self.fetcher).await;
        }
        let keys = trusted.keys();
        let key = keys.find(unverified.key_id.as_deref(), unverified.algorithm).ok_or("unknown_key")?;
        let mut validation = Validation::new(key.algorithm);
        validation.set_audience(&trusted.issuer.audience);
        validation.set_issuer(&[&trusted.issuer.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The times are checked below, by our own clock.
        validation.validate_exp = false;
        let verified = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation);
        let claims = verified.map_err(|error| reason(&error))?.claims;
        let times = claims.times();
        times.check(self.clock.now())?;
        let principal = Arc::new(Principal {
            issuer: unverified.issuer,
            scopes: claims.scopes(),
            accounts: claims.accounts(&trusted.issuer.accounts_claim),
            subject: claims.sub,
        });
        Ok(Verified { principal, times, issuer, keys })
    }
}

/// The token of a header's value.
fn bearer(authorization: Option<&[u8]>) -> Result<&[u8], &'static str> {
    let given = authorization.ok_or("missing")?;
    let space = given.iter().position(|byte| *byte == b' ').ok_or("missing")?;
    let (scheme, token) = given.split_at(space);
    if scheme.eq_ignore_ascii_case(b"bearer") { Ok(token.trim_ascii()) } else { Err("not_bearer") }
}

fn reason(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => "bad_signature",
        ErrorKind::InvalidAudience => "wrong_audience",
        ErrorKind::InvalidIssuer => "wrong_issuer",
        ErrorKind::MissingRequiredClaim(_) => "missing_claim",
        ErrorKind::Json(_) => "bad_claims",
        _ => "not_valid",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use jsonwebtoken::{EncodingKey, Header};
    use outdial_core::{SecretString, Timestamp};

    use super::*;

    const SECRET: &str = "a secret of more than thirty-two bytes";

    struct Nobody;

    #[async_trait]
    impl KeyFetcher for Nobody {
        async fn fetch(&self, _: &str, _: usize) -> Result<Bytes, String> {
            Err("nobody is asked".to_owned())
        }
    }

    /// Seconds since the epoch.
    #[derive(Debug)]
    struct SetClock(AtomicI64);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed) * 1_000)
        }
    }

    #[tokio::test]
    async fn a_token_that_is_remembered_is_judged_anew() {
        let issuer = Issuer {
            issuer: "https://issuer.test".to_owned(),
            audience: vec!["outdial".to_owned()],
            keys: KeySource::Hs256(SecretString::from(SECRET)),
            accounts_claim: "accounts".to_owned(),
        };
        let clock = Arc::new(SetClock(AtomicI64::new(1_000)));
        let metrics = Arc::new(Metrics::new().unwrap());
        let verifier = Verifier::new(vec![issuer], Arc::new(Nobody), Arc::clone(&clock) as Arc<_>, metrics);
        let claims = serde_json::json!({
            "iss": "https://issuer.test", "aud": "outdial", "sub": "s", "exp": 5_000, "scope": "vendor:call",
        });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = format!("Bearer {}", jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap());
        let first = verifier.verify(Some(token.as_bytes())).await.unwrap();
        let again = verifier.verify(Some(token.as_bytes())).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again), "the second time is remembered");
        clock.0.store(6_000, Ordering::Relaxed);
        assert!(verifier.verify(Some(token.as_bytes())).await.is_err(), "it has expired");
        clock.0.store(1_000, Ordering::Relaxed);
        assert!(verifier.verify(Some(token.as_bytes())).await.is_ok());
        let renewed = Held {
            keys: Arc::new(KeySet::shared(b"another one of more than thirty-two bytes")),
            renewed: None,
        };
        *verifier.issuers[0].keys.write().unwrap() = renewed;
        assert!(verifier.verify(Some(token.as_bytes())).await.is_err(), "its key is gone");
    }
}
