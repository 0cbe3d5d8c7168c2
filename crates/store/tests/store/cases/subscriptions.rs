//! Subscriptions and how far each one got.

use outdial_core::Position;
use outdial_store::{
    DeliveryCommit, DeliveryProgress, DeliveryStatus, ExhaustedNotice, Exhaustion, ReplayProgress,
    SUBSCRIPTIONS_LIMIT, Store, StoreErrorKind, StoredSubscription, SubscriptionStatus,
};

use crate::{
    backend::{Backend, at},
    samples::{commit, delivery, subscription},
};

const STATES: [DeliveryStatus; 3] =
    [DeliveryStatus::Pending, DeliveryStatus::Delivered, DeliveryStatus::Dead];

async fn create(store: &dyn Store, id: &str) {
    assert!(store.create_subscription(&subscription(id), Position(7)).await.unwrap());
}

/// How many deliveries are listed and counted in each state.
async fn counts(store: &dyn Store, id: &str) -> [usize; 3] {
    let mut counts = [0; 3];
    for (count, status) in counts.iter_mut().zip(STATES) {
        *count = store.list_deliveries(id, status, None, 100).await.unwrap().len();
        let counted = store.count_deliveries(id, status).await.unwrap();
        assert_eq!(u64::try_from(*count).unwrap(), counted, "{status:?}");
    }
    counts
}

async fn cursor(store: &dyn Store, id: &str) -> Option<u64> {
    store.get_progress(id).await.unwrap().map(|progress| progress.cursor.0)
}

pub async fn a_subscription_is_kept_as_it_was_created(backend: &mut dyn Backend) {
    let store = backend.store();
    assert_eq!(store.list_subscriptions().await.unwrap(), []);
    for id in ["sub_2", "sub_1", "a:dead", "sub_10", "B"] {
        create(&*store, id).await;
    }
    assert_eq!(store.get_subscription("sub_1").await.unwrap(), Some(subscription("sub_1")));
    assert_eq!(store.get_subscription("sub_3").await.unwrap(), None);
    let ids = ["B", "a:dead", "sub_1", "sub_10", "sub_2"];
    assert_eq!(store.list_subscriptions().await.unwrap(), ids.map(subscription));
    let start = DeliveryProgress { cursor: Position(7), ..DeliveryProgress::default() };
    assert_eq!(store.get_progress("sub_1").await.unwrap(), Some(start));
    assert_eq!(store.get_progress("sub_3").await.unwrap(), None);
}

pub async fn a_second_one_of_an_id_is_not_created(backend: &mut dyn Backend) {
    let store = backend.store();
    create(&*store, "sub_1").await;
    assert!(store.commit_deliveries("sub_1", 1, commit(9, vec![])).await.unwrap());
    let other = StoredSubscription { url: "https://other.example.com/".into(), ..subscription("sub_1") };
    assert!(!store.create_subscription(&other, Position(3)).await.unwrap());
    assert_eq!(store.list_subscriptions().await.unwrap(), [subscription("sub_1")]);
    assert_eq!(cursor(&*store, "sub_1").await, Some(9));
}

pub async fn only_so_many_are_created(backend: &mut dyn Backend) {
    let store = backend.store();
    for number in 0..SUBSCRIPTIONS_LIMIT {
        create(&*store, &format!("sub_{number:04}")).await;
    }
    let refused = store.create_subscription(&subscription("sub_x"), Position(0)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Invalid, "{refused}");
    assert_eq!(store.get_progress("sub_x").await.unwrap(), None);
    assert!(!store.create_subscription(&subscription("sub_0000"), Position(0)).await.unwrap());
    assert_eq!(store.list_subscriptions().await.unwrap().len(), SUBSCRIPTIONS_LIMIT);
    assert!(store.delete_subscription("sub_0500").await.unwrap());
    create(&*store, "sub_x").await;
}

pub async fn only_the_next_version_replaces(backend: &mut dyn Backend) {
    let store = backend.store();
    let changed = |version| StoredSubscription {
        version,
        status: SubscriptionStatus::Disabled,
        disabled_reason: Some("gone".into()),
        replay: None,
        updated_at: at(i64::try_from(version).unwrap()),
        ..subscription("sub_1")
    };
    assert!(!store.replace_subscription(&changed(1)).await.unwrap());
    create(&*store, "sub_1").await;
    for version in [0, 1, 3] {
        assert!(!store.replace_subscription(&changed(version)).await.unwrap(), "{version}");
    }
    assert_eq!(store.get_subscription("sub_1").await.unwrap(), Some(subscription("sub_1")));
    assert!(store.replace_subscription(&changed(2)).await.unwrap());
    assert!(!store.replace_subscription(&changed(2)).await.unwrap());
    assert!(store.replace_subscription(&changed(3)).await.unwrap());
    assert_eq!(store.get_subscription("sub_1").await.unwrap(), Some(changed(3)));
    assert_eq!(store.list_subscriptions().await.unwrap(), [changed(3)]);
    assert_eq!(cursor(&*store, "sub_1").await, Some(7));
}

pub async fn one_of_two_replacements_wins(backend: &mut dyn Backend) {
    let store = backend.store();
    let other = backend.another_handle().await.unwrap_or_else(|| backend.store());
    create(&*store, "sub_1").await;
    for version in 2..30 {
        let change = |description: &str| StoredSubscription {
            version,
            description: Some(description.into()),
            ..subscription("sub_1")
        };
        let (here, there) = (change("here"), change("there"));
        let (a, b) = tokio::join!(store.replace_subscription(&here), other.replace_subscription(&there));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a != b, "version {version}: {a} {b}");
        assert_eq!(store.get_subscription("sub_1").await.unwrap(), Some(if a { here } else { there }));
    }
}

pub async fn a_commit_is_kept_with_its_progress(backend: &mut dyn Backend) {
    let store = backend.store();
    create(&*store, "sub_1").await;
    create(&*store, "sub_2").await;
    let progress = DeliveryProgress {
        cursor: Position(1_790_000_000_000_123),
        delivered: 5,
        failed_attempts: 6,
        missed: 7,
        last_success_at: Some(at(8)),
        failing_since: Some(at(9)),
        replay: Some(ReplayProgress { id: "rpl_1".into(), cursor: Position(11), delivered: 12 }),
        exhaustion: Exhaustion {
            gathered: None,
            telling: Some(ExhaustedNotice {
                deliveries: Vec::new(),
                deliveries_total: 3,
                events_total: 4,
                since: at(5),
            }),
            told_at: Some(at(2)),
        },
    };
    let deliveries: Vec<_> = STATES.iter().zip(0..).map(|(status, n)| delivery(n, *status)).collect();
    let whole = DeliveryCommit { progress: progress.clone(), deliveries: deliveries.clone() };
    assert!(store.commit_deliveries("sub_1", 5, whole.clone()).await.unwrap());
    // Of an unknown outcome it may be repeated.
    assert!(store.commit_deliveries("sub_1", 5, whole).await.unwrap());
    assert_eq!(store.get_progress("sub_1").await.unwrap(), Some(progress));
    for one in deliveries {
        assert_eq!(store.get_delivery("sub_1", &one.id).await.unwrap(), Some(one.clone()));
        assert_eq!(store.get_delivery("sub_2", &one.id).await.unwrap(), None);
        assert_eq!(store.list_deliveries("sub_1", one.status, None, 9).await.unwrap(), [one]);
    }
    assert_eq!(counts(&*store, "sub_1").await, [1, 1, 1]);
    assert_eq!((counts(&*store, "sub_2").await, cursor(&*store, "sub_2").await), ([0, 0, 0], Some(7)));
    assert_eq!(store.get_subscription("sub_1").await.unwrap(), Some(subscription("sub_1")));
}

pub async fn a_late_owner_writes_nothing(backend: &mut dyn Backend) {
    let store = backend.store();
    create(&*store, "sub_1").await;
    let one = || vec![delivery(1, DeliveryStatus::Pending)];
    for (fence, cursor) in [(9, 20), (9, 21), (10, 22)] {
        assert!(store.commit_deliveries("sub_1", fence, commit(cursor, one())).await.unwrap(), "{fence}");
    }
    let late = vec![delivery(1, DeliveryStatus::Dead), delivery(2, DeliveryStatus::Dead)];
    for fence in [9, 2, 0] {
        assert!(!store.commit_deliveries("sub_1", fence, commit(99, late.clone())).await.unwrap(), "{fence}");
    }
    assert_eq!((counts(&*store, "sub_1").await, cursor(&*store, "sub_1").await), ([1, 0, 0], Some(22)));
    assert!(store.commit_deliveries("sub_1", 10, commit(23, late)).await.unwrap());
    assert_eq!((counts(&*store, "sub_1").await, cursor(&*store, "sub_1").await), ([0, 0, 2], Some(23)));
}

pub async fn a_deleted_one_leaves_nothing_behind(backend: &mut dyn Backend) {
    let store = backend.store();
    create(&*store, "sub_1").await;
    create(&*store, "sub_2").await;
    let all = || STATES.iter().zip(0..).map(|(status, n)| delivery(n, *status)).collect();
    for id in ["sub_1", "sub_2"] {
        assert!(store.commit_deliveries(id, 8, commit(9, all())).await.unwrap());
    }
    assert!(store.delete_subscription("sub_1").await.unwrap());
    assert!(!store.delete_subscription("sub_1").await.unwrap());
    assert_eq!(store.get_subscription("sub_1").await.unwrap(), None);
    assert_eq!(store.get_progress("sub_1").await.unwrap(), None);
    assert!(!store.commit_deliveries("sub_1", 9, commit(10, all())).await.unwrap());
    assert!(!store.replace_subscription(&subscription("sub_1")).await.unwrap());
    assert_eq!(store.redrive_deliveries("sub_1", None, at(0)).await.unwrap(), 0);
    assert_eq!(counts(&*store, "sub_1").await, [0, 0, 0]);
    assert_eq!(store.list_subscriptions().await.unwrap(), [subscription("sub_2")]);

    // The next one of the id begins anew, with the fences too.
    create(&*store, "sub_1").await;
    assert_eq!((counts(&*store, "sub_1").await, cursor(&*store, "sub_1").await), ([0, 0, 0], Some(7)));
    assert_eq!(store.get_delivery("sub_1", &delivery(0, STATES[0]).id).await.unwrap(), None);
    assert_eq!(store.expire_deliveries(at(1_000)).await.unwrap(), 2, "those of the other");
    assert!(store.commit_deliveries("sub_1", 1, commit(8, vec![])).await.unwrap());
    assert_eq!((counts(&*store, "sub_2").await, cursor(&*store, "sub_2").await), ([1, 0, 0], Some(9)));
}

pub async fn progress_survives_a_restart(backend: &mut dyn Backend) {
    let store = backend.store();
    create(&*store, "sub_1").await;
    let pending = delivery(1, DeliveryStatus::Pending);
    assert!(store.commit_deliveries("sub_1", 4, commit(30, vec![pending.clone()])).await.unwrap());
    drop(store);
    backend.restart().await;
    let store = backend.store();
    assert_eq!(store.list_subscriptions().await.unwrap(), [subscription("sub_1")]);
    assert_eq!(cursor(&*store, "sub_1").await, Some(30));
    assert_eq!(store.list_deliveries("sub_1", DeliveryStatus::Pending, None, 9).await.unwrap(), [pending]);
    assert!(!store.commit_deliveries("sub_1", 3, commit(31, vec![])).await.unwrap());
    assert!(store.commit_deliveries("sub_1", 4, commit(31, vec![])).await.unwrap());
}
