//! Writes what was learned, in batches.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use outdial_store::{DeliveryCommit, StoreError};

use super::Worker;

/// How long what was learned waits to be written, and how many deliveries at most.
const COMMIT_AFTER: Duration = Duration::from_millis(20);
const COMMIT_COUNT: usize = 500;

impl Worker {
    /// Begins to write what was learned, when it has waited long enough or is much.
    pub(super) fn begin_commit(&mut self) {
        if self.committing.is_some() || !self.ledger.is_changed() || self.is_quiet() {
            return;
        }
        let now = Instant::now();
        let due = *self.next_commit.get_or_insert(now + COMMIT_AFTER);
        if now < due && self.ledger.unsaved() < COMMIT_COUNT {
            return;
        }
        self.next_commit = None;
        let commit = self.ledger.take_commit();
        let (store, id, fence) = (Arc::clone(&self.context.store), self.id().to_owned(), self.lease.fence);
        self.committing = Some(
            async move {
                let written = store.commit_deliveries(&id, fence, commit.clone()).await;
                (commit, written)
            }
            .boxed(),
        );
    }

    /// Answers whether the subscription is still ours.
    pub(super) fn take_written(&mut self, written: (DeliveryCommit, Result<bool, StoreError>)) -> bool {
        self.committing = None;
        match written {
            (commit, Ok(is_ours)) => {
                let written = commit.progress.exhaustion.telling;
                if self.telling.is_none() && written == self.ledger.exhaustion().telling {
                    self.written_notice = written;
                }
                is_ours
            }
            (commit, Err(error)) => {
                self.ledger.put_back(commit);
                self.pause(&error);
                true
            }
        }
    }

    pub(super) async fn flush(&mut self) -> Result<bool, StoreError> {
        if let Some(committing) = self.committing.take() {
            let written = committing.await;
            if !self.take_written(written) {
                return Ok(false);
            }
        }
        if !self.ledger.is_changed() {
            return Ok(true);
        }
        let commit = self.ledger.take_commit();
        let id = self.plan.subscription.id.clone();
        self.context.store.commit_deliveries(&id, self.lease.fence, commit).await
    }
}
