//! What vendors send that no document of theirs has, shared by all replicas and kept over restarts. Never on the way of a
//! push: it is counted in memory, and added to the store's a little later.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_core::AccountId;
use outdial_store::{Kv, Store, StoreError, StoreErrorKind};
use tokio::sync::Mutex;

use crate::telemetry::{Metrics, Sighting, Sightings};

/// How often what was seen is stored, where anything was.
pub const INTERVAL: Duration = Duration::from_secs(3);
/// How long it is kept after the last sighting.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How often it is tried to add to what others add to as well.
const ATTEMPTS: usize = 8;

/// Keeps the drift of every account.
pub struct DriftKeeper {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    /// Held while what was seen is on its way to the store, where a reader would find it in neither place.
    moving: Mutex<()>,
}

impl DriftKeeper {
    /// A keeper of what these metrics count, in this store.
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, moving: Mutex::default() }
    }

    /// Adds what was seen since the last time. What the store does not take is kept for the next time.
    pub async fn flush(&self) {
        let _moving = self.moving.lock().await;
        for (account, sightings) in self.metrics.drift.take() {
            if let Err(error) = self.add(&account, &sightings).await {
                tracing::debug!(%account, problem = %error, "drift.not_stored");
                self.metrics.drift.put_back(account, sightings);
            }
        }
    }

    async fn add(&self, account: &AccountId, seen: &Sightings) -> Result<(), StoreError> {
        let (store, key) = (&*self.store, key(account));
        for _ in 0..ATTEMPTS {
            let held = store.get_value(&key).await?;
            let mut all = Sightings::default();
            all.add(read(held.as_ref()));
            all.add(seen.clone().into_list());
            let value = Bytes::from(serde_json::to_vec(&all.into_list()).unwrap_or_default());
            match store.compare_and_set(&key, held.as_ref(), value.clone(), LIFE).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if error.kind == StoreErrorKind::OutcomeUnknown => {
                    // Added twice would be worse than looked at once more.
                    if store.get_value(&key).await?.as_ref() == Some(&value) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "others add to it all the time"))
    }

    /// All that was seen of an account, the last seen first.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn list(&self, account: &AccountId) -> Result<Vec<Sighting>, StoreError> {
        let _moving = self.moving.lock().await;
        let mut all = Sightings::default();
        all.add(read(Kv::get_value(&*self.store, &key(account)).await?.as_ref()));
        all.add(self.metrics.drift.pending(account).into_list());
        Ok(all.into_list())
    }
}

fn read(held: Option<&Bytes>) -> Vec<Sighting> {
    held.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
}

fn key(account: &AccountId) -> String {
    format!("drift:{account}")
}
