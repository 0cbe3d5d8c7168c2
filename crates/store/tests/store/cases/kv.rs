//! Small values with a life time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_store::StoreErrorKind;

use crate::backend::{Backend, until};

const MINUTE: Duration = Duration::from_secs(60);

pub async fn a_value_lives_for_its_time(backend: &mut dyn Backend) {
    let store = backend.store();
    assert_eq!(store.get_value("a").await.unwrap(), None);
    let bytes = Bytes::from_static(b"\x00\xff binary");
    store.put_value("a", bytes.clone(), MINUTE).await.unwrap();
    store.put_value("名 :{}", "b".into(), Duration::MAX).await.unwrap();
    store.put_value("short", "c".into(), Duration::from_millis(150)).await.unwrap();
    assert_eq!(store.get_value("short").await.unwrap().unwrap(), "c");
    until("the value has ended", async || store.get_value("short").await.unwrap().is_none()).await;
    assert_eq!(store.get_value("a").await.unwrap(), Some(bytes));
    assert_eq!(store.get_value("名 :{}").await.unwrap().unwrap(), "b");
    store.put_value("a", "renewed".into(), MINUTE).await.unwrap();
    assert_eq!(store.get_value("a").await.unwrap().unwrap(), "renewed");
    store.put_value("a", "ended".into(), Duration::ZERO).await.unwrap();
    assert_eq!(store.get_value("a").await.unwrap(), None);
    store.put_value("empty", Bytes::new(), MINUTE).await.unwrap();
    assert_eq!(store.get_value("empty").await.unwrap(), Some(Bytes::new()));
}

pub async fn compare_and_set_needs_the_present_value(backend: &mut dyn Backend) {
    let store = backend.store();
    let (old, new) = (Bytes::from_static(b"old"), Bytes::from_static(b"new"));
    assert!(!store.compare_and_set("k", Some(&old), new.clone(), MINUTE).await.unwrap());
    assert_eq!(store.get_value("k").await.unwrap(), None);
    assert!(store.compare_and_set("k", None, old.clone(), MINUTE).await.unwrap());
    assert!(!store.compare_and_set("k", None, new.clone(), MINUTE).await.unwrap());
    assert!(!store.compare_and_set("k", Some(&new), new.clone(), MINUTE).await.unwrap());
    assert!(store.compare_and_set("k", Some(&old), new.clone(), MINUTE).await.unwrap());
    assert_eq!(store.get_value("k").await.unwrap(), Some(new));
    // An empty value is a value.
    assert!(store.compare_and_set("e", None, Bytes::new(), MINUTE).await.unwrap());
    assert!(!store.compare_and_set("e", None, old.clone(), MINUTE).await.unwrap());
    assert!(store.compare_and_set("e", Some(&Bytes::new()), old, Duration::from_millis(20)).await.unwrap());
    until("the value has ended", async || store.get_value("e").await.unwrap().is_none()).await;
    assert!(store.compare_and_set("e", None, Bytes::new(), MINUTE).await.unwrap());
}

pub async fn one_of_many_compare_and_sets_wins(backend: &mut dyn Backend) {
    let store = backend.store();
    let racers: Vec<_> = (0..20)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let value = Bytes::from(format!("{n}"));
                store.compare_and_set("k", None, value, MINUTE).await.unwrap().then_some(n)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        winners.extend(racer.await.unwrap());
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(store.get_value("k").await.unwrap().unwrap(), format!("{}", winners[0]));
}

pub async fn a_deleted_value_is_gone(backend: &mut dyn Backend) {
    let store = backend.store();
    store.put_value("k", "v".into(), MINUTE).await.unwrap();
    assert!(store.delete_value("k").await.unwrap());
    assert!(!store.delete_value("k").await.unwrap());
    assert_eq!(store.get_value("k").await.unwrap(), None);
}

pub async fn what_is_too_large_is_refused(backend: &mut dyn Backend) {
    let store = backend.store();
    let (long_key, longest_key) = ("k".repeat(513), "k".repeat(512));
    let (large, largest) = (Bytes::from(vec![1; 1024 * 1024 + 1]), Bytes::from(vec![1; 1024 * 1024]));
    for (key, value) in [("k", &large), (long_key.as_str(), &largest)] {
        let refused = store.put_value(key, value.clone(), MINUTE).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Invalid);
        let refused = store.compare_and_set(key, None, value.clone(), MINUTE).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Invalid);
    }
    store.put_value(&longest_key, largest.clone(), MINUTE).await.unwrap();
    assert_eq!(store.get_value(&longest_key).await.unwrap(), Some(largest));
}
