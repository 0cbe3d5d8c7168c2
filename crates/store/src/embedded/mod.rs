//! The embedded backend: one SQLite file, one process, durable before each answer, except for what may be asked for anew.

mod deliveries;
mod kv;
mod log;
mod quarantine;
mod records;
mod roster_bodies;
mod rosters;
mod schema;
mod subscriptions;
mod turns;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use outdial_core::{Clock, Position, Timestamp};
use rusqlite::Connection;
use tokio::sync::watch;

use crate::{
    LocalTurns, StoreError,
    sqlite::{AfterFailure, FileLock, Worker, from_sqlite, open_writer},
};

/// The embedded backend.
pub(crate) struct Embedded {
    worker: Worker,
    tail: watch::Sender<Position>,
    clock: Arc<dyn Clock>,
    life_times: LifeTimes,
    turns: LocalTurns,
    _lock: FileLock,
}

/// The time that life times run on: it starts at the wall clock and then only follows the monotonic one, so that a clock
/// that is set while we run neither ends nor prolongs a lease. Across a restart the wall clock counts.
#[derive(Clone, Copy)]
struct LifeTimes {
    start: Timestamp,
    since: Instant,
}

impl LifeTimes {
    fn now_millis(self) -> i64 {
        let elapsed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.start.millis().saturating_add(elapsed)
    }

    fn end_millis(self, ttl: Duration) -> i64 {
        self.now_millis().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Embedded {
    /// Opens or creates the store at a path.
    ///
    /// # Errors
    /// `Locked` when another process has it open, `Corrupt` when the file is no store of ours, `Unavailable` when it cannot
    /// be opened.
    pub(crate) async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let lock = FileLock::take(path)?;
        let writer = open_writer(path, &schema::SCHEMA)?;
        let last = log::last_position(&writer).map_err(from_sqlite)?;
        let (tail, _) = watch::channel(last);
        let worker = Worker::start(path, writer, AfterFailure::GoOn)?;
        let life_times = LifeTimes { start: clock.now(), since: Instant::now() };
        Ok(Self { worker, tail, clock, life_times, turns: LocalTurns::default(), _lock: lock })
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.worker.write(job).await
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.worker.read(job).await
    }
}
