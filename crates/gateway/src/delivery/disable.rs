//! Stops a subscription whose endpoint is gone, or has only failed for days. What it misses is kept until retention ends. That
//! there is to be an event of it is kept with the subscription, in the same write, and told from there.

use std::collections::BTreeSet;

use outdial_core::{AccountId, SubscriptionDisabled, Timestamp};
use outdial_store::{
    Batch, Disabling, EventLog, StoreError, StoredSubscription, SubscriptionStatus, Subscriptions,
};

use super::worker::Context;

/// How often it is tried when its owner changes it at the same time.
const ATTEMPTS: usize = 5;

/// Disables a subscription. Answers whether it is not to be served any more.
pub async fn disable(context: &Context, id: &str, reason: &str, failing_since: Timestamp) -> bool {
    for _ in 0..ATTEMPTS {
        let known = match context.store.get_subscription(id).await {
            Ok(Some(known)) if known.status == SubscriptionStatus::Active => known,
            Ok(_) => return true,
            Err(error) => {
                tracing::warn!(subscription = id, problem = %error, "delivery.store_away");
                return false;
            }
        };
        let disabled = StoredSubscription {
            version: known.version + 1,
            status: SubscriptionStatus::Disabled,
            disabled_reason: Some(reason.to_owned()),
            untold: Some(Disabling {
                reason: reason.to_owned(),
                at: context.clock.now(),
                failing_since: Some(failing_since),
            }),
            ..known
        };
        match context.store.replace_subscription(&disabled).await {
            Ok(true) => {
                context.metrics.subscriptions_disabled.with_label_values(&[reason]).inc();
                tracing::error!(subscription = id, reason, "subscription.disabled");
                return true;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(subscription = id, problem = %error, "delivery.store_away");
                return false;
            }
        }
    }
    false
}

/// Puts it into the log that a subscription was disabled, if that is not done yet. Every replica does so that sees it: the
/// event has one id.
pub async fn tell(context: &Context, known: &StoredSubscription) -> Result<(), StoreError> {
    let Some(disabling) = &known.untold else { return Ok(()) };
    let now = context.clock.now();
    let disabled = SubscriptionDisabled {
        subscription_id: known.id.clone(),
        accounts: accounts_of(known),
        reason: disabling.reason.clone(),
        disabled_at: disabling.at,
        failing_since: disabling.failing_since,
    };
    let batch = Batch { events: vec![disabled.into_draft(now)], ..Batch::default() };
    EventLog::append(&*context.store, batch, now).await?;
    for _ in 0..ATTEMPTS {
        let present = Subscriptions::get_subscription(&*context.store, &known.id).await?;
        let Some(present) = present.filter(|present| present.untold == known.untold) else { return Ok(()) };
        let told = StoredSubscription { version: present.version + 1, untold: None, ..present };
        if Subscriptions::replace_subscription(&*context.store, &told).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// The accounts that a subscription is limited to.
pub fn accounts_of(subscription: &StoredSubscription) -> Option<BTreeSet<AccountId>> {
    let accounts = &subscription.filter.accounts;
    (!accounts.is_empty()).then(|| accounts.clone())
}
