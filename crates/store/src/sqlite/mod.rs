//! What the embedded store and the spool share: a SQLite file with one writer, held by one process.

mod lock;
mod worker;

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

pub(crate) use self::{
    lock::FileLock,
    worker::{AfterFailure, Outlives, Worker},
};
use crate::{StoreError, StoreErrorKind};

/// What a file of ours holds.
pub(crate) struct Schema {
    /// What the file is, for messages.
    pub(crate) name: &'static str,
    /// What leads from each version to the next, from the empty file on. A step that was released is never changed.
    pub(crate) steps: &'static [&'static str],
}

/// Opens the connection that writes, and takes the tables of a new or an older file to the present version.
pub(crate) fn open_writer(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(from_sqlite)?;
    // FULL: a commit is on stable storage before it returns, also after a power cut.
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;";
    connection.execute_batch(settings).map_err(from_sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(from_sqlite)?;
    let missing = usize::try_from(version).ok().and_then(|version| schema.steps.get(version..));
    let Some(missing) = missing else {
        let detail = format!(
            "the {} at {} has version {version}, this program writes version {}",
            schema.name,
            path.display(),
            schema.steps.len()
        );
        return Err(StoreError::new(StoreErrorKind::Invalid, detail));
    };
    if !missing.is_empty() {
        bring_up_to_date(&mut connection, missing, schema.steps.len()).map_err(from_sqlite)?;
    }
    Ok(connection)
}

/// Opens a connection that reads.
fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(from_sqlite)?;
    connection.execute_batch("PRAGMA busy_timeout = 5000;").map_err(from_sqlite)?;
    Ok(connection)
}

fn bring_up_to_date(connection: &mut Connection, steps: &[&str], version: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for step in steps {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", to_sql_limit(version))?;
    transaction.commit()
}

/// What a failure of SQLite lets the caller conclude. Its text names tables and codes, never values.
pub(crate) fn from_sqlite(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
    let kind = match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) | None => StoreErrorKind::Corrupt,
        Some(SystemIoFailure) => StoreErrorKind::OutcomeUnknown,
        Some(_) => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, format!("sqlite: {error}"))
}

/// A value that was stored as JSON and cannot be read as such.
pub(crate) fn from_json(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// Lists and counts come in numbers that SQLite can hold.
pub(crate) fn to_sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A number that SQLite holds as a count.
pub(crate) fn to_count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
