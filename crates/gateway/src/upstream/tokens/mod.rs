//! Vendors' tokens: one per account for all replicas, one fetch in flight, never in a loop.

mod ledger;
mod suspects;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicBool},
    time::{Duration, Instant},
};

use outdial_core::{AccountId, Clock, Error, ErrorClass, ExposeSecret, SecretString, Timestamp, Token};
use outdial_store::{Store, StoreError};
use serde::Serialize;

use self::ledger::{Kept, Ledger, millis};
use super::wire::{Exchange, Reuse, Wire, WireError};
use crate::{accounts::Account, api_error::store_failure, tasks::Tasks, telemetry::Metrics};

/// A token is renewed this long before its end, or at nine tenths of a shorter life.
const AHEAD: Duration = Duration::from_secs(300);
/// How often a renewal ahead of a token's end is tried in this replica, at most: it may fail, and the token is good still.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// How long a fetch may take. A lease covers two of them: a refresh that is refused, and a fetch with the credentials.
const FETCH_TIMEOUT: Duration = Duration::from_secs(12);
const LEASE: Duration = Duration::from_secs(30);
/// How often one who waits for another replica's fetch looks for its result, and how often at most.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const LOOKS: u32 = 150;
/// Fetches in a day that a replica may do while the store, which counts them, is away.
const RESERVE: usize = 4;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest answer to a fetch.
const BODY_LIMIT: usize = 256 * 1024;

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
    /// When a renewal was last begun.
    renewal: Mutex<Option<Instant>>,
    /// A token that a relayed call was refused with; the next call tries to replace it.
    suspect: RwLock<Option<SecretString>>,
    /// Whether there is one, for those who only look.
    is_suspect: AtomicBool,
    /// Held while fetching, so that one process fetches once. Holds the times of fetches that the store did not count.
    fetching: tokio::sync::Mutex<Vec<Timestamp>>,
}

/// Tokens of all accounts.
pub struct Tokens {
    ledger: Ledger,
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
        let ledger = Ledger::new(store, Arc::clone(&clock), Arc::clone(&metrics));
        Self { ledger, wire, clock, metrics, tasks, local, owner }
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
        if let Some(token) = self.at_hand(account, rejected.as_ref()) {
            return Ok(token);
        }
        if rejected.is_none()
            && let Some(suspect) = self.take_suspect(&account.id)
        {
            return self.replace(account, suspect).await;
        }
        // Somebody else may have taken the doubt just now.
        if let Some(token) = self.in_memory(&account.id, rejected.as_ref()) {
            return Ok(token);
        }
        if let Some(token) = self.ending(&account.id, rejected.as_ref()) {
            self.renew_ahead(account);
            return Ok(token);
        }
        self.obtain_apart(account, rejected).await
    }

    /// The token that nobody has to wait for, nor doubts.
    pub fn at_hand(&self, account: &Account, rejected: Option<&SecretString>) -> Option<SecretString> {
        if let Some(fixed) = account.vendor.fixed_token() {
            return Some(fixed.clone());
        }
        let is_doubted = rejected.is_none() && self.is_suspect(&account.id);
        if is_doubted { None } else { self.in_memory(&account.id, rejected) }
    }

    async fn obtain_apart(
        self: &Arc<Self>,
        account: &Arc<Account>,
        rejected: Option<SecretString>,
    ) -> Result<SecretString, Error> {
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

    /// The token in memory that is due to be renewed, and good still.
    fn ending(&self, account: &AccountId, rejected: Option<&SecretString>) -> Option<SecretString> {
        let held = self.local.get(account)?.token.read().unwrap_or_else(PoisonError::into_inner);
        let (token, _) = held.as_ref()?;
        let usable = self.clock.now() < token.expires_at && !is_same(&token.access, rejected);
        usable.then(|| token.access.clone())
    }

    /// Renews a token before it ends; nobody waits for that. A failure is tried again with a call that comes later.
    fn renew_ahead(self: &Arc<Self>, account: &Arc<Account>) {
        let Ok(local) = self.local(&account.id) else { return };
        let mut renewal = local.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        if renewal.is_some_and(|begun| begun.elapsed() < RENEWAL_INTERVAL) {
            return;
        }
        *renewal = Some(Instant::now());
        drop(renewal);
        let (tokens, account) = (Arc::clone(self), Arc::clone(account));
        self.tasks.spawn(async move {
            if let Err(error) = tokens.obtain(&account, None).await {
                tracing::warn!(account = %account.id, code = error.code, problem = %error, "token.not_renewed");
            }
        });
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
            let kept = self.ledger.kept(&account.id).await?;
            if let Some(token) = kept.as_ref().and_then(|kept| self.adopt(account, kept, rejected)) {
                return Ok(Ok(token));
            }
            if let Some(forbidden) = self.ledger.forbids(account, kept.as_ref(), rejected).await? {
                return Ok(Err(forbidden));
            }
            let name = format!("token:{}", account.id);
            let store = self.ledger.store();
            if let Some(lease) = store.acquire_lease(&name, &self.owner, LEASE).await? {
                let fetched = self.fetch_leased(account, rejected).await;
                store.release_lease(&lease).await?;
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
    ) -> Result<Result<SecretString, Error>, StoreError> {
        let kept = self.ledger.kept(&account.id).await?;
        if let Some(token) = kept.as_ref().and_then(|kept| self.adopt(account, kept, rejected)) {
            return Ok(Ok(token));
        }
        let replaced = kept.as_ref().filter(|kept| kept.is(rejected));
        let mut previous = kept.as_ref().map(Kept::token).filter(|token| token.refresh.is_some());
        loop {
            if let Err(refused) = self.ledger.count_fetch(account).await? {
                return Ok(Err(refused));
            }
            match self.fetch(account, previous.as_ref()).await {
                Ok(token) => {
                    self.ledger.keep(&account.id, &token, replaced).await?;
                    return Ok(Ok(token.access));
                }
                // A refresh token may be void while the credentials are good.
                Err(error) if previous.is_some() && is_refusal(&error) => previous = None,
                Err(error) => {
                    self.ledger.start_back_off(account, &error).await?;
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
        if let Some(token) = self.ending(&account.id, rejected) {
            return Ok(token);
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
            WireError::NotSent(_, detail) | WireError::Broken(detail) => {
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
        if kept.is(rejected) {
            return None;
        }
        self.remember(&account.id, kept.token(), kept.fetched_at);
        self.in_memory(&account.id, rejected)
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
        let kept = self.ledger.kept(&account.id).await.map_err(store_failure)?;
        let kept = kept.filter(|kept| kept.expires_at > now);
        let backing_off = self.ledger.is_backing_off(&account.id).await.map_err(store_failure)?;
        let fetches_left = self.ledger.fetches_left(account).await.map_err(store_failure)?;
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

fn is_same(token: &SecretString, other: Option<&SecretString>) -> bool {
    other.is_some_and(|other| other.expose_secret() == token.expose_secret())
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.class, ErrorClass::Unauthenticated | ErrorClass::Forbidden | ErrorClass::InvalidInput)
}

fn internal(detail: &str) -> Error {
    Error::new(ErrorClass::Internal, "internal", "Something went wrong here.").with_detail(detail)
}

#[cfg(test)]
mod tests;
