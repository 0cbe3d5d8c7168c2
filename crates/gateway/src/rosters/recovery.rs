//! Rosters whose sender died: what was begun is unknown and never sent again, what was not begun was not sent.

use outdial_core::AccountId;
use outdial_store::{RosterFilter, RosterStatus, StoreError};

use super::{RosterUploads, heartbeat::LEASE, upload::lease_name};

/// Most rosters looked at in one go.
const BATCH: usize = 100;

impl RosterUploads {
    /// Settles rosters that nobody sends any more. Answers how many.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn recover(&self, accounts: Vec<AccountId>) -> Result<usize, StoreError> {
        let filter = RosterFilter { accounts, campaign_id: None, status: Some(RosterStatus::Sending) };
        let mut settled = 0;
        for roster in self.store.list_rosters(&filter, None, BATCH).await? {
            // The one who sends holds the lease; it ends a minute after their last beat.
            let owner = format!("{}/recovery", self.owner);
            let Some(lease) = self.store.acquire_lease(&lease_name(&roster.id), &owner, LEASE).await? else {
                continue;
            };
            // Between the list and the lease the sender may have ended.
            let now = self.store.get_roster(&roster.id).await?;
            if let Some(mut roster) = now.filter(|roster| roster.status == RosterStatus::Sending) {
                self.conclude(&mut roster).await;
                tracing::warn!(roster = roster.id, status = roster.status.as_str(), "roster.recovered");
                settled += 1;
            }
            self.store.release_lease(&lease).await?;
        }
        Ok(settled)
    }
}
