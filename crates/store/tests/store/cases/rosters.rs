//! Rosters and their entries.

use outdial_store::{RosterFilter, RosterStatus, Store, StoreErrorKind, StoredRoster};

use crate::{
    backend::{Backend, at},
    samples::{account, entry, roster},
};

pub async fn a_roster_is_kept_as_it_was_put(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut sent = roster("ros_1", "ic-1", "c1", 0);
    store.put_roster(&sent).await.unwrap();
    assert_eq!(store.get_roster("ros_1").await.unwrap(), Some(sent.clone()));
    sent.status = RosterStatus::Partial;
    sent.parts.clear();
    store.put_roster(&sent).await.unwrap();
    assert_eq!(store.get_roster("ros_1").await.unwrap(), Some(sent));
    assert_eq!(store.get_roster("ros_2").await.unwrap(), None);
}

pub async fn a_late_owner_does_not_overwrite_a_roster(backend: &mut dyn Backend) {
    let store = backend.store();
    let late = StoredRoster { fence: 41, ..roster("ros_1", "ic-1", "c1", 0) };
    let next = StoredRoster { fence: 42, status: RosterStatus::Unknown, ..late.clone() };
    assert!(store.put_roster(&late).await.unwrap());
    assert!(store.put_roster(&late).await.unwrap(), "a fence writes as often as it likes");
    assert!(store.put_roster(&next).await.unwrap());
    assert!(!store.put_roster(&late).await.unwrap());
    assert_eq!(store.get_roster("ros_1").await.unwrap(), Some(next.clone()));
    let filter = RosterFilter { accounts: vec![account("ic-1")], ..RosterFilter::default() };
    let sending = RosterFilter { status: Some(RosterStatus::Sending), ..filter };
    assert!(store.list_rosters(&sending, None, 10).await.unwrap().is_empty());
}

pub async fn rosters_are_listed_newest_first(backend: &mut dyn Backend) {
    let store = backend.store();
    for n in 0..10 {
        let account_id = if n % 2 == 0 { "ic-1" } else { "ic-2" };
        let mut one = roster(&format!("ros_{n}"), account_id, if n < 5 { "c1" } else { "c2" }, n);
        if n == 7 {
            one.status = RosterStatus::Accepted;
        }
        store.put_roster(&one).await.unwrap();
    }
    store.put_roster(&roster("ros_x", "ic-3", "c1", 0)).await.unwrap();
    let filter = |accounts: &[&str]| RosterFilter {
        accounts: accounts.iter().map(|id| account(id)).collect(),
        ..RosterFilter::default()
    };
    let list = async |filter: RosterFilter, before: Option<&str>, limit: usize| -> Vec<String> {
        let rosters = store.list_rosters(&filter, before, limit).await.unwrap();
        rosters.into_iter().map(|roster| roster.id).collect()
    };
    let both = filter(&["ic-2", "ic-1"]);
    assert_eq!(list(both.clone(), None, 4).await, ["ros_9", "ros_8", "ros_7", "ros_6"]);
    assert_eq!(list(both.clone(), Some("ros_6"), 4).await, ["ros_5", "ros_4", "ros_3", "ros_2"]);
    assert_eq!(list(both.clone(), Some("ros_2"), 4).await, ["ros_1", "ros_0"]);
    assert_eq!(list(filter(&["ic-2"]), None, 2).await, ["ros_9", "ros_7"]);
    let of_campaign = RosterFilter { campaign_id: Some("c1".into()), ..both.clone() };
    assert_eq!(list(of_campaign, Some("ros_4"), 10).await, ["ros_3", "ros_2", "ros_1", "ros_0"]);
    let accepted = RosterFilter { status: Some(RosterStatus::Accepted), ..both };
    assert_eq!(list(accepted, None, 10).await, ["ros_7"]);
    assert!(list(filter(&[]), None, 10).await.is_empty());

    // A roster that ends is listed by how it ended, and once.
    let mut ended = roster("ros_8", "ic-1", "c2", 8);
    ended.status = RosterStatus::Failed;
    store.put_roster(&ended).await.unwrap();
    let failed = RosterFilter { status: Some(RosterStatus::Failed), ..filter(&["ic-1"]) };
    assert_eq!(list(failed, None, 10).await, ["ros_8"]);
    let sending = RosterFilter { status: Some(RosterStatus::Sending), ..filter(&["ic-1"]) };
    assert_eq!(list(sending, None, 10).await, ["ros_6", "ros_4", "ros_2", "ros_0"]);
}

async fn number(store: &dyn Store, campaign: &str, entry_id: &str) -> Option<String> {
    store.get_entry(&account("ic-1"), campaign, entry_id).await.unwrap().map(|entry| entry.number)
}

pub async fn the_last_upload_of_an_entry_counts(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    let first = entry("e1", "13300000000", Some("k1"));
    store.put_entries(&ic, "c1", "ros_1", vec![first.clone()], at(0)).await.unwrap();
    assert_eq!(store.get_entry(&ic, "c1", "e1").await.unwrap(), Some(first));
    assert_eq!(number(&*store, "c2", "e1").await, None);
    store.put_entries(&ic, "c1", "ros_2", vec![entry("e1", "13300000001", None)], at(1)).await.unwrap();
    assert_eq!(number(&*store, "c1", "e1").await.as_deref(), Some("13300000001"));
    assert_eq!(store.summary(&ic, "c1").await.unwrap().entries_uploaded, 1);

    // The entry is the second roster's now, so the first takes nothing with it.
    store.remove_entries(&ic, "c1", "ros_1").await.unwrap();
    assert_eq!(number(&*store, "c1", "e1").await.as_deref(), Some("13300000001"));
}

pub async fn entries_of_a_refused_roster_are_removed(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    let rows = |prefix: &str| (0..2_500).map(|n| entry(&format!("{prefix}{n}"), "1", None)).collect();
    store.put_entries(&ic, "c1", "ros_1", rows("a"), at(0)).await.unwrap();
    store.put_entries(&ic, "c1", "ros_2", rows("b"), at(0)).await.unwrap();
    store.remove_entries(&ic, "c1", "ros_1").await.unwrap();
    assert_eq!(store.summary(&ic, "c1").await.unwrap().entries_uploaded, 2_500);
    assert_eq!(number(&*store, "c1", "a0").await, None);
    assert!(number(&*store, "c1", "b0").await.is_some());
}

pub async fn old_rosters_expire_with_their_entries(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    for (id, millis) in [("ros_1", 0), ("ros_2", 10_000)] {
        store.put_roster(&roster(id, "ic-1", "c1", millis)).await.unwrap();
        let rows = (0..3).map(|n| entry(&format!("{id}-{n}"), "1", None)).collect();
        store.put_entries(&ic, "c1", id, rows, at(millis)).await.unwrap();
    }
    // Its roster was never put: the process ended in between.
    store.put_entries(&ic, "c2", "ros_0", vec![entry("lost", "1", None)], at(0)).await.unwrap();
    assert_eq!(store.expire_rosters(at(0)).await.unwrap(), 0);
    assert_eq!(store.expire_rosters(at(10_000)).await.unwrap(), 4);
    assert_eq!(store.get_roster("ros_1").await.unwrap(), None);
    assert!(store.get_roster("ros_2").await.unwrap().is_some());
    assert_eq!(store.summary(&ic, "c1").await.unwrap().entries_uploaded, 3);
    assert_eq!(number(&*store, "c2", "lost").await, None);
    let filter = RosterFilter { accounts: vec![ic], ..RosterFilter::default() };
    assert_eq!(store.list_rosters(&filter, None, 10).await.unwrap().len(), 1);
}

pub async fn too_many_entries_are_refused(backend: &mut dyn Backend) {
    let store = backend.store();
    let rows = |count: usize| (0..count).map(|n| entry(&format!("e{n}"), "1", None)).collect::<Vec<_>>();
    let ic = account("ic-1");
    let refused = store.put_entries(&ic, "c1", "ros_1", rows(10_001), at(0)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Invalid);
    store.put_entries(&ic, "c1", "ros_1", rows(10_000), at(0)).await.unwrap();
    assert_eq!(store.summary(&ic, "c1").await.unwrap().entries_uploaded, 10_000);
}
