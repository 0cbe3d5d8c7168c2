//! Events about the gateway's own work: a subscription that it stopped, deliveries that it gave up, a push that does not come.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, EventData, EventDraft, Timestamp, VendorId,
    event::{event_id, event_type},
};

/// The gateway has stopped a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionDisabled {
    /// Which one.
    pub subscription_id: String,
    /// The accounts that it is limited to; `None` for all. Who may not see them all does not see the event.
    pub accounts: Option<BTreeSet<AccountId>>,
    /// `gone`: the endpoint said so (410). `failing`: every attempt has failed for five days.
    pub reason: String,
    /// When.
    pub disabled_at: Timestamp,
    /// Since when every attempt has failed.
    pub failing_since: Option<Timestamp>,
}

/// Deliveries of one subscription were given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveriesExhausted {
    /// Whose they were.
    pub subscription_id: String,
    /// As in [`SubscriptionDisabled::accounts`].
    pub accounts: Option<BTreeSet<AccountId>>,
    /// The first of them, at most [`DeliveriesExhausted::LISTED`].
    pub deliveries: Vec<ExhaustedDelivery>,
    /// How many there are.
    pub deliveries_total: u64,
    /// How many events they hold.
    pub events_total: u64,
    /// When the first was given up.
    pub since: Timestamp,
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExhaustedDelivery {
    /// Its id, under which it can be tried again.
    pub delivery_id: String,
    /// The first of its events.
    pub event_id: String,
    /// How many events it holds.
    pub events: u64,
    /// Attempts made.
    pub attempts: u32,
    /// Why the last one failed: a word such as `status` or `timeout`.
    pub last_error: Option<String>,
    /// The subscriber's last status, where there was one.
    pub last_status: Option<u16>,
    /// When it was given up.
    pub at: Timestamp,
}

/// An account has had no push for longer than is usual at this time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushOverdue {
    /// The last push that is known of.
    pub last_push_at: Timestamp,
    /// By when the next one had usually come.
    pub expected_by: Timestamp,
}

impl SubscriptionDisabled {
    /// The event. The same stop gives the same id.
    pub fn into_draft(self, now: Timestamp) -> EventDraft {
        let at = self.disabled_at;
        let id = event_id(&[b"disabled", self.subscription_id.as_bytes(), &at.millis().to_be_bytes()]);
        let subject = self.subscription_id.clone();
        draft(id, event_type::SUBSCRIPTION_DISABLED, subject, now, at, EventData::SubscriptionDisabled(self))
    }
}

impl DeliveriesExhausted {
    /// Most deliveries that one event lists.
    pub const LISTED: usize = 10;

    /// The event. The same deliveries, given up at the same time, give the same id.
    pub fn into_draft(self, now: Timestamp) -> EventDraft {
        let first = self.deliveries.first().map(|delivery| delivery.delivery_id.as_bytes());
        let since = self.since.millis().to_be_bytes();
        let id =
            event_id(&[b"exhausted", self.subscription_id.as_bytes(), first.unwrap_or_default(), &since]);
        let (subject, since) = (self.subscription_id.clone(), self.since);
        draft(id, event_type::DELIVERY_EXHAUSTED, subject, now, since, EventData::DeliveriesExhausted(self))
    }
}

impl PushOverdue {
    /// The event. One push gives one: whichever replica misses the next one first.
    pub fn into_draft(self, account: AccountId, vendor: VendorId, now: Timestamp) -> EventDraft {
        let last = self.last_push_at.millis().to_be_bytes();
        let id = event_id(&[b"overdue", account.as_str().as_bytes(), &last]);
        let (subject, expected_by) = (account.to_string(), self.expected_by);
        let of_account =
            draft(id, event_type::PUSH_OVERDUE, subject, now, expected_by, EventData::PushOverdue(self));
        EventDraft { account: Some(account), vendor: Some(vendor), ..of_account }
    }
}

/// Of no account.
fn draft(
    id: String,
    event_type: &str,
    subject: String,
    time: Timestamp,
    occurred_at: Timestamp,
    data: EventData,
) -> EventDraft {
    EventDraft {
        id,
        event_type: event_type.to_owned(),
        account: None,
        vendor: None,
        campaign_id: None,
        subject,
        time,
        occurred_at: Some(occurred_at),
        data,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Event, Position};

    const NOW: Timestamp = Timestamp::from_millis(1_795_248_000_000);

    fn exhausted(delivery_id: &str, at: Timestamp) -> DeliveriesExhausted {
        let delivery = ExhaustedDelivery {
            delivery_id: delivery_id.into(),
            event_id: "evt_1".into(),
            events: 1,
            attempts: 9,
            last_error: Some("status".into()),
            last_status: Some(503),
            at,
        };
        DeliveriesExhausted {
            subscription_id: "sub_1".into(),
            accounts: Some(["wc-1".parse().unwrap()].into()),
            deliveries: vec![delivery],
            deliveries_total: 1,
            events_total: 1,
            since: at,
        }
    }

    fn disabled(at: Timestamp) -> SubscriptionDisabled {
        SubscriptionDisabled {
            subscription_id: "sub_1".into(),
            accounts: None,
            reason: "gone".into(),
            disabled_at: at,
            failing_since: None,
        }
    }

    fn overdue(at: Timestamp) -> PushOverdue {
        PushOverdue { last_push_at: at, expected_by: at.plus_millis(4_500_000) }
    }

    #[test]
    fn events_of_subscriptions_name_no_account_and_are_read_as_what_they_are() {
        let read = |draft: EventDraft| -> (Value, Event) {
            let text = draft.to_json(Position(7)).unwrap();
            (serde_json::from_str(&text).unwrap(), serde_json::from_str(&text).unwrap())
        };
        let (json, event) = read(disabled(NOW).into_draft(NOW));
        assert_eq!((&json["source"], &json["subject"]), (&json!("/subscriptions/sub_1"), &json!("sub_1")));
        assert!(json.get("account").is_none() && json.get("vendor").is_none(), "CloudEvents has no null");
        assert!(matches!(event.data, EventData::SubscriptionDisabled(data) if data == disabled(NOW)));
        let (_, event) = read(exhausted("dlv_1", NOW).into_draft(NOW));
        assert!(
            matches!(event.data, EventData::DeliveriesExhausted(data) if data == exhausted("dlv_1", NOW))
        );
        let (json, event) =
            read(overdue(NOW).into_draft("wc-1".parse().unwrap(), VendorId::new("wellcloud"), NOW));
        assert_eq!((&json["source"], &json["account"]), (&json!("/accounts/wc-1"), &json!("wc-1")));
        assert!(matches!(event.data, EventData::PushOverdue(data) if data == overdue(NOW)));
    }

    #[test]
    fn what_is_told_twice_has_one_id() {
        let later = NOW.plus_millis(1);
        let of_push = |at: Timestamp, account: &str| {
            overdue(at).into_draft(account.parse().unwrap(), VendorId::new("wellcloud"), at).id
        };
        let ids = [
            disabled(NOW).into_draft(NOW).id,
            disabled(later).into_draft(NOW).id,
            exhausted("dlv_1", NOW).into_draft(NOW).id,
            exhausted("dlv_2", NOW).into_draft(NOW).id,
            exhausted("dlv_1", later).into_draft(NOW).id,
            of_push(NOW, "wc-1"),
            of_push(later, "wc-1"),
            of_push(NOW, "wc-2"),
        ];
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert_eq!(disabled(NOW).into_draft(later).id, ids[0]);
        let more = DeliveriesExhausted { events_total: 9, ..exhausted("dlv_1", NOW) };
        assert_eq!(more.into_draft(later).id, ids[2]);
    }
}
