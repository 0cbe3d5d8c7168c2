//! Entries that were set aside, and what came of the others.

use outdial_core::{CallRecord, Disposition, Outcome};
use outdial_store::{EntryOutcomes, EntryRow, Store, SummaryCount};

use crate::{
    backend::{Backend, at},
    samples::{account, append, append_one, entry, record},
};

async fn number(store: &dyn Store, entry_id: &str) -> Option<String> {
    store.get_entry(&account("ic-1"), "c1", entry_id).await.unwrap().map(|entry| entry.number)
}

async fn uploaded(store: &dyn Store) -> u64 {
    store.summary(&account("ic-1"), "c1").await.unwrap().entries_uploaded
}

fn rows(prefix: &str, count: usize) -> Vec<EntryRow> {
    (0..count).map(|n| entry(&format!("{prefix}{n}"), "1", Some("k"))).collect()
}

pub async fn withheld_entries_come_back(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    store.put_entries(&ic, "c1", "ros_1/1", rows("a", 2_500), at(0)).await.unwrap();
    store.put_entries(&ic, "c1", "ros_1/2", rows("b", 3), at(0)).await.unwrap();
    for _ in 0..2 {
        store.withhold_entries(&ic, "c1", "ros_1/1").await.unwrap();
        assert_eq!((uploaded(&*store).await, number(&*store, "a0").await), (3, None));
        assert_eq!(store.entry_outcomes(&ic, "c1", "ros_1/1").await.unwrap(), EntryOutcomes::default());
    }
    for _ in 0..2 {
        store.restore_entries(&ic, "c1", "ros_1/1").await.unwrap();
        assert_eq!(uploaded(&*store).await, 2_503);
    }
    assert_eq!(store.get_entry(&ic, "c1", "a2499").await.unwrap(), Some(entry("a2499", "1", Some("k"))));
    assert_eq!(store.entry_outcomes(&ic, "c1", "ros_1/1").await.unwrap().entries, 2_500);
}

pub async fn an_entry_that_was_uploaded_again_is_not_withheld(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    store.put_entries(&ic, "c1", "ros_1/1", rows("a", 2), at(0)).await.unwrap();
    store.put_entries(&ic, "c1", "ros_2/1", vec![entry("a0", "2", None)], at(1)).await.unwrap();
    store.withhold_entries(&ic, "c1", "ros_1/1").await.unwrap();
    assert_eq!(number(&*store, "a0").await.as_deref(), Some("2"));
    assert_eq!(number(&*store, "a1").await, None);
    // What is put back is uploaded last.
    store.put_entries(&ic, "c1", "ros_2/1", vec![entry("a1", "2", None)], at(2)).await.unwrap();
    store.restore_entries(&ic, "c1", "ros_1/1").await.unwrap();
    assert_eq!(number(&*store, "a1").await.as_deref(), Some("1"));
}

pub async fn withheld_entries_expire(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    for roster in ["ros_1/1", "ros_2/1"] {
        store.put_entries(&ic, "c1", roster, rows(roster, 2), at(0)).await.unwrap();
        store.withhold_entries(&ic, "c1", roster).await.unwrap();
    }
    store.remove_entries(&ic, "c1", "ros_1/1").await.unwrap();
    store.restore_entries(&ic, "c1", "ros_1/1").await.unwrap();
    assert_eq!(uploaded(&*store).await, 0, "removed are the withheld ones too");
    store.expire_rosters(at(1)).await.unwrap();
    store.restore_entries(&ic, "c1", "ros_2/1").await.unwrap();
    assert_eq!(uploaded(&*store).await, 0);
}

fn call(id: &str, entry: &str, round: u32, outcome: Outcome) -> CallRecord {
    let mut call = record("ic-1", id);
    (call.roster_entry_id, call.round, call.outcome) = (Some(entry.to_owned().into()), Some(round), outcome);
    call.vendor_codes.outcome = Some(outcome.as_str().into());
    if outcome == Outcome::Blocked {
        call.disposition = Disposition::NotDialled;
    }
    call
}

fn count(outcome: Outcome, round: u32, records: u64) -> SummaryCount {
    SummaryCount { outcome, round: Some(round), records }
}

pub async fn what_came_of_the_entries_of_a_roster(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    store.put_entries(&ic, "c1", "ros_1/1", rows("e", 6), at(0)).await.unwrap();
    store.put_entries(&ic, "c1", "ros_1/2", rows("f", 1), at(0)).await.unwrap();
    store.put_entries(&ic, "c1", "ros_2/1", vec![entry("e5", "1", None)], at(0)).await.unwrap();
    let mut elsewhere = call("90", "e3", 1, Outcome::Busy);
    elsewhere.campaign_id = Some("c2".into());
    let mut other_account = call("91", "e3", 1, Outcome::Busy);
    other_account.account = account("ic-2");
    let calls = vec![
        call("1", "e0", 1, Outcome::NoAnswer),
        call("2", "e0", 1, Outcome::NoAnswer),
        call("3", "e0", 2, Outcome::Answered),
        call("4", "e1", 1, Outcome::Blocked),
        call("5", "e2", 1, Outcome::NoAnswer),
        call("6", "f0", 1, Outcome::Busy),
        call("7", "e5", 1, Outcome::Busy),
        call("8", "nobody's", 1, Outcome::Busy),
        elsewhere,
        other_account,
    ];
    append(&*store, calls).await;
    let wanted = EntryOutcomes {
        entries: 5,
        with_result: 3,
        dialled: 2,
        counts: vec![
            count(Outcome::Blocked, 1, 1),
            count(Outcome::NoAnswer, 1, 3),
            count(Outcome::Answered, 2, 1),
        ],
    };
    assert_eq!(store.entry_outcomes(&ic, "c1", "ros_1/1").await.unwrap(), wanted);
    assert_eq!(store.entry_outcomes(&ic, "c1", "ros_3/1").await.unwrap(), EntryOutcomes::default());

    // A result that changes is counted where it belongs now, once.
    for (id, entry, outcome) in [("2", "e0", Outcome::Answered), ("4", "e1", Outcome::Busy)] {
        let mut changed = call(id, entry, 1, outcome);
        changed.disposition = Disposition::Connected;
        append_one(&*store, changed).await;
    }
    let changed = EntryOutcomes {
        dialled: 3,
        counts: vec![
            count(Outcome::Answered, 1, 1),
            count(Outcome::Busy, 1, 1),
            count(Outcome::NoAnswer, 1, 2),
            count(Outcome::Answered, 2, 1),
        ],
        ..wanted
    };
    assert_eq!(store.entry_outcomes(&ic, "c1", "ros_1/1").await.unwrap(), changed);
    store.expire(at(1)).await.unwrap();
    let waiting = EntryOutcomes { entries: 5, ..EntryOutcomes::default() };
    assert_eq!(store.entry_outcomes(&ic, "c1", "ros_1/1").await.unwrap(), waiting);
}

pub async fn outcomes_of_thousands_of_entries(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    store.put_entries(&ic, "c1", "ros_1/1", rows("e", 9_000), at(0)).await.unwrap();
    for hundred in 0..30 {
        let calls = (hundred * 100..(hundred + 1) * 100)
            .map(|n| call(&format!("c{n}"), &format!("e{n}"), 1, Outcome::Busy))
            .collect();
        append(&*store, calls).await;
    }
    let outcomes = store.entry_outcomes(&ic, "c1", "ros_1/1").await.unwrap();
    let counts = vec![count(Outcome::Busy, 1, 3_000)];
    assert_eq!(outcomes, EntryOutcomes { entries: 9_000, with_result: 3_000, dialled: 3_000, counts });
}
