//! The tables of the embedded store.

use crate::sqlite::Schema;

/// The tables of the embedded store.
pub(super) const SCHEMA: Schema =
    Schema { name: "store", steps: &[FIRST, SUBSCRIPTIONS, RECEIVED_VIA, ROSTERS] };

const FIRST: &str = "
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

/// `kept` counts the delivered ones. What a redrive changes stands beside the JSON, and counts more than what is in it.
/// Deliveries stand in the order of their lists, so that the oldest of thousands are removed together; that there is one of an
/// id is what `put` sees to.
const SUBSCRIPTIONS: &str = "
CREATE TABLE subscriptions (id TEXT PRIMARY KEY, version INTEGER NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE progress (id TEXT PRIMARY KEY, fence INTEGER NOT NULL, kept INTEGER NOT NULL, json TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE deliveries (
    subscription TEXT NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL, due_at INTEGER,
    created_at INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (subscription, status, id)
) WITHOUT ROWID;
CREATE INDEX deliveries_by_time ON deliveries (subscription, due_at, id) WHERE status = 'pending';
CREATE INDEX deliveries_by_age ON deliveries (created_at) WHERE status <> 'pending';
";

/// How each record came, beside the hour that it counts in.
const RECEIVED_VIA: &str = "
ALTER TABLE records ADD COLUMN received_via TEXT;
UPDATE records SET received_via = json_extract(json, '$.received_via');
CREATE INDEX records_by_arrival ON records (account, sort_millis, campaign_id, received_via);
";

/// What was not taken by the vendor and may be sent again: entries set aside, bodies in chunks. The index of records holds all
/// that is counted of an entry.
const ROSTERS: &str = "
ALTER TABLE rosters ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
CREATE TABLE withheld_entries (
    roster_id TEXT NOT NULL, entry_id TEXT NOT NULL, account TEXT NOT NULL, campaign_id TEXT NOT NULL,
    number TEXT NOT NULL, customer_id TEXT, stored_at INTEGER NOT NULL, PRIMARY KEY (roster_id, entry_id)
) WITHOUT ROWID;
CREATE INDEX withheld_entries_by_age ON withheld_entries (stored_at);
CREATE TABLE roster_bodies (
    roster_id TEXT NOT NULL, part INTEGER NOT NULL, chunk INTEGER NOT NULL, stored_at INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (roster_id, part, chunk)
);
CREATE INDEX roster_bodies_by_age ON roster_bodies (stored_at);
DROP INDEX records_by_entry;
CREATE INDEX records_by_entry ON records (roster_entry_id, account, campaign_id, disposition, outcome, round)
    WHERE roster_entry_id IS NOT NULL;
";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use outdial_core::{ManualClock, Timestamp};

    use super::*;
    use crate::{
        CallRecords, HourCount, Kv, StoreErrorKind, Subscriptions, embedded::Embedded, sqlite::open_writer,
    };

    #[tokio::test]
    async fn a_file_of_the_first_version_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let old = open_writer(&path, &Schema { name: "store", steps: &[FIRST] }).unwrap();
        old.execute("INSERT INTO kv (name, value, ends_at) VALUES ('token', X'76', ?1)", [i64::MAX]).unwrap();
        let sql = "INSERT INTO records (id, account, outcome, disposition, sort_millis, changed_at, json)
            VALUES ('ic-1/1', 'ic-1', 'busy', 'not_connected', 7200000, 0, '{\"received_via\":\"search\"}')";
        old.execute(sql, []).unwrap();
        drop(old);
        for _ in 0..2 {
            let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
            let store = Embedded::open(&path, clock).await.unwrap();
            assert_eq!(store.get_value("token").await.unwrap(), Some(Bytes::from("v")));
            assert_eq!(store.list_subscriptions().await.unwrap(), []);
            assert_eq!(store.get_progress("sub_1").await.unwrap(), None);
            let counts = store.count_by_hour(&"ic-1".parse().unwrap(), None, 2, 1).await.unwrap();
            assert_eq!(counts, [HourCount { by_push: 0, only_by_search: 1 }]);
        }
    }

    #[tokio::test]
    async fn a_file_of_a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let later = open_writer(&path, &SCHEMA).unwrap();
        let version = i64::try_from(SCHEMA.steps.len()).unwrap();
        later.pragma_update(None, "user_version", version + 1).unwrap();
        drop(later);
        let refused = open_writer(&path, &SCHEMA).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Invalid);
        assert!(refused.detail.contains("has version 5, this program writes version 4"), "{refused}");
    }
}
