//! Subscriptions and what is owed to them in Redis.

use async_trait::async_trait;
use outdial_core::{Position, Timestamp};
use redis::cmd;
use serde::de::DeserializeOwned;

use super::{
    EXPIRE_LIMIT, EXPIRE_STEP, Redis,
    deliveries::{self, Encoded},
    scripts, unreadable,
};
use crate::{
    DeliveryCommit, DeliveryProgress, DeliveryStatus, SUBSCRIPTIONS_LIMIT, StoreError, StoreErrorKind,
    StoredDelivery, StoredSubscription, Subscriptions,
    roles::{REDRIVE_STEP, check_commit},
};

#[async_trait]
impl Subscriptions for Redis {
    async fn create_subscription(
        &self,
        subscription: &StoredSubscription,
        start: Position,
    ) -> Result<bool, StoreError> {
        let progress = DeliveryProgress { cursor: start, ..DeliveryProgress::default() };
        let mut call = scripts::call(&self.scripts.create_subscription, &self.keys);
        call.arg(&subscription.id).arg(subscription.version).arg(to_json(subscription)?);
        call.arg(to_json(&progress)?).arg(SUBSCRIPTIONS_LIMIT);
        match self.write_or_refuse(&call).await? {
            created @ (0 | 1) => Ok(created == 1),
            _ => {
                let detail = format!("there are {SUBSCRIPTIONS_LIMIT} subscriptions already");
                Err(StoreError::new(StoreErrorKind::Invalid, detail))
            }
        }
    }

    async fn replace_subscription(&self, subscription: &StoredSubscription) -> Result<bool, StoreError> {
        let Some(replaced) = subscription.version.checked_sub(1) else { return Ok(false) };
        let mut call = scripts::call(&self.scripts.replace_subscription, &self.keys);
        call.arg(&subscription.id).arg(replaced).arg(subscription.version).arg(to_json(subscription)?);
        Ok(self.write_or_refuse(&call).await? > 0)
    }

    async fn get_subscription(&self, id: &str) -> Result<Option<StoredSubscription>, StoreError> {
        let value: Option<String> = self.read_field("subscriptions", id).await?;
        value.map(|value| parse_subscription(&value)).transpose()
    }

    async fn list_subscriptions(&self) -> Result<Vec<StoredSubscription>, StoreError> {
        let mut get = cmd("HVALS");
        get.arg(self.keys.key("subscriptions"));
        let values: Vec<String> = self.shared.read(&get).await?;
        let parsed: Result<Vec<_>, _> = values.iter().map(|value| parse_subscription(value)).collect();
        let mut subscriptions = parsed?;
        subscriptions.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(subscriptions)
    }

    async fn delete_subscription(&self, id: &str) -> Result<bool, StoreError> {
        let mut call = scripts::call(&self.scripts.delete_subscription, &self.keys);
        call.arg(id);
        Ok(self.write_or_refuse(&call).await? > 0)
    }

    async fn get_progress(&self, id: &str) -> Result<Option<DeliveryProgress>, StoreError> {
        let value: Option<String> = self.read_field("progress", id).await?;
        let parse = |value: String| Ok(parse_numbered(&value, "a subscription's progress")?.1);
        value.map(parse).transpose()
    }

    async fn commit_deliveries(
        &self,
        id: &str,
        fence: u64,
        commit: DeliveryCommit,
    ) -> Result<bool, StoreError> {
        check_commit(&commit)?;
        let DeliveryCommit { progress, deliveries } = commit;
        let encoded = tokio::task::spawn_blocking(move || Encoded::of(deliveries)).await;
        let encoded = encoded.map_err(|_| {
            StoreError::new(StoreErrorKind::Unavailable, "redis: deliveries could not be written as JSON")
        })??;
        let mut call = scripts::call(&self.scripts.commit_deliveries, &self.keys);
        call.arg(id).arg(fence).arg(to_json(&progress)?).arg(StoredDelivery::DELIVERED_KEPT);
        encoded.add_to(&mut call);
        Ok(self.write_or_refuse(&call).await? > 0)
    }

    async fn list_deliveries(
        &self,
        id: &str,
        status: DeliveryStatus,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let mut call = scripts::call(&self.scripts.list_deliveries, &self.keys);
        call.arg(id);
        match (status, before) {
            (DeliveryStatus::Pending, None) => call.arg("due").arg(""),
            (_, None) => call.arg(status.as_str()).arg("+"),
            (_, Some(before)) => call.arg(status.as_str()).arg(format!("({before}")),
        };
        call.arg(u32::try_from(limit).unwrap_or(u32::MAX));
        let values: Vec<String> = self.shared.read(&call).await?;
        values.iter().map(|value| deliveries::parse(value)).collect()
    }

    async fn get_delivery(&self, id: &str, delivery: &str) -> Result<Option<StoredDelivery>, StoreError> {
        let value: Option<String> = self.read_field(&format!("delivery:{id}"), delivery).await?;
        value.map(|value| deliveries::parse(&value)).transpose()
    }

    async fn count_deliveries(&self, id: &str, status: DeliveryStatus) -> Result<u64, StoreError> {
        let mut count = cmd("ZCARD");
        count.arg(self.keys.of(status.as_str(), id));
        self.shared.read(&count).await
    }

    async fn redrive_deliveries(
        &self,
        id: &str,
        delivery: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        // No more than there are now: those that die again meanwhile are for the next time.
        let dead = self.count_deliveries(id, DeliveryStatus::Dead).await?;
        let mut redriven = 0;
        while redriven < dead {
            let mut call = scripts::call(&self.scripts.redrive_deliveries, &self.keys);
            call.arg(id).arg(u8::from(delivery.is_some())).arg(delivery.unwrap_or_default());
            call.arg(now.millis()).arg(REDRIVE_STEP);
            let step = self.write_or_refuse(&call).await?.unsigned_abs();
            redriven += step;
            if step < REDRIVE_STEP {
                break;
            }
        }
        Ok(redriven)
    }

    async fn expire_deliveries(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        let mut list = cmd("HKEYS");
        list.arg(self.keys.key("subscriptions"));
        let ids: Vec<String> = self.shared.read(&list).await?;
        let mut removed = 0;
        for id in ids {
            while removed < EXPIRE_LIMIT {
                let mut call = scripts::call(&self.scripts.expire_deliveries, &self.keys);
                call.arg(older_than.millis()).arg(EXPIRE_STEP).arg(&id);
                let some: u64 = self.shared.ask(&call).await?;
                removed += some;
                if some < EXPIRE_STEP {
                    break;
                }
            }
        }
        Ok(removed)
    }
}

impl Redis {
    async fn read_field(&self, hash: &str, field: &str) -> Result<Option<String>, StoreError> {
        let mut get = cmd("HGET");
        get.arg(self.keys.key(hash)).arg(field);
        self.shared.read(&get).await
    }
}

/// The version before the JSON counts: a redrive raises it there.
fn parse_subscription(value: &str) -> Result<StoredSubscription, StoreError> {
    let (version, subscription): (u64, StoredSubscription) = parse_numbered(value, "a subscription")?;
    Ok(StoredSubscription { version, ..subscription })
}

/// `{number}\n{json}`; the JSON may hold a secret, which no message repeats.
fn parse_numbered<T: DeserializeOwned>(value: &str, what: &str) -> Result<(u64, T), StoreError> {
    let parsed = value.split_once('\n').and_then(|(number, json)| {
        let value = serde_json::from_str(json).ok()?;
        Some((number.parse().ok()?, value))
    });
    parsed.ok_or_else(|| unreadable(what))
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        StoreError::new(
            StoreErrorKind::Invalid,
            format!("what is delivered cannot be written as JSON: {error}"),
        )
    })
}
