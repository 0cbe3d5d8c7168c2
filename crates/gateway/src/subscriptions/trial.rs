//! A sample event, sent to a subscriber by the very way that events go, so that its owner sees what comes of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use outdial_core::{Timestamp, event_type};
use outdial_store::StoredSubscription;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{service::SubscriptionService, view::AttemptView};
use crate::{
    api_error::ApiError,
    auth::Principal,
    delivery::{
        accounts_of,
        sender::{Form, Outgoing, Sent},
        signature::SigningKey,
        target::Target,
    },
    egress::TargetError,
    events::DescribedType,
};

/// What a sample is about, so that nobody takes it for a call.
const SUBJECT: &str = "test";

/// What came of a trial; openapi.yaml describes each field.
#[derive(Clone, Debug, Serialize)]
pub struct TrialResult {
    webhook_id: String,
    event: Value,
    attempt: AttemptView,
}

impl SubscriptionService {
    /// Sends a sample of the first type that is wanted, whatever the subscription's status, and counts it nowhere.
    ///
    /// # Errors
    /// `not-found`. That the subscriber does not take it is no error of this.
    pub async fn send_sample(
        &self,
        principal: &Principal,
        id: &str,
        catalogue: &[DescribedType],
    ) -> Result<TrialResult, ApiError> {
        let subscription = self.find(principal, id).await?;
        let now = self.clock.now();
        let event = self.sample_of(&subscription, catalogue, now).ok_or_else(ApiError::not_found)?;
        let (form, body, webhook_id) = pack(&subscription, &event);
        let _place = self.trials.acquire().await;
        let sent = match Target::new(&self.egress, &subscription.id, &subscription.url, &subscription.headers)
        {
            Ok(target) => {
                let keys = living_keys(&subscription, now);
                let outgoing = Outgoing { id: &webhook_id, body, form, keys: &keys };
                self.sender.send(&target, outgoing, now).await
            }
            Err(error) => Sent {
                status: None,
                error: Some(TargetError::BLOCKED),
                detail: Some(error.detail),
                retry_after: None,
                millis: 0,
            },
        };
        tracing::info!(
            id,
            status = sent.status,
            error = sent.error,
            subject = principal.subject,
            "subscription.tested"
        );
        Ok(TrialResult { webhook_id, event, attempt: AttemptView::of_sent(sent, now) })
    }

    /// The catalogue's example, of an account that the subscription wants.
    fn sample_of(
        &self,
        subscription: &StoredSubscription,
        catalogue: &[DescribedType],
        now: Timestamp,
    ) -> Option<Value> {
        let wanted = event_type::ALL
            .iter()
            .find(|one| subscription.filter.types.is_empty() || subscription.filter.types.contains(**one))?;
        let mut event = catalogue.iter().find(|one| one.event_type == *wanted)?.example.clone();
        let members = [
            ("id", json!(format!("evt_{}", Uuid::new_v4().simple()))),
            ("time", json!(now)),
            ("sequence", json!("0")),
        ];
        set_members(&mut event, members);
        if event.get("account").is_none() {
            return Some(about(subscription, event));
        }
        let accounts = &subscription.filter.accounts;
        let account = self.accounts.iter().find(|one| accounts.is_empty() || accounts.contains(&one.id))?;
        let vendor = &account.vendor.descriptor().vendor;
        let members = [
            ("source", json!(format!("/accounts/{}", account.id))),
            ("account", json!(account.id)),
            ("vendor", json!(vendor)),
            ("subject", json!(SUBJECT)),
        ];
        set_members(&mut event, members);
        let data = event.get_mut("data").and_then(Value::as_object_mut)?;
        let own = BTreeMap::from([
            ("id", json!(format!("{}/{SUBJECT}", account.id))),
            ("account", json!(account.id)),
            ("vendor", json!(vendor)),
            ("call_id", json!(SUBJECT)),
        ]);
        for (name, value) in own {
            // Data of other kinds has other members.
            if let Some(member) = data.get_mut(name) {
                *member = value;
            }
        }
        Some(event)
    }
}

fn set_members<const N: usize>(event: &mut Value, members: [(&str, Value); N]) {
    for (name, value) in members {
        event[name] = value;
    }
}

/// An example of an event about a subscription, as one about this one.
fn about(subscription: &StoredSubscription, mut event: Value) -> Value {
    let members = [
        ("source", json!(format!("/subscriptions/{}", subscription.id))),
        ("subject", json!(subscription.id)),
    ];
    set_members(&mut event, members);
    if let Some(data) = event.get_mut("data") {
        let members =
            [("subscription_id", json!(subscription.id)), ("accounts", json!(accounts_of(subscription)))];
        set_members(data, members);
    }
    event
}

/// The body in the form that the subscription gets, and its id.
fn pack(subscription: &StoredSubscription, event: &Value) -> (Form, Bytes, String) {
    if subscription.max_events > 1 {
        let chance = Uuid::new_v4().simple().to_string();
        let id = format!("dlv_{:016x}{}", 0, &chance[..8]);
        return (Form::Batch, Bytes::from(json!([event]).to_string()), id);
    }
    let id = event.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    (Form::Event, Bytes::from(event.to_string()), id)
}

fn living_keys(subscription: &StoredSubscription, now: Timestamp) -> Vec<SigningKey> {
    let living = subscription.secrets.iter().filter(|secret| secret.ends_at.is_none_or(|ends| ends > now));
    living.filter_map(|secret| SigningKey::parse(&secret.text).ok()).collect()
}
