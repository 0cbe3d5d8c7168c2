//! Sends the parts of a roster: each is marked before its first byte, and none is sent twice.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use outdial_core::{Error, ErrorClass};
use outdial_store::{StoredPart, StoredPartStatus, StoredRoster};

use super::{RosterUploads, bodies, heartbeat::Heartbeat};
use crate::{
    accounts::Account,
    api_error::store_failure,
    upstream::{PartFailure, PartTurn, Trace},
};

/// Where the requests of the parts are.
pub(super) enum Requests {
    /// Here, of every part in order.
    Held(Vec<Request<Bytes>>),
    /// In the store.
    Kept,
}

/// How sending ended.
pub(super) enum Ended {
    /// Every part was taken.
    Done,
    /// A part was not taken, or nobody knows. What stands behind it was not begun.
    Failed(Error),
    /// The gateway stops, and another one may go on.
    Left,
    /// Somebody else has the roster by now, and settles it.
    Lost(Error),
}

impl Requests {
    /// The request of a part, which is not asked for again.
    async fn take(
        &mut self,
        uploads: &RosterUploads,
        account: &Account,
        roster: &StoredRoster,
        part: &StoredPart,
    ) -> Result<Request<Bytes>, Error> {
        match self {
            Self::Kept => bodies::load(&*uploads.store, roster, part, account.vendor.base_url()).await,
            Self::Held(requests) => {
                let at = usize::try_from(part.n).ok().and_then(|n| n.checked_sub(1));
                let held = at.and_then(|at| requests.get_mut(at));
                held.map(std::mem::take).ok_or_else(bodies::gone)
            }
        }
    }
}

impl RosterUploads {
    /// Sends part after part of those that are pending, until one fails.
    pub(super) async fn send_parts(
        &self,
        account: &Arc<Account>,
        roster: &mut StoredRoster,
        mut requests: Requests,
        heartbeat: &Heartbeat,
        trace: &Trace,
    ) -> Ended {
        let mut is_stored = true;
        for at in 0..roster.parts.len() {
            if roster.parts[at].status != StoredPartStatus::Pending {
                continue;
            }
            let request = match requests.take(self, account, roster, &roster.parts[at]).await {
                Ok(request) => request,
                Err(error) => return Ended::Failed(error),
            };
            let turn = match self.turn(account, roster, is_stored).await {
                Ok(Some(turn)) => turn,
                Ok(None) => return self.leave(roster).await,
                Err(error) => return Ended::Failed(error),
            };
            roster.parts[at].status = StoredPartStatus::Sending;
            match self.mark(roster, heartbeat).await {
                Ok(true) => {}
                Ok(false) => return Ended::Lost(lost()),
                Err(error) => {
                    roster.parts[at].status = StoredPartStatus::Pending;
                    return Ended::Failed(error);
                }
            }
            let sent = self.upstream.send_part(account, turn, request, trace).await;
            if let Err(error) = note_part(roster, at, sent) {
                return Ended::Failed(error);
            }
            is_stored = false;
        }
        Ended::Done
    }

    /// Waits for the turn of the next part; `None` when the gateway stops and another one may go on. What is known by then is
    /// stored meanwhile, unless it is, so that a death leaves nothing unknown. What cannot be stored now is stored with the next
    /// mark, which notices too if somebody else has the roster.
    async fn turn(
        &self,
        account: &Arc<Account>,
        roster: &StoredRoster,
        is_stored: bool,
    ) -> Result<Option<PartTurn>, Error> {
        let stop = self.tasks.stop_signal();
        if roster.detached && stop.is_cancelled() {
            return Ok(None);
        }
        let mut turn = Box::pin(self.upstream.part_turn(account));
        if let Some(turn) = turn.as_mut().now_or_never() {
            return turn.map(Some);
        }
        if !is_stored && let Err(error) = self.store.put_roster(roster).await {
            tracing::warn!(roster = roster.id, problem = %error, "roster.progress_not_stored");
        }
        tokio::select! {
            turn = turn => turn.map(Some),
            () = stop.cancelled(), if roster.detached => Ok(None),
        }
    }

    /// Stores that a part is being sent, then looks whether the lease is still held, which is the answer. In this order whoever
    /// takes the lease over either finds the mark or is found here.
    async fn mark(&self, roster: &StoredRoster, heartbeat: &Heartbeat) -> Result<bool, Error> {
        let stored = self.store.put_roster(roster).await.map_err(store_failure)?;
        Ok(stored && heartbeat.beat().await.map_err(store_failure)?)
    }

    async fn leave(&self, roster: &StoredRoster) -> Ended {
        if let Err(error) = self.store.put_roster(roster).await {
            // The stored state says less than we know: a part that is "sending" there will be taken for unknown.
            tracing::error!(roster = roster.id, problem = %error, "roster.outcome_not_stored");
        }
        tracing::info!(roster = roster.id, "roster.left_to_others");
        Ended::Left
    }
}

/// Notes what came of a part.
fn note_part(roster: &mut StoredRoster, at: usize, sent: Result<u16, PartFailure>) -> Result<(), Error> {
    let part = &mut roster.parts[at];
    match sent {
        Ok(status) => {
            part.status = StoredPartStatus::Accepted;
            part.upstream_status = Some(status);
            roster.accepted += u64::from(part.entries);
            Ok(())
        }
        Err(failure) => {
            part.upstream_status = failure.status;
            part.status = match failure.error.class {
                ErrorClass::OutcomeUnknown => StoredPartStatus::Unknown,
                _ => StoredPartStatus::Refused,
            };
            Err(failure.error)
        }
    }
}

fn lost() -> Error {
    let message = "The roster was taken for abandoned; no more of it is sent.";
    Error::new(ErrorClass::Unavailable, "store-unavailable", message)
}
