//! What became of a roster once sending has ended: settled, told of, and cleared of what is needed no longer.

use outdial_core::RosterEvent;
use outdial_store::{Batch, RosterStatus, StoreError, StoredPartStatus, StoredRoster};

use super::{RosterUploads, upload::entries_key};

impl RosterUploads {
    /// Settles what became of a roster, and tells of it; unless somebody else has it by now. Answers whether it is known to be
    /// stored as settled, by us or by them.
    pub(super) async fn conclude(&self, roster: &mut StoredRoster) -> bool {
        let has_pending = roster.parts.iter().any(|part| part.status == StoredPartStatus::Pending);
        let may_go_on = roster.detached && has_pending;
        settle(roster);
        // Until its event is in the log the roster counts as being sent: should we die before, the recovery tells of it.
        let open = StoredRoster { status: RosterStatus::Sending, ..roster.clone() };
        let is_stored = match self.store.put_roster(&open).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::warn!(roster = roster.id, "roster.taken_over");
                return true;
            }
            // The stored state says less than we know: a part that is "sending" there will be taken for unknown.
            Err(error) => {
                tracing::error!(roster = roster.id, problem = %error, "roster.outcome_not_stored");
                // Another replica finds it as it was and sends the rest: whoever hears now that it failed uploads it again.
                if may_go_on {
                    return false;
                }
                false
            }
        };
        self.clear(roster).await;
        match self.announce(roster).await {
            Err(error) => tracing::error!(roster = roster.id, problem = %error, "roster.event_not_stored"),
            Ok(()) => {
                if let Err(error) = self.store.put_roster(roster).await {
                    tracing::error!(roster = roster.id, problem = %error, "roster.not_closed");
                }
            }
        }
        self.count(roster);
        is_stored
    }

    /// Entries that the vendor did not take are no entries to wait for, and what it took, or may have taken, is never sent
    /// again.
    async fn clear(&self, roster: &StoredRoster) {
        for part in &roster.parts {
            let cleared = match part.status {
                StoredPartStatus::Refused => {
                    let key = entries_key(&roster.id, part.n);
                    self.store.withhold_entries(&roster.account, &roster.campaign_id, &key).await
                }
                _ => self.store.remove_body(&roster.id, part.n).await,
            };
            if let Err(error) = cleared {
                tracing::warn!(roster = roster.id, problem = %error, "roster.not_cleared");
            }
        }
    }

    async fn announce(&self, roster: &StoredRoster) -> Result<(), StoreError> {
        let event = RosterEvent {
            roster_id: roster.id.clone(),
            campaign_id: roster.campaign_id.clone(),
            attempt: roster.attempt,
            status: roster.status.as_str().to_owned(),
            received: roster.received,
            accepted: roster.accepted,
            rejected: roster.rejected,
        };
        let now = self.clock.now();
        let draft = event.into_draft(roster.account.clone(), roster.vendor.clone(), now);
        self.store.append(Batch { events: vec![draft], ..Batch::default() }, now).await.map(|_| ())
    }

    /// Counts what this attempt brought. What we refused ourselves was counted by the first.
    fn count(&self, roster: &StoredRoster) {
        let (account, vendor) = (roster.account.as_str(), roster.vendor.as_str());
        let status = roster.status.as_str();
        self.metrics.roster_uploads.with_label_values(&[account, vendor, status]).inc();
        let counted_before =
            if roster.attempt > 1 { roster.received.saturating_sub(carried(roster)) } else { 0 };
        let counts = [
            ("accepted", roster.accepted.saturating_sub(roster.accepted_before)),
            ("rejected", roster.rejected.saturating_sub(counted_before)),
        ];
        for (result, entries) in counts {
            self.metrics.roster_entries.with_label_values(&[account, vendor, result]).inc_by(entries);
        }
        tracing::info!(
            roster = roster.id,
            account,
            status,
            attempt = roster.attempt,
            received = roster.received,
            accepted = roster.accepted,
            "roster.sent"
        );
    }
}

fn carried(roster: &StoredRoster) -> u64 {
    roster.parts.iter().map(|part| u64::from(part.entries)).sum()
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
    let carried = carried(roster);
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
