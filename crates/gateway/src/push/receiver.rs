//! A complete body, from its bytes to the reply: verified, decoded, stored durably, then answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use outdial_core::{
    Clock, DecodedPush, PushOutcome, PushRefusal, PushReply, QuarantineReason, RawPush, VerifiedPush,
};
use outdial_store::{Appended, Batch, QuarantineDraft, Store, StoreError, StoreErrorKind};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    accounts::Account,
    config::{PushConfig, SpoolClass},
    tasks::Tasks,
    telemetry::Metrics,
};

/// Takes pushes.
pub struct PushReceiver {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    writes: Arc<Semaphore>,
    max_wait: Duration,
    deadline: Duration,
    spool_class: SpoolClass,
}

/// What became of the records of one body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// New or changed.
    pub stored: usize,
    /// Nothing new.
    pub duplicate: usize,
    /// Kept for later, because they could not be read.
    pub quarantined: usize,
    /// Whether any of it is in the spool.
    pub spooled: bool,
}

impl PushReceiver {
    /// Pushes into this store.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
        config: &PushConfig,
        spool_class: SpoolClass,
    ) -> Self {
        Self {
            store,
            clock,
            metrics,
            tasks,
            writes: Arc::new(Semaphore::new(config.max_writes)),
            max_wait: config.max_wait,
            deadline: config.deadline,
            spool_class,
        }
    }

    /// Takes a body. The work goes on even if the sender hangs up; the reply says what is durable, and nothing else.
    pub async fn receive(self: &Arc<Self>, account: &Arc<Account>, raw: RawPush) -> PushReply {
        let started = Instant::now();
        let (receiver, owner) = (Arc::clone(self), Arc::clone(account));
        let work = self.tasks.spawn(async move { receiver.take(&owner, raw).await });
        let outcome = match timeout(self.deadline, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panicked)) => {
                self.metrics.panics.inc();
                tracing::error!(account = %account.id, problem = %panicked, "push.panicked");
                PushOutcome::Internal
            }
            Err(_) => PushOutcome::Deadline,
        };
        let vendor = account.vendor.descriptor().vendor.as_str();
        self.metrics.push_duration.with_label_values(&[vendor]).observe(started.elapsed().as_secs_f64());
        self.answer(account, &outcome)
    }

    /// The reply to a body that ended so, counted.
    pub fn answer(&self, account: &Account, outcome: &PushOutcome) -> PushReply {
        let labels = [account.id.as_str(), account.vendor.descriptor().vendor.as_str()];
        let result = result_label(outcome);
        self.metrics.push_bodies.with_label_values(&[labels[0], labels[1], result]).inc();
        if !matches!(outcome, PushOutcome::Taken { .. }) {
            tracing::warn!(account = labels[0], result, "push.refused");
            if is_ours(outcome) {
                account.note_trouble(self.clock.now());
            }
        }
        account.vendor.reply(outcome)
    }

    async fn take(&self, account: &Account, raw: RawPush) -> PushOutcome {
        // What a vendor does not repeat is lost when it is shed, so it may wait as long as a push may take.
        let repeats = account.vendor.descriptor().repeats_pushes;
        let max_wait = if repeats { self.max_wait } else { self.deadline };
        let Ok(Ok(_write)) = timeout(max_wait, Arc::clone(&self.writes).acquire_owned()).await else {
            self.metrics.shed.with_label_values(&["push", "writes"]).inc();
            return PushOutcome::Shed;
        };
        let content_type = raw.content_type.clone();
        let body = raw.body.clone();
        let verified = match account.vendor.verify(raw) {
            Ok(verified) => verified,
            Err(PushRefusal::Malformed { reason }) => {
                tracing::warn!(account = %account.id, reason, "push.malformed");
                return PushOutcome::Malformed;
            }
            Err(PushRefusal::NotAuthentic { reason }) => {
                self.keep_suspect(account, body, content_type, reason).await;
                return PushOutcome::NotAuthentic;
            }
        };
        self.count_proof(account, &verified);
        let decoded = account.vendor.decode(&verified);
        let answer = decoded.answer.clone();
        let records = decoded.items.len();
        match self.store_items(account, decoded, content_type).await {
            Ok(taken) if taken.spooled && self.must_repeat(account) => PushOutcome::StoreAwaySpoolVolatile,
            Ok(Taken { stored, duplicate, quarantined, .. }) => {
                account.note_push(self.clock.now());
                PushOutcome::Taken { stored, duplicate, quarantined, answer }
            }
            Err(error) => {
                tracing::error!(account = %account.id, records, problem = %error, "push.not_stored");
                self.count_records(account, "refused", records);
                PushOutcome::StoreAway
            }
        }
    }

    /// What is in a spool that goes with the pod is not safe; a vendor that repeats is asked to.
    fn must_repeat(&self, account: &Account) -> bool {
        self.spool_class == SpoolClass::Pod && account.vendor.descriptor().repeats_pushes
    }

    /// Stores what a push held, durably, in batches that the store takes.
    ///
    /// # Errors
    /// The store's. What was stored before stays; the same push again is a duplicate.
    pub async fn store_items(
        &self,
        account: &Account,
        decoded: DecodedPush,
        content_type: Option<String>,
    ) -> Result<Taken, StoreError> {
        let now = self.clock.now();
        let vendor = account.vendor.descriptor().vendor.clone();
        let mut batches = vec![Batch::default()];
        for item in decoded.items {
            let full = batches.last().is_none_or(|batch| size(batch) >= Batch::LIMIT);
            if full {
                batches.push(Batch::default());
            }
            let Some(batch) = batches.last_mut() else { continue };
            match item.result {
                Ok(record) => {
                    self.metrics.count_oddities(vendor.as_str(), &record, &item.raw);
                    batch.records.push(record.record);
                }
                Err(reason) => batch.quarantined.push(QuarantineDraft {
                    account: account.id.clone(),
                    vendor: vendor.clone(),
                    received_at: now,
                    reason,
                    content_type: content_type.clone(),
                    raw: item.raw,
                }),
            }
        }
        let mut taken = Taken::default();
        for batch in batches {
            let quarantined = batch.quarantined.len();
            let appended = self.append(batch).await?;
            let duplicate = appended.iter().filter(|one| matches!(one, Appended::Duplicate)).count();
            let stored = appended.len() - duplicate;
            if appended.iter().any(|one| matches!(one, Appended::Spooled)) {
                // A spool can be lost with its volume.
                account.note_trouble(now);
            }
            taken.spooled |= appended.iter().any(|one| matches!(one, Appended::Spooled));
            taken.stored += stored;
            taken.duplicate += duplicate;
            taken.quarantined += quarantined;
            for (result, count) in
                [("stored", stored), ("duplicate", duplicate), ("quarantined", quarantined)]
            {
                self.count_records(account, result, count);
            }
        }
        Ok(taken)
    }

    /// One batch. Where it is unknown whether it was stored, once more: the same batch again is a duplicate.
    async fn append(&self, batch: Batch) -> Result<Vec<Appended>, StoreError> {
        if size(&batch) == 0 {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        match self.store.append(batch.clone(), now).await {
            Err(StoreError { kind: StoreErrorKind::OutcomeUnknown, .. }) => {
                self.store.append(batch, now).await
            }
            settled => settled,
        }
    }

    /// Keeps a push whose proof did not fit: the wrong secret may be ours.
    async fn keep_suspect(
        &self,
        account: &Account,
        body: Bytes,
        content_type: Option<String>,
        reason: &'static str,
    ) {
        tracing::warn!(account = %account.id, reason, "push.not_authentic");
        let reason = QuarantineReason::new(QuarantineDraft::SUSPECT, reason.replace('_', " "));
        let draft = self.draft(account, body, content_type, reason);
        if let Err(error) = self.store.put_suspect(draft).await {
            tracing::warn!(account = %account.id, problem = %error, "push.suspect_not_kept");
        }
    }

    /// Keeps what came of a body that was cut, of a vendor that will not repeat it. The work goes on even if the sender hangs
    /// up.
    pub async fn keep_partial(
        self: &Arc<Self>,
        account: &Arc<Account>,
        body: Bytes,
        content_type: Option<String>,
    ) {
        if body.is_empty() || account.vendor.descriptor().repeats_pushes {
            return;
        }
        let (receiver, owner) = (Arc::clone(self), Arc::clone(account));
        let keeping =
            self.tasks.spawn(async move { receiver.quarantine_cut(&owner, body, content_type).await });
        if keeping.await.is_err() {
            self.metrics.panics.inc();
        }
    }

    async fn quarantine_cut(&self, account: &Account, body: Bytes, content_type: Option<String>) {
        let reason = QuarantineReason::new("truncated", "the body ended before its announced length");
        let draft = self.draft(account, body, content_type, reason);
        let kept = self.append(Batch { quarantined: vec![draft], ..Batch::default() }).await;
        match kept {
            Ok(_) => self.count_records(account, "quarantined", 1),
            Err(error) => tracing::error!(account = %account.id, problem = %error, "push.partial_not_kept"),
        }
    }

    fn draft(
        &self,
        account: &Account,
        raw: Bytes,
        content_type: Option<String>,
        reason: QuarantineReason,
    ) -> QuarantineDraft {
        QuarantineDraft {
            account: account.id.clone(),
            vendor: account.vendor.descriptor().vendor.clone(),
            received_at: self.clock.now(),
            reason,
            content_type,
            raw,
        }
    }

    fn count_records(&self, account: &Account, result: &str, count: usize) {
        let labels = [account.id.as_str(), account.vendor.descriptor().vendor.as_str(), result];
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.metrics.push_records.with_label_values(&labels).inc_by(count);
    }

    fn count_proof(&self, account: &Account, verified: &VerifiedPush) {
        let secret = verified.secret_index.map_or_else(|| "none".to_owned(), |index| index.to_string());
        let labels = [account.id.as_str(), secret.as_str(), verified.proof];
        self.metrics.push_proofs.with_label_values(&labels).inc();
    }
}

fn size(batch: &Batch) -> usize {
    batch.records.len() + batch.events.len() + batch.quarantined.len()
}

/// Whether a push was refused for a reason that a search can make up for: the next one may never come.
const fn is_ours(outcome: &PushOutcome) -> bool {
    match outcome {
        PushOutcome::StoreAway
        | PushOutcome::StoreAwaySpoolVolatile
        | PushOutcome::Shed
        | PushOutcome::Deadline
        | PushOutcome::TooSlow
        | PushOutcome::Internal => true,
        PushOutcome::Taken { .. }
        | PushOutcome::NotAuthentic
        | PushOutcome::Malformed
        | PushOutcome::Truncated
        | PushOutcome::TooLarge
        | PushOutcome::Compressed => false,
    }
}

const fn result_label(outcome: &PushOutcome) -> &'static str {
    match outcome {
        PushOutcome::Taken { .. } => "taken",
        PushOutcome::NotAuthentic => "not_authentic",
        PushOutcome::Malformed => "malformed",
        PushOutcome::Truncated => "truncated",
        PushOutcome::TooLarge => "too_large",
        PushOutcome::Compressed => "compressed",
        PushOutcome::TooSlow => "too_slow",
        PushOutcome::StoreAway => "store_away",
        PushOutcome::StoreAwaySpoolVolatile => "spool_volatile",
        PushOutcome::Shed => "shed",
        PushOutcome::Deadline => "deadline",
        PushOutcome::Internal => "internal",
    }
}
