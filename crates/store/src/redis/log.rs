//! The log as a Redis stream.

use std::sync::Arc;

use async_trait::async_trait;
use outdial_core::{Position, Timestamp};
use redis::{cmd, streams::StreamRangeReply};
use tokio::{sync::watch, time::timeout};

use super::{Redis, Submission, scripts, tail::position_of};
use crate::{
    Appended, Batch, Durability, EventLog, LogBounds, StoreError, StoreMode, StoreStatus, StoredEvent,
    redis::inspection::Health, roles::check_batch,
};

/// Longest an append takes without a spool behind it; also the time after which the spool takes it.
pub(crate) const APPEND_BUDGET: std::time::Duration = std::time::Duration::from_millis(1_500);
/// Longest wait for the server's own account of its state.
const STATUS_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(900);
/// About how many events one step of trimming removes, so that appends are not kept waiting.
const TRIM_STEP: u64 = 10_000;

#[async_trait]
impl EventLog for Redis {
    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, StoreError> {
        check_batch(&batch)?;
        let submission = Submission { batch: Arc::new(batch), now };
        let appended = self.append_all(vec![submission], APPEND_BUDGET).await?;
        Ok(appended.into_iter().flatten().collect())
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut range = cmd("XRANGE");
        range.arg(self.keys.key("events")).arg(format!("({after}-0")).arg("+").arg("COUNT").arg(limit);
        let page: StreamRangeReply = self.shared.read(&range).await?;
        let read = |entry: redis::streams::StreamId| {
            Some(StoredEvent { position: position_of(&entry.id)?, json: entry.get("event")? })
        };
        Ok(page.ids.into_iter().filter_map(read).collect())
    }

    async fn bounds(&self) -> Result<LogBounds, StoreError> {
        let call = scripts::call(&self.scripts.bounds, &self.keys);
        let (trimmed, last): (u64, u64) = self.shared.read(&call).await?;
        Ok(LogBounds { trimmed: Position(trimmed), last: Position(last) })
    }

    fn tail(&self) -> watch::Receiver<Position> {
        self.tail.subscribe()
    }

    async fn trim(&self, through: Position) -> Result<u64, StoreError> {
        let mut removed = 0;
        // Whole nodes of the stream first, in steps; then what is left of the last node.
        for limit in [TRIM_STEP, 0] {
            loop {
                let mut call = scripts::call(&self.scripts.trim, &self.keys);
                call.arg(through.0).arg(limit);
                let some: u64 = self.shared.read(&call).await?;
                removed += some;
                if some == 0 || limit == 0 {
                    break;
                }
            }
        }
        Ok(removed)
    }

    async fn status(&self) -> StoreStatus {
        let health = timeout(STATUS_TIMEOUT, self.examine())
            .await
            .unwrap_or_else(|_| Health { absent: Some("redis: no answer in time".to_owned()), losing: None });
        let losing = health.losing.map(|setting| format!("this Redis would lose records: {setting}"));
        StoreStatus {
            mode: if health.absent.is_some() { StoreMode::Down } else { StoreMode::Redis },
            durability: if losing.is_some() {
                Durability::Relaxed
            } else {
                self.known_durability().unwrap_or(Durability::Relaxed)
            },
            spooled: 0,
            problem: health.absent.or(losing),
        }
    }
}
