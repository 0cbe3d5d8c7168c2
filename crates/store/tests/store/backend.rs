//! Where the suite gets its stores from.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use outdial_core::{ManualClock, SecretString, Timestamp};
use outdial_store::{Store, StoreError, StoreErrorKind, StoreMode, StoreSettings, open};
use tempfile::TempDir;

use crate::redis_server::RedisServer;

/// When the suite takes place, in milliseconds since the epoch.
pub const NOW: i64 = 1_790_000_000_000;

/// A store under test, with everything around it.
#[async_trait(?Send)]
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

#[async_trait(?Send)]
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

/// Redis, over a socket.
pub struct RedisBackend {
    store: Option<Arc<dyn Store>>,
    clock: Arc<ManualClock>,
    server: RedisServer,
}

/// A cluster of one node.
pub struct ClusterBackend(RedisBackend);

impl ClusterBackend {
    pub async fn start() -> Self {
        let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
        assert_eq!(server.command("CLUSTER ADDSLOTSRANGE 0 16383").as_deref(), Some("+OK\r\n"));
        until("the cluster is whole", async || {
            server.command("CLUSTER INFO").is_some_and(|info| info.contains("cluster_state:ok"))
        })
        .await;
        let clock = Arc::new(ManualClock::new(at(0)));
        let store = open(settings(&cluster_url(&server), &clock)).await.unwrap();
        Self(RedisBackend { store: Some(store), clock, server })
    }
}

fn cluster_url(server: &RedisServer) -> String {
    format!("redis+cluster://{}", server.address())
}

#[async_trait(?Send)]
impl Backend for ClusterBackend {
    fn store(&self) -> Arc<dyn Store> {
        self.0.store()
    }

    async fn restart(&mut self) {
        self.0.store = None;
        self.0.server.kill();
        self.0.server.run();
        until("the cluster is whole again", async || {
            self.0.server.command("CLUSTER INFO").is_some_and(|info| info.contains("cluster_state:ok"))
        })
        .await;
        self.0.store = self.another_handle().await;
    }

    async fn another_handle(&self) -> Option<Arc<dyn Store>> {
        Some(open(settings(&cluster_url(&self.0.server), &self.0.clock)).await.unwrap())
    }

    fn clock(&self) -> &ManualClock {
        self.0.clock()
    }

    fn mode(&self) -> StoreMode {
        StoreMode::Redis
    }
}

impl RedisBackend {
    pub async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(at(0)));
        let server = RedisServer::start();
        let store = open(settings(&server.socket_url(), &clock)).await.unwrap();
        Self { store: Some(store), clock, server }
    }
}

#[async_trait(?Send)]
impl Backend for RedisBackend {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    async fn restart(&mut self) {
        self.store = None;
        self.server.kill();
        self.server.run();
        self.store = Some(open(settings(&self.server.socket_url(), &self.clock)).await.unwrap());
    }

    async fn another_handle(&self) -> Option<Arc<dyn Store>> {
        Some(open(settings(&self.server.url(), &self.clock)).await.unwrap())
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn mode(&self) -> StoreMode {
        StoreMode::Redis
    }
}

/// Redis, with a spool in front.
pub struct SpooledBackend {
    store: Option<Arc<dyn Store>>,
    clock: Arc<ManualClock>,
    server: RedisServer,
    folder: TempDir,
    others: AtomicUsize,
}

impl SpooledBackend {
    pub async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(at(0)));
        let (server, folder) = (RedisServer::start(), tempfile::tempdir().unwrap());
        let store = open_spooled(&server.url(), &clock, &folder.path().join("spool")).await.unwrap();
        Self { store: Some(store), clock, server, folder, others: AtomicUsize::new(0) }
    }
}

/// Opens Redis with a spool in a folder.
pub async fn open_spooled(
    url: &str,
    clock: &Arc<ManualClock>,
    folder: &Path,
) -> Result<Arc<dyn Store>, StoreError> {
    open(StoreSettings { spool_dir: Some(folder.to_owned()), ..settings(url, clock) }).await
}

/// Opens it again after it was dropped: what it was doing for the spool may take a moment to end.
pub async fn reopen_spooled(url: &str, clock: &Arc<ManualClock>, folder: &Path) -> Arc<dyn Store> {
    let mut store = None;
    until("the spool is free", async || {
        match open_spooled(url, clock, folder).await {
            Ok(opened) => store = Some(opened),
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Locked, "{error}"),
        }
        store.is_some()
    })
    .await;
    store.unwrap()
}

#[async_trait(?Send)]
impl Backend for SpooledBackend {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    async fn restart(&mut self) {
        self.store = None;
        self.server.kill();
        self.server.run();
        let folder = self.folder.path().join("spool");
        self.store = Some(reopen_spooled(&self.server.url(), &self.clock, &folder).await);
    }

    async fn another_handle(&self) -> Option<Arc<dyn Store>> {
        let number = self.others.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(format!("spool of another {number}"));
        Some(open_spooled(&self.server.url(), &self.clock, &folder).await.unwrap())
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn mode(&self) -> StoreMode {
        StoreMode::Redis
    }
}
