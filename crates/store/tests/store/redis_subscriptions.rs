//! Subscriptions in a Redis that goes away, comes back, or loses its replicas.

use std::sync::Arc;

use outdial_core::{ManualClock, Position};
use outdial_store::{DeliveryStatus, Store, StoreErrorKind, StoreSettings, open};

use crate::{
    backend::{at, settings},
    proxy::Proxy,
    redis_server::RedisServer,
    samples::{commit, delivery, subscription},
};

async fn open_at(url: &str, min_replicas: u32) -> Arc<dyn Store> {
    let clock = Arc::new(ManualClock::new(at(0)));
    open(StoreSettings { min_replicas, ..settings(url, &clock) }).await.unwrap()
}

#[tokio::test]
async fn a_connection_that_is_found_cut_is_replaced_before_anything_is_written() {
    let mut server = RedisServer::start();
    let store = open_at(&server.url(), 0).await;
    for (id, fence) in [("sub_1", 1), ("sub_2", 2)] {
        assert!(store.create_subscription(&subscription(id), Position(0)).await.unwrap());
        server.kill();
        server.run();
        let one = commit(1, vec![delivery(1, DeliveryStatus::Dead)]);
        assert!(store.commit_deliveries(id, fence, one).await.unwrap());
        server.kill();
        server.run();
    }
    assert_eq!(store.list_subscriptions().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_may_be_repeated() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.address()).await;
    let store = open_at(&proxy.url(), 0).await;
    assert!(store.create_subscription(&subscription("sub_1"), Position(0)).await.unwrap());
    let whole = commit(5, vec![delivery(1, DeliveryStatus::Pending), delivery(2, DeliveryStatus::Delivered)]);
    // The script is known to the server from here on.
    assert!(store.commit_deliveries("sub_1", 1, commit(1, Vec::new())).await.unwrap());
    proxy.cut_after_next("EVALSHA");
    let unknown = store.commit_deliveries("sub_1", 1, whole.clone()).await.unwrap_err();
    assert_eq!(unknown.kind, StoreErrorKind::OutcomeUnknown, "{unknown}");
    assert_eq!(store.get_progress("sub_1").await.unwrap().unwrap().cursor, Position(5), "it was taken");
    assert!(store.commit_deliveries("sub_1", 1, whole).await.unwrap());
    for status in [DeliveryStatus::Pending, DeliveryStatus::Delivered] {
        assert_eq!(store.count_deliveries("sub_1", status).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn what_replicas_did_not_acknowledge_is_no_success() {
    let server = RedisServer::start();
    let relaxed = open_at(&server.url(), 0).await;
    assert!(relaxed.create_subscription(&subscription("sub_1"), Position(0)).await.unwrap());
    let store = open_at(&server.url(), 1).await;
    let one = commit(5, vec![delivery(1, DeliveryStatus::Dead)]);
    for fence in [3, 3] {
        let alone = store.commit_deliveries("sub_1", fence, one.clone()).await.unwrap_err();
        assert_eq!(alone.kind, StoreErrorKind::OutcomeUnknown);
        assert!(alone.detail.contains("under-replicated, 0 of 1"), "{alone}");
    }
    let alone = store.create_subscription(&subscription("sub_2"), Position(0)).await.unwrap_err();
    assert_eq!(alone.kind, StoreErrorKind::OutcomeUnknown, "{alone}");
    // Who is refused has written nothing that a replica could lack.
    assert!(!store.commit_deliveries("sub_1", 2, one).await.unwrap());
    assert!(!store.create_subscription(&subscription("sub_2"), Position(0)).await.unwrap());
}
