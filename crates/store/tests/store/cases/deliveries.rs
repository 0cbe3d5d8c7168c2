//! Deliveries: their lists, which of them stay, and how dead ones come back.

use std::sync::Arc;

use outdial_core::Position;
use outdial_store::{
    DeliveryCommit, DeliveryStatus, Store, StoreErrorKind, StoredDelivery, StoredSubscription,
};

use crate::{
    backend::{Backend, at},
    samples::{commit, delivery, subscription},
};

use DeliveryStatus::{Dead, Delivered, Pending};

const SUB: &str = "sub_1";

async fn start(backend: &dyn Backend) -> Arc<dyn Store> {
    let store = backend.store();
    assert!(store.create_subscription(&subscription(SUB), Position(0)).await.unwrap());
    store
}

async fn put(store: &dyn Store, deliveries: Vec<StoredDelivery>) {
    assert!(store.commit_deliveries(SUB, 1, commit(1, deliveries)).await.unwrap());
}

/// The numbers of the deliveries in a list.
async fn list(store: &dyn Store, status: DeliveryStatus, before: Option<usize>, limit: usize) -> Vec<usize> {
    let before = before.map(|number| delivery(number, Pending).id);
    let listed = store.list_deliveries(SUB, status, before.as_deref(), limit).await.unwrap();
    assert!(listed.iter().all(|one| one.status == status), "{listed:?}");
    listed.iter().map(|one| one.events[0].subject.parse().unwrap()).collect()
}

async fn count(store: &dyn Store, status: DeliveryStatus) -> u64 {
    store.count_deliveries(SUB, status).await.unwrap()
}

async fn version(store: &dyn Store) -> u64 {
    store.get_subscription(SUB).await.unwrap().unwrap().version
}

pub async fn pending_ones_are_listed_by_when_they_are_due(backend: &mut dyn Backend) {
    let store = start(backend).await;
    let due = |number, millis: Option<i64>| StoredDelivery {
        next_attempt_at: millis.map(at),
        ..delivery(number, Pending)
    };
    let all = [(1, Some(900)), (2, Some(-5)), (3, None), (4, Some(900)), (5, Some(10_000)), (6, Some(20))];
    put(&*store, all.map(|(number, millis)| due(number, millis)).to_vec()).await;
    put(&*store, vec![delivery(7, Dead), delivery(8, Delivered)]).await;
    // One without a time is due at once, and those of one moment come in the order of their events.
    assert_eq!(list(&*store, Pending, None, 100).await, [3, 2, 6, 1, 4, 5]);
    assert_eq!(list(&*store, Pending, None, 2).await, [3, 2]);
    assert_eq!(list(&*store, Pending, Some(5), 3).await, [4, 3, 2]);
    put(&*store, vec![due(2, Some(950)), due(5, Some(1))]).await;
    assert_eq!(list(&*store, Pending, None, 100).await, [3, 5, 6, 1, 4, 2]);
    assert_eq!(count(&*store, Pending).await, 6);
}

pub async fn finished_ones_are_listed_newest_first(backend: &mut dyn Backend) {
    let store = start(backend).await;
    let states = [Dead, Delivered, Dead, Pending, Dead, Delivered, Dead, Delivered];
    let mixed: Vec<_> = states.iter().zip(0..).map(|(status, number)| delivery(number, *status)).collect();
    put(&*store, mixed.into_iter().rev().collect()).await;
    assert_eq!(list(&*store, Dead, None, 3).await, [6, 4, 2]);
    assert_eq!(list(&*store, Dead, Some(2), 3).await, [0]);
    assert_eq!(list(&*store, Dead, Some(3), 3).await, [2, 0], "a place between two");
    assert_eq!(list(&*store, Dead, Some(0), 3).await, [0; 0]);
    assert_eq!(list(&*store, Dead, None, 0).await, [0; 0]);
    assert_eq!(list(&*store, Delivered, None, usize::MAX).await, [7, 5, 1]);
    assert_eq!(list(&*store, Delivered, Some(7), 1).await, [5]);
}

pub async fn a_changed_state_moves_a_delivery(backend: &mut dyn Backend) {
    let store = start(backend).await;
    put(&*store, vec![delivery(1, Pending), delivery(2, Pending)]).await;
    for status in [Dead, Pending, Delivered, Dead, Delivered, Pending] {
        let changed = StoredDelivery { attempts: 9, ..delivery(1, status) };
        put(&*store, vec![changed.clone()]).await;
        assert_eq!(store.get_delivery(SUB, &changed.id).await.unwrap(), Some(changed));
        for state in [Pending, Delivered, Dead] {
            let mut expected = Vec::new();
            expected.extend((state == status).then_some(1));
            expected.extend((state == Pending).then_some(2));
            let mut listed = list(&*store, state, None, 100).await;
            listed.sort_unstable();
            assert_eq!(listed, expected, "{state:?} after {status:?}");
            assert_eq!(count(&*store, state).await, u64::try_from(expected.len()).unwrap());
        }
    }
}

pub async fn the_newest_delivered_ones_stay(backend: &mut dyn Backend) {
    let store = start(backend).await;
    let kept = usize::try_from(StoredDelivery::DELIVERED_KEPT).unwrap();
    put(&*store, vec![delivery(0, Pending), delivery(1, Dead)]).await;
    let run = |first: usize, count: usize| (first..first + count).map(|n| delivery(n, Delivered)).collect();
    put(&*store, run(10, kept)).await;
    assert_eq!(count(&*store, Delivered).await, StoredDelivery::DELIVERED_KEPT);
    // The same again, as after an unknown outcome: nothing is counted twice.
    put(&*store, run(10, kept)).await;
    assert_eq!(list(&*store, Delivered, None, usize::MAX).await.len(), kept);
    put(&*store, run(10 + kept, kept)).await;
    let newest: Vec<usize> = (10 + kept..10 + 2 * kept).rev().collect();
    assert_eq!(list(&*store, Delivered, None, usize::MAX).await, newest);
    assert_eq!(store.get_delivery(SUB, &delivery(10, Delivered).id).await.unwrap(), None);

    // One that was pending drops the oldest; one that is delivered no more makes room.
    put(&*store, vec![delivery(2, Pending), delivery(3 * kept, Delivered)]).await;
    assert_eq!(list(&*store, Delivered, Some(12 + kept), 9).await, [11 + kept]);
    put(&*store, vec![delivery(11 + kept, Dead)]).await;
    put(&*store, vec![delivery(3 * kept + 1, Delivered)]).await;
    assert_eq!(list(&*store, Delivered, Some(13 + kept), 9).await, [12 + kept]);
    assert_eq!(count(&*store, Delivered).await, StoredDelivery::DELIVERED_KEPT);
    assert_eq!(list(&*store, Pending, None, 9).await, [0, 2]);
    assert_eq!(list(&*store, Dead, None, 9).await, [11 + kept, 1]);
}

pub async fn a_full_commit_is_taken_and_a_larger_one_refused(backend: &mut dyn Backend) {
    let store = start(backend).await;
    let many = |count| (0..count).map(|n| delivery(n, Dead)).collect();
    let too_many = commit(5, many(DeliveryCommit::LIMIT + 1));
    let refused = store.commit_deliveries(SUB, 1, too_many).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Invalid, "{refused}");
    assert_eq!(store.get_progress(SUB).await.unwrap().unwrap().cursor, Position(0));
    assert!(store.commit_deliveries(SUB, 1, commit(5, many(DeliveryCommit::LIMIT))).await.unwrap());
    assert_eq!(list(&*store, Dead, None, 20_000).await, (0..10_000).rev().collect::<Vec<_>>());

    // More than one step of a redrive.
    put(&*store, vec![delivery(10_000, Dead)]).await;
    assert_eq!(store.redrive_deliveries(SUB, None, at(0)).await.unwrap(), 10_001);
    assert_eq!(version(&*store).await, 3);
    assert_eq!(list(&*store, Pending, None, 20_000).await, (0..=10_000).collect::<Vec<_>>());
    assert_eq!(count(&*store, Dead).await, 0);
}

pub async fn one_dead_delivery_is_redriven(backend: &mut dyn Backend) {
    let store = start(backend).await;
    let states = [Dead, Pending, Delivered, Dead];
    put(&*store, states.iter().zip(0..).map(|(status, number)| delivery(number, *status)).collect()).await;
    let redrive = async |id: &str| store.redrive_deliveries(SUB, Some(id), at(500)).await.unwrap();
    for id in [&delivery(1, Pending).id, &delivery(2, Delivered).id, "dlv_0", ""] {
        assert_eq!(redrive(id).await, 0, "{id:?}");
    }
    assert_eq!(version(&*store).await, 1);
    assert_eq!(redrive(&delivery(3, Dead).id).await, 1);
    let redriven =
        StoredDelivery { status: Pending, attempts: 0, next_attempt_at: Some(at(500)), ..delivery(3, Dead) };
    assert_eq!(store.get_delivery(SUB, &redriven.id).await.unwrap(), Some(redriven.clone()));
    assert_eq!(store.list_deliveries(SUB, Pending, None, 9).await.unwrap()[0], redriven);
    assert_eq!(
        (list(&*store, Pending, None, 9).await, list(&*store, Dead, None, 9).await),
        (vec![3, 1], vec![0])
    );
    assert_eq!((count(&*store, Pending).await, count(&*store, Dead).await), (2, 1));
    assert_eq!(version(&*store).await, 2);
    assert_eq!(redrive(&redriven.id).await, 0, "it is pending now");
    assert_eq!(version(&*store).await, 2);
    let raised = StoredSubscription { version: 2, ..subscription(SUB) };
    assert_eq!(store.list_subscriptions().await.unwrap(), [raised]);
    // It may be delivered, or die, like any other.
    put(&*store, vec![delivery(3, Dead)]).await;
    assert_eq!(store.get_delivery(SUB, &redriven.id).await.unwrap(), Some(delivery(3, Dead)));
}

pub async fn all_dead_deliveries_are_redriven(backend: &mut dyn Backend) {
    let store = start(backend).await;
    assert_eq!(store.redrive_deliveries(SUB, None, at(0)).await.unwrap(), 0);
    let run = |first: usize, status: DeliveryStatus| (first..first + 1_500).map(move |n| delivery(n, status));
    put(&*store, run(0, Dead).chain(run(2_000, Pending)).chain(run(4_000, Delivered)).collect()).await;
    assert_eq!(version(&*store).await, 1);
    assert_eq!(store.redrive_deliveries(SUB, None, at(-1)).await.unwrap(), 1_500);
    assert_eq!(version(&*store).await, 2);
    assert_eq!(store.redrive_deliveries(SUB, None, at(-1)).await.unwrap(), 0);
    assert_eq!(version(&*store).await, 2);
    assert_eq!(list(&*store, Pending, None, 1_500).await, (0..1_500).collect::<Vec<_>>());
    assert_eq!((count(&*store, Pending).await, count(&*store, Dead).await), (3_000, 0));
    assert_eq!(count(&*store, Delivered).await, 1_500);
    assert_eq!(store.get_progress(SUB).await.unwrap().unwrap().cursor, Position(1));
}

pub async fn a_redrive_beside_replacements_is_not_lost(backend: &mut dyn Backend) {
    const ROUNDS: usize = 25;
    let store = start(backend).await;
    let other = backend.another_handle().await.unwrap_or_else(|| backend.store());
    put(&*store, (0..ROUNDS).map(|number| delivery(number, Dead)).collect()).await;
    let replacing = async {
        let mut replaced = 0;
        for _ in 0..ROUNDS {
            let present = store.get_subscription(SUB).await.unwrap().unwrap();
            let next = StoredSubscription { version: present.version + 1, ..present };
            replaced += u64::from(store.replace_subscription(&next).await.unwrap());
        }
        replaced
    };
    let redriving = async {
        for number in 0..ROUNDS {
            let id = delivery(number, Dead).id;
            assert_eq!(other.redrive_deliveries(SUB, Some(&id), at(0)).await.unwrap(), 1);
        }
    };
    let (replaced, ()) = tokio::join!(replacing, redriving);
    assert_eq!(version(&*store).await, 1 + replaced + u64::try_from(ROUNDS).unwrap());
    assert_eq!((count(&*store, Pending).await, count(&*store, Dead).await), (25, 0));
}

pub async fn old_finished_deliveries_expire(backend: &mut dyn Backend) {
    let store = start(backend).await;
    assert!(store.create_subscription(&subscription("sub_2"), Position(0)).await.unwrap());
    let states = [Dead, Delivered, Pending];
    let all: Vec<_> = states.iter().cycle().zip(0..3_600).map(|(status, n)| delivery(n, *status)).collect();
    put(&*store, all).await;
    let others = commit(1, vec![delivery(0, Dead), delivery(2_401, Dead)]);
    assert!(store.commit_deliveries("sub_2", 1, others).await.unwrap());
    assert_eq!(store.expire_deliveries(at(0)).await.unwrap(), 0);
    assert_eq!(store.expire_deliveries(at(2_400)).await.unwrap(), 1_601);
    assert_eq!(store.expire_deliveries(at(2_400)).await.unwrap(), 0);
    assert_eq!(
        list(&*store, Dead, None, 1_000).await,
        (2_400..3_600).rev().step_by(3).map(|n| n - 2).collect::<Vec<_>>()
    );
    assert_eq!((count(&*store, Pending).await, count(&*store, Delivered).await), (1_200, 400));
    assert_eq!(store.get_delivery(SUB, &delivery(1, Delivered).id).await.unwrap(), None);
    assert_eq!(store.count_deliveries("sub_2", Dead).await.unwrap(), 1);

    // Those that went make room for as many.
    let kept = usize::try_from(StoredDelivery::DELIVERED_KEPT).unwrap();
    put(&*store, (10_000..10_000 + kept - 400).map(|n| delivery(n, Delivered)).collect()).await;
    assert_eq!(list(&*store, Delivered, Some(2_404), 9).await, [2_401]);
    put(&*store, vec![delivery(30_000, Delivered)]).await;
    assert_eq!(list(&*store, Delivered, Some(2_407), 9).await, [2_404]);
    // One that is redriven is owed again, however old.
    assert_eq!(store.redrive_deliveries("sub_2", None, at(0)).await.unwrap(), 1);
    assert_eq!(store.expire_deliveries(at(90_000)).await.unwrap(), 10_000);
    assert_eq!(store.expire_deliveries(at(90_000)).await.unwrap(), 400);
    assert_eq!((count(&*store, Pending).await, count(&*store, Delivered).await), (1_200, 0));
    assert_eq!(store.count_deliveries("sub_2", Pending).await.unwrap(), 1);
}
