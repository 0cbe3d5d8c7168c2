//! Rosters and their entries in SQLite.

use async_trait::async_trait;
use outdial_core::{AccountId, Timestamp};
use rusqlite::{Connection, OptionalExtension, ToSql, params, params_from_iter};

use super::{Embedded, records::read_counts, roster_bodies};
use crate::{
    EntryOutcomes, EntryRow, RosterFilter, Rosters, StoreError, StoredRoster,
    roles::check_entries,
    sqlite::{from_json, to_count, to_sql_limit},
};

/// Most entries that one call of `expire_rosters` removes.
const EXPIRE_STEP: i64 = 10_000;

#[async_trait]
impl Rosters for Embedded {
    async fn put_roster(&self, roster: &StoredRoster) -> Result<bool, StoreError> {
        let roster = roster.clone();
        self.write(move |connection| {
            let json = serde_json::to_string(&roster).map_err(from_json)?;
            let sql = "INSERT INTO rosters (id, account, campaign_id, status, created_at, json, fence)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                ON CONFLICT (id) DO UPDATE SET status = excluded.status, json = excluded.json, fence = excluded.fence
                WHERE rosters.fence <= excluded.fence";
            let written = connection.prepare_cached(sql)?.execute(params![
                roster.id,
                roster.account.as_str(),
                roster.campaign_id,
                roster.status.as_str(),
                roster.created_at.millis(),
                json,
                i64::try_from(roster.fence).unwrap_or(i64::MAX)
            ])?;
            Ok(written > 0)
        })
        .await
    }

    async fn put_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
        entries: Vec<EntryRow>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check_entries(&entries)?;
        let (account, campaign, roster) = (account.to_string(), campaign_id.to_owned(), roster_id.to_owned());
        self.write(move |connection| {
            let sql = "INSERT OR REPLACE INTO roster_entries (account, campaign_id, entry_id, roster_id, number, customer_id,
                stored_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let mut statement = connection.prepare_cached(sql)?;
            for entry in &entries {
                statement.execute(params![
                    account,
                    campaign,
                    entry.entry_id,
                    roster,
                    entry.number,
                    entry.customer_id,
                    now.millis()
                ])?;
            }
            Ok(())
        })
        .await
    }

    async fn remove_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        let (account, campaign, roster) = (account.to_string(), campaign_id.to_owned(), roster_id.to_owned());
        self.write(move |connection| {
            for table in ["roster_entries", "withheld_entries"] {
                let sql = format!("DELETE FROM {table} WHERE {OF_ROSTER}");
                connection.prepare_cached(&sql)?.execute(params![roster, account, campaign])?;
            }
            Ok(())
        })
        .await
    }

    async fn withhold_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        self.move_entries("roster_entries", "withheld_entries", account, campaign_id, roster_id).await
    }

    async fn restore_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        self.move_entries("withheld_entries", "roster_entries", account, campaign_id, roster_id).await
    }

    async fn entry_outcomes(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<EntryOutcomes, StoreError> {
        let (account, campaign, roster) = (account.to_string(), campaign_id.to_owned(), roster_id.to_owned());
        self.read(move |connection| count_outcomes(connection, &account, &campaign, &roster)).await
    }

    async fn get_roster(&self, id: &str) -> Result<Option<StoredRoster>, StoreError> {
        let id = id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT json FROM rosters WHERE id = ?1")?;
            let json: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
            json.map(|json| serde_json::from_str(&json).map_err(from_json)).transpose()
        })
        .await
    }

    async fn list_rosters(
        &self,
        filter: &RosterFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredRoster>, StoreError> {
        let mut values: Vec<Box<dyn ToSql + Send>> = Vec::new();
        let marks = filter.accounts.iter().map(|account| {
            values.push(Box::new(account.to_string()));
            format!("?{}", values.len())
        });
        let mut conditions = vec![format!("account IN ({})", marks.collect::<Vec<_>>().join(", "))];
        let others = [
            ("campaign_id =", filter.campaign_id.clone()),
            ("status =", filter.status.map(|status| status.as_str().to_owned())),
            ("id <", before.map(str::to_owned)),
        ];
        for (comparison, value) in others {
            if let Some(value) = value {
                values.push(Box::new(value));
                conditions.push(format!("{comparison} ?{}", values.len()));
            }
        }
        values.push(Box::new(to_sql_limit(limit)));
        let conditions = conditions.join(" AND ");
        let sql =
            format!("SELECT json FROM rosters WHERE {conditions} ORDER BY id DESC LIMIT ?{}", values.len());
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values.iter()), |row| row.get::<_, String>(0))?;
            rows.map(|json| serde_json::from_str(&json?).map_err(from_json)).collect()
        })
        .await
    }

    async fn get_entry(
        &self,
        account: &AccountId,
        campaign_id: &str,
        entry_id: &str,
    ) -> Result<Option<EntryRow>, StoreError> {
        let (account, campaign, entry) = (account.to_string(), campaign_id.to_owned(), entry_id.to_owned());
        self.read(move |connection| find_entry(connection, &account, &campaign, &entry)).await
    }

    async fn expire_rosters(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM roster_entries WHERE (account, campaign_id, entry_id) IN
                (SELECT account, campaign_id, entry_id FROM roster_entries WHERE stored_at < ?1 LIMIT ?2)";
            let removed =
                connection.prepare_cached(sql)?.execute(params![older_than.millis(), EXPIRE_STEP])?;
            let removed = i64::try_from(removed).unwrap_or(i64::MAX);
            let (chunks, no_more) = roster_bodies::expire(connection, older_than)?;
            if removed < EXPIRE_STEP && no_more {
                for rest in ["withheld_entries WHERE stored_at", "rosters WHERE created_at"] {
                    let sql = format!("DELETE FROM {rest} < ?1");
                    connection.prepare_cached(&sql)?.execute([older_than.millis()])?;
                }
            }
            Ok(to_count(removed.saturating_add(chunks)))
        })
        .await
    }
}

/// The entries of a roster in either table.
const OF_ROSTER: &str = "roster_id = ?1 AND account = ?2 AND campaign_id = ?3";

impl Embedded {
    async fn move_entries(
        &self,
        from: &'static str,
        to: &'static str,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        let (account, campaign, roster) = (account.to_string(), campaign_id.to_owned(), roster_id.to_owned());
        self.write(move |connection| {
            let columns = "roster_id, entry_id, account, campaign_id, number, customer_id, stored_at";
            let copy = format!(
                "INSERT OR REPLACE INTO {to} ({columns}) SELECT {columns} FROM {from} WHERE {OF_ROSTER}"
            );
            for sql in [copy, format!("DELETE FROM {from} WHERE {OF_ROSTER}")] {
                connection.prepare_cached(&sql)?.execute(params![roster, account, campaign])?;
            }
            Ok(())
        })
        .await
    }
}

/// The index is named, for without it every record of the campaign would be looked at for every entry.
const RECORDS_OF_ENTRY: &str = "records AS r INDEXED BY records_by_entry
    ON r.roster_entry_id = e.entry_id AND r.account = e.account AND r.campaign_id = e.campaign_id";

fn count_outcomes(
    connection: &Connection,
    account: &str,
    campaign: &str,
    roster: &str,
) -> rusqlite::Result<EntryOutcomes> {
    let of = params![roster, account, campaign];
    let entries = "roster_entries AS e";
    let of_roster = "e.roster_id = ?1 AND e.account = ?2 AND e.campaign_id = ?3";
    let sql = format!(
        "SELECT r.outcome, r.round, COUNT(*) FROM {entries} JOIN {RECORDS_OF_ENTRY}
         WHERE {of_roster} GROUP BY r.round, r.outcome ORDER BY r.round, r.outcome"
    );
    let counts = read_counts(connection.prepare_cached(&sql)?.query(of)?)?;
    let sql = format!(
        "SELECT COUNT(*), COUNT(known), COALESCE(SUM(known), 0) FROM
         (SELECT MAX(r.disposition <> 'not_dialled') AS known FROM {entries} LEFT JOIN {RECORDS_OF_ENTRY}
          WHERE {of_roster} GROUP BY e.entry_id)"
    );
    connection.prepare_cached(&sql)?.query_row(of, |row| {
        Ok(EntryOutcomes {
            entries: to_count(row.get(0)?),
            with_result: to_count(row.get(1)?),
            dialled: to_count(row.get(2)?),
            counts,
        })
    })
}

pub(super) fn find_entry(
    connection: &Connection,
    account: &str,
    campaign: &str,
    entry: &str,
) -> rusqlite::Result<Option<EntryRow>> {
    let sql = "SELECT entry_id, number, customer_id FROM roster_entries
        WHERE account = ?1 AND campaign_id = ?2 AND entry_id = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    statement
        .query_row(params![account, campaign, entry], |row| {
            Ok(EntryRow { entry_id: row.get(0)?, number: row.get(1)?, customer_id: row.get(2)? })
        })
        .optional()
}
