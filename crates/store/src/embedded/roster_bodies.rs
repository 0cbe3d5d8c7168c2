//! Bodies of the parts of rosters in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use outdial_core::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::Embedded;
use crate::{RosterBodies, StoreError, roles::check_chunk, sqlite::to_count};

/// Most chunks that are removed at once: some hundred megabytes.
const EXPIRE_STEP: i64 = 400;

#[async_trait]
impl RosterBodies for Embedded {
    async fn put_body_chunk(
        &self,
        roster_id: &str,
        part: u32,
        chunk: u32,
        bytes: Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check_chunk(&bytes)?;
        let roster = roster_id.to_owned();
        self.write(move |connection| {
            let sql = "INSERT OR REPLACE INTO roster_bodies (roster_id, part, chunk, stored_at, body)
                VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![roster, part, chunk, now.millis(), bytes.as_ref()]).map(|_| ())
        })
        .await
    }

    async fn get_body_chunk(
        &self,
        roster_id: &str,
        part: u32,
        chunk: u32,
    ) -> Result<Option<Bytes>, StoreError> {
        let roster = roster_id.to_owned();
        self.read(move |connection| {
            let sql = "SELECT body FROM roster_bodies WHERE roster_id = ?1 AND part = ?2 AND chunk = ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let body = statement.query_row(params![roster, part, chunk], |row| row.get::<_, Vec<u8>>(0));
            Ok(body.optional()?.map(Bytes::from))
        })
        .await
    }

    async fn count_body_chunks(&self, roster_id: &str, part: u32) -> Result<u64, StoreError> {
        let roster = roster_id.to_owned();
        self.read(move |connection| {
            let sql = "SELECT COUNT(*) FROM roster_bodies WHERE roster_id = ?1 AND part = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_row(params![roster, part], |row| row.get(0)).map(to_count)
        })
        .await
    }

    async fn remove_body(&self, roster_id: &str, part: u32) -> Result<(), StoreError> {
        let roster = roster_id.to_owned();
        self.write(move |connection| {
            let sql = "DELETE FROM roster_bodies WHERE roster_id = ?1 AND part = ?2";
            connection.prepare_cached(sql)?.execute(params![roster, part]).map(|_| ())
        })
        .await
    }
}

/// Removes some chunks that were stored before a time. Answers how many, and whether those were all.
pub(super) fn expire(connection: &Connection, older_than: Timestamp) -> rusqlite::Result<(i64, bool)> {
    let sql = "DELETE FROM roster_bodies WHERE rowid IN
        (SELECT rowid FROM roster_bodies WHERE stored_at < ?1 LIMIT ?2)";
    let removed = connection.prepare_cached(sql)?.execute(params![older_than.millis(), EXPIRE_STEP])?;
    let removed = i64::try_from(removed).unwrap_or(i64::MAX);
    Ok((removed, removed < EXPIRE_STEP))
}
