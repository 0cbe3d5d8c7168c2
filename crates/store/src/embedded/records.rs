//! Call records in SQLite: the whole record as JSON, and beside it the columns that filters ask for.

use async_trait::async_trait;
use outdial_core::{AccountId, CallRecord, RecordQuery, Timestamp};
use rusqlite::{Connection, OptionalExtension, Rows, ToSql, params, params_from_iter};

use super::Embedded;
use crate::{
    CallRecords, HOUR_MILLIS, HourCount, PageKey, RecordPage, StoreError, Summary, SummaryCount,
    roles::check_hours,
    sqlite::{from_json, to_count, to_sql_limit},
};

/// Most records that one call of `expire` removes.
const EXPIRE_STEP: i64 = 10_000;

#[async_trait]
impl CallRecords for Embedded {
    async fn query(
        &self,
        accounts: &[AccountId],
        query: &RecordQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        if accounts.is_empty() {
            return Ok(RecordPage::default());
        }
        let (sql, values) = select(accounts, query, after, limit);
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values.iter()), |row| row.get::<_, String>(0))?;
            let mut records = Vec::new();
            for json in rows {
                records.push(serde_json::from_str::<CallRecord>(&json?).map_err(from_json)?);
            }
            let full = records.len() >= limit;
            let next = records
                .last()
                .filter(|_| full)
                .map(|record| PageKey { sort_millis: record.sort_millis(), id: record.id() });
            Ok(RecordPage { records, next })
        })
        .await
    }

    async fn get(&self, account: &AccountId, call_id: &str) -> Result<Option<CallRecord>, StoreError> {
        let id = format!("{account}/{call_id}");
        self.read(move |connection| find(connection, &id)).await
    }

    async fn summary(&self, account: &AccountId, campaign_id: &str) -> Result<Summary, StoreError> {
        let (account, campaign) = (account.to_string(), campaign_id.to_owned());
        self.read(move |connection| summarize(connection, &account, &campaign)).await
    }

    async fn count_by_hour(
        &self,
        account: &AccountId,
        campaign_id: Option<&str>,
        first_hour: i64,
        hours: usize,
    ) -> Result<Vec<HourCount>, StoreError> {
        check_hours(hours)?;
        let (account, campaign) = (account.to_string(), campaign_id.map(str::to_owned));
        self.read(move |connection| {
            count_by_hour(connection, &account, campaign.as_deref(), first_hour, hours)
        })
        .await
    }

    async fn expire(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM records WHERE id IN
                (SELECT id FROM records WHERE changed_at < ?1 ORDER BY changed_at LIMIT ?2)";
            let removed =
                connection.prepare_cached(sql)?.execute(params![older_than.millis(), EXPIRE_STEP])?;
            Ok(to_count(i64::try_from(removed).unwrap_or(i64::MAX)))
        })
        .await
    }
}

pub(super) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<CallRecord>> {
    let mut statement = connection.prepare_cached("SELECT json FROM records WHERE id = ?1")?;
    let json: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
    json.map(|json| serde_json::from_str(&json).map_err(from_json)).transpose()
}

pub(super) fn upsert(connection: &Connection, record: &CallRecord, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO records (id, account, campaign_id, task_id, caller, called, roster_entry_id, outcome,
        disposition, ended_by, round, sort_millis, changed_at, json, received_via)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let json = serde_json::to_string(record).map_err(from_json)?;
    connection.prepare_cached(sql)?.execute(params![
        record.id(),
        record.account.as_str(),
        record.campaign_id,
        record.task_id,
        record.caller.as_ref().map(|number| number.as_str()),
        record.called.as_ref().map(|number| number.as_str()),
        record.roster_entry_id,
        record.outcome.as_str(),
        record.disposition.as_str(),
        record.ended_by.map(|side| side.as_str()),
        record.round,
        record.sort_millis(),
        now.millis(),
        json,
        record.received_via.as_str(),
    ])?;
    Ok(())
}

/// The statement of a query and its values. Column names are ours, values are bound.
fn select(
    accounts: &[AccountId],
    query: &RecordQuery,
    after: Option<PageKey>,
    limit: usize,
) -> (String, Vec<Box<dyn ToSql + Send>>) {
    let mut values: Vec<Box<dyn ToSql + Send>> = Vec::new();
    let mut conditions = Vec::new();
    let bind = |values: &mut Vec<Box<dyn ToSql + Send>>, value: Box<dyn ToSql + Send>| {
        values.push(value);
        format!("?{}", values.len())
    };
    let marks: Vec<String> =
        accounts.iter().map(|account| bind(&mut values, Box::new(account.to_string()))).collect();
    conditions.push(format!("account IN ({})", marks.join(", ")));
    let texts = [
        ("campaign_id", query.campaign_id.clone()),
        ("task_id", query.task_id.clone()),
        ("caller", query.caller.clone()),
        ("called", query.called.clone()),
        ("roster_entry_id", query.roster_entry_id.clone()),
        ("outcome", query.outcome.map(|word| word.to_string())),
        ("disposition", query.disposition.map(|word| word.to_string())),
        ("ended_by", query.ended_by.map(|word| word.to_string())),
    ];
    for (column, value) in texts {
        if let Some(value) = value {
            let mark = bind(&mut values, Box::new(value));
            conditions.push(format!("{column} = {mark}"));
        }
    }
    if let Some(call_id) = &query.call_id {
        let ids = accounts.iter().map(|account| bind(&mut values, Box::new(format!("{account}/{call_id}"))));
        conditions.push(format!("id IN ({})", ids.collect::<Vec<_>>().join(", ")));
    }
    for (comparison, bound) in [(">=", query.started_from), ("<=", query.started_to)] {
        if let Some(bound) = bound {
            let mark = bind(&mut values, Box::new(bound.millis()));
            conditions.push(format!("sort_millis {comparison} {mark}"));
        }
    }
    if let Some(after) = after {
        let (millis, id) =
            (bind(&mut values, Box::new(after.sort_millis)), bind(&mut values, Box::new(after.id)));
        conditions.push(format!("(sort_millis < {millis} OR (sort_millis = {millis} AND id > {id}))"));
    }
    let mark = bind(&mut values, Box::new(to_sql_limit(limit)));
    let conditions = conditions.join(" AND ");
    (
        format!("SELECT json FROM records WHERE {conditions} ORDER BY sort_millis DESC, id LIMIT {mark}"),
        values,
    )
}

fn summarize(connection: &Connection, account: &str, campaign: &str) -> rusqlite::Result<Summary> {
    let of = params![account, campaign];
    let count = |sql: &str| -> rusqlite::Result<u64> {
        connection.prepare_cached(sql)?.query_row(of, |row| row.get(0)).map(to_count)
    };
    let sql = "SELECT outcome, round, COUNT(*) FROM records WHERE account = ?1 AND campaign_id = ?2
        GROUP BY round, outcome ORDER BY round, outcome";
    let mut statement = connection.prepare_cached(sql)?;
    let counts = read_counts(statement.query(of)?)?;
    Ok(Summary {
        entries_uploaded: count(
            "SELECT COUNT(*) FROM roster_entries WHERE account = ?1 AND campaign_id = ?2",
        )?,
        entries_with_result: count(
            "SELECT COUNT(DISTINCT roster_entry_id) FROM records WHERE account = ?1 AND campaign_id = ?2",
        )?,
        entries_dialled: count(
            "SELECT COUNT(DISTINCT roster_entry_id) FROM records
             WHERE account = ?1 AND campaign_id = ?2 AND disposition <> 'not_dialled'",
        )?,
        records: counts.iter().map(|count| count.records).sum(),
        counts,
    })
}

fn count_by_hour(
    connection: &Connection,
    account: &str,
    campaign: Option<&str>,
    first_hour: i64,
    hours: usize,
) -> rusqlite::Result<Vec<HourCount>> {
    let start = first_hour.saturating_mul(HOUR_MILLIS);
    let length = i64::try_from(hours).unwrap_or(i64::MAX).saturating_mul(HOUR_MILLIS);
    let sql = "SELECT (sort_millis - ?2) / ?4, received_via = 'push', COUNT(*) FROM records
        WHERE account = ?1 AND sort_millis >= ?2 AND sort_millis < ?3 AND (?5 IS NULL OR campaign_id = ?5)
        GROUP BY 1, 2";
    let of = params![account, start, start.saturating_add(length), HOUR_MILLIS, campaign];
    let mut counts = vec![HourCount::default(); hours];
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        statement.query_map(of, |row| Ok((row.get::<_, u16>(0)?, row.get::<_, bool>(1)?, row.get(2)?)))?;
    for row in rows {
        let (hour, is_push, records) = row?;
        if let Some(count) = counts.get_mut(usize::from(hour)) {
            let side = if is_push { &mut count.by_push } else { &mut count.only_by_search };
            *side = to_count(records);
        }
    }
    Ok(counts)
}

/// Rows of outcome, round and count.
pub(super) fn read_counts(mut rows: Rows<'_>) -> rusqlite::Result<Vec<SummaryCount>> {
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(outcome) = row.get::<_, String>(0)?.parse() {
            counts.push(SummaryCount { outcome, round: row.get(1)?, records: to_count(row.get(2)?) });
        }
    }
    Ok(counts)
}
