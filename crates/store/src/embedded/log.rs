//! The log in SQLite. The writer's thread is the only one that appends, so dedupe and append are one step by themselves.

use async_trait::async_trait;
use outdial_core::{CallRecord, EventDraft, Position, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;

use super::{Embedded, quarantine, records, rosters};
use crate::{
    Appended, Batch, Durability, EventLog, LogBounds, StoreError, StoreMode, StoreStatus, StoredEvent,
    join::{add_entry, join, wants_entry},
    roles::check_batch,
    sqlite::{from_json, to_count, to_sql_limit},
};

/// Most events that one step of trimming removes, so that appends are not kept waiting.
const TRIM_STEP: i64 = 10_000;

#[async_trait]
impl EventLog for Embedded {
    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, StoreError> {
        check_batch(&batch)?;
        let clock_micros = self.clock.now().millis().saturating_mul(1000);
        let (appended, last) =
            self.write(move |connection| append(connection, batch, now, clock_micros)).await?;
        self.tail.send_if_modified(|tail| {
            let grew = last > *tail;
            *tail = last.max(*tail);
            grew
        });
        Ok(appended)
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let after = to_sql(after);
        self.read(move |connection| {
            let sql = "SELECT position, json FROM events WHERE position > ?1 ORDER BY position LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![after, to_sql_limit(limit)], |row| {
                Ok(StoredEvent { position: from_sql(row.get(0)?), json: row.get(1)? })
            })?;
            rows.collect()
        })
        .await
    }

    async fn bounds(&self) -> Result<LogBounds, StoreError> {
        self.read(|connection| {
            Ok(LogBounds { trimmed: meta(connection, "trimmed")?, last: last_position(connection)? })
        })
        .await
    }

    fn tail(&self) -> watch::Receiver<Position> {
        self.tail.subscribe()
    }

    async fn trim(&self, through: Position) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let step = self.write(move |connection| trim_step(connection, through)).await?;
            removed += step;
            if step < to_count(TRIM_STEP) {
                return Ok(removed);
            }
        }
    }

    async fn status(&self) -> StoreStatus {
        let problem = self.read(|connection| connection.query_row("SELECT 1", [], |_| Ok(()))).await.err();
        StoreStatus {
            mode: if problem.is_some() { StoreMode::Down } else { StoreMode::Embedded },
            durability: Durability::Durable,
            spooled: 0,
            problem: problem.map(|error| error.to_string()),
        }
    }
}

/// The last position that was given.
pub(super) fn last_position(connection: &Connection) -> rusqlite::Result<Position> {
    meta(connection, "last")
}

fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Position> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(from_sql(statement.query_row([name], |row| row.get(0)).optional()?.unwrap_or(0)))
}

fn set_meta(connection: &Connection, name: &str, value: Position) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute(params![name, to_sql(value)])?;
    Ok(())
}

fn append(
    connection: &Connection,
    batch: Batch,
    now: Timestamp,
    clock_micros: i64,
) -> rusqlite::Result<(Vec<Appended>, Position)> {
    let mut last = last_position(connection)?;
    let start = from_sql(clock_micros);
    let mut appended = Vec::with_capacity(batch.records.len());
    for record in batch.records {
        appended.push(append_record(connection, record, now, &mut last, start)?);
    }
    for event in &batch.events {
        append_event(connection, event, &mut last, start)?;
    }
    for draft in &batch.quarantined {
        quarantine::insert(connection, draft)?;
    }
    set_meta(connection, "last", last)?;
    Ok((appended, last))
}

fn append_record(
    connection: &Connection,
    mut record: CallRecord,
    now: Timestamp,
    last: &mut Position,
    start: Position,
) -> rusqlite::Result<Appended> {
    if wants_entry(&record) {
        let (campaign, entry) = (record.campaign_id.as_deref(), record.roster_entry_id.as_deref());
        let known = rosters::find_entry(
            connection,
            record.account.as_str(),
            campaign.unwrap_or_default(),
            entry.unwrap_or_default(),
        )?;
        if let Some(entry) = known {
            add_entry(&mut record, &entry);
        }
    }
    let stored = records::find(connection, &record.id())?;
    let Some((kept, event)) = join(stored.as_ref(), record, now) else { return Ok(Appended::Duplicate) };
    let position = append_event(connection, &event, last, start)?;
    records::upsert(connection, &kept, now)?;
    Ok(Appended::Stored { position, revision: kept.revision })
}

/// Appends an event unless one of its id is there: an append of unknown outcome may be repeated. Answers its place.
fn append_event(
    connection: &Connection,
    event: &EventDraft,
    last: &mut Position,
    start: Position,
) -> rusqlite::Result<Position> {
    let known: Option<i64> = connection
        .prepare_cached("SELECT position FROM events WHERE id = ?1")?
        .query_row([&event.id], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(from_sql(known));
    }
    let position = Position(last.0 + 1).max(start);
    let json = event.to_json(position).map_err(from_json)?;
    let sql = "INSERT INTO events (position, id, json) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![to_sql(position), event.id, json])?;
    *last = position;
    Ok(position)
}

fn trim_step(connection: &Connection, through: Position) -> rusqlite::Result<u64> {
    // The mark moves with the first step already: nobody may take the hole of a trim that ended half way for a quiet time.
    let newest: Option<i64> = connection
        .prepare_cached("SELECT MAX(position) FROM events WHERE position <= ?1")?
        .query_row([to_sql(through)], |row| row.get(0))?;
    let Some(newest) = newest.map(from_sql) else { return Ok(0) };
    if newest > meta(connection, "trimmed")? {
        set_meta(connection, "trimmed", newest)?;
    }
    let sql = "DELETE FROM events WHERE position IN
        (SELECT position FROM events WHERE position <= ?1 ORDER BY position LIMIT ?2)";
    let removed = connection.prepare_cached(sql)?.execute(params![to_sql(through), TRIM_STEP])?;
    Ok(to_count(i64::try_from(removed).unwrap_or(i64::MAX)))
}

fn to_sql(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

fn from_sql(value: i64) -> Position {
    Position(to_count(value))
}
