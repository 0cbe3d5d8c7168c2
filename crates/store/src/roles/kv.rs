//! Small values with a life time, and leases. Life times run on the store's own monotonic or server time, not on the
//! callers' clocks.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{StoreError, StoreErrorKind};

/// Small values, shared by all replicas. Values are at most 1 MiB, keys at most 512 bytes.
#[async_trait]
pub trait Kv: Send + Sync {
    /// The value, unless it has expired.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_value(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Sets the value.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`, `Invalid` when too large.
    async fn put_value(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError>;

    /// Sets a value that may be lost where a power cut ends the store: it can be asked for anew. It outlives everything else.
    ///
    /// # Errors
    /// As those of [`put_value`](Kv::put_value).
    async fn put_passing_value(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        self.put_value(key, value, ttl).await
    }

    /// Sets the value if the present one is `expected` (`None`: absent or expired), in one atomic step, durably. Answers whether
    /// it was set.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`, `Invalid` when too large.
    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&Bytes>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Removes the value. Answers whether it was there.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn delete_value(&self, key: &str) -> Result<bool, StoreError>;
}

const KEY_LIMIT: usize = 512;
const VALUE_LIMIT: usize = 1024 * 1024;

/// Refuses a key or value that is too large.
pub(crate) fn check_value(key: &str, value: &Bytes) -> Result<(), StoreError> {
    if key.len() <= KEY_LIMIT && value.len() <= VALUE_LIMIT {
        return Ok(());
    }
    let detail = format!("a key of {} bytes or a value of {} bytes is too large", key.len(), value.len());
    Err(StoreError::new(StoreErrorKind::Invalid, detail))
}

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub name: String,
    /// Who holds it.
    pub owner: String,
    /// Grows with every change of owner, and is never given twice: a write under an older number is a late owner's.
    pub fence: u64,
}

/// Leases.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease if nobody holds it, or renews it if `owner` does (then under the same fence). `None` if someone else
    /// holds it.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError>;

    /// Renews a lease that is still held under this fence. Answers whether it was.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back, if it is still held under this fence.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError>;
}
