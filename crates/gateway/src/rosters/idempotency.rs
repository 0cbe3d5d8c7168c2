//! `Idempotency-Key`: the same key and request get the first answer again, for a day.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_core::{Error, ErrorClass};
use outdial_store::{Store, StoreError, StoreErrorKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::heartbeat::{Heartbeat, LEASE};
use crate::{api_error::ApiError, tasks::Tasks};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a key that is given back is still there.
const GIVEN_BACK: Duration = Duration::from_millis(1);
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
    /// Whose claim it is. One who stood still until their lease ended finds another's here, and keeps off.
    #[serde(default)]
    owner: String,
    /// Set before a roster is stored: one that is there is not begun anew, though nothing of it was sent.
    #[serde(default)]
    reserved: Option<String>,
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
    /// The one who worked for it died after it had stored this roster, or begun to send it.
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
    /// `kept` as the store has it, as far as we know.
    stored: Option<Bytes>,
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
        if let Some((_, kept)) = &known {
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
        let (stored, kept) = self.load(&key).await?.unzip();
        let fresh =
            Kept { fingerprint: fingerprint.clone(), owner, reserved: None, roster_id: None, answer: None };
        let kept = kept.unwrap_or_else(|| fresh.clone());
        let mut claim = Claim { store: Arc::clone(&self.store), key, kept, stored, heartbeat };
        if let Err(reused) = check_fingerprint(&claim.kept, &fingerprint) {
            claim.release().await;
            return Err(reused);
        }
        let begun = match self.find_begun(&claim.kept).await {
            Ok(begun) => begun,
            Err(error) => {
                claim.release().await;
                return Err(error.into());
            }
        };
        match (claim.kept.answer.clone(), begun) {
            (Some(answer), _) => {
                claim.release().await;
                Ok(Begin::Replay(answer))
            }
            (None, Some(roster_id)) => Ok(Begin::Orphaned(roster_id, claim)),
            (None, None) => {
                let taken = claim.replace(fresh).await;
                if matches!(taken, Ok(true)) {
                    return Ok(Begin::Fresh(claim));
                }
                claim.release().await;
                Err(taken.map_or_else(ApiError::from, |_| in_progress()))
            }
        }
    }

    /// The roster that was begun under a key. One that was to be stored and is not there was not.
    async fn find_begun(&self, kept: &Kept) -> Result<Option<String>, StoreError> {
        match (&kept.roster_id, &kept.reserved) {
            (None, Some(reserved)) => Ok(self.store.get_roster(reserved).await?.map(|roster| roster.id)),
            (sent, _) => Ok(sent.clone()),
        }
    }

    async fn load(&self, key: &str) -> Result<Option<(Bytes, Kept)>, ApiError> {
        let Some(json) = self.store.get_value(key).await? else { return Ok(None) };
        // What cannot be read is not nothing: its roster may have been sent.
        let kept = serde_json::from_slice(&json).map_err(|_| {
            StoreError::new(StoreErrorKind::Corrupt, "what is kept of an Idempotency-Key cannot be read")
        })?;
        Ok(Some((json, kept)))
    }
}

impl Claim {
    /// Stores what is known now, unless somebody else has stored something meanwhile. Answers whether it did.
    async fn replace(&mut self, kept: Kept) -> Result<bool, StoreError> {
        let json = Bytes::from(serde_json::to_vec(&kept).unwrap_or_default());
        let before = self.stored.as_ref();
        let replaced = self.store.compare_and_set(&self.key, before, json.clone(), KEPT).await?;
        if replaced {
            (self.kept, self.stored) = (kept, Some(json));
        }
        Ok(replaced)
    }

    async fn release(&self) {
        if let Err(error) = self.store.release_lease(self.heartbeat.lease()).await {
            tracing::warn!(problem = %error, "idempotency.lease_not_released");
        }
    }

    /// Notes that a roster is about to be stored: one that is found under the key is not stored a second time.
    ///
    /// # Errors
    /// As of [`Claim::note_sending`]; then it may not be stored.
    pub async fn reserve(&mut self, roster_id: &str) -> Result<(), ApiError> {
        let kept = Kept { reserved: Some(roster_id.to_owned()), ..self.kept.clone() };
        if self.replace(kept).await? { Ok(()) } else { Err(in_progress()) }
    }

    /// Notes that a roster is about to be sent: from now on the work is never begun anew.
    ///
    /// # Errors
    /// When that cannot be stored, and `idempotency-in-progress` when another request has the key by now; then nothing may be
    /// sent.
    pub async fn note_sending(&mut self, roster_id: &str) -> Result<(), ApiError> {
        let kept = Kept { roster_id: Some(roster_id.to_owned()), ..self.kept.clone() };
        if self.replace(kept).await? { Ok(()) } else { Err(in_progress()) }
    }

    /// Whether sending has begun.
    pub fn is_sending(&self) -> bool {
        self.kept.roster_id.is_some()
    }

    /// Keeps the answer.
    pub async fn complete(mut self, answer: SavedAnswer) {
        let kept = Kept { answer: Some(answer), ..self.kept.clone() };
        let saved = if kept.owner == self.heartbeat.lease().owner {
            // Who has noted that they send knows best, also when they were taken for dead meanwhile.
            let json = Bytes::from(serde_json::to_vec(&kept).unwrap_or_default());
            self.store.put_value(&self.key, json, KEPT).await
        } else {
            self.replace(kept).await.map(|_| ())
        };
        if let Err(error) = saved {
            tracing::error!(problem = %error, "idempotency.answer_not_kept");
        }
        self.release().await;
    }

    /// Gives the key back: nothing was done.
    pub async fn abandon(self) {
        if let Err(error) = self.give_back().await {
            tracing::warn!(problem = %error, "idempotency.key_not_given_back");
        }
        self.release().await;
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        let Some(json) = self.store.get_value(&self.key).await? else { return Ok(()) };
        if serde_json::from_slice(&json).is_ok_and(|kept: Kept| kept.owner == self.kept.owner) {
            self.store.compare_and_set(&self.key, Some(&json), json.clone(), GIVEN_BACK).await?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use outdial_core::{SecretString, SystemClock};
    use outdial_store::StoreSettings;

    use super::*;

    const SCOPE: [&str; 2] = ["someone", "some-key"];

    async fn keys(folder: &tempfile::TempDir) -> Idempotency {
        let settings = StoreSettings {
            url: SecretString::from(format!("sqlite:{}", folder.path().join("store.db").display())),
            prefix: "outdial".to_owned(),
            spool_dir: None,
            spool_max_bytes: 0,
            retention: KEPT,
            min_replicas: 0,
            allow_relaxed: false,
            clock: Arc::new(SystemClock),
        };
        let store = outdial_store::open(settings).await.unwrap();
        Idempotency::new(store, Tasks::new(tokio::runtime::Handle::current()), "replica".to_owned())
    }

    async fn fresh(keys: &Idempotency) -> Claim {
        match keys.begin(&SCOPE, "body".to_owned()).await.unwrap() {
            Begin::Fresh(claim) => claim,
            _ => panic!("the key is not free"),
        }
    }

    /// A claim whose owner stood still until its lease had ended, and the claim of the next one.
    async fn late_and_next(keys: &Idempotency) -> (Claim, Claim) {
        let late = fresh(keys).await;
        late.release().await;
        (late, fresh(keys).await)
    }

    fn answer(status: u16) -> SavedAnswer {
        let content_type = "application/json".to_owned();
        SavedAnswer { status, location: None, content_type, retry_after: None, body: "{}".to_owned() }
    }

    async fn replayed_status(keys: &Idempotency) -> Option<u16> {
        match keys.begin(&SCOPE, "body".to_owned()).await.unwrap() {
            Begin::Replay(answer) => Some(answer.status),
            _ => None,
        }
    }

    #[tokio::test]
    async fn one_who_lost_the_key_may_not_send() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder).await;
        let (mut late, mut next) = late_and_next(&keys).await;
        next.note_sending("ros_2").await.unwrap();
        let refused = late.note_sending("ros_1").await.unwrap_err();
        assert_eq!(refused.error.code, "idempotency-in-progress");
        assert!(!late.is_sending());
    }

    #[tokio::test]
    async fn one_who_lost_the_key_may_not_give_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder).await;
        let (late, mut next) = late_and_next(&keys).await;
        next.note_sending("ros_2").await.unwrap();
        late.abandon().await;
        next.complete(answer(201)).await;
        assert_eq!(replayed_status(&keys).await, Some(201));
    }

    #[tokio::test]
    async fn a_key_that_is_given_back_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder).await;
        fresh(&keys).await.abandon().await;
        let free = async {
            while keys.begin(&SCOPE, "another body".to_owned()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), free).await.unwrap();
    }

    #[tokio::test]
    async fn what_the_sender_knows_stands_over_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder).await;
        let mut sender = fresh(&keys).await;
        sender.note_sending("ros_1").await.unwrap();
        sender.release().await;
        let Begin::Orphaned(roster_id, orphan) = keys.begin(&SCOPE, "body".to_owned()).await.unwrap() else {
            panic!("the roster may have been sent")
        };
        assert_eq!(roster_id, "ros_1");
        sender.complete(answer(201)).await;
        orphan.complete(answer(504)).await;
        assert_eq!(replayed_status(&keys).await, Some(201));
    }

    #[tokio::test]
    async fn a_key_is_free_until_its_roster_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder).await;
        let mut first = fresh(&keys).await;
        first.reserve("ros_1").await.unwrap();
        assert!(!first.is_sending());
        first.release().await;
        // Its process died before the roster was there, so nothing of it was sent.
        let mut second = fresh(&keys).await;
        first.note_sending("ros_1").await.unwrap_err();
        second.reserve("ros_2").await.unwrap();
        let roster = serde_json::json!({
            "id": "ros_2", "account": "wc-1", "vendor": "wellcloud", "campaign_id": "c", "status": "sending",
            "received": 1, "accepted": 0, "rejected": 0, "rejections": [], "parts": [],
            "created_at": "2026-11-21T08:00:00Z",
        });
        keys.store.put_roster(&serde_json::from_value(roster).unwrap()).await.unwrap();
        second.release().await;
        match keys.begin(&SCOPE, "body".to_owned()).await.unwrap() {
            Begin::Orphaned(roster_id, _) => assert_eq!(roster_id, "ros_2"),
            _ => panic!("the roster is there, and may be retried"),
        }
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_read_is_not_free() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder).await;
        let key = format!("idempotency:{}", digest(&SCOPE));
        keys.store.put_value(&key, Bytes::from_static(b"{}"), KEPT).await.unwrap();
        assert!(keys.begin(&SCOPE, "body".to_owned()).await.is_err());
    }
}
