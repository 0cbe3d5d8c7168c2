//! Leases with fencing numbers.

use std::time::Duration;

use outdial_store::Lease;

use crate::backend::{Backend, until};

const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(100);

pub async fn a_lease_has_one_owner(backend: &mut dyn Backend) {
    let store = backend.store();
    let lease = store.acquire_lease("sync/ic-1", "a", MINUTE).await.unwrap().unwrap();
    assert_eq!((lease.name.as_str(), lease.owner.as_str()), ("sync/ic-1", "a"));
    assert!(lease.fence > 0);
    assert_eq!(store.acquire_lease("sync/ic-1", "b", MINUTE).await.unwrap(), None);
    assert_eq!(store.acquire_lease("sync/ic-1", "a", MINUTE).await.unwrap(), Some(lease.clone()));
    assert!(store.acquire_lease("sync/ic-2", "b", MINUTE).await.unwrap().is_some());
    assert!(store.renew_lease(&lease, MINUTE).await.unwrap());
    let others = [
        Lease { owner: "b".into(), ..lease.clone() },
        Lease { fence: lease.fence + 1, ..lease.clone() },
        Lease { name: "sync/ic-3".into(), ..lease.clone() },
    ];
    for other in others {
        assert!(!store.renew_lease(&other, MINUTE).await.unwrap(), "{other:?}");
        store.release_lease(&other).await.unwrap();
    }
    assert_eq!(store.acquire_lease("sync/ic-1", "b", MINUTE).await.unwrap(), None);
}

pub async fn a_lease_that_ran_out_goes_to_the_next(backend: &mut dyn Backend) {
    let store = backend.store();
    let late = store.acquire_lease("sync", "a", MOMENT).await.unwrap().unwrap();
    let mut taken = None;
    until("the lease has run out", async || {
        taken = store.acquire_lease("sync", "b", MINUTE).await.unwrap();
        taken.is_some()
    })
    .await;
    assert!(taken.unwrap().fence > late.fence);
    assert!(!store.renew_lease(&late, MINUTE).await.unwrap());
    store.release_lease(&late).await.unwrap();
    assert_eq!(store.acquire_lease("sync", "a", MINUTE).await.unwrap(), None);

    // A renewed lease lives on from the renewal.
    let renewed = store.acquire_lease("other", "a", MOMENT).await.unwrap().unwrap();
    let was_held = store.renew_lease(&renewed, MINUTE).await.unwrap();
    store.acquire_lease("younger", "a", MOMENT).await.unwrap().unwrap();
    until("a younger lease has run out", async || {
        store.acquire_lease("younger", "b", MINUTE).await.unwrap().is_some()
    })
    .await;
    let taken = store.acquire_lease("other", "b", MINUTE).await.unwrap();
    assert_eq!(taken.is_none(), was_held);
}

pub async fn a_lease_given_back_is_free_under_the_next_fence(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut fences = Vec::new();
    for owner in ["a", "b", "b", "a"] {
        let lease = store.acquire_lease("sync", owner, MINUTE).await.unwrap().unwrap();
        fences.push(lease.fence);
        store.release_lease(&lease).await.unwrap();
        assert!(!store.renew_lease(&lease, MINUTE).await.unwrap());
    }
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
}

pub async fn fences_outlive_a_restart(backend: &mut dyn Backend) {
    let store = backend.store();
    let held = store.acquire_lease("held", "a", MINUTE).await.unwrap().unwrap();
    let ended = store.acquire_lease("ended", "a", MINUTE).await.unwrap().unwrap();
    store.release_lease(&ended).await.unwrap();
    drop(store);
    backend.restart().await;
    let store = backend.store();
    assert_eq!(store.acquire_lease("held", "b", MINUTE).await.unwrap(), None);
    assert_eq!(store.acquire_lease("held", "a", MINUTE).await.unwrap(), Some(held));
    assert!(store.acquire_lease("ended", "b", MINUTE).await.unwrap().unwrap().fence > ended.fence);
}
