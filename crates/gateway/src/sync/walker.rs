//! One walk, page by page: asked for, appended, and only then remembered.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_core::{Clock, Error, QuarantineReason, RecordQuery, SearchPage, SearchRequest, Timestamp};
use outdial_store::{
    Appended, Batch, HOUR_MILLIS, Lease, QuarantineDraft, Store, StoreError, StoreErrorKind,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    journal::Journal,
    progress::{Progress, Walk},
};
use crate::{
    accounts::Account,
    telemetry::Metrics,
    upstream::{Found, Priority, Trace, Upstream},
};

/// Records that are asked for at once, and appended at once.
const PAGE: u32 = 500;
/// Pages of one run; then the lease is given back, and the next run goes on.
const PAGES_LIMIT: usize = 100;

/// What one walk works with.
pub(super) struct Walker<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) clock: &'a dyn Clock,
    pub(super) metrics: &'a Metrics,
    pub(super) upstream: &'a Upstream,
    pub(super) stop: CancellationToken,
    pub(super) account: &'a Arc<Account>,
    pub(super) lease: &'a Lease,
    pub(super) life: Duration,
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum End {
    /// The vendor said that there is no more.
    Whole,
    /// The vendor repeated a mark, which ends a walk (ICSOC contract 1.2) but proves nothing.
    RepeatedMark,
    /// There is more, for the next run.
    Paused,
    /// The gateway stops.
    Stopped,
    /// Another replica has the account now.
    Lost,
    /// The vendor failed.
    Failed(Error),
}

impl End {
    /// Every end as a metric label.
    pub(super) const LABELS: [&'static str; 6] =
        ["complete", "repeated_mark", "paused", "stopped", "lost", "failed"];

    /// As a metric label.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Whole => Self::LABELS[0],
            Self::RepeatedMark => Self::LABELS[1],
            Self::Paused => Self::LABELS[2],
            Self::Stopped => Self::LABELS[3],
            Self::Lost => Self::LABELS[4],
            Self::Failed(_) => Self::LABELS[5],
        }
    }
}

impl Walker<'_> {
    /// Walks on from where the progress stands.
    ///
    /// # Errors
    /// The store's; then the page under way is walked again.
    pub(super) async fn walk(
        &self,
        journal: &mut Journal<'_>,
        progress: &mut Progress,
    ) -> Result<End, StoreError> {
        for page in 0..PAGES_LIMIT {
            let Some(walk) = &mut progress.walk else { return Ok(End::Lost) };
            if self.stop.is_cancelled() {
                return Ok(End::Stopped);
            }
            if page > 0 && !self.store.renew_lease(self.lease, self.life).await? {
                return Ok(End::Lost);
            }
            let found = tokio::select! {
                () = self.stop.cancelled() => return Ok(End::Stopped),
                found = self.search(walk) => found,
            };
            let found = match found {
                Ok(found) => found,
                Err(error) => return Ok(End::Failed(error)),
            };
            let next = found.next_mark.clone();
            self.append(journal, walk, &found).await?;
            let Some(mark) = next else { return Ok(End::Whole) };
            if !walk.seen.note(&mark) {
                tracing::warn!(account = %self.account.id, "sync.repeated_mark");
                return Ok(End::RepeatedMark);
            }
            walk.mark = Some(mark);
            walk.refusals = 0;
            if !journal.save(progress).await? {
                return Ok(End::Lost);
            }
        }
        Ok(End::Paused)
    }

    async fn search(&self, walk: &Walk) -> Found {
        let query = RecordQuery {
            started_from: Some(Timestamp::from_millis(walk.from)),
            started_to: Some(Timestamp::from_millis(walk.to)),
            ..RecordQuery::default()
        };
        let search = SearchRequest { query: &query, mark: walk.mark.as_deref(), limit: PAGE };
        self.upstream.search(self.account, &search, &Trace::default(), Priority::Background).await
    }

    /// Appends a page, and counts what came of it.
    async fn append(
        &self,
        journal: &Journal<'_>,
        walk: &mut Walk,
        page: &SearchPage,
    ) -> Result<(), StoreError> {
        let vendor = self.account.vendor.descriptor().vendor.as_str();
        let now = self.clock.now();
        // A vendor may know no limit of a page.
        for records in page.records.chunks(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
            let (mut batch, mut digests) = (Batch::default(), Vec::new());
            for found in records {
                let json = found.json();
                match self.account.vendor.read_found(found, now) {
                    Ok(mut decoded) => {
                        self.metrics.count_oddities(vendor, &decoded, json);
                        decoded.record.attach_raw(json);
                        batch.records.push(decoded.record.into_owned());
                    }
                    Err(reason) => {
                        walk.unreadable += 1;
                        self.metrics.count_sync_records(self.account, "unreadable", 1);
                        let digest = digest(json);
                        if !digests.contains(&digest) && !journal.knows_unreadable(&digest).await? {
                            batch.quarantined.push(self.draft(json.clone(), reason));
                            digests.push(digest);
                        }
                    }
                }
            }
            self.append_batch(walk, batch).await?;
            for digest in digests {
                journal.note_unreadable(&digest).await?;
            }
        }
        Ok(())
    }

    async fn append_batch(&self, walk: &mut Walk, batch: Batch) -> Result<(), StoreError> {
        if batch.records.is_empty() && batch.quarantined.is_empty() {
            return Ok(());
        }
        let places: Vec<(Option<i64>, Option<String>)> = batch
            .records
            .iter()
            .map(|record| {
                (record.started_at.map(Timestamp::millis), record.campaign_id.as_deref().map(str::to_owned))
            })
            .collect();
        let now = self.clock.now();
        let appended = match self.store.append(batch.clone(), now).await {
            // The same batch again is a duplicate.
            Err(StoreError { kind: StoreErrorKind::OutcomeUnknown, .. }) => {
                self.store.append(batch, now).await?
            }
            settled => settled?,
        };
        for ((started, campaign), appended) in places.into_iter().zip(appended) {
            let (result, is_differing) = match appended {
                Appended::Stored { revision: 1, .. } => ("new", false),
                Appended::Stored { .. } => ("updated", true),
                Appended::Duplicate => ("duplicate", false),
                Appended::Spooled => ("spooled", false),
            };
            self.metrics.count_sync_records(self.account, result, 1);
            // A vendor may show more than it was asked for: it is taken, but is no part of the proof.
            if let Some(started) = started.filter(|started| (walk.from..=walk.to).contains(started)) {
                let hour = started.div_euclid(HOUR_MILLIS);
                walk.hours.entry(hour).or_default().count(campaign.as_deref(), is_differing);
            }
        }
        Ok(())
    }

    fn draft(&self, raw: Bytes, reason: QuarantineReason) -> QuarantineDraft {
        QuarantineDraft {
            account: self.account.id.clone(),
            vendor: self.account.vendor.descriptor().vendor.clone(),
            received_at: self.clock.now(),
            reason: QuarantineReason::new(&reason.code, format!("found by search: {}", reason.detail)),
            content_type: None,
            raw,
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
