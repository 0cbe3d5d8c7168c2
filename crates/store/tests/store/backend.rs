//! Where the suite gets its stores from.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use outdial_core::{ManualClock, SecretString, Timestamp};
use outdial_store::{Store, StoreError, StoreMode, StoreSettings, open};
use tempfile::TempDir;

/// When the suite takes place, in milliseconds since the epoch.
pub const NOW: i64 = 1_790_000_000_000;

/// A store under test, with everything around it.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Closes the store as a killed machine would, whatever stands behind it included, and opens it again.
    async fn restart(&mut self);

    /// The store as another process sees it. `None` where only one process may have it.
    async fn another_handle(&self) -> Option<Arc<dyn Store>>;

    /// The clock that positions take their time from.
    fn clock(&self) -> &ManualClock;

    /// Where appends go.
    fn mode(&self) -> StoreMode;
}

/// A moment of the suite.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW + millis)
}

/// Settings that the cases share.
pub fn settings(url: &str, clock: &Arc<ManualClock>) -> StoreSettings {
    StoreSettings {
        url: SecretString::from(url.to_owned()),
        prefix: "suite".into(),
        spool_dir: None,
        spool_max_bytes: 256 * 1024 * 1024,
        retention: Duration::from_secs(7 * 24 * 3600),
        min_replicas: 0,
        allow_relaxed: false,
        clock: Arc::clone(clock) as Arc<_>,
    }
}

/// Asks until the answer is yes; fails after ten seconds.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut is_so: F) {
    for _ in 0..2_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within ten seconds: {what}");
}

/// SQLite in a folder of its own.
pub struct EmbeddedBackend {
    store: Option<Arc<dyn Store>>,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl EmbeddedBackend {
    pub async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(at(0)));
        let folder = tempfile::tempdir().unwrap();
        let store = open_embedded(&clock, folder.path()).await.unwrap();
        Self { store: Some(store), clock, folder }
    }
}

/// Opens the embedded store of a folder.
pub async fn open_embedded(clock: &Arc<ManualClock>, folder: &Path) -> Result<Arc<dyn Store>, StoreError> {
    open(settings(&format!("sqlite:{}", folder.join("data/outdial.db").display()), clock)).await
}

#[async_trait]
impl Backend for EmbeddedBackend {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    async fn restart(&mut self) {
        self.store = None;
        self.store = Some(open_embedded(&self.clock, self.folder.path()).await.unwrap());
    }

    async fn another_handle(&self) -> Option<Arc<dyn Store>> {
        None
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn mode(&self) -> StoreMode {
        StoreMode::Embedded
    }
}
