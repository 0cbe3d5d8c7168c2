//! Which events a reader asks for, and as they may see them.

use std::collections::BTreeSet;

use outdial_core::{AccountId, Event, EventData};
use outdial_store::StoredEvent;

/// Which events a reader asks for.
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// Only of these accounts, which the token covers.
    pub accounts: BTreeSet<AccountId>,
    /// Only of these types; empty means all.
    pub types: BTreeSet<String>,
    /// Only of this campaign.
    pub campaign_id: Option<String>,
    /// Whether numbers are shown in full.
    pub full_numbers: bool,
}

/// An event for one reader.
#[derive(Clone, Debug)]
pub struct ShownEvent {
    /// One of [`outdial_core::event_type`].
    pub event_type: String,
    /// One line of JSON.
    pub json: String,
}

impl EventFilter {
    /// The event as the reader may see it; `None` if they did not ask for it, or it cannot be read.
    pub fn show(&self, stored: &StoredEvent) -> Option<ShownEvent> {
        let event: Event = serde_json::from_str(&stored.json).ok()?;
        let wanted = self.accounts.contains(&event.account)
            && (self.types.is_empty() || self.types.contains(&event.event_type))
            && (self.campaign_id.is_none() || self.campaign_id == event.campaignid);
        if !wanted {
            return None;
        }
        let event_type = event.event_type.clone();
        if self.full_numbers {
            return Some(ShownEvent { event_type, json: stored.json.clone() });
        }
        let json = serde_json::to_string(&masked(event)).ok()?;
        Some(ShownEvent { event_type, json })
    }
}

fn masked(event: Event) -> Event {
    let data = match event.data {
        EventData::CallRecord(record) => EventData::CallRecord(Box::new(record.masked())),
        roster @ EventData::Roster(_) => roster,
    };
    Event { data, ..event }
}
