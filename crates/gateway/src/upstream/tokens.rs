//! Vendors' tokens: one per account for all replicas, one fetch in flight, never in a loop.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use outdial_core::{AccountId, Clock, Error, ErrorClass, ExposeSecret, SecretString, Timestamp, Token};
use outdial_store::{Lease, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::wire::{Exchange, Reuse, Wire, WireError};
use crate::{accounts::Account, api_error::store_failure, tasks::Tasks, telemetry::Metrics};

/// A token is renewed this long before its end, or at nine tenths of a shorter life.
const AHEAD: Duration = Duration::from_secs(300);
/// How long a fetch may take, and so how long a lease on it lasts.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
const LEASE: Duration = Duration::from_secs(30);
/// How often one who waits for another replica's fetch looks for its result, and how often at most.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const LOOKS: u32 = 150;
/// Back-off after refused credentials: doubled each time, up to the limit.
const BACK_OFF: Duration = Duration::from_secs(15 * 60);
const BACK_OFF_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);
/// The share of a vendor's budget that we use: what is left is for people and other programs.
const BUDGET_SHARE: (u32, u32) = (100, 128);
/// Fetches in a day that a replica may do while the store, which counts them, is away.
const RESERVE: usize = 4;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest answer to a fetch.
const BODY_LIMIT: usize = 256 * 1024;

/// A token as the store keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    access: String,
    refresh: Option<String>,
    fetched_at: Timestamp,
    expires_at: Timestamp,
}

/// After refused credentials.
#[derive(Clone, Serialize, Deserialize)]
struct BackOff {
    until: Timestamp,
    failures: u32,
    code: Option<String>,
}

/// The state of an account's token, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenState {
    /// `fixed` or `fetched`.
    pub kind: &'static str,
    /// `fixed`, `cached`, `none` or `backing_off`.
    pub state: &'static str,
    /// When the vendor stops taking it.
    pub expires_at: Option<Timestamp>,
    /// Fetches left in the vendor's window before we stop, where the vendor has one.
    pub fetches_left: Option<u32>,
}

#[derive(Default)]
struct Local {
    token: RwLock<Option<(Token, Timestamp)>>,
    /// Held while fetching, so that one process fetches once. Holds the times of fetches that the store did not count.
    fetching: Mutex<Vec<Timestamp>>,
}

/// Tokens of all accounts.
pub struct Tokens {
    store: Arc<dyn Store>,
    wire: Arc<Wire>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    local: BTreeMap<AccountId, Local>,
    owner: String,
}

impl Tokens {
    /// Tokens of these accounts. `owner` names this replica.
    pub fn new<'a>(
        accounts: impl Iterator<Item = &'a Arc<Account>>,
        store: Arc<dyn Store>,
        wire: Arc<Wire>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
        owner: String,
    ) -> Self {
        let local = accounts.map(|account| (account.id.clone(), Local::default())).collect();
        Self { store, wire, clock, metrics, tasks, local, owner }
    }

    /// A token for an account, fetched if need be. `rejected` is one that the vendor no longer takes.
    ///
    /// # Errors
    /// `Forbidden` with the code `upstream-auth` while backing off, `RateLimited` when the budget is used up, or why the
    /// fetch failed.
    pub async fn get(
        self: &Arc<Self>,
        account: &Arc<Account>,
        rejected: Option<SecretString>,
    ) -> Result<SecretString, Error> {
        if let Some(fixed) = account.vendor.fixed_token() {
            return Ok(fixed.clone());
        }
        if let Some(token) = self.in_memory(&account.id, rejected.as_ref()) {
            return Ok(token);
        }
        // Whoever waits may go away; a fetch that was begun is finished, and its token kept.
        let (tokens, account) = (Arc::clone(self), Arc::clone(account));
        let fetch = self.tasks.spawn(async move { tokens.obtain(&account, rejected.as_ref()).await });
        fetch.await.unwrap_or_else(|_| Err(internal("the fetch of a token was given up")))
    }

    fn local(&self, account: &AccountId) -> Result<&Local, Error> {
        self.local.get(account).ok_or_else(|| internal("an account that was not configured"))
    }

    fn in_memory(&self, account: &AccountId, rejected: Option<&SecretString>) -> Option<SecretString> {
        let held = self.local.get(account)?.token.read().unwrap_or_else(PoisonError::into_inner);
        let (token, renew_at) = held.as_ref()?;
        let usable = self.clock.now() < *renew_at && !is_same(&token.access, rejected);
        usable.then(|| token.access.clone())
    }

    async fn obtain(
        &self,
        account: &Account,
        rejected: Option<&SecretString>,
    ) -> Result<SecretString, Error> {
        let local = self.local(&account.id)?;
        let mut uncounted = local.fetching.lock().await;
        if let Some(token) = self.in_memory(&account.id, rejected) {
            return Ok(token);
        }
        match self.obtain_shared(account, rejected).await {
            Ok(result) => result,
            Err(away) => {
                tracing::warn!(account = %account.id, problem = %away, "token.store_away");
                self.obtain_alone(account, rejected, &mut uncounted).await
            }
        }
    }

    /// With the store: its token, or a fetch under a lease. The outer error is the store's.
    async fn obtain_shared(
        &self,
        account: &Account,
        rejected: Option<&SecretString>,
    ) -> Result<Result<SecretString, Error>, StoreError> {
        for _ in 0..LOOKS {
            let kept = self.kept(&account.id).await?;
            if let Some(token) = kept.as_ref().and_then(|token| self.adopt(account, token, rejected)) {
                return Ok(Ok(token));
            }
            if let Some(back_off) = self.back_off(&account.id).await? {
                return Ok(Err(backing_off(account, &back_off, self.clock.now())));
            }
            let name = format!("token:{}", account.id);
            if let Some(lease) = self.store.acquire_lease(&name, &self.owner, LEASE).await? {
                let fetched = self.fetch_leased(account, rejected, &lease).await;
                self.store.release_lease(&lease).await?;
                return fetched;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let message = "Another replica's fetch of the vendor's token took too long.";
        Ok(Err(Error::new(ErrorClass::Unavailable, "upstream-unavailable", message)))
    }

    /// Looks once more, because the one who held the lease before may have fetched, and fetches.
    async fn fetch_leased(
        &self,
        account: &Account,
        rejected: Option<&SecretString>,
        _lease: &Lease,
    ) -> Result<Result<SecretString, Error>, StoreError> {
        let kept = self.kept(&account.id).await?;
        if let Some(token) = kept.as_ref().and_then(|token| self.adopt(account, token, rejected)) {
            return Ok(Ok(token));
        }
        let mut previous = kept.map(into_token).filter(|token| token.refresh.is_some());
        loop {
            if let Err(refused) = self.count_fetch(account).await? {
                return Ok(Err(refused));
            }
            match self.fetch(account, previous.as_ref()).await {
                Ok(token) => {
                    self.keep(&account.id, &token).await?;
                    return Ok(Ok(token.access));
                }
                // A refresh token may be void while the credentials are good.
                Err(error) if previous.is_some() && is_refusal(&error) => previous = None,
                Err(error) => {
                    if is_refusal(&error) {
                        self.start_back_off(account, &error).await?;
                    }
                    return Ok(Err(error));
                }
            }
        }
    }

    /// Without the store: the token in memory while it lasts, then a small reserve of fetches.
    async fn obtain_alone(
        &self,
        account: &Account,
        rejected: Option<&SecretString>,
        uncounted: &mut Vec<Timestamp>,
    ) -> Result<SecretString, Error> {
        let now = self.clock.now();
        let local = self.local(&account.id)?;
        {
            let held = local.token.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((token, _)) = held.as_ref()
                && now < token.expires_at
                && !is_same(&token.access, rejected)
            {
                return Ok(token.access.clone());
            }
        }
        uncounted.retain(|at| now.millis() - at.millis() < millis(DAY));
        if uncounted.len() >= RESERVE {
            let message = "The store that counts token fetches is away, and the reserve is used up.";
            return Err(Error::new(ErrorClass::Unavailable, "store-unavailable", message));
        }
        uncounted.push(now);
        let token = self.fetch(account, None).await?;
        Ok(token.access)
    }

    async fn fetch(&self, account: &Account, previous: Option<&Token>) -> Result<Token, Error> {
        let fetched = self.try_fetch(account, previous).await;
        let outcome = match &fetched {
            Ok(_) => "ok",
            Err(error) if is_refusal(error) => "refused",
            Err(_) => "failed",
        };
        let [id, vendor] = labels(account);
        self.metrics.token_fetches.with_label_values(&[id, vendor, outcome]).inc();
        match &fetched {
            Ok(token) => {
                tracing::info!(account = %account.id, expires_at = %token.expires_at, "token.fetched");
                self.remember(&account.id, token.clone(), self.clock.now());
            }
            Err(error) => {
                let (code, detail) = (error.code, error.detail.as_deref());
                tracing::warn!(account = %account.id, code, detail, problem = %error, "token.fetch_failed");
            }
        }
        fetched
    }

    async fn try_fetch(&self, account: &Account, previous: Option<&Token>) -> Result<Token, Error> {
        let exchange = Exchange {
            pool: account.id.to_string(),
            request: account.vendor.token_request(previous)?,
            timeout: FETCH_TIMEOUT,
            body_limit: BODY_LIMIT,
            reuse: Reuse::Never,
        };
        let answer = self.wire.exchange(exchange).await.map_err(|error| match error {
            WireError::Timeout => Error::new(
                ErrorClass::Timeout,
                "upstream-timeout",
                "The vendor's token service did not answer in time.",
            ),
            WireError::NotSent(detail) | WireError::Broken(detail) => {
                let message = "The vendor's token service cannot be reached.";
                Error::new(ErrorClass::Unavailable, "upstream-unavailable", message).with_detail(detail)
            }
        })?;
        if let Some(problem) = answer.body_problem {
            let message = "The vendor's token service answered with a broken body.";
            return Err(Error::new(ErrorClass::Protocol, "upstream-protocol", message).with_detail(problem));
        }
        account.vendor.parse_token(&answer.response, self.clock.now())
    }

    fn remember(&self, account: &AccountId, token: Token, fetched_at: Timestamp) {
        let life = token.expires_at.millis() - fetched_at.millis();
        let ahead = millis(AHEAD).min(life / 10);
        let renew_at = token.expires_at.plus_millis(-ahead);
        if let Some(local) = self.local.get(account) {
            *local.token.write().unwrap_or_else(PoisonError::into_inner) = Some((token, renew_at));
        }
    }

    /// Takes a token of the store over, if it is of use.
    fn adopt(&self, account: &Account, kept: &Kept, rejected: Option<&SecretString>) -> Option<SecretString> {
        let is_rejected = rejected.is_some_and(|rejected| rejected.expose_secret() == kept.access);
        if is_rejected {
            return None;
        }
        let token = into_token_ref(kept);
        self.remember(&account.id, token, kept.fetched_at);
        self.in_memory(&account.id, rejected)
    }

    async fn kept(&self, account: &AccountId) -> Result<Option<Kept>, StoreError> {
        let found = self.store.get_value(&token_key(account)).await?;
        Ok(found.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    async fn keep(&self, account: &AccountId, token: &Token) -> Result<(), StoreError> {
        let now = self.clock.now();
        let kept = Kept {
            access: token.access.expose_secret().to_owned(),
            refresh: token.refresh.as_ref().map(|refresh| refresh.expose_secret().to_owned()),
            fetched_at: now,
            expires_at: token.expires_at,
        };
        // A refresh token outlives the token that it renews.
        let life = token.expires_at.millis() - now.millis() + millis(DAY);
        let life = Duration::from_millis(u64::try_from(life).unwrap_or(1).max(1));
        let json = serde_json::to_vec(&kept).unwrap_or_default();
        self.store.put_value(&token_key(account), Bytes::from(json), life).await?;
        self.store.delete_value(&back_off_key(account)).await?;
        Ok(())
    }

    async fn back_off(&self, account: &AccountId) -> Result<Option<BackOff>, StoreError> {
        let found = self.store.get_value(&back_off_key(account)).await?;
        let back_off: Option<BackOff> = found.and_then(|json| serde_json::from_slice(&json).ok());
        Ok(back_off.filter(|back_off| back_off.until > self.clock.now()))
    }

    async fn start_back_off(&self, account: &Account, error: &Error) -> Result<(), StoreError> {
        let key = back_off_key(&account.id);
        let before: Option<BackOff> =
            self.store.get_value(&key).await?.and_then(|json| serde_json::from_slice(&json).ok());
        let failures = before.map_or(1, |before| before.failures.saturating_add(1));
        let delay = BACK_OFF.saturating_mul(1 << (failures - 1).min(10)).min(BACK_OFF_LIMIT);
        let until = self.clock.now().plus_millis(millis(delay));
        let code = error.upstream.as_ref().and_then(|upstream| upstream.code.clone());
        tracing::error!(account = %account.id, %until, failures, "token.credentials_refused");
        let json = serde_json::to_vec(&BackOff { until, failures, code }).unwrap_or_default();
        self.store.put_value(&key, Bytes::from(json), delay.saturating_mul(2)).await
    }

    /// Counts a fetch in the store before it is done. The inner error says that the budget is used up.
    async fn count_fetch(&self, account: &Account) -> Result<Result<(), Error>, StoreError> {
        let Some(budget) = account.vendor.descriptor().token_budget else { return Ok(Ok(())) };
        let allowed = usize::try_from(allowed_fetches(budget.fetches)).unwrap_or(usize::MAX);
        let now = self.clock.now();
        let mut fetches = self.fetches(&account.id, budget.window).await?;
        let label = labels(account);
        if fetches.len() >= allowed {
            self.metrics.token_budget.with_label_values(&label).set(0);
            let oldest = fetches.first().copied().unwrap_or(now);
            let wait = oldest.millis() + millis(budget.window) - now.millis();
            let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
            let message = "The vendor's limit of token fetches is nearly used up; no more are made now.";
            return Ok(Err(
                Error::new(ErrorClass::RateLimited, "upstream-rate-limited", message).with_retry_after(wait)
            ));
        }
        fetches.push(now);
        self.metrics.token_budget.with_label_values(&label).set(left(allowed, fetches.len()));
        let json = serde_json::to_vec(&fetches).unwrap_or_default();
        self.store.put_value(&fetches_key(&account.id), Bytes::from(json), budget.window).await?;
        Ok(Ok(()))
    }

    async fn fetches(&self, account: &AccountId, window: Duration) -> Result<Vec<Timestamp>, StoreError> {
        let found = self.store.get_value(&fetches_key(account)).await?;
        let mut fetches: Vec<Timestamp> =
            found.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        let now = self.clock.now();
        fetches.retain(|at| now.millis() - at.millis() < millis(window));
        Ok(fetches)
    }

    /// The state of an account's token.
    ///
    /// # Errors
    /// `Unavailable` when the store is away.
    pub async fn state(&self, account: &Account) -> Result<TokenState, Error> {
        if account.vendor.fixed_token().is_some() {
            return Ok(TokenState { kind: "fixed", state: "fixed", expires_at: None, fetches_left: None });
        }
        let now = self.clock.now();
        let kept = self.kept(&account.id).await.map_err(store_failure)?.filter(|kept| kept.expires_at > now);
        let backing_off = self.back_off(&account.id).await.map_err(store_failure)?.is_some();
        let fetches_left = match account.vendor.descriptor().token_budget {
            Some(budget) => {
                let fetches = self.fetches(&account.id, budget.window).await.map_err(store_failure)?.len();
                let fetches = u32::try_from(fetches).unwrap_or(u32::MAX);
                Some(allowed_fetches(budget.fetches).saturating_sub(fetches))
            }
            None => None,
        };
        let state = match (&kept, backing_off) {
            (_, true) => "backing_off",
            (Some(_), false) => "cached",
            (None, false) => "none",
        };
        Ok(TokenState { kind: "fetched", state, expires_at: kept.map(|kept| kept.expires_at), fetches_left })
    }
}

fn labels(account: &Account) -> [&str; 2] {
    [account.id.as_str(), account.vendor.descriptor().vendor.as_str()]
}

fn token_key(account: &AccountId) -> String {
    format!("token:{account}")
}

fn back_off_key(account: &AccountId) -> String {
    format!("token-back-off:{account}")
}

fn fetches_key(account: &AccountId) -> String {
    format!("token-fetches:{account}")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn allowed_fetches(budget: u32) -> u32 {
    budget * BUDGET_SHARE.0 / BUDGET_SHARE.1
}

fn left(allowed: usize, used: usize) -> i64 {
    i64::try_from(allowed.saturating_sub(used)).unwrap_or(i64::MAX)
}

fn is_same(token: &SecretString, other: Option<&SecretString>) -> bool {
    other.is_some_and(|other| other.expose_secret() == token.expose_secret())
}

fn into_token(kept: Kept) -> Token {
    into_token_ref(&kept)
}

fn into_token_ref(kept: &Kept) -> Token {
    Token {
        access: SecretString::from(kept.access.clone()),
        refresh: kept.refresh.clone().map(SecretString::from),
        expires_at: kept.expires_at,
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.class, ErrorClass::Unauthenticated | ErrorClass::Forbidden | ErrorClass::InvalidInput)
}

fn backing_off(account: &Account, back_off: &BackOff, now: Timestamp) -> Error {
    let wait = u64::try_from(back_off.until.millis() - now.millis()).unwrap_or(0);
    let message = format!(
        "{} refused this account's credentials; they are tried again after {}.",
        account.vendor.descriptor().vendor,
        back_off.until
    );
    Error::new(ErrorClass::Forbidden, "upstream-auth", message).with_retry_after(Duration::from_millis(wait))
}

fn internal(detail: &str) -> Error {
    Error::new(ErrorClass::Internal, "internal", "Something went wrong here.").with_detail(detail)
}
