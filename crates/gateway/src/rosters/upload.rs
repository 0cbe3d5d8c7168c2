//! Uploads: a roster is stored with its entries and bodies before the first byte goes out, and sent at most once.

use std::sync::Arc;

use outdial_core::{Clock, Error, ErrorClass, RosterPart};
use outdial_store::{KeptRequest, RosterStatus, Store, StoredPart, StoredPartStatus, StoredRoster};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::{NoContext, Uuid};

use super::{
    Claim, Prepared, RosterView, bodies,
    heartbeat::{Heartbeat, LEASE},
    sending::{Ended, Requests},
};
use crate::{
    accounts::Account,
    api_error::ApiError,
    tasks::Tasks,
    telemetry::Metrics,
    upstream::{Trace, Upstream},
};

/// When one who found all places taken may ask again.
const FULL_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// Sends rosters.
pub struct RosterUploads {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: Tasks,
    owner: String,
    places: Arc<Semaphore>,
}

/// A roster that is stored and ready to be sent, by the one who holds its lease.
pub struct Begun {
    pub(super) account: Arc<Account>,
    pub(super) roster: StoredRoster,
    pub(super) requests: Requests,
    pub(super) heartbeat: Heartbeat,
}

impl RosterUploads {
    /// Uploads through this store and to these vendors. `owner` names this replica; as many rosters as there are `places` are
    /// sent at once for which nobody waits.
    pub fn new(
        store: Arc<dyn Store>,
        upstream: Arc<Upstream>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
        owner: String,
        places: usize,
    ) -> Self {
        Self { store, clock, upstream, metrics, tasks, owner, places: Arc::new(Semaphore::new(places)) }
    }

    /// A place for a roster that is sent while nobody waits for it.
    ///
    /// # Errors
    /// `too-many-rosters` when all are taken.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = "As many rosters as allowed are being sent with respond-async.";
            let error = Error::new(ErrorClass::Unavailable, "too-many-rosters", message);
            error.with_retry_after(FULL_RETRY).into()
        })
    }

    /// Stores a roster and all that belongs to it, and notes it under its idempotency key.
    ///
    /// # Errors
    /// Why it cannot be sent; then nothing of it was sent, and nothing is left to be sent.
    pub async fn begin_upload(
        &self,
        account: &Arc<Account>,
        campaign_id: &str,
        prepared: Prepared,
        mut claim: Option<&mut Claim>,
    ) -> Result<Begun, ApiError> {
        self.ensure_token(account).await?;
        let mut roster = self.new_roster(account, campaign_id, &prepared);
        if let Some(claim) = &mut claim {
            claim.reserve(&roster.id).await?;
        }
        let heartbeat = self.hold(&roster.id).await?;
        let heartbeat = heartbeat
            .ok_or_else(|| Error::new(ErrorClass::Internal, "internal", "Something went wrong here."))?;
        roster.fence = heartbeat.lease().fence;
        let Prepared { parts, entries, .. } = prepared;
        if let Err(error) = self.store_all(&roster, &parts, entries).await {
            self.forget_all(&roster).await;
            self.release(&heartbeat).await;
            return Err(error);
        }
        if let Some(claim) = claim
            && let Err(error) = claim.note_sending(&roster.id).await
        {
            self.conclude(&mut roster).await;
            // Whoever has the key sends another roster in its place, so this one is not to be retried.
            self.forget_all(&roster).await;
            self.release(&heartbeat).await;
            return Err(error);
        }
        let requests = Requests::Held(parts.into_iter().map(|part| part.request).collect());
        Ok(Begun { account: Arc::clone(account), roster, requests, heartbeat })
    }

    async fn store_all(
        &self,
        roster: &StoredRoster,
        parts: &[RosterPart],
        entries: super::arena::EntryArena,
    ) -> Result<(), ApiError> {
        for (part, rows) in entries.into_batches() {
            let key = entries_key(&roster.id, part + 1);
            let now = self.clock.now();
            self.store.put_entries(&roster.account, &roster.campaign_id, &key, rows, now).await?;
        }
        bodies::keep(&*self.store, &roster.id, parts, self.clock.now()).await?;
        self.store.put_roster(roster).await?;
        Ok(())
    }

    async fn forget_all(&self, roster: &StoredRoster) {
        for part in &roster.parts {
            let key = entries_key(&roster.id, part.n);
            let entries = self.store.remove_entries(&roster.account, &roster.campaign_id, &key).await;
            let body = self.store.remove_body(&roster.id, part.n).await;
            if let Err(error) = entries.and(body) {
                tracing::warn!(roster = roster.id, problem = %error, "roster.not_removed");
            }
        }
    }

    /// Sends a roster while the caller waits. Answers it when the vendor took at least one part now.
    ///
    /// # Errors
    /// Why no part is known to be taken, with the roster.
    pub async fn finish(&self, begun: Begun, trace: &Trace) -> Result<RosterView, ApiError> {
        let Begun { account, mut roster, requests, heartbeat } = begun;
        let ended = self.send_parts(&account, &mut roster, requests, &heartbeat, trace).await;
        if matches!(ended, Ended::Done | Ended::Failed(_)) {
            self.conclude(&mut roster).await;
        }
        self.release(&heartbeat).await;
        match ended {
            // None was taken, or nobody knows of any: the caller must not take that for a success.
            Ended::Failed(error) if roster.accepted <= roster.accepted_before => {
                Err(with_roster(of_account(&account, error), roster))
            }
            // Sent anew as a whole, what was taken before it was lost would be called twice.
            Ended::Lost(_) if roster.accepted > roster.accepted_before => {
                Err(with_roster(taken_in_part(&roster.id), roster))
            }
            Ended::Lost(error) => Err(with_roster(error.into(), roster)),
            _ => Ok(roster.into()),
        }
    }

    /// Sends a roster while nobody waits, and whoever sends it: from now on another replica goes on if this one ends. Answers
    /// the roster as it is now.
    ///
    /// # Errors
    /// When that cannot be stored. Then the roster has ended, and nothing of it was sent.
    pub async fn detach(
        self: &Arc<Self>,
        mut begun: Begun,
        place: OwnedSemaphorePermit,
        trace: Trace,
    ) -> Result<RosterView, ApiError> {
        begun.roster.detached = true;
        if let Err(error) = self.store.put_roster(&begun.roster).await {
            let is_settled = self.conclude(&mut begun.roster).await;
            self.release(&begun.heartbeat).await;
            // Where the store has kept the one and not the other, another replica sends it.
            let error = if is_settled { error.into() } else { not_known(&begun.roster.id) };
            return Err(error);
        }
        // Read back part by part, so that rosters of many megabytes do not wait in memory.
        begun.requests = Requests::Kept;
        let view = RosterView::from(begun.roster.clone());
        self.send_detached(begun, place, trace);
        Ok(view)
    }

    /// A roster for which nobody waits, as it is now; `None` for any other.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn find_detached(&self, roster_id: &str) -> Result<Option<RosterView>, ApiError> {
        let roster = self.store.get_roster(roster_id).await?;
        Ok(roster.filter(|roster| roster.detached).map(RosterView::from))
    }

    pub(super) fn send_detached(self: &Arc<Self>, begun: Begun, place: OwnedSemaphorePermit, trace: Trace) {
        let uploads = Arc::clone(self);
        self.tasks.spawn(async move {
            let roster_id = begun.roster.id.clone();
            if let Err(failure) = uploads.finish(begun, &trace).await {
                tracing::warn!(roster = roster_id, problem = %failure.error, "roster.sending_failed");
            }
            drop(place);
        });
    }

    /// Takes the lease of a roster, under a name that nobody else has: two requests in one process are two owners.
    pub(super) async fn hold(&self, roster_id: &str) -> Result<Option<Heartbeat>, ApiError> {
        let owner = format!("{}/{}", self.owner, Uuid::new_v4().simple());
        let lease = self.store.acquire_lease(&format!("roster:{roster_id}"), &owner, LEASE).await?;
        Ok(lease.map(|lease| Heartbeat::start(Arc::clone(&self.store), lease, &self.tasks)))
    }

    pub(super) async fn release(&self, heartbeat: &Heartbeat) {
        if let Err(error) = self.store.release_lease(heartbeat.lease()).await {
            tracing::warn!(problem = %error, "roster.lease_not_released");
        }
    }

    pub(super) async fn ensure_token(&self, account: &Arc<Account>) -> Result<(), ApiError> {
        self.upstream.ensure_token(account).await.map_err(|error| of_account(account, error))
    }

    fn new_roster(&self, account: &Account, campaign_id: &str, prepared: &Prepared) -> StoredRoster {
        let now = self.clock.now();
        let seconds = u64::try_from(now.seconds()).unwrap_or_default();
        let nanos = u32::try_from(now.millis().rem_euclid(1_000) * 1_000_000).unwrap_or_default();
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos));
        let (requests, kept) = bodies::describe_all(&prepared.parts, account.vendor.base_url());
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
            parts: stored_parts(&prepared.parts, &kept),
            created_at: now,
            fence: 0,
            requests,
            attempt: 1,
            accepted_before: 0,
            detached: false,
        }
    }
}

fn of_account(account: &Account, error: Error) -> ApiError {
    ApiError::from(error).of_account(&account.id, &account.vendor.descriptor().vendor)
}

fn not_known(roster_id: &str) -> ApiError {
    let message = format!(
        "The store did not say whether it has the roster; what becomes of it is in GET /v1/rosters/{roster_id}."
    );
    Error::new(ErrorClass::OutcomeUnknown, "upstream-outcome-unknown", message).into()
}

fn taken_in_part(roster_id: &str) -> ApiError {
    let message = format!(
        "The roster was taken for abandoned after the vendor had taken a part of it; what became of it is in \
         GET /v1/rosters/{roster_id}. It is not sent again."
    );
    Error::new(ErrorClass::OutcomeUnknown, "upstream-outcome-unknown", message).into()
}

fn with_roster(error: ApiError, roster: StoredRoster) -> ApiError {
    ApiError { roster: serde_json::to_value(RosterView::from(roster)).ok().map(Box::new), ..error }
}

/// Under which id the entries of one part are kept, so that those of a refused part can be set aside.
pub(super) fn entries_key(roster_id: &str, part: u32) -> String {
    format!("{roster_id}/{part}")
}

/// The parts as they are kept, before anything was sent, each with its request where that is kept.
pub(super) fn stored_parts(parts: &[RosterPart], kept: &[KeptRequest]) -> Vec<StoredPart> {
    let mut kept = kept.iter().copied();
    let stored = |(n, part): (u32, &RosterPart)| StoredPart {
        n,
        form: part.form,
        entries: part.entries,
        bytes: part.bytes,
        status: StoredPartStatus::Pending,
        upstream_status: None,
        kept: kept.next(),
    };
    (1..).zip(parts).map(stored).collect()
}
