//! How many records of each hour came by push, and how many only a search found.

use outdial_core::{CallRecord, ReceivedVia};
use outdial_store::{HOUR_MILLIS, HOURS_LIMIT, HourCount, Store, StoreErrorKind};

use crate::{
    backend::{Backend, at},
    samples::{account, append, append_one, batch, record},
};

/// The suite's start, in hours since the epoch, and how far into its hour that is.
fn start() -> (i64, i64) {
    let millis = at(0).millis();
    (millis.div_euclid(HOUR_MILLIS), millis.rem_euclid(HOUR_MILLIS))
}

/// A call at an offset from the beginning of the suite's first hour.
fn call(id: &str, campaign: Option<&str>, via: ReceivedVia, millis: i64) -> CallRecord {
    let mut call = record("ic-1", id);
    call.campaign_id = campaign.map(|campaign| campaign.to_owned().into());
    call.received_via = via;
    call.started_at = Some(at(millis - start().1));
    call
}

async fn counts(store: &dyn Store, campaign: Option<&str>) -> Vec<(u64, u64)> {
    let counts = store.count_by_hour(&account("ic-1"), campaign, start().0 - 1, 4).await.unwrap();
    counts.into_iter().map(|HourCount { by_push, only_by_search }| (by_push, only_by_search)).collect()
}

pub async fn records_are_counted_by_hour_and_how_they_came(backend: &mut dyn Backend) {
    let store = backend.store();
    assert_eq!(counts(&*store, None).await, [(0, 0); 4]);
    let (push, search) = (ReceivedVia::Push, ReceivedVia::Search);
    let mut elsewhere = call("9", Some("c1"), push, 0);
    elsewhere.account = account("ic-2");
    append(
        &*store,
        vec![
            call("1", Some("c1"), push, -1),
            call("2", Some("c1"), push, 0),
            call("3", Some("c1"), push, HOUR_MILLIS - 1),
            call("4", Some("c1"), search, HOUR_MILLIS - 1),
            call("5", Some("c:2"), search, HOUR_MILLIS),
            call("6", None, push, HOUR_MILLIS),
            call("7", Some("c1"), push, 2 * HOUR_MILLIS),
            call("8", Some("c1"), push, 3 * HOUR_MILLIS),
            call("0", Some("c1"), push, -HOUR_MILLIS - 1),
            elsewhere,
        ],
    )
    .await;
    assert_eq!(counts(&*store, None).await, [(1, 0), (2, 1), (1, 1), (1, 0)]);
    assert_eq!(counts(&*store, Some("c1")).await, [(1, 0), (2, 1), (0, 0), (1, 0)]);
    assert_eq!(counts(&*store, Some("c:2")).await, [(0, 0), (0, 0), (0, 1), (0, 0)]);
    assert_eq!(counts(&*store, Some("c")).await, [(0, 0); 4]);
    assert_eq!(store.count_by_hour(&account("ic-1"), None, start().0, 0).await.unwrap(), []);
    let most = store.count_by_hour(&account("ic-1"), None, start().0, HOURS_LIMIT).await.unwrap();
    assert_eq!((most.len(), most[0].by_push), (HOURS_LIMIT, 2));
}

pub async fn a_record_that_changes_is_counted_once(backend: &mut dyn Backend) {
    let store = backend.store();
    let found = call("1", None, ReceivedVia::Search, 0);
    append_one(&*store, found.clone()).await;
    append_one(&*store, found).await;
    assert_eq!(counts(&*store, None).await, [(0, 0), (0, 1), (0, 0), (0, 0)]);
    let pushed = call("1", Some("c1"), ReceivedVia::Push, 0);
    append_one(&*store, pushed).await;
    assert_eq!(counts(&*store, None).await, [(0, 0), (1, 0), (0, 0), (0, 0)]);
    let moved = call("1", Some("c2"), ReceivedVia::Search, HOUR_MILLIS);
    append_one(&*store, moved).await;
    assert_eq!(counts(&*store, None).await, [(0, 0), (0, 0), (1, 0), (0, 0)]);
    assert_eq!(counts(&*store, Some("c1")).await, [(0, 0); 4]);
    assert_eq!(counts(&*store, Some("c2")).await, [(0, 0), (0, 0), (1, 0), (0, 0)]);
}

pub async fn expired_records_are_counted_no_longer(backend: &mut dyn Backend) {
    let store = backend.store();
    let (old, new) = (call("1", None, ReceivedVia::Push, 0), call("2", None, ReceivedVia::Search, 0));
    store.append(batch(vec![old]), at(0)).await.unwrap();
    store.append(batch(vec![new]), at(10_000)).await.unwrap();
    assert_eq!(store.expire(at(5_000)).await.unwrap(), 1);
    assert_eq!(counts(&*store, None).await, [(0, 0), (0, 1), (0, 0), (0, 0)]);
}

pub async fn too_many_hours_are_refused(backend: &mut dyn Backend) {
    let refused =
        backend.store().count_by_hour(&account("ic-1"), None, 0, HOURS_LIMIT + 1).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Invalid);
}
