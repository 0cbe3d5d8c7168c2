//! The numbers of a campaign.

use outdial_core::{CallRecord, Disposition, Outcome};
use outdial_store::{Summary, SummaryCount};

use crate::{
    backend::{Backend, at},
    samples::{account, append, append_one, batch, entry, record},
};

fn call(id: &str, entry: Option<&str>, round: Option<u32>, outcome: Outcome) -> CallRecord {
    let mut call = record("ic-1", id);
    (call.roster_entry_id, call.round, call.outcome) =
        (entry.map(|entry| entry.to_owned().into()), round, outcome);
    call.vendor_codes.outcome = Some(outcome.as_str().into());
    if outcome == Outcome::Blocked {
        call.disposition = Disposition::NotDialled;
    }
    call
}

fn count(outcome: Outcome, round: Option<u32>, records: u64) -> SummaryCount {
    SummaryCount { outcome, round, records }
}

pub async fn the_numbers_of_a_campaign(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    assert_eq!(store.summary(&ic, "c1").await.unwrap(), Summary::default());
    let rows = (0..5).map(|n| entry(&format!("e{n}"), "13300000000", None)).collect();
    store.put_entries(&ic, "c1", "ros_1", rows, at(0)).await.unwrap();
    store.put_entries(&ic, "c2", "ros_2", vec![entry("e9", "1", None)], at(0)).await.unwrap();
    let mut elsewhere = call("9", Some("e4"), Some(1), Outcome::Busy);
    elsewhere.campaign_id = Some("c2".into());
    append(
        &*store,
        vec![
            call("1", Some("e0"), Some(1), Outcome::NoAnswer),
            call("2", Some("e0"), Some(2), Outcome::Answered),
            call("3", Some("e1"), Some(1), Outcome::NoAnswer),
            call("4", Some("e2"), Some(1), Outcome::Blocked),
            call("5", None, None, Outcome::Busy),
            call("6", Some("e1"), Some(10), Outcome::Busy),
            elsewhere,
        ],
    )
    .await;
    let summary = store.summary(&ic, "c1").await.unwrap();
    assert_eq!(
        summary,
        Summary {
            entries_uploaded: 5,
            entries_with_result: 3,
            entries_dialled: 2,
            records: 6,
            counts: vec![
                count(Outcome::Busy, None, 1),
                count(Outcome::Blocked, Some(1), 1),
                count(Outcome::NoAnswer, Some(1), 2),
                count(Outcome::Answered, Some(2), 1),
                count(Outcome::Busy, Some(10), 1),
            ],
        }
    );
    assert_eq!(store.summary(&account("ic-2"), "c1").await.unwrap(), Summary::default());
}

pub async fn a_changed_outcome_is_counted_once(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    append(
        &*store,
        vec![
            call("1", Some("e0"), Some(1), Outcome::Blocked),
            call("1", Some("e0"), Some(1), Outcome::Busy),
            call("2", Some("e1"), Some(1), Outcome::Busy),
        ],
    )
    .await;
    append_one(&*store, call("1", Some("e0"), Some(1), Outcome::Answered)).await;
    let mut moved = call("2", Some("e1"), Some(1), Outcome::Busy);
    moved.campaign_id = Some("c2".into());
    append_one(&*store, moved).await;
    let summary = store.summary(&ic, "c1").await.unwrap();
    assert_eq!(summary.counts, [count(Outcome::Answered, Some(1), 1)]);
    assert_eq!((summary.records, summary.entries_with_result, summary.entries_dialled), (1, 1, 1));
    let other = store.summary(&ic, "c2").await.unwrap();
    assert_eq!((other.records, other.entries_with_result, other.entries_dialled), (1, 1, 1));
}

pub async fn expired_records_are_not_counted(backend: &mut dyn Backend) {
    let store = backend.store();
    let old = vec![
        call("1", Some("e0"), Some(1), Outcome::Busy),
        call("2", Some("e1"), Some(1), Outcome::Busy),
        call("3", Some("e2"), Some(1), Outcome::Blocked),
    ];
    store.append(batch(old), at(0)).await.unwrap();
    store.append(batch(vec![call("4", Some("e0"), Some(2), Outcome::Busy)]), at(10_000)).await.unwrap();
    assert_eq!(store.expire(at(5_000)).await.unwrap(), 3);
    let summary = store.summary(&account("ic-1"), "c1").await.unwrap();
    assert_eq!(summary.counts, [count(Outcome::Busy, Some(2), 1)]);
    assert_eq!((summary.records, summary.entries_with_result, summary.entries_dialled), (1, 1, 1));
}
