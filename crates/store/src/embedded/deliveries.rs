//! Deliveries in SQLite.

use std::collections::BTreeMap;

use outdial_core::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::subscriptions::parse;
use crate::{
    DeliveryStatus, StoredDelivery,
    roles::REDRIVE_STEP,
    sqlite::{from_json, to_count, to_sql_limit},
};

/// Most deliveries that one call of `expire_deliveries` removes.
const EXPIRE_STEP: i64 = 10_000;

const COLUMNS: &str = "status, attempts, due_at, json";

/// Writes deliveries, new or changed. Answers by how many the delivered ones grew.
pub(super) fn put(
    connection: &Connection,
    subscription: &str,
    deliveries: &[StoredDelivery],
) -> rusqlite::Result<i64> {
    let known = "SELECT status = 'delivered' FROM deliveries WHERE subscription = ?1 AND id = ?2";
    let mut known = connection.prepare_cached(known)?;
    let sql = "INSERT INTO deliveries (subscription, id, status, attempts, due_at, created_at, json)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (subscription, id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts,
            due_at = excluded.due_at, created_at = excluded.created_at, json = excluded.json";
    let mut write = connection.prepare_cached(sql)?;
    let mut growth = 0;
    for delivery in deliveries {
        let was_delivered =
            known.query_row([subscription, &delivery.id], |row| row.get(0)).optional()?.unwrap_or(false);
        let is_delivered = delivery.status == DeliveryStatus::Delivered;
        growth += i64::from(is_delivered) - i64::from(was_delivered);
        write.execute(params![
            subscription,
            delivery.id,
            delivery.status.as_str(),
            delivery.attempts,
            delivery.next_attempt_at.map(Timestamp::millis),
            delivery.created_at.millis(),
            serde_json::to_string(delivery).map_err(from_json)?,
        ])?;
    }
    Ok(growth)
}

/// Removes the oldest of so many delivered ones beyond what is kept. Answers how many are left.
pub(super) fn trim(connection: &Connection, subscription: &str, delivered: i64) -> rusqlite::Result<i64> {
    let limit = i64::try_from(StoredDelivery::DELIVERED_KEPT).unwrap_or(i64::MAX);
    if delivered <= limit {
        return Ok(delivered);
    }
    let sql = "DELETE FROM deliveries WHERE subscription = ?1 AND id IN (SELECT id FROM deliveries
        WHERE subscription = ?1 AND status = 'delivered' ORDER BY id LIMIT ?2)";
    connection.prepare_cached(sql)?.execute(params![subscription, delivered - limit])?;
    Ok(limit)
}

pub(super) fn list(
    connection: &Connection,
    subscription: &str,
    status: DeliveryStatus,
    before: Option<String>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredDelivery>> {
    let by_name = "subscription = ?1 AND status = ?2";
    let rest = match (status, &before) {
        (_, Some(_)) => format!("{by_name} AND id < ?3 ORDER BY id DESC LIMIT ?4"),
        // The index by time knows only the pending ones, so the word has to stand here.
        (DeliveryStatus::Pending, None) => {
            format!("{by_name} AND status = 'pending' AND ?3 IS NULL ORDER BY due_at, id LIMIT ?4")
        }
        (_, None) => format!("{by_name} AND ?3 IS NULL ORDER BY id DESC LIMIT ?4"),
    };
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM deliveries WHERE {rest}"))?;
    let values = params![subscription, status.as_str(), before, to_sql_limit(limit)];
    statement.query_map(values, read_delivery)?.collect()
}

pub(super) fn find(
    connection: &Connection,
    subscription: &str,
    id: &str,
) -> rusqlite::Result<Option<StoredDelivery>> {
    let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE subscription = ?1 AND id = ?2");
    connection.prepare_cached(&sql)?.query_row([subscription, id], read_delivery).optional()
}

pub(super) fn count(
    connection: &Connection,
    subscription: &str,
    status: DeliveryStatus,
) -> rusqlite::Result<u64> {
    let sql = "SELECT COUNT(*) FROM deliveries WHERE subscription = ?1 AND status = ?2";
    let count = |row: &Row<'_>| Ok(to_count(row.get(0)?));
    connection.prepare_cached(sql)?.query_row([subscription, status.as_str()], count)
}

/// Makes a dead delivery pending again, or the oldest dead ones, so many as one step takes. Answers how many.
pub(super) fn redrive(
    connection: &Connection,
    subscription: &str,
    delivery: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<u64> {
    let change = "UPDATE deliveries SET status = 'pending', attempts = 0, due_at = ?1
        WHERE subscription = ?2 AND status = 'dead'";
    let redriven = match delivery {
        Some(id) => {
            let sql = format!("{change} AND id = ?3");
            connection.prepare_cached(&sql)?.execute(params![now.millis(), subscription, id])?
        }
        None => {
            let sql = format!(
                "{change} AND id IN (SELECT id FROM deliveries
                    WHERE subscription = ?2 AND status = 'dead' ORDER BY id LIMIT {REDRIVE_STEP})"
            );
            connection.prepare_cached(&sql)?.execute(params![now.millis(), subscription])?
        }
    };
    Ok(to_count(i64::try_from(redriven).unwrap_or(i64::MAX)))
}

pub(super) fn expire(connection: &Connection, older_than: Timestamp) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM deliveries WHERE (subscription, id) IN (SELECT subscription, id FROM deliveries
            WHERE status <> 'pending' AND created_at < ?1 ORDER BY created_at LIMIT ?2)
        RETURNING subscription, status = 'delivered'";
    let mut statement = connection.prepare_cached(sql)?;
    let removed = statement.query_map(params![older_than.millis(), EXPIRE_STEP], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    let (mut count, mut delivered) = (0, BTreeMap::<String, i64>::new());
    for row in removed {
        let (subscription, is_delivered) = row?;
        count += 1;
        *delivered.entry(subscription).or_default() += is_delivered;
    }
    let mut shrink = connection.prepare_cached("UPDATE progress SET kept = kept - ?1 WHERE id = ?2")?;
    for (subscription, delivered) in delivered {
        shrink.execute(params![delivered, subscription])?;
    }
    Ok(count)
}

/// What stands beside the JSON counts: a redrive changes it there.
fn read_delivery(row: &Row<'_>) -> rusqlite::Result<StoredDelivery> {
    let (status, json): (String, String) = (row.get(0)?, row.get(3)?);
    let delivery: StoredDelivery = parse(&json, "a delivery")?;
    Ok(StoredDelivery {
        status: DeliveryStatus::parse(&status).unwrap_or(delivery.status),
        attempts: row.get(1)?,
        next_attempt_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
        ..delivery
    })
}
