//! The tables, and how a file becomes a store.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::from_sqlite;
use crate::{StoreError, StoreErrorKind};

/// Raised with each change of the tables, which then needs a step from the version before.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE events (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, json TEXT NOT NULL);
CREATE TABLE records (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, campaign_id TEXT, task_id TEXT, caller TEXT, called TEXT,
    roster_entry_id TEXT, outcome TEXT NOT NULL, disposition TEXT NOT NULL, ended_by TEXT, round INTEGER,
    sort_millis INTEGER NOT NULL, changed_at INTEGER NOT NULL, json TEXT NOT NULL
);
CREATE INDEX records_by_time ON records (sort_millis, id);
CREATE INDEX records_by_campaign ON records (account, campaign_id, sort_millis);
CREATE INDEX records_by_called ON records (called) WHERE called IS NOT NULL;
CREATE INDEX records_by_entry ON records (roster_entry_id) WHERE roster_entry_id IS NOT NULL;
CREATE INDEX records_by_change ON records (changed_at);
CREATE TABLE rosters (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, campaign_id TEXT NOT NULL, status TEXT NOT NULL,
    created_at INTEGER NOT NULL, json TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX rosters_by_age ON rosters (created_at);
CREATE TABLE roster_entries (
    account TEXT NOT NULL, campaign_id TEXT NOT NULL, entry_id TEXT NOT NULL, roster_id TEXT NOT NULL,
    number TEXT NOT NULL, customer_id TEXT, PRIMARY KEY (account, campaign_id, entry_id)
) WITHOUT ROWID;
CREATE INDEX roster_entries_by_roster ON roster_entries (roster_id);
CREATE TABLE quarantine (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, vendor TEXT NOT NULL, received_at INTEGER NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, content_type TEXT, raw BLOB NOT NULL
);
CREATE INDEX quarantine_by_account ON quarantine (account, reason, id);
CREATE INDEX quarantine_by_age ON quarantine (received_at);
CREATE TABLE kv (name TEXT PRIMARY KEY, value BLOB NOT NULL, ends_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX kv_by_end ON kv (ends_at);
CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, fence INTEGER NOT NULL, ends_at INTEGER NOT NULL)
    WITHOUT ROWID;
";

/// Opens the connection that writes, and creates the tables in a new file.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(from_sqlite)?;
    // FULL: a commit is on stable storage before it returns, also after a power cut.
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;";
    connection.execute_batch(settings).map_err(from_sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(from_sqlite)?;
    match version {
        0 => create(&mut connection).map_err(from_sqlite)?,
        VERSION => {}
        other => {
            let detail = format!(
                "the store at {} has version {other}, this program writes version {VERSION}",
                path.display()
            );
            return Err(StoreError::new(StoreErrorKind::Invalid, detail));
        }
    }
    Ok(connection)
}

/// Opens a connection that reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(from_sqlite)?;
    connection.execute_batch("PRAGMA busy_timeout = 5000;").map_err(from_sqlite)?;
    Ok(connection)
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
