//! Events as they are republished: CloudEvents 1.0, the same bytes on every channel and attempt.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    AccountId, CallRecord, Timestamp, VendorId,
    lifecycle::{DeliveriesExhausted, PushOverdue, SubscriptionDisabled},
};

/// The types of events.
pub mod event_type {
    /// A call was heard of for the first time.
    pub const RECORD_CREATED: &str = "io.outdial.call-record.created";
    /// More, or something else, was heard of a known call.
    pub const RECORD_UPDATED: &str = "io.outdial.call-record.updated";
    /// The vendor took a roster, whole or in part.
    pub const ROSTER_ACCEPTED: &str = "io.outdial.roster.accepted";
    /// The vendor took nothing of a roster.
    pub const ROSTER_FAILED: &str = "io.outdial.roster.failed";
    /// Of a roster, or a part of it, nobody knows whether the vendor took it. Not a failure: sent again, it may call people
    /// twice.
    pub const ROSTER_UNKNOWN: &str = "io.outdial.roster.unknown";
    /// The gateway has stopped a subscription. Not its owner: who stops one knows it.
    pub const SUBSCRIPTION_DISABLED: &str = "io.outdial.subscription.disabled";
    /// Deliveries were given up after all attempts, and wait for a person.
    pub const DELIVERY_EXHAUSTED: &str = "io.outdial.delivery.exhausted";
    /// An account has had no push for longer than is usual at this time.
    pub const PUSH_OVERDUE: &str = "io.outdial.push.overdue";
    /// Every type, in the order of the catalogue.
    pub const ALL: &[&str] = &[
        RECORD_CREATED,
        RECORD_UPDATED,
        ROSTER_ACCEPTED,
        ROSTER_FAILED,
        ROSTER_UNKNOWN,
        SUBSCRIPTION_DISABLED,
        DELIVERY_EXHAUSTED,
        PUSH_OVERDUE,
    ];

    /// Whether events of a type are about the gateway's own work, not about calls and rosters.
    pub fn is_lifecycle(event_type: &str) -> bool {
        matches!(event_type, SUBSCRIPTION_DISABLED | DELIVERY_EXHAUSTED | PUSH_OVERDUE)
    }
}

/// A place in the log. Positions grow and are never reused; they are microseconds since the epoch at the time of the
/// append, moved up where two would be equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// An event before the log has given it its position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventDraft {
    /// `evt_` and 32 hex digits. The same content gives the same id, so an append of unknown outcome is safe to repeat.
    pub id: String,
    /// One of [`event_type`].
    #[serde(rename = "type")]
    pub event_type: String,
    /// Whose event it is; `None` for one about a subscription.
    #[serde(default)]
    pub account: Option<AccountId>,
    /// The account's vendor.
    #[serde(default)]
    pub vendor: Option<VendorId>,
    /// The campaign, where there is one.
    pub campaign_id: Option<String>,
    /// Call id, roster id, subscription id or account id.
    pub subject: String,
    /// When the gateway learned of it.
    pub time: Timestamp,
    /// When it happened, where known.
    pub occurred_at: Option<Timestamp>,
    /// The payload.
    pub data: EventData,
}

/// The payload of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventData {
    /// Of `io.outdial.call-record.*`: the record without its raw JSON.
    CallRecord(Box<CallRecord>),
    /// Of `io.outdial.roster.*`.
    Roster(RosterEvent),
    /// Of `io.outdial.subscription.disabled`.
    SubscriptionDisabled(SubscriptionDisabled),
    /// Of `io.outdial.delivery.exhausted`.
    DeliveriesExhausted(DeliveriesExhausted),
    /// Of `io.outdial.push.overdue`.
    PushOverdue(PushOverdue),
}

/// What a roster event says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RosterEvent {
    /// The roster's id.
    pub roster_id: String,
    /// Where it was uploaded to.
    pub campaign_id: String,
    /// How often sending was begun: 1 for the upload, one more for each retry.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// `accepted`, `partial`, `failed` or `unknown`.
    pub status: String,
    /// Entries in the request.
    pub received: u64,
    /// Entries that the vendor took.
    pub accepted: u64,
    /// Entries that were refused by us or by the vendor.
    pub rejected: u64,
}

const fn first_attempt() -> u32 {
    1
}

/// A CloudEvents 1.0 event in its JSON form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// See [`EventDraft::id`].
    pub id: String,
    /// `/accounts/{account}` or `/subscriptions/{subject}`.
    pub source: String,
    /// One of [`event_type`].
    #[serde(rename = "type")]
    pub event_type: String,
    /// See [`EventDraft::subject`].
    pub subject: String,
    /// When the gateway learned of it.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// Extension: whose event it is. Left out, as all that is not there, of one about a subscription: CloudEvents has no null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Extension: the account's vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorId>,
    /// Extension: the campaign, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaignid: Option<String>,
    /// Extension: when it happened, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurredat: Option<Timestamp>,
    /// The payload.
    pub data: EventData,
    /// Extension: position in the log, in decimal. Last, because the log adds it to the finished text of the rest.
    pub sequence: String,
}

impl EventDraft {
    fn source(&self) -> String {
        match &self.account {
            Some(account) => format!("/accounts/{account}"),
            None => format!("/subscriptions/{}", self.subject),
        }
    }

    /// The event's JSON text up to and without the position. `{head}"{position}"}` is the whole of it.
    ///
    /// # Errors
    /// When the payload cannot be written as JSON.
    pub fn to_json_head(&self) -> serde_json::Result<String> {
        let event = Event {
            specversion: "1.0".into(),
            id: self.id.clone(),
            source: self.source(),
            event_type: self.event_type.clone(),
            subject: self.subject.clone(),
            time: self.time,
            datacontenttype: "application/json".into(),
            account: self.account.clone(),
            vendor: self.vendor.clone(),
            campaignid: self.campaign_id.clone(),
            occurredat: self.occurred_at,
            data: self.data.clone(),
            sequence: String::new(),
        };
        let mut text = serde_json::to_string(&event)?;
        text.truncate(text.len() - "\"\"}".len());
        Ok(text)
    }

    /// The event's JSON text at a position.
    ///
    /// # Errors
    /// When the payload cannot be written as JSON.
    pub fn to_json(&self, position: Position) -> serde_json::Result<String> {
        Ok(format!("{}\"{position}\"}}", self.to_json_head()?))
    }
}

/// The event that tells of a record: `created` at revision 1, else `updated`.
pub fn record_event(record: &CallRecord, learned_at: Timestamp) -> EventDraft {
    let data = CallRecord { raw: None, ..record.clone() };
    let event_type =
        if record.revision <= 1 { event_type::RECORD_CREATED } else { event_type::RECORD_UPDATED };
    EventDraft {
        id: event_id(&[record.id().as_bytes(), &record.revision.to_be_bytes(), &content_digest(&data)]),
        event_type: event_type.to_owned(),
        account: Some(record.account.clone()),
        vendor: Some(record.vendor.clone()),
        campaign_id: record.campaign_id.as_deref().map(str::to_owned),
        subject: record.call_id.to_string(),
        time: learned_at,
        occurred_at: record.ended_at.or(record.started_at),
        data: EventData::CallRecord(Box::new(data)),
    }
}

impl RosterEvent {
    /// The event that tells what the vendor did with a roster.
    pub fn into_draft(self, account: AccountId, vendor: VendorId, now: Timestamp) -> EventDraft {
        let event_type = match (self.status.as_str(), self.accepted) {
            ("unknown", _) => event_type::ROSTER_UNKNOWN,
            (_, 0) => event_type::ROSTER_FAILED,
            _ => event_type::ROSTER_ACCEPTED,
        };
        EventDraft {
            id: event_id(&[
                self.roster_id.as_bytes(),
                self.status.as_bytes(),
                &self.accepted.to_be_bytes(),
                &self.attempt.to_be_bytes(),
            ]),
            event_type: event_type.to_owned(),
            account: Some(account),
            vendor: Some(vendor),
            campaign_id: Some(self.campaign_id.clone()),
            subject: self.roster_id.clone(),
            time: now,
            occurred_at: None,
            data: EventData::Roster(self),
        }
    }
}

fn content_digest(record: &CallRecord) -> Vec<u8> {
    serde_json::to_vec(record).map(|json| Sha256::digest(json).to_vec()).unwrap_or_default()
}

pub(crate) fn event_id(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("evt_{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReceivedVia;

    fn record() -> CallRecord {
        let account = "wc-1".parse().unwrap();
        CallRecord::new(
            account,
            VendorId::new("wellcloud"),
            "c1".into(),
            ReceivedVia::Push,
            Timestamp::from_millis(5),
        )
    }

    #[test]
    fn the_position_completes_the_text() {
        let draft = record_event(&record(), Timestamp::from_millis(7));
        let event: Event = serde_json::from_str(&draft.to_json(Position(42)).unwrap()).unwrap();
        assert_eq!(event.sequence, "42");
        assert_eq!(event.event_type, event_type::RECORD_CREATED);
        assert_eq!(event.source, "/accounts/wc-1");
        assert!(matches!(event.data, EventData::CallRecord(data) if data.call_id == "c1"));
    }

    #[test]
    fn a_roster_of_unknown_fate_is_not_called_a_failure() {
        for (status, accepted, event_type) in [
            ("accepted", 3, event_type::ROSTER_ACCEPTED),
            ("partial", 2, event_type::ROSTER_ACCEPTED),
            ("failed", 0, event_type::ROSTER_FAILED),
            ("unknown", 0, event_type::ROSTER_UNKNOWN),
            ("unknown", 2, event_type::ROSTER_UNKNOWN),
        ] {
            let event = RosterEvent {
                roster_id: "ros_1".into(),
                campaign_id: "c".into(),
                attempt: 1,
                status: status.into(),
                received: 3,
                accepted,
                rejected: 0,
            };
            let account = "wc-1".parse().unwrap();
            let draft = event.into_draft(account, VendorId::new("wellcloud"), Timestamp::from_millis(7));
            assert_eq!(draft.event_type, event_type, "{status} {accepted}");
        }
    }

    #[test]
    fn what_was_written_before_there_were_events_of_subscriptions_is_still_read() {
        let draft = record_event(&record(), Timestamp::from_millis(7));
        let text = serde_json::to_string(&draft).unwrap();
        assert!(text.contains(r#""account":"wc-1","vendor":"wellcloud""#), "as it always was: {text}");
        let read: EventDraft = serde_json::from_str(&text).unwrap();
        assert_eq!(read.to_json(Position(1)).unwrap(), draft.to_json(Position(1)).unwrap());
    }

    #[test]
    fn the_id_follows_the_content_and_nothing_else() {
        let first = record_event(&record(), Timestamp::from_millis(7));
        assert_eq!(first.id, record_event(&record(), Timestamp::from_millis(8)).id);
        let mut changed = record();
        changed.talk_seconds = Some(1);
        assert_ne!(first.id, record_event(&changed, Timestamp::from_millis(7)).id);
        assert!(first.id.starts_with("evt_") && first.id.len() == 36);
    }
}
