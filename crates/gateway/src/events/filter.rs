//! Which events a reader asks for, and as they may see them.

use std::{borrow::Cow, collections::BTreeSet};

use outdial_core::{AccountId, CallRecord, Disposition, Outcome, event_type};
use outdial_store::{StoredEvent, SubscriptionFilter};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Which events a reader asks for. An empty set means all.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of these accounts, and of subscriptions that are limited to them; `None` means all. So whoever may see a
    /// subscription sees its events, and nobody else does.
    pub accounts: Option<BTreeSet<AccountId>>,
    /// Only of these types.
    pub types: BTreeSet<String>,
    /// Only of these campaigns.
    pub campaigns: BTreeSet<String>,
    /// Only records with one of these outcomes.
    pub outcomes: BTreeSet<Outcome>,
    /// Only records with one of these dispositions.
    pub dispositions: BTreeSet<Disposition>,
    /// Whether numbers are shown in full.
    pub full_numbers: bool,
}

/// An event for one reader.
#[derive(Clone, Debug)]
pub struct ShownEvent {
    /// `evt_…`.
    pub id: String,
    /// One of [`outdial_core::event_type`].
    pub event_type: String,
    /// What it is about: see [`outdial_core::EventDraft::subject`].
    pub subject: String,
    /// One line of JSON.
    pub json: String,
}

/// What decides whether an event is wanted.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(default)]
    account: Option<AccountId>,
    #[serde(default, borrow)]
    campaignid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Of an event without an account: the accounts of the subscription that it is about.
#[derive(Deserialize)]
struct SubscriptionFacts {
    accounts: Option<BTreeSet<AccountId>>,
}

#[derive(Deserialize)]
struct RecordFacts {
    outcome: Outcome,
    disposition: Disposition,
}

impl EventFilter {
    /// What a subscription wants.
    pub fn of_subscription(filter: &SubscriptionFilter, full_numbers: bool) -> Self {
        Self {
            accounts: (!filter.accounts.is_empty()).then(|| filter.accounts.clone()),
            types: filter.types.clone(),
            campaigns: filter.campaigns.clone(),
            outcomes: filter.outcomes.clone(),
            dispositions: filter.dispositions.clone(),
            full_numbers,
        }
    }

    /// The event as the reader may see it; `None` if they did not ask for it, or it cannot be read.
    pub fn show(&self, stored: &StoredEvent) -> Option<ShownEvent> {
        let head: Head<'_> = serde_json::from_str(&stored.json).ok()?;
        if !self.wants(&head) {
            return None;
        }
        let json = if self.full_numbers || !is_of_record(&head.event_type) {
            stored.json.clone()
        } else {
            mask(&stored.json, head.data)?
        };
        Some(ShownEvent {
            id: head.id.into_owned(),
            event_type: head.event_type.into_owned(),
            subject: head.subject.into_owned(),
            json,
        })
    }

    /// Whether the reader asked for an event; not for one that cannot be read.
    pub fn passes(&self, stored: &StoredEvent) -> bool {
        serde_json::from_str(&stored.json).is_ok_and(|head: Head<'_>| self.wants(&head))
    }

    fn wants(&self, head: &Head<'_>) -> bool {
        let passes = |set: &BTreeSet<String>, value: Option<&str>| {
            set.is_empty() || value.is_some_and(|value| set.contains(value))
        };
        self.accounts.as_ref().is_none_or(|accounts| is_within(head, accounts))
            && passes(&self.types, Some(&head.event_type))
            && passes(&self.campaigns, head.campaignid.as_deref())
            && self.wants_facts(head)
    }

    fn wants_facts(&self, head: &Head<'_>) -> bool {
        if self.outcomes.is_empty() && self.dispositions.is_empty() {
            return true;
        }
        let facts = is_of_record(&head.event_type).then(|| serde_json::from_str(head.data.get()));
        let Some(Ok(RecordFacts { outcome, disposition })) = facts else { return false };
        (self.outcomes.is_empty() || self.outcomes.contains(&outcome))
            && (self.dispositions.is_empty() || self.dispositions.contains(&disposition))
    }
}

fn is_within(head: &Head<'_>, accounts: &BTreeSet<AccountId>) -> bool {
    match &head.account {
        Some(account) => accounts.contains(account),
        None => {
            let facts = serde_json::from_str::<SubscriptionFacts>(head.data.get());
            facts.ok().and_then(|facts| facts.accounts).is_some_and(|own| own.is_subset(accounts))
        }
    }
}

fn is_of_record(event_type: &str) -> bool {
    matches!(event_type, event_type::RECORD_CREATED | event_type::RECORD_UPDATED)
}

/// The event with the numbers of its record masked. All else keeps its bytes.
fn mask(json: &str, data: &RawValue) -> Option<String> {
    let mut record: CallRecord = serde_json::from_str(data.get()).ok()?;
    record.mask();
    let masked = serde_json::to_string(&record).ok()?;
    let start = data.get().as_ptr().addr().checked_sub(json.as_ptr().addr())?;
    let (head, tail) = (json.get(..start)?, json.get(start + data.get().len()..)?);
    Some([head, &masked, tail].concat())
}

#[cfg(test)]
mod tests {
    use outdial_core::{
        Event, PhoneNumber, Position, ReceivedVia, RosterEvent, SubscriptionDisabled, Timestamp, VendorId,
        record_event,
    };

    use super::*;

    fn stored(change: impl FnOnce(&mut CallRecord)) -> StoredEvent {
        let (account, at) = ("wc-1".parse().unwrap(), Timestamp::from_millis(5));
        let mut record =
            CallRecord::new(account, VendorId::new("wellcloud"), "c1".into(), ReceivedVia::Push, at);
        record.campaign_id = Some("camp".into());
        record.called = PhoneNumber::new("18512342456");
        change(&mut record);
        let position = Position(7);
        StoredEvent { position, json: record_event(&record, at).to_json(position).unwrap() }
    }

    fn set<T: Ord>(item: T) -> BTreeSet<T> {
        BTreeSet::from([item])
    }

    #[test]
    fn every_part_of_a_filter_counts() {
        let event = stored(|record| record.outcome = Outcome::Busy);
        let all = EventFilter::default();
        let account = |id: &str| Some(set(id.parse().unwrap()));
        let disposition = |one| EventFilter { dispositions: set(one), ..all.clone() };
        for (filter, passes) in [
            (all.clone(), true),
            (EventFilter { accounts: account("wc-1"), ..all.clone() }, true),
            (EventFilter { accounts: account("wc-2"), ..all.clone() }, false),
            (EventFilter { accounts: Some(BTreeSet::new()), ..all.clone() }, false),
            (EventFilter { types: set(event_type::RECORD_CREATED.into()), ..all.clone() }, true),
            (EventFilter { types: set(event_type::RECORD_UPDATED.into()), ..all.clone() }, false),
            (EventFilter { campaigns: set("camp".into()), ..all.clone() }, true),
            (EventFilter { campaigns: set("other".into()), ..all.clone() }, false),
            (EventFilter { outcomes: set(Outcome::Busy), ..all.clone() }, true),
            (EventFilter { outcomes: set(Outcome::Answered), ..all.clone() }, false),
            (disposition(Disposition::NotConnected), true),
            (disposition(Disposition::Connected), false),
        ] {
            assert_eq!(
                (filter.show(&event).is_some(), filter.passes(&event)),
                (passes, passes),
                "{filter:?}"
            );
        }
    }

    #[test]
    fn an_event_without_an_outcome_passes_no_filter_of_outcomes() {
        let event = RosterEvent {
            roster_id: "ros_1".into(),
            campaign_id: "camp".into(),
            attempt: 1,
            status: "accepted".into(),
            received: 1,
            accepted: 1,
            rejected: 0,
        };
        let draft =
            event.into_draft("wc-1".parse().unwrap(), VendorId::new("wellcloud"), Timestamp::from_millis(5));
        let event = StoredEvent { position: Position(7), json: draft.to_json(Position(7)).unwrap() };
        let shown = EventFilter::default().show(&event).unwrap();
        assert_eq!((shown.json, shown.subject.as_str()), (event.json.clone(), "ros_1"));
        let filter = EventFilter { outcomes: set(Outcome::Other), ..EventFilter::default() };
        assert!(filter.show(&event).is_none());
    }

    #[test]
    fn events_of_a_subscription_are_for_those_who_see_all_its_accounts() {
        let accounts =
            |ids: &[&str]| ids.iter().map(|id| id.parse().unwrap()).collect::<BTreeSet<AccountId>>();
        let event = |own: Option<BTreeSet<AccountId>>| {
            let disabled = SubscriptionDisabled {
                subscription_id: "sub_1".into(),
                accounts: own,
                reason: "gone".into(),
                disabled_at: Timestamp::from_millis(5),
                failing_since: None,
            };
            let json = disabled.into_draft(Timestamp::from_millis(5)).to_json(Position(7)).unwrap();
            StoredEvent { position: Position(7), json }
        };
        let reader = |ids: &[&str]| EventFilter { accounts: Some(accounts(ids)), ..EventFilter::default() };
        let all = EventFilter::default();
        for (own, filter, passes) in [
            (None, &all, true),
            (None, &reader(&["wc-1", "wc-2"]), false),
            (Some(accounts(&["wc-1"])), &all, true),
            (Some(accounts(&["wc-1"])), &reader(&["wc-1", "wc-2"]), true),
            (Some(accounts(&["wc-1"])), &reader(&["wc-2"]), false),
            (Some(accounts(&["wc-1", "wc-2"])), &reader(&["wc-1"]), false),
            (Some(accounts(&["wc-1", "wc-2"])), &reader(&["wc-1", "wc-2"]), true),
            (Some(accounts(&["wc-1"])), &reader(&[]), false),
            (None, &EventFilter { campaigns: set("camp".into()), ..all.clone() }, false),
            (None, &EventFilter { outcomes: set(Outcome::Busy), ..all.clone() }, false),
            (
                None,
                &EventFilter { types: set(event_type::SUBSCRIPTION_DISABLED.into()), ..all.clone() },
                true,
            ),
        ] {
            let event = event(own);
            assert_eq!(
                (filter.show(&event).is_some(), filter.passes(&event)),
                (passes, passes),
                "{filter:?}"
            );
        }
        let event = event(None);
        let shown = all.show(&event).unwrap();
        assert_eq!((shown.subject.as_str(), &shown.json), ("sub_1", &event.json));
    }

    #[test]
    fn only_the_numbers_change_for_a_reader_who_may_not_see_them() {
        let event = stored(|record| record.caller = PhoneNumber::new("01012345678"));
        let full = EventFilter { full_numbers: true, ..EventFilter::default() };
        assert_eq!(full.show(&event).unwrap().json, event.json);
        let shown = EventFilter::default().show(&event).unwrap();
        assert!(!shown.json.contains("18512342456") && !shown.json.contains("01012345678"), "{}", shown.json);
        let expected = event.json.replace("18512342456", "185****2456").replace("01012345678", "010****5678");
        assert_eq!(shown.json, expected);
        assert!(serde_json::from_str::<Event>(&shown.json).is_ok());
        assert_eq!((shown.event_type.as_str(), shown.subject.as_str()), (event_type::RECORD_CREATED, "c1"));
    }
}
