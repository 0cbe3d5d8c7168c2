//! The quarantine in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use outdial_core::{QuarantineReason, Timestamp, VendorId};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};

use super::Embedded;
use crate::{
    Quarantine, QuarantineDraft, QuarantineFilter, QuarantinedItem, StoreError,
    sqlite::{to_count, to_sql_limit},
};

/// Most items that one call of `expire_quarantined` removes.
const EXPIRE_STEP: i64 = 10_000;

const COLUMNS: &str = "id, account, vendor, received_at, reason, detail, content_type, raw";

#[async_trait]
impl Quarantine for Embedded {
    async fn put_suspect(&self, draft: QuarantineDraft) -> Result<(), StoreError> {
        self.write(move |connection| {
            insert(connection, &draft)?;
            drop_oldest_suspects(connection, draft.account.as_str())
        })
        .await
    }

    async fn list_quarantined(
        &self,
        filter: &QuarantineFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<QuarantinedItem>, StoreError> {
        let (conditions, values) = select(filter, ("id <", before), limit);
        let sql = format!("SELECT {COLUMNS} FROM quarantine WHERE {conditions}");
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params_from_iter(values.iter()), read_item)?.collect()
        })
        .await
    }

    async fn list_quarantined_ids(
        &self,
        filter: &QuarantineFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (conditions, values) = select(filter, ("id >", after), limit);
        let sql = format!("SELECT id FROM quarantine WHERE {conditions}");
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params_from_iter(values.iter()), |row| row.get(0))?.collect()
        })
        .await
    }

    async fn get_quarantined(&self, id: &str) -> Result<Option<QuarantinedItem>, StoreError> {
        let id = id.to_owned();
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM quarantine WHERE id = ?1"))?;
            statement.query_row([id], read_item).optional()
        })
        .await
    }

    async fn delete_quarantined(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |connection| {
            Ok(connection.prepare_cached("DELETE FROM quarantine WHERE id = ?1")?.execute([id])? > 0)
        })
        .await
    }

    async fn expire_quarantined(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM quarantine WHERE id IN
                (SELECT id FROM quarantine WHERE received_at < ?1 ORDER BY received_at LIMIT ?2)";
            let removed =
                connection.prepare_cached(sql)?.execute(params![older_than.millis(), EXPIRE_STEP])?;
            Ok(to_count(i64::try_from(removed).unwrap_or(i64::MAX)))
        })
        .await
    }
}

type Values = Vec<Box<dyn ToSql + Send>>;

/// What stands behind `WHERE`: items older (`id <`, newest first) or newer (`id >`, oldest first) than one.
fn select(filter: &QuarantineFilter, (side, edge): (&str, Option<&str>), limit: usize) -> (String, Values) {
    let mut values: Values = Vec::new();
    let marks = filter.accounts.iter().map(|account| {
        values.push(Box::new(account.to_string()));
        format!("?{}", values.len())
    });
    let mut conditions = vec![format!("account IN ({})", marks.collect::<Vec<_>>().join(", "))];
    for (comparison, value) in [("reason =", filter.reason.as_deref()), (side, edge)] {
        if let Some(value) = value {
            values.push(Box::new(value.to_owned()));
            conditions.push(format!("{comparison} ?{}", values.len()));
        }
    }
    values.push(Box::new(to_sql_limit(limit)));
    let direction = if side == "id >" { "ASC" } else { "DESC" };
    let conditions = conditions.join(" AND ");
    (format!("{conditions} ORDER BY id {direction} LIMIT ?{}", values.len()), values)
}

pub(super) fn insert(connection: &Connection, draft: &QuarantineDraft) -> rusqlite::Result<()> {
    let sql = format!("INSERT OR IGNORE INTO quarantine ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    connection.prepare_cached(&sql)?.execute(params![
        draft.id(),
        draft.account.as_str(),
        draft.vendor.as_str(),
        draft.received_at.millis(),
        draft.reason.code,
        draft.reason.detail,
        draft.content_type,
        draft.raw.as_ref(),
    ])?;
    Ok(())
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<QuarantinedItem> {
    let account: String = row.get(1)?;
    let invalid =
        |error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error));
    let draft = QuarantineDraft {
        account: account.parse().map_err(invalid)?,
        vendor: VendorId::from(row.get::<_, String>(2)?),
        received_at: Timestamp::from_millis(row.get(3)?),
        reason: QuarantineReason { code: row.get(4)?, detail: row.get(5)? },
        content_type: row.get(6)?,
        raw: Bytes::from(row.get::<_, Vec<u8>>(7)?),
    };
    Ok(QuarantinedItem { id: row.get(0)?, draft })
}

/// Keeps the newest suspects of an account within their limit.
fn drop_oldest_suspects(connection: &Connection, account: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM quarantine WHERE id IN (SELECT id FROM (
            SELECT id, SUM(LENGTH(raw)) OVER (ORDER BY id DESC) AS size FROM quarantine WHERE account = ?1 AND reason = ?2
        ) WHERE size > ?3)";
    let limit = to_sql_limit(QuarantineDraft::SUSPECT_LIMIT);
    connection.prepare_cached(sql)?.execute(params![account, QuarantineDraft::SUSPECT, limit])?;
    Ok(())
}
