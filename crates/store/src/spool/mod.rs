//! The spool in front of Redis: what Redis cannot take is kept on the local disk, acknowledged, and brought to Redis later.

mod breaker;
mod drain;
mod file;
mod folder;
mod forward;

use std::{path::Path, sync::Arc, time::Instant};

use async_trait::async_trait;
use outdial_core::{Position, Timestamp};
use tokio::{sync::watch, task::JoinHandle};

use self::{breaker::Breaker, folder::Folder};
use crate::{
    Appended, Batch, Durability, EventLog, LogBounds, StoreError, StoreErrorKind, StoreMode, StoreStatus,
    StoredEvent,
    redis::{APPEND_BUDGET, Redis, Submission},
    roles::check_batch,
};

/// Redis with a spool in front.
pub(crate) struct Spooled {
    redis: Arc<Redis>,
    folder: Arc<Folder>,
    breaker: Arc<Breaker>,
    drain: JoinHandle<()>,
}

impl Spooled {
    /// Opens the spool and begins to drain it. `absence` is why Redis cannot be reached now, if so.
    ///
    /// # Errors
    /// `Locked` when another process has the folder; `Unavailable` when it cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "a drain that is cut short leaves its batches in the spool"
    )]
    pub(crate) async fn open(
        redis: Redis,
        absence: Option<StoreError>,
        folder: &Path,
        max_bytes: u64,
    ) -> Result<Self, StoreError> {
        let folder = Arc::new(Folder::open(folder, max_bytes).await?);
        let (redis, breaker) = (Arc::new(redis), Arc::new(Breaker::default()));
        if let Some(error) = absence {
            breaker.open(&error.detail);
        }
        let draining = drain::run(Arc::clone(&redis), Arc::clone(&folder), Arc::clone(&breaker));
        Ok(Self { redis, folder, breaker, drain: tokio::spawn(draining) })
    }

    /// Tries Redis. `None` when the spool has to take the batch.
    async fn try_redis(&self, submission: Submission) -> Option<Result<Vec<Appended>, StoreError>> {
        if !self.breaker.lets_through() {
            return None;
        }
        match self.redis.append_all(vec![submission], APPEND_BUDGET).await {
            Ok(appended) => {
                self.breaker.succeed();
                Some(Ok(appended.into_iter().flatten().collect()))
            }
            Err(error)
                if matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::OutcomeUnknown) =>
            {
                self.breaker.fail(&error.detail);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.drain.abort();
    }
}

#[async_trait]
impl EventLog for Spooled {
    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, StoreError> {
        check_batch(&batch)?;
        let records = batch.records.len();
        let submission = Submission { batch: Arc::new(batch), now };
        if let Some(answer) = self.try_redis(submission.clone()).await {
            return answer;
        }
        self.breaker.note_spooled(Instant::now());
        self.folder.put(submission).await?;
        Ok(vec![Appended::Spooled; records])
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.redis.read(after, limit).await
    }

    async fn bounds(&self) -> Result<LogBounds, StoreError> {
        self.redis.bounds().await
    }

    fn tail(&self) -> watch::Receiver<Position> {
        self.redis.tail()
    }

    async fn trim(&self, through: Position) -> Result<u64, StoreError> {
        self.redis.trim(through).await
    }

    async fn status(&self) -> StoreStatus {
        let redis = self.redis.status().await;
        let spooled = self.folder.usage();
        let spools = redis.mode == StoreMode::Down
            || !self.breaker.lets_through()
            || self.breaker.spooled_lately(Instant::now())
            || spooled.bytes > 0;
        let mode = match (spools, self.folder.refuses()) {
            (false, _) => StoreMode::Redis,
            (true, false) => StoreMode::Spool,
            (true, true) => StoreMode::Down,
        };
        // The spool syncs each batch; a Redis that was not reached yet takes nothing from that.
        let durability = self.redis.known_durability().unwrap_or(Durability::Durable);
        let problem = self.breaker.problem().or(redis.problem);
        let problem = match (problem, self.folder.problem()) {
            (Some(redis), Some(spool)) => Some(format!("{redis}; {spool}")),
            (redis, spool) => redis.or(spool),
        };
        StoreStatus { mode, durability, spooled: spooled.records, problem }
    }
}
