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
/// Most deliveries that one step of deleting a subscription removes.
pub(super) const DELETE_STEP: usize = 10_000;

const COLUMNS: &str = "status, attempts, due_at, json";
/// A delivery of a state and an id.
const BY_PLACE: &str = "subscription = ?1 AND status = ?2 AND id = ?3";
/// A delivery of an id, whatever its state.
const BY_ID: &str = "subscription = ?1 AND status IN ('pending', 'delivered', 'dead') AND id = ?2";

/// Writes deliveries, new or changed. Answers by how many the delivered ones grew.
pub(super) fn put(
    connection: &Connection,
    subscription: &str,
    deliveries: &[StoredDelivery],
) -> rusqlite::Result<i64> {
    let mut remove = connection.prepare_cached(&format!("DELETE FROM deliveries WHERE {BY_PLACE}"))?;
    let insertion = "INSERT INTO deliveries (subscription, status, id, attempts, due_at, created_at, json)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (subscription, status, id) DO NOTHING";
    let mut insert = connection.prepare_cached(insertion)?;
    let change = format!(
        "UPDATE deliveries SET attempts = ?4, due_at = ?5, created_at = ?6, json = ?7 WHERE {BY_PLACE}"
    );
    let mut change = connection.prepare_cached(&change)?;
    // Only there may be one of the same id: of thousands that were delivered at once, none was in another state before.
    let mut used = used_states(connection, subscription)?;
    let mut growth = 0;
    for delivery in deliveries {
        for other in used.iter().filter(|state| **state != delivery.status) {
            if remove.execute([subscription, other.as_str(), &delivery.id])? > 0 {
                growth -= i64::from(*other == DeliveryStatus::Delivered);
            }
        }
        let json = serde_json::to_string(delivery).map_err(from_json)?;
        let values = params![
            subscription,
            delivery.status.as_str(),
            delivery.id,
            delivery.attempts,
            delivery.next_attempt_at.map(Timestamp::millis),
            delivery.created_at.millis(),
            json,
        ];
        if insert.execute(values)? > 0 {
            growth += i64::from(delivery.status == DeliveryStatus::Delivered);
        } else {
            change.execute(values)?;
        }
        if !used.contains(&delivery.status) {
            used.push(delivery.status);
        }
    }
    Ok(growth)
}

/// The states that deliveries of a subscription are in.
fn used_states(connection: &Connection, subscription: &str) -> rusqlite::Result<Vec<DeliveryStatus>> {
    let sql = "SELECT 1 FROM deliveries WHERE subscription = ?1 AND status = ?2 LIMIT 1";
    let mut any = connection.prepare_cached(sql)?;
    let mut used = Vec::with_capacity(DeliveryStatus::ALL.len());
    for status in DeliveryStatus::ALL {
        if any.exists([subscription, status.as_str()])? {
            used.push(status);
        }
    }
    Ok(used)
}

/// Removes the oldest of so many delivered ones beyond what is kept. Answers how many are left.
pub(super) fn trim(connection: &Connection, subscription: &str, delivered: i64) -> rusqlite::Result<i64> {
    let limit = i64::try_from(StoredDelivery::DELIVERED_KEPT).unwrap_or(i64::MAX);
    if delivered <= limit {
        return Ok(delivered);
    }
    let sql = "DELETE FROM deliveries WHERE subscription = ?1 AND status = 'delivered' AND id < (SELECT id FROM deliveries
        WHERE subscription = ?1 AND status = 'delivered' ORDER BY id LIMIT 1 OFFSET ?2)";
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
    let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE {BY_ID}");
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

/// Removes some deliveries of a subscription, whatever their state. Answers how many.
pub(super) fn delete_step(connection: &Connection, subscription: &str) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM deliveries WHERE (subscription, status, id) IN
        (SELECT subscription, status, id FROM deliveries WHERE subscription = ?1 LIMIT ?2)";
    connection.prepare_cached(sql)?.execute(params![subscription, to_sql_limit(DELETE_STEP)])
}

pub(super) fn expire(connection: &Connection, older_than: Timestamp) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM deliveries WHERE (subscription, status, id) IN (SELECT subscription, status, id FROM deliveries
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
