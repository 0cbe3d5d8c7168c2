//! `Idempotency-Key`: the same key and request get the first answer again, for a day.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_core::{Error, ErrorClass};
use outdial_store::Store;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::heartbeat::{Heartbeat, LEASE};
use crate::{
    api_error::{ApiError, store_failure},
    tasks::Tasks,
};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// When one whose first request is still running may ask again.
const RUNNING_RETRY: Duration = Duration::from_secs(1);

/// An answer as it was given first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Location`.
    pub location: Option<String>,
    /// `Content-Type`.
    pub content_type: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    /// Set before the first byte goes to the vendor.
    roster_id: Option<String>,
    answer: Option<SavedAnswer>,
}

/// What a key means for a request.
pub enum Begin {
    /// Nobody came with it before: the work is to be done, and the claim completed.
    Fresh(Claim),
    /// It was answered before.
    Replay(SavedAnswer),
    /// The one who worked for it died after it had begun to send this roster.
    Orphaned(String, Claim),
}

/// Keys and what came of them.
#[derive(Clone)]
pub struct Idempotency {
    store: Arc<dyn Store>,
    tasks: Tasks,
    owner: String,
}

/// The right to do the work of one key.
pub struct Claim {
    store: Arc<dyn Store>,
    key: String,
    kept: Kept,
    heartbeat: Heartbeat,
}

impl Idempotency {
    /// Keys in this store. `owner` names this replica.
    pub fn new(store: Arc<dyn Store>, tasks: Tasks, owner: String) -> Self {
        Self { store, tasks, owner }
    }

    /// Looks a key up and claims it. `scope` is who asks, and where; `fingerprint` is what they ask for.
    ///
    /// # Errors
    /// `idempotency-key-reused` for another request, `idempotency-in-progress` while the first still runs.
    pub async fn begin(&self, scope: &[&str], fingerprint: String) -> Result<Begin, ApiError> {
        let name = digest(scope);
        let key = format!("idempotency:{name}");
        let known = self.load(&key).await?;
        if let Some(kept) = &known {
            check_fingerprint(kept, &fingerprint)?;
            if let Some(answer) = &kept.answer {
                return Ok(Begin::Replay(answer.clone()));
            }
        }
        // One claim per request, not per replica: two requests in one process are two owners.
        let owner = format!("{}/{}", self.owner, uuid::Uuid::new_v4());
        let lease = self.store.acquire_lease(&key, &owner, LEASE).await?.ok_or_else(in_progress)?;
        let heartbeat = Heartbeat::start(Arc::clone(&self.store), lease, &self.tasks);
        // Between the look and the lease the first may have ended.
        let known = self.load(&key).await?;
        let fresh = Kept { fingerprint: fingerprint.clone(), roster_id: None, answer: None };
        let kept = known.unwrap_or(fresh);
        let claim = Claim { store: Arc::clone(&self.store), key, kept, heartbeat };
        if let Err(reused) = check_fingerprint(&claim.kept, &fingerprint) {
            claim.release().await;
            return Err(reused);
        }
        match (claim.kept.answer.clone(), claim.kept.roster_id.clone()) {
            (Some(answer), _) => {
                claim.release().await;
                Ok(Begin::Replay(answer))
            }
            (None, Some(roster_id)) => Ok(Begin::Orphaned(roster_id, claim)),
            (None, None) => {
                claim.save().await.map_err(store_failure)?;
                Ok(Begin::Fresh(claim))
            }
        }
    }

    async fn load(&self, key: &str) -> Result<Option<Kept>, ApiError> {
        let json = self.store.get_value(key).await?;
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }
}

impl Claim {
    async fn save(&self) -> Result<(), outdial_store::StoreError> {
        let json = serde_json::to_vec(&self.kept).unwrap_or_default();
        self.store.put_value(&self.key, Bytes::from(json), KEPT).await
    }

    async fn release(&self) {
        if let Err(error) = self.store.release_lease(self.heartbeat.lease()).await {
            tracing::warn!(problem = %error, "idempotency.lease_not_released");
        }
    }

    /// Notes that a roster is about to be sent: from now on the work is never begun anew.
    ///
    /// # Errors
    /// When that cannot be stored; then nothing may be sent.
    pub async fn note_sending(&mut self, roster_id: &str) -> Result<(), ApiError> {
        self.kept.roster_id = Some(roster_id.to_owned());
        self.save().await.map_err(|error| store_failure(error).into())
    }

    /// Whether sending has begun.
    pub fn is_sending(&self) -> bool {
        self.kept.roster_id.is_some()
    }

    /// Keeps the answer.
    pub async fn complete(mut self, answer: SavedAnswer) {
        self.kept.answer = Some(answer);
        if let Err(error) = self.save().await {
            tracing::error!(problem = %error, "idempotency.answer_not_kept");
        }
        self.release().await;
    }

    /// Gives the key back: nothing was done.
    pub async fn abandon(self) {
        if let Err(error) = self.store.delete_value(&self.key).await {
            tracing::warn!(problem = %error, "idempotency.key_not_given_back");
        }
        self.release().await;
    }
}

fn check_fingerprint(kept: &Kept, fingerprint: &str) -> Result<(), ApiError> {
    if kept.fingerprint == fingerprint {
        return Ok(());
    }
    let message = "This Idempotency-Key came before with another request.";
    Err(Error::new(ErrorClass::Conflict, "idempotency-key-reused", message).into())
}

fn in_progress() -> ApiError {
    let message = "The first request with this Idempotency-Key is still running.";
    Error::new(ErrorClass::Conflict, "idempotency-in-progress", message)
        .with_retry_after(RUNNING_RETRY)
        .into()
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
