//! What all replicas share of an account's token: the token itself, the fetches that were made, and the back-off.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_core::{AccountId, Clock, Error, ErrorClass, ExposeSecret, SecretString, Timestamp, Token};
use outdial_store::{Store, StoreError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::is_refusal;
use crate::{accounts::Account, telemetry::Metrics};

/// Back-off after refused credentials, and after a token service that failed: doubled each time, up to the limit.
const REFUSED: (Duration, Duration) = (Duration::from_secs(15 * 60), Duration::from_secs(6 * 60 * 60));
const FAILED: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(15 * 60));
/// A vendor that refuses fresh tokens gets the next one only after so long, doubled each time. The first costs nothing:
/// tokens do expire early.
const REJECTED: Duration = Duration::from_secs(30);
/// A token that lived so long was good, whatever came of those before it.
const PROVEN: Duration = Duration::from_secs(60 * 60);
/// Largest power of two that a delay is multiplied by.
const DOUBLINGS: u32 = 10;
/// The share of a vendor's budget that we use: what is left is for people and other programs.
const BUDGET_SHARE: (u32, u32) = (100, 128);
/// A refresh token outlives the token that it renews.
const REFRESH_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A token as the store keeps it.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    access: String,
    refresh: Option<String>,
    pub fetched_at: Timestamp,
    pub expires_at: Timestamp,
    /// How many tokens in a row the vendor refused although they had not expired.
    #[serde(default)]
    rejections: u32,
}

impl Kept {
    /// The token.
    pub fn token(&self) -> Token {
        Token {
            access: SecretString::from(self.access.clone()),
            refresh: self.refresh.clone().map(SecretString::from),
            expires_at: self.expires_at,
        }
    }

    /// Whether this is the token that the vendor no longer takes.
    pub fn is(&self, rejected: Option<&SecretString>) -> bool {
        rejected.is_some_and(|rejected| rejected.expose_secret() == self.access)
    }

    /// How long to wait before a token in place of this rejected one is fetched.
    fn wait(&self, now: Timestamp) -> Duration {
        if self.rejections == 0 {
            return Duration::ZERO;
        }
        let due = self.fetched_at.plus_millis(millis(doubled((REJECTED, FAILED.1), self.rejections)));
        Duration::from_millis(u64::try_from(due.millis() - now.millis()).unwrap_or(0))
    }
}

/// After a fetch that failed.
#[derive(Serialize, Deserialize)]
struct BackOff {
    until: Timestamp,
    failures: u32,
    /// Whether the credentials were refused, rather than the service broken.
    refused: bool,
}

/// The shared state of tokens.
pub struct Ledger {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Ledger {
    /// The state in this store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self { store, clock, metrics }
    }

    /// The store itself, for leases.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    async fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let json = self.store.get_value(key).await?;
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    async fn save<T: Serialize>(&self, key: &str, value: &T, life: Duration) -> Result<(), StoreError> {
        let json = serde_json::to_vec(value).unwrap_or_default();
        self.store.put_value(key, Bytes::from(json), life).await
    }

    /// The token that is kept, expired or not.
    pub async fn kept(&self, account: &AccountId) -> Result<Option<Kept>, StoreError> {
        self.load(&token_key(account)).await
    }

    /// Keeps a fetched token; `replaced` is one that the vendor refused before its time.
    pub async fn keep(
        &self,
        account: &AccountId,
        token: &Token,
        replaced: Option<&Kept>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let unproven = replaced.filter(|kept| now.millis() - kept.fetched_at.millis() < millis(PROVEN));
        let kept = Kept {
            access: token.access.expose_secret().to_owned(),
            refresh: token.refresh.as_ref().map(|refresh| refresh.expose_secret().to_owned()),
            fetched_at: now,
            expires_at: token.expires_at,
            rejections: unproven.map_or(0, |kept| kept.rejections.saturating_add(1)),
        };
        let life = token.expires_at.millis() - now.millis() + millis(REFRESH_LIFE);
        let life = Duration::from_millis(u64::try_from(life).unwrap_or(1).max(1));
        self.save(&token_key(account), &kept, life).await?;
        self.store.delete_value(&back_off_key(account)).await?;
        Ok(())
    }

    /// Whether a fetch has to wait: after failures, or because the vendor refuses one fresh token after the other.
    pub async fn forbids(
        &self,
        account: &Account,
        kept: Option<&Kept>,
        rejected: Option<&SecretString>,
    ) -> Result<Option<Error>, StoreError> {
        let now = self.clock.now();
        let back_off: Option<BackOff> = self.load(&back_off_key(&account.id)).await?;
        if let Some(back_off) = back_off.filter(|back_off| back_off.until > now) {
            let wait = u64::try_from(back_off.until.millis() - now.millis()).unwrap_or(0);
            return Ok(Some(back_off.error(account).with_retry_after(Duration::from_millis(wait))));
        }
        let wait = kept.filter(|kept| kept.is(rejected)).map_or(Duration::ZERO, |kept| kept.wait(now));
        if wait.is_zero() {
            return Ok(None);
        }
        let vendor = &account.vendor.descriptor().vendor;
        let message = format!("{vendor} refuses tokens that it has just given; the next is fetched later.");
        Ok(Some(Error::new(ErrorClass::Forbidden, "upstream-auth", message).with_retry_after(wait)))
    }

    /// Whether the account waits after refused credentials or a broken token service.
    pub async fn is_backing_off(&self, account: &AccountId) -> Result<bool, StoreError> {
        let back_off: Option<BackOff> = self.load(&back_off_key(account)).await?;
        Ok(back_off.is_some_and(|back_off| back_off.until > self.clock.now()))
    }

    /// Begins, or prolongs, the wait after a failed fetch.
    pub async fn start_back_off(&self, account: &Account, error: &Error) -> Result<(), StoreError> {
        let key = back_off_key(&account.id);
        let refused = is_refusal(error);
        let before: Option<BackOff> = self.load(&key).await?;
        let failures = before
            .filter(|before| before.refused == refused)
            .map_or(1, |before| before.failures.saturating_add(1));
        let delay = doubled(if refused { REFUSED } else { FAILED }, failures);
        let until = self.clock.now().plus_millis(millis(delay));
        tracing::error!(account = %account.id, %until, failures, refused, "token.backing_off");
        self.save(&key, &BackOff { until, failures, refused }, delay.saturating_mul(2)).await
    }

    /// Counts a fetch before it is made. The inner error says that the budget is used up.
    pub async fn count_fetch(&self, account: &Account) -> Result<Result<(), Error>, StoreError> {
        let Some(budget) = account.vendor.descriptor().token_budget else { return Ok(Ok(())) };
        let now = self.clock.now();
        let mut fetches = self.fetches(&account.id, budget.window).await?;
        let left = allowed_fetches(budget.fetches).saturating_sub(as_u32(fetches.len()));
        self.show_left(account, left.saturating_sub(1));
        if left == 0 {
            let oldest = fetches.first().copied().unwrap_or(now);
            let wait = oldest.millis() + millis(budget.window) - now.millis();
            let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
            let message = "The vendor's limit of token fetches is nearly used up; no more are made now.";
            let error = Error::new(ErrorClass::RateLimited, "upstream-rate-limited", message);
            return Ok(Err(error.with_retry_after(wait)));
        }
        fetches.push(now);
        self.save(&fetches_key(&account.id), &fetches, budget.window).await?;
        Ok(Ok(()))
    }

    fn show_left(&self, account: &Account, left: u32) {
        let labels = [account.id.as_str(), account.vendor.descriptor().vendor.as_str()];
        self.metrics.token_budget.with_label_values(&labels).set(i64::from(left));
    }

    /// Fetches left before we stop, where the vendor has a budget.
    pub async fn fetches_left(&self, account: &Account) -> Result<Option<u32>, StoreError> {
        let Some(budget) = account.vendor.descriptor().token_budget else { return Ok(None) };
        let made = as_u32(self.fetches(&account.id, budget.window).await?.len());
        let left = allowed_fetches(budget.fetches).saturating_sub(made);
        self.show_left(account, left);
        Ok(Some(left))
    }

    /// Whether at least half of the fetches are left that we make of the vendor's budget; without one, always.
    pub async fn is_half_left(&self, account: &Account) -> Result<bool, StoreError> {
        let budget = account.vendor.descriptor().token_budget;
        let Some(budget) = budget else { return Ok(true) };
        let made = as_u32(self.fetches(&account.id, budget.window).await?.len());
        Ok(made <= allowed_fetches(budget.fetches) / 2)
    }

    async fn fetches(&self, account: &AccountId, window: Duration) -> Result<Vec<Timestamp>, StoreError> {
        let mut fetches: Vec<Timestamp> = self.load(&fetches_key(account)).await?.unwrap_or_default();
        let now = self.clock.now();
        fetches.retain(|at| now.millis() - at.millis() < millis(window));
        Ok(fetches)
    }
}

impl BackOff {
    fn error(&self, account: &Account) -> Error {
        let (vendor, until) = (&account.vendor.descriptor().vendor, self.until);
        if self.refused {
            let message =
                format!("{vendor} refused this account's credentials; they are tried again after {until}.");
            return Error::new(ErrorClass::Forbidden, "upstream-auth", message);
        }
        let message = format!("{vendor}'s token service failed; it is tried again after {until}.");
        Error::new(ErrorClass::Unavailable, "upstream-unavailable", message)
    }
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

/// The first delay for the first failure, twice that for the second, and so on up to the limit.
fn doubled((first, limit): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.saturating_sub(1).min(DOUBLINGS)).min(limit)
}

fn allowed_fetches(budget: u32) -> u32 {
    budget * BUDGET_SHARE.0 / BUDGET_SHARE.1
}

fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A duration for arithmetic with times.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit() {
        let minutes = |failures| doubled(REFUSED, failures).as_secs() / 60;
        assert_eq!([1, 2, 3, 5, 6, 60].map(minutes), [15, 30, 60, 240, 360, 360]);
    }

    #[test]
    fn of_128_fetches_100_are_ours() {
        assert_eq!(allowed_fetches(128), 100);
    }
}
