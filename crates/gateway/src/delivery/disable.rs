//! Stops a subscription whose endpoint is gone, or has only failed for days. What it misses is kept until retention ends.

use outdial_store::{StoredSubscription, SubscriptionStatus};

use super::worker::Context;

/// How often it is tried when its owner changes it at the same time.
const ATTEMPTS: usize = 5;

/// Disables a subscription. Answers whether it is not to be served any more.
pub async fn disable(context: &Context, id: &str, reason: &str) -> bool {
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
