//! The tables of the embedded store.

use crate::sqlite::Schema;

/// The tables of the embedded store.
pub(super) const SCHEMA: Schema = Schema { name: "store", version: 1, tables: TABLES };

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
    number TEXT NOT NULL, customer_id TEXT, stored_at INTEGER NOT NULL,
    PRIMARY KEY (account, campaign_id, entry_id)
) WITHOUT ROWID;
CREATE INDEX roster_entries_by_roster ON roster_entries (roster_id);
CREATE INDEX roster_entries_by_age ON roster_entries (stored_at);
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
CREATE INDEX leases_by_end ON leases (ends_at);
";
