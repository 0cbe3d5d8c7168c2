//! Small values and leases in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::Embedded;
use crate::{
    Kv, Lease, Leases, StoreError,
    roles::check_value,
    sqlite::{Outlives, to_count},
};

/// Most ended values or leases that one write removes on its way.
const SWEEP_STEP: i64 = 16;

#[async_trait]
impl Kv for Embedded {
    async fn get_value(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let (key, now) = (key.to_owned(), self.life_times.now_millis());
        self.read(move |connection| find(connection, &key, now)).await
    }

    async fn put_value(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        check_value(key, &value)?;
        let (key, now, end) = (key.to_owned(), self.life_times.now_millis(), self.life_times.end_millis(ttl));
        self.write(move |connection| set(connection, &key, &value, now, end)).await
    }

    async fn put_passing_value(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        check_value(key, &value)?;
        let (key, now, end) = (key.to_owned(), self.life_times.now_millis(), self.life_times.end_millis(ttl));
        let work = move |connection: &Connection| set(connection, &key, &value, now, end);
        self.worker.write_to_outlive(Outlives::Process, work).await
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&Bytes>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        check_value(key, &value)?;
        let (key, expected) = (key.to_owned(), expected.cloned());
        let (now, end) = (self.life_times.now_millis(), self.life_times.end_millis(ttl));
        self.write(move |connection| {
            let fits = find(connection, &key, now)? == expected;
            if fits {
                set(connection, &key, &value, now, end)?;
            }
            Ok(fits)
        })
        .await
    }

    async fn delete_value(&self, key: &str) -> Result<bool, StoreError> {
        let (key, now) = (key.to_owned(), self.life_times.now_millis());
        self.write(move |connection| {
            let was_there = find(connection, &key, now)?.is_some();
            connection.prepare_cached("DELETE FROM kv WHERE name = ?1")?.execute([key])?;
            Ok(was_there)
        })
        .await
    }
}

fn find(connection: &Connection, key: &str, now: i64) -> rusqlite::Result<Option<Bytes>> {
    let mut statement = connection.prepare_cached("SELECT value FROM kv WHERE name = ?1 AND ends_at > ?2")?;
    let value: Option<Vec<u8>> = statement.query_row(params![key, now], |row| row.get(0)).optional()?;
    Ok(value.map(Bytes::from))
}

fn set(connection: &Connection, key: &str, value: &Bytes, now: i64, end: i64) -> rusqlite::Result<()> {
    let oldest = "SELECT ends_at FROM kv ORDER BY ends_at LIMIT 1";
    let ended = "DELETE FROM kv WHERE name IN (SELECT name FROM kv WHERE ends_at <= ?1 LIMIT ?2)";
    sweep(connection, oldest, ended, now)?;
    let sql = "INSERT OR REPLACE INTO kv (name, value, ends_at) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![key, value.as_ref(), end])?;
    Ok(())
}

/// Removes some of what has ended, if anything has. Its first look is at the oldest end, without a bound in time: with one, SQLite
/// plans anew for each time and sets a table up, which costs more than the write.
fn sweep(connection: &Connection, oldest: &str, ended: &str, now: i64) -> rusqlite::Result<()> {
    let oldest: Option<i64> =
        connection.prepare_cached(oldest)?.query_row([], |row| row.get(0)).optional()?;
    if oldest.is_some_and(|end| end <= now) {
        connection.prepare_cached(ended)?.execute(params![now, SWEEP_STEP])?;
    }
    Ok(())
}

#[async_trait]
impl Leases for Embedded {
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        let (now, end) = (self.life_times.now_millis(), self.life_times.end_millis(ttl));
        self.write(move |connection| acquire(connection, name, owner, now, end)).await
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        let lease = lease.clone();
        let (now, end) = (self.life_times.now_millis(), self.life_times.end_millis(ttl));
        self.write(move |connection| {
            let sql = "UPDATE leases SET ends_at = ?1 WHERE name = ?2 AND owner = ?3 AND fence = ?4 AND ends_at > ?5";
            let values = params![end, lease.name, lease.owner, fence_to_sql(lease.fence), now];
            Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
        })
        .await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.write(move |connection| {
            let sql = "DELETE FROM leases WHERE name = ?1 AND owner = ?2 AND fence = ?3";
            let values = params![lease.name, lease.owner, fence_to_sql(lease.fence)];
            connection.prepare_cached(sql)?.execute(values).map(|_| ())
        })
        .await
    }
}

pub(super) fn fence_to_sql(fence: u64) -> i64 {
    i64::try_from(fence).unwrap_or(i64::MAX)
}

fn acquire(
    connection: &Connection,
    name: String,
    owner: String,
    now: i64,
    end: i64,
) -> rusqlite::Result<Option<Lease>> {
    let mut statement =
        connection.prepare_cached("SELECT owner, fence, ends_at FROM leases WHERE name = ?1")?;
    let held: Option<(String, i64, i64)> =
        statement.query_row([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let fence = match held {
        Some((holder, _, ends_at)) if ends_at > now && holder != owner => return Ok(None),
        Some((_, fence, ends_at)) if ends_at > now => fence,
        _ => next_fence(connection, now)?,
    };
    let sql = "INSERT OR REPLACE INTO leases (name, owner, fence, ends_at) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![name, owner, fence, end])?;
    Ok(Some(Lease { name, owner, fence: to_count(fence) }))
}

/// One counter serves all leases, so that a lease that ended leaves nothing behind, whatever its name.
fn next_fence(connection: &Connection, now: i64) -> rusqlite::Result<i64> {
    let oldest = "SELECT ends_at FROM leases ORDER BY ends_at LIMIT 1";
    let ended = "DELETE FROM leases WHERE name IN (SELECT name FROM leases WHERE ends_at <= ?1 LIMIT ?2)";
    sweep(connection, oldest, ended, now)?;
    let sql = "INSERT INTO meta (name, value) VALUES ('fence', 1)
        ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
