//! Retries: what of a roster was refused or never begun is sent once more. What the vendor took or may have taken is not.

use std::sync::Arc;

use outdial_core::{Error, ErrorClass};
use outdial_store::{RosterStatus, StoredPartStatus, StoredRoster};

use super::{Begun, Claim, RosterUploads, bodies, sending::Requests, upload::entries_key};
use crate::{accounts::Account, api_error::ApiError};

/// When one who found a roster being sent may ask again.
const SENDING_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

impl RosterUploads {
    /// Makes the refused parts of a roster ready to be sent again, and notes that under the idempotency key.
    ///
    /// # Errors
    /// `roster-sending`, `nothing-to-retry`, `roster-bodies-gone`, or why it cannot be begun; nothing is sent then.
    pub async fn begin_retry(
        &self,
        account: &Arc<Account>,
        roster_id: &str,
        claim: Option<&mut Claim>,
    ) -> Result<Begun, ApiError> {
        let known = self.store.get_roster(roster_id).await?.ok_or_else(ApiError::not_found)?;
        check_retry(&known)?;
        self.ensure_token(account).await?;
        let heartbeat = self.hold(roster_id).await?.ok_or_else(being_sent)?;
        match self.reopen(roster_id, heartbeat.lease().fence, claim).await {
            Ok(roster) => {
                let account = Arc::clone(account);
                Ok(Begun { account, roster, requests: Requests::Kept, heartbeat })
            }
            Err(error) => {
                self.release(&heartbeat).await;
                Err(error)
            }
        }
    }

    async fn reopen(
        &self,
        roster_id: &str,
        fence: u64,
        claim: Option<&mut Claim>,
    ) -> Result<StoredRoster, ApiError> {
        // Between the look and the lease somebody else may have retried it.
        let mut roster = self.store.get_roster(roster_id).await?.ok_or_else(ApiError::not_found)?;
        check_retry(&roster)?;
        for part in roster.parts.iter().filter(|part| part.status == StoredPartStatus::Refused) {
            if !bodies::is_kept(&*self.store, roster_id, part).await? {
                return Err(bodies::gone().into());
            }
        }
        roster.fence = fence;
        roster.status = RosterStatus::Sending;
        roster.attempt += 1;
        roster.accepted_before = roster.accepted;
        roster.detached = false;
        for part in roster.parts.iter_mut().filter(|part| part.status == StoredPartStatus::Refused) {
            roster.rejected = roster.rejected.saturating_sub(u64::from(part.entries));
            part.status = StoredPartStatus::Pending;
            part.upstream_status = None;
        }
        if !self.store.put_roster(&roster).await? {
            return Err(being_sent());
        }
        let ready = self.make_ready(&roster, claim).await;
        if ready.is_err() {
            self.conclude(&mut roster).await;
        }
        ready.map(|()| roster)
    }

    async fn make_ready(&self, roster: &StoredRoster, claim: Option<&mut Claim>) -> Result<(), ApiError> {
        for part in roster.parts.iter().filter(|part| part.status == StoredPartStatus::Pending) {
            let key = entries_key(&roster.id, part.n);
            self.store.restore_entries(&roster.account, &roster.campaign_id, &key).await?;
        }
        match claim {
            Some(claim) => claim.note_sending(&roster.id).await,
            None => Ok(()),
        }
    }
}

fn check_retry(roster: &StoredRoster) -> Result<(), ApiError> {
    if roster.status == RosterStatus::Sending {
        return Err(being_sent());
    }
    if roster.parts.iter().any(|part| part.status == StoredPartStatus::Refused) {
        return Ok(());
    }
    let message = if roster.status == RosterStatus::Unknown {
        "No part of the roster was refused; what the vendor may have taken is never sent again."
    } else {
        "The vendor took every part of the roster."
    };
    Err(Error::new(ErrorClass::Conflict, "nothing-to-retry", message).into())
}

fn being_sent() -> ApiError {
    Error::new(ErrorClass::Conflict, "roster-sending", "The roster is being sent.")
        .with_retry_after(SENDING_RETRY)
        .into()
}
