//! What was acknowledged is there after everything was killed.

use std::time::Duration;

use outdial_store::{Appended, QuarantineFilter};

use crate::{
    backend::{Backend, at},
    samples::{
        account, append, append_one, draft, entry, log, record, records, roster, roster_event, stored,
    },
};

pub async fn everything_survives_a_restart(backend: &mut dyn Backend) {
    let store = backend.store();
    let ic = account("ic-1");
    let whole = outdial_store::Batch {
        records: records("ic-1", 20),
        events: vec![roster_event("ros_1")],
        quarantined: vec![draft("ic-1", 0, "not_json", b"raw")],
    };
    store.append(whole.clone(), at(0)).await.unwrap();
    store.put_roster(&roster("ros_1", "ic-1", "c1", 0)).await.unwrap();
    store.put_entries(&ic, "c1", "ros_1", vec![entry("e1", "13300000000", None)], at(0)).await.unwrap();
    store.put_value("token", "v".into(), Duration::from_secs(3600)).await.unwrap();
    store.put_passing_value("cursor", "c".into(), Duration::from_secs(3600)).await.unwrap();
    let before: Vec<String> = log(&*store).await.into_iter().map(|event| event.json).collect();
    drop(store);
    backend.restart().await;

    let store = backend.store();
    let after: Vec<String> = log(&*store).await.into_iter().map(|event| event.json).collect();
    assert_eq!(after.len(), 21);
    assert_eq!(after, before);
    let again = store.append(whole, at(0)).await.unwrap();
    assert!(again.iter().all(|one| *one == Appended::Duplicate), "{again:?}");
    assert_eq!(log(&*store).await.len(), 21);
    let filter = QuarantineFilter { accounts: vec![ic.clone()], reason: None };
    assert_eq!(store.list_quarantined(&filter, None, 10).await.unwrap()[0].draft.raw, "raw");
    assert_eq!(store.get_roster("ros_1").await.unwrap(), Some(roster("ros_1", "ic-1", "c1", 0)));
    assert!(store.get_entry(&ic, "c1", "e1").await.unwrap().is_some());
    assert_eq!(store.get_value("token").await.unwrap().unwrap(), "v");
    assert_eq!(store.get_value("cursor").await.unwrap().unwrap(), "c");
    assert_eq!(store.summary(&ic, "c1").await.unwrap().records, 20);
}

pub async fn positions_grow_over_a_restart(backend: &mut dyn Backend) {
    let store = backend.store();
    let appended = append(&*store, records("ic-1", 3)).await;
    let last = stored(appended[2]).0;
    store.trim(last).await.unwrap();
    drop(store);
    backend.clock().advance(-60_000);
    backend.restart().await;
    let store = backend.store();
    let bounds = store.bounds().await.unwrap();
    assert_eq!((bounds.trimmed, bounds.last), (last, last));
    assert_eq!(*store.tail().borrow(), last);
    assert!(stored(append_one(&*store, record("ic-1", "new")).await).0 > last);
}
