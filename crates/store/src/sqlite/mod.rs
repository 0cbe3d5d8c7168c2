//! What the embedded store and the spool share: a SQLite file with one writer, held by one process.

mod lock;
mod worker;

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

pub(crate) use self::{
    lock::FileLock,
    worker::{AfterFailure, Worker},
};
use crate::{StoreError, StoreErrorKind};

/// What a file of ours holds.
pub(crate) struct Schema {
    /// What the file is, for messages.
    pub(crate) name: &'static str,
    /// Raised with each change of the tables, which then needs a step from the version before.
    pub(crate) version: i64,
    /// Creates the tables.
    pub(crate) tables: &'static str,
}

/// Opens the connection that writes, and creates the tables in a new file.
pub(crate) fn open_writer(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(from_sqlite)?;
    // FULL: a commit is on stable storage before it returns, also after a power cut.
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;";
    connection.execute_batch(settings).map_err(from_sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(from_sqlite)?;
    if version == 0 {
        create(&mut connection, schema).map_err(from_sqlite)?;
    } else if version != schema.version {
        let detail = format!(
            "the {} at {} has version {version}, this program writes version {}",
            schema.name,
            path.display(),
            schema.version
        );
        return Err(StoreError::new(StoreErrorKind::Invalid, detail));
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

fn create(connection: &mut Connection, schema: &Schema) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(schema.tables)?;
    transaction.pragma_update(None, "user_version", schema.version)?;
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
