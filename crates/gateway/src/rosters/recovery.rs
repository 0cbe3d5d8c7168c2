//! Rosters whose sender died: what was begun is unknown and never sent again. What was not begun is sent by another where
//! nobody waits for the answer and nothing went wrong before; else it was not sent.

use std::sync::Arc;

use outdial_store::{RosterFilter, RosterStatus, StoreError, StoredPartStatus, StoredRoster};

use super::{Begun, RosterUploads, heartbeat::Heartbeat, sending::Requests};
use crate::{
    accounts::{Account, Accounts},
    api_error::ApiError,
    upstream::Trace,
};

/// Most rosters looked at in one go.
const BATCH: usize = 100;

impl RosterUploads {
    /// Settles rosters that nobody sends any more, or goes on with them. Answers how many were settled.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn recover(self: &Arc<Self>, accounts: &Accounts) -> Result<usize, ApiError> {
        let ids = accounts.iter().map(|account| account.id.clone()).collect();
        let filter = RosterFilter { accounts: ids, campaign_id: None, status: Some(RosterStatus::Sending) };
        let mut settled = 0;
        for roster in self.store.list_rosters(&filter, None, BATCH).await? {
            // The one who sends holds the lease; it ends a minute after their last beat.
            let Some(heartbeat) = self.hold(&roster.id).await? else { continue };
            // Between the list and the lease the sender may have ended.
            let now = self.store.get_roster(&roster.id).await?;
            let now = now.filter(|roster| roster.status == RosterStatus::Sending);
            let account = accounts.get(roster.account.as_str());
            match (now, account) {
                (Some(roster), Ok(account)) if can_go_on(&roster) => {
                    self.go_on(account, roster, heartbeat).await?;
                }
                (Some(roster), _) => {
                    self.give_up(roster, heartbeat).await;
                    settled += 1;
                }
                (None, _) => self.release(&heartbeat).await,
            }
        }
        Ok(settled)
    }

    async fn give_up(&self, mut roster: StoredRoster, heartbeat: Heartbeat) {
        roster.fence = heartbeat.lease().fence;
        self.conclude(&mut roster).await;
        tracing::warn!(roster = roster.id, status = roster.status.as_str(), "roster.recovered");
        self.release(&heartbeat).await;
    }

    async fn go_on(
        self: &Arc<Self>,
        account: &Arc<Account>,
        mut roster: StoredRoster,
        heartbeat: Heartbeat,
    ) -> Result<(), StoreError> {
        let Ok(place) = self.place() else {
            // Another replica has one, or this one the next time.
            self.release(&heartbeat).await;
            return Ok(());
        };
        roster.fence = heartbeat.lease().fence;
        tracing::warn!(roster = roster.id, "roster.resumed");
        let begun = Begun { account: Arc::clone(account), roster, requests: Requests::Kept, heartbeat };
        self.send_detached(begun, place, Trace::default());
        Ok(())
    }
}

/// Whether nothing but time was lost: nobody waits, and every part was taken or not begun.
fn can_go_on(roster: &StoredRoster) -> bool {
    let is_clear = |status| matches!(status, StoredPartStatus::Accepted | StoredPartStatus::Pending);
    roster.detached && roster.parts.iter().all(|part| is_clear(part.status))
}
