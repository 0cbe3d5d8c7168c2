//! Subscriptions and their progress in SQLite.

use async_trait::async_trait;
use outdial_core::{Position, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::de::{DeserializeOwned, Error as _};

use super::{Embedded, deliveries, kv::fence_to_sql};
use crate::{
    DeliveryCommit, DeliveryProgress, DeliveryStatus, SUBSCRIPTIONS_LIMIT, StoreError, StoreErrorKind,
    StoredDelivery, StoredSubscription, Subscriptions,
    roles::{REDRIVE_STEP, check_commit},
    sqlite::{from_json, to_count, to_sql_limit},
};

#[async_trait]
impl Subscriptions for Embedded {
    async fn create_subscription(
        &self,
        subscription: &StoredSubscription,
        start: Position,
    ) -> Result<bool, StoreError> {
        let subscription = subscription.clone();
        let created = self.write(move |connection| create(connection, &subscription, start)).await?;
        created.ok_or_else(|| {
            let detail = format!("there are {SUBSCRIPTIONS_LIMIT} subscriptions already");
            StoreError::new(StoreErrorKind::Invalid, detail)
        })
    }

    async fn replace_subscription(&self, subscription: &StoredSubscription) -> Result<bool, StoreError> {
        let subscription = subscription.clone();
        self.write(move |connection| {
            let json = serde_json::to_string(&subscription).map_err(from_json)?;
            let version = version_to_sql(subscription.version);
            let sql = "UPDATE subscriptions SET version = ?1, json = ?2 WHERE id = ?3 AND version = ?1 - 1";
            Ok(connection.prepare_cached(sql)?.execute(params![version, json, subscription.id])? > 0)
        })
        .await
    }

    async fn get_subscription(&self, id: &str) -> Result<Option<StoredSubscription>, StoreError> {
        let id = id.to_owned();
        self.read(move |connection| {
            let sql = "SELECT version, json FROM subscriptions WHERE id = ?1";
            connection.prepare_cached(sql)?.query_row([id], read_subscription).optional()
        })
        .await
    }

    async fn list_subscriptions(&self) -> Result<Vec<StoredSubscription>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT version, json FROM subscriptions ORDER BY id LIMIT ?1";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([to_sql_limit(SUBSCRIPTIONS_LIMIT)], read_subscription)?.collect()
        })
        .await
    }

    async fn delete_subscription(&self, id: &str) -> Result<bool, StoreError> {
        // In steps, so that appends are not kept waiting by very many. Cut off, it leaves a subscription that is to be deleted
        // again.
        loop {
            let id = id.to_owned();
            let removed = self.write(move |connection| deliveries::delete_step(connection, &id)).await?;
            if removed < deliveries::DELETE_STEP {
                break;
            }
        }
        let id = id.to_owned();
        self.write(move |connection| {
            connection.prepare_cached("DELETE FROM deliveries WHERE subscription = ?1")?.execute([&id])?;
            connection.prepare_cached("DELETE FROM progress WHERE id = ?1")?.execute([&id])?;
            Ok(connection.prepare_cached("DELETE FROM subscriptions WHERE id = ?1")?.execute([&id])? > 0)
        })
        .await
    }

    async fn get_progress(&self, id: &str) -> Result<Option<DeliveryProgress>, StoreError> {
        let id = id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT json FROM progress WHERE id = ?1")?;
            let json: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
            json.map(|json| parse(&json, "a subscription's progress")).transpose()
        })
        .await
    }

    async fn commit_deliveries(
        &self,
        id: &str,
        fence: u64,
        commit: DeliveryCommit,
    ) -> Result<bool, StoreError> {
        check_commit(&commit)?;
        let (id, fence) = (id.to_owned(), fence_to_sql(fence));
        self.write(move |connection| write_commit(connection, &id, fence, &commit)).await
    }

    async fn list_deliveries(
        &self,
        id: &str,
        status: DeliveryStatus,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let (id, before) = (id.to_owned(), before.map(str::to_owned));
        self.read(move |connection| deliveries::list(connection, &id, status, before, limit)).await
    }

    async fn get_delivery(&self, id: &str, delivery: &str) -> Result<Option<StoredDelivery>, StoreError> {
        let (id, delivery) = (id.to_owned(), delivery.to_owned());
        self.read(move |connection| deliveries::find(connection, &id, &delivery)).await
    }

    async fn count_deliveries(&self, id: &str, status: DeliveryStatus) -> Result<u64, StoreError> {
        let id = id.to_owned();
        self.read(move |connection| deliveries::count(connection, &id, status)).await
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
            let (id, delivery) = (id.to_owned(), delivery.map(str::to_owned));
            let step =
                self.write(move |connection| redrive(connection, &id, delivery.as_deref(), now)).await?;
            redriven += step;
            if step < REDRIVE_STEP {
                break;
            }
        }
        Ok(redriven)
    }

    async fn expire_deliveries(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.write(move |connection| deliveries::expire(connection, older_than)).await
    }
}

/// Answers whether it was new, or `None` when there are too many.
fn create(
    connection: &Connection,
    subscription: &StoredSubscription,
    start: Position,
) -> rusqlite::Result<Option<bool>> {
    let known = "SELECT 1 FROM subscriptions WHERE id = ?1";
    if connection.prepare_cached(known)?.exists([&subscription.id])? {
        return Ok(Some(false));
    }
    let count: i64 =
        connection.prepare_cached("SELECT COUNT(*) FROM subscriptions")?.query_row([], |row| row.get(0))?;
    if count >= to_sql_limit(SUBSCRIPTIONS_LIMIT) {
        return Ok(None);
    }
    let json = serde_json::to_string(subscription).map_err(from_json)?;
    let sql = "INSERT INTO subscriptions (id, version, json) VALUES (?1, ?2, ?3)";
    let version = version_to_sql(subscription.version);
    connection.prepare_cached(sql)?.execute(params![subscription.id, version, json])?;
    let progress = DeliveryProgress { cursor: start, ..DeliveryProgress::default() };
    let json = serde_json::to_string(&progress).map_err(from_json)?;
    let sql = "INSERT INTO progress (id, fence, kept, json) VALUES (?1, 0, 0, ?2)";
    connection.prepare_cached(sql)?.execute(params![subscription.id, json])?;
    Ok(Some(true))
}

fn write_commit(
    connection: &Connection,
    id: &str,
    fence: i64,
    commit: &DeliveryCommit,
) -> rusqlite::Result<bool> {
    let mut held = connection.prepare_cached("SELECT fence, kept FROM progress WHERE id = ?1")?;
    let held: Option<(i64, i64)> = held.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((_, kept)) = held.filter(|(held, _)| *held <= fence) else { return Ok(false) };
    let added = deliveries::put(connection, id, &commit.deliveries)?;
    let kept = deliveries::trim(connection, id, kept + added)?;
    let json = serde_json::to_string(&commit.progress).map_err(from_json)?;
    let sql = "UPDATE progress SET fence = ?1, kept = ?2, json = ?3 WHERE id = ?4";
    connection.prepare_cached(sql)?.execute(params![fence, kept, json, id])?;
    Ok(true)
}

fn redrive(
    connection: &Connection,
    id: &str,
    delivery: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<u64> {
    let redriven = deliveries::redrive(connection, id, delivery, now)?;
    if redriven > 0 {
        let sql = "UPDATE subscriptions SET version = version + 1 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute([id])?;
    }
    Ok(redriven)
}

/// The version beside the JSON counts: a redrive raises it there.
fn read_subscription(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredSubscription> {
    let (version, json): (i64, String) = (row.get(0)?, row.get(1)?);
    let subscription: StoredSubscription = parse(&json, "a subscription")?;
    Ok(StoredSubscription { version: to_count(version), ..subscription })
}

fn version_to_sql(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// Reads JSON that may hold a secret, which no message repeats.
pub(super) fn parse<T: DeserializeOwned>(json: &str, what: &str) -> rusqlite::Result<T> {
    let unreadable = |_| from_json(serde_json::Error::custom(format_args!("{what} cannot be read")));
    serde_json::from_str(json).map_err(unreadable)
}
