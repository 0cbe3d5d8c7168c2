//! Sends a prepared roster: stored first, each part marked before its first byte, at most once.

use std::sync::Arc;

use outdial_core::{Clock, Error, ErrorClass, RosterEvent, RosterPart};
use outdial_store::{Batch, RosterStatus, Store, StoreError, StoredPart, StoredPartStatus, StoredRoster};
use uuid::{NoContext, Uuid};

use super::{
    Claim, Prepared, RosterView,
    heartbeat::{Heartbeat, LEASE},
};
use crate::{
    accounts::Account,
    api_error::{ApiError, store_failure},
    tasks::Tasks,
    telemetry::Metrics,
    upstream::{Trace, Upstream},
};

/// Sends rosters.
pub struct RosterUploads {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) owner: String,
    upstream: Arc<Upstream>,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

impl RosterUploads {
    /// Uploads through this store and to these vendors. `owner` names this replica.
    pub fn new(
        store: Arc<dyn Store>,
        upstream: Arc<Upstream>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
        owner: String,
    ) -> Self {
        Self { store, clock, owner, upstream, metrics, tasks }
    }

    /// Sends a roster. Answers it when the vendor took at least one part.
    ///
    /// # Errors
    /// Why no part is known to be taken. When a roster was stored all the same, it is part of the error.
    pub async fn upload(
        &self,
        account: &Arc<Account>,
        campaign_id: &str,
        prepared: Prepared,
        claim: Option<&mut Claim>,
        trace: &Trace,
    ) -> Result<RosterView, ApiError> {
        let vendor = account.vendor.descriptor().vendor.clone();
        let of_account = |error: Error| ApiError::from(error).of_account(&account.id, &vendor);
        self.upstream.ensure_token(account).await.map_err(of_account)?;
        let mut roster = self.new_roster(account, campaign_id, &prepared);
        let name = lease_name(&roster.id);
        let lease = self.store.acquire_lease(&name, &self.owner, LEASE).await?;
        let lease = lease
            .ok_or_else(|| Error::new(ErrorClass::Internal, "internal", "Something went wrong here."))?;
        let heartbeat = Heartbeat::start(Arc::clone(&self.store), lease, &self.tasks);
        let Prepared { parts, entries, .. } = prepared;
        for (part, rows) in entries.into_batches() {
            let key = entries_key(&roster.id, part + 1);
            let stored = self.store.put_entries(&account.id, campaign_id, &key, rows, self.clock.now()).await;
            if let Err(error) = stored {
                self.forget_entries(&roster, |_| true).await;
                return Err(error.into());
            }
        }
        if let Err(error) = self.store.put_roster(&roster).await {
            self.forget_entries(&roster, |_| true).await;
            return Err(error.into());
        }
        if let Some(claim) = claim
            && let Err(error) = claim.note_sending(&roster.id).await
        {
            self.close(&mut roster, &heartbeat).await;
            return Err(error);
        }
        let failure = self.send_parts(account, &mut roster, parts, &heartbeat, trace).await;
        self.close(&mut roster, &heartbeat).await;
        match failure {
            // None was taken, or nobody knows of any: the caller must not take that for a success.
            Some(error) if roster.accepted == 0 => Err(with_roster(of_account(error), roster)),
            _ => Ok(roster.into()),
        }
    }

    fn new_roster(&self, account: &Account, campaign_id: &str, prepared: &Prepared) -> StoredRoster {
        let now = self.clock.now();
        let seconds = u64::try_from(now.seconds()).unwrap_or_default();
        let nanos = u32::try_from(now.millis().rem_euclid(1_000) * 1_000_000).unwrap_or_default();
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos));
        StoredRoster {
            id: format!("ros_{}", id.simple()),
            account: account.id.clone(),
            vendor: account.vendor.descriptor().vendor.clone(),
            campaign_id: campaign_id.to_owned(),
            status: RosterStatus::Sending,
            received: prepared.received,
            accepted: 0,
            rejected: prepared.refused,
            rejections: prepared.rejections.clone(),
            parts: stored_parts(&prepared.parts),
            created_at: now,
        }
    }

    /// Sends part after part until one fails: what comes behind a failure is left for a retry by the caller. Answers the
    /// failure.
    async fn send_parts(
        &self,
        account: &Arc<Account>,
        roster: &mut StoredRoster,
        parts: Vec<RosterPart>,
        heartbeat: &Heartbeat,
        trace: &Trace,
    ) -> Option<Error> {
        for (at, part) in parts.into_iter().enumerate() {
            roster.parts[at].status = StoredPartStatus::Sending;
            if let Err(error) = self.mark(roster, heartbeat).await {
                roster.parts[at].status = StoredPartStatus::Pending;
                return Some(error);
            }
            let sent = self.upstream.send_part(account, part.request, trace).await;
            let part = &mut roster.parts[at];
            match sent {
                Ok(status) => {
                    part.status = StoredPartStatus::Accepted;
                    part.upstream_status = Some(status);
                }
                Err(failure) => {
                    part.upstream_status = failure.status;
                    part.status = match failure.error.class {
                        ErrorClass::OutcomeUnknown => StoredPartStatus::Unknown,
                        _ => StoredPartStatus::Refused,
                    };
                    return Some(failure.error);
                }
            }
        }
        None
    }

    /// Stores that a part is being sent, then looks whether the lease is still held. In this order whoever takes the lease
    /// over either finds the mark or is found here.
    async fn mark(&self, roster: &StoredRoster, heartbeat: &Heartbeat) -> Result<(), Error> {
        self.store.put_roster(roster).await.map_err(store_failure)?;
        if heartbeat.beat().await.map_err(store_failure)? {
            return Ok(());
        }
        let message = "The roster was taken for abandoned; no more of it is sent.";
        Err(Error::new(ErrorClass::Unavailable, "store-unavailable", message))
    }

    async fn close(&self, roster: &mut StoredRoster, heartbeat: &Heartbeat) {
        self.conclude(roster).await;
        if let Err(error) = self.store.release_lease(heartbeat.lease()).await {
            tracing::warn!(roster = roster.id, problem = %error, "roster.lease_not_released");
        }
    }

    /// Settles what became of a roster, and tells of it.
    pub(super) async fn conclude(&self, roster: &mut StoredRoster) {
        settle(roster);
        self.forget_entries(roster, |part| part.status == StoredPartStatus::Refused).await;
        // Until its event is in the log the roster counts as being sent: should we die before, the recovery tells of it.
        let open = StoredRoster { status: RosterStatus::Sending, ..roster.clone() };
        if let Err(error) = self.store.put_roster(&open).await {
            // The stored state says less than we know: a part that is "sending" there will be taken for unknown.
            tracing::error!(roster = roster.id, problem = %error, "roster.outcome_not_stored");
        }
        match self.announce(roster).await {
            Err(error) => tracing::error!(roster = roster.id, problem = %error, "roster.event_not_stored"),
            Ok(()) => {
                if let Err(error) = self.store.put_roster(roster).await {
                    tracing::error!(roster = roster.id, problem = %error, "roster.not_closed");
                }
            }
        }
        let (account, vendor) = (roster.account.as_str(), roster.vendor.as_str());
        let status = roster.status.as_str();
        self.metrics.roster_uploads.with_label_values(&[account, vendor, status]).inc();
        let counts = [("accepted", roster.accepted), ("rejected", roster.rejected)];
        for (result, entries) in counts {
            self.metrics.roster_entries.with_label_values(&[account, vendor, result]).inc_by(entries);
        }
        tracing::info!(
            roster = roster.id,
            account,
            status,
            received = roster.received,
            accepted = roster.accepted,
            "roster.sent"
        );
    }

    async fn announce(&self, roster: &StoredRoster) -> Result<(), StoreError> {
        let event = RosterEvent {
            roster_id: roster.id.clone(),
            campaign_id: roster.campaign_id.clone(),
            status: roster.status.as_str().to_owned(),
            received: roster.received,
            accepted: roster.accepted,
            rejected: roster.rejected,
        };
        let now = self.clock.now();
        let draft = event.into_draft(roster.account.clone(), roster.vendor.clone(), now);
        self.store.append(Batch { events: vec![draft], ..Batch::default() }, now).await.map(|_| ())
    }

    /// Entries that the vendor did not take are no entries to wait for.
    async fn forget_entries(&self, roster: &StoredRoster, which: impl Fn(&StoredPart) -> bool) {
        for part in roster.parts.iter().filter(|part| which(part)) {
            let key = entries_key(&roster.id, part.n);
            let removed = self.store.remove_entries(&roster.account, &roster.campaign_id, &key).await;
            if let Err(error) = removed {
                tracing::warn!(roster = roster.id, problem = %error, "roster.entries_not_removed");
            }
        }
    }
}

fn with_roster(error: ApiError, roster: StoredRoster) -> ApiError {
    ApiError { roster: serde_json::to_value(RosterView::from(roster)).ok().map(Box::new), ..error }
}

/// The name of the lease of one who sends a roster.
pub(super) fn lease_name(roster_id: &str) -> String {
    format!("roster:{roster_id}")
}

/// Under which id the entries of one part are kept, so that those of a refused part can be removed.
fn entries_key(roster_id: &str, part: u32) -> String {
    format!("{roster_id}/{part}")
}

/// The parts as they are kept, before anything was sent.
pub(super) fn stored_parts(parts: &[RosterPart]) -> Vec<StoredPart> {
    let stored = |(n, part): (u32, &RosterPart)| StoredPart {
        n,
        form: part.form,
        entries: part.entries,
        bytes: part.bytes,
        status: StoredPartStatus::Pending,
        upstream_status: None,
    };
    (1..).zip(parts).map(stored).collect()
}

/// The status of a roster whose sending has ended: parts that were never begun were refused.
fn settle(roster: &mut StoredRoster) {
    for part in &mut roster.parts {
        part.status = match part.status {
            StoredPartStatus::Pending => StoredPartStatus::Refused,
            // Begun, and nobody knows how it ended.
            StoredPartStatus::Sending => StoredPartStatus::Unknown,
            settled => settled,
        };
    }
    let entries = |status: StoredPartStatus| -> u64 {
        let parts = roster.parts.iter().filter(|part| part.status == status);
        parts.map(|part| u64::from(part.entries)).sum()
    };
    let carried: u64 = roster.parts.iter().map(|part| u64::from(part.entries)).sum();
    let (accepted, refused) = (entries(StoredPartStatus::Accepted), entries(StoredPartStatus::Refused));
    let unknown = carried - accepted - refused;
    roster.accepted = accepted;
    roster.rejected = roster.received.saturating_sub(carried) + refused;
    roster.status = match (accepted, unknown, roster.rejected) {
        (_, 1.., _) => RosterStatus::Unknown,
        (0, 0, _) => RosterStatus::Failed,
        (_, 0, 0) => RosterStatus::Accepted,
        (_, 0, _) => RosterStatus::Partial,
    };
}
