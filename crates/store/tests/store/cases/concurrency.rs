//! Several writers, several handles, and who waits for the log.

use std::{sync::Arc, time::Duration};

use outdial_core::Position;
use outdial_store::{Appended, Store};

use crate::{
    backend::Backend,
    samples::{account, append, append_one, log, record, records, stored},
};

const WRITERS: usize = 20;

/// The handles that writers use in turn: two where two processes may have the store.
async fn handles(backend: &dyn Backend) -> Vec<Arc<dyn Store>> {
    [Some(backend.store()), backend.another_handle().await].into_iter().flatten().collect()
}

pub async fn writers_of_one_record_make_one_event(backend: &mut dyn Backend) {
    let handles = handles(backend).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let store = Arc::clone(&handles[n % handles.len()]);
            tokio::spawn(async move { append_one(&*store, record("ic-1", "68")).await })
        })
        .collect();
    let mut new = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Appended::Stored { revision, .. } => {
                assert_eq!(revision, 1);
                new += 1;
            }
            Appended::Duplicate => {}
            Appended::Spooled => panic!("spooled beside a store that is there"),
        }
    }
    assert_eq!(new, 1);
    assert_eq!(log(&*backend.store()).await.len(), 1);
}

pub async fn writers_of_many_records_lose_none(backend: &mut dyn Backend) {
    let handles = handles(backend).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let store = Arc::clone(&handles[n % handles.len()]);
            let calls = (0..25).map(|call| record("ic-1", &format!("{n}-{call}"))).collect();
            tokio::spawn(async move { append(&*store, calls).await })
        })
        .collect();
    let mut told = Vec::new();
    for writer in writers {
        told.extend(writer.await.unwrap().into_iter().map(|appended| stored(appended).0));
    }
    told.sort();
    let read: Vec<Position> = log(&*backend.store()).await.iter().map(|event| event.position).collect();
    assert_eq!(read.len(), WRITERS * 25);
    assert_eq!(told, read);
}

pub async fn writers_that_disagree_make_one_revision_each(backend: &mut dyn Backend) {
    let handles = handles(backend).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let store = Arc::clone(&handles[n % handles.len()]);
            let mut call = record("ic-1", "68");
            call.talk_seconds = u32::try_from(n).ok();
            tokio::spawn(async move { append_one(&*store, call).await })
        })
        .collect();
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.push(stored(writer.await.unwrap()).1);
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=20).collect::<Vec<u32>>());
    let kept = backend.store().get(&account("ic-1"), "68").await.unwrap().unwrap();
    assert_eq!(kept.revision, 20);
    let last = log(&*backend.store()).await.pop().unwrap();
    let event: outdial_core::Event = serde_json::from_str(&last.json).unwrap();
    let outdial_core::EventData::CallRecord(told) = event.data else { panic!("{}", last.json) };
    assert_eq!((told.revision, told.talk_seconds), (20, kept.talk_seconds));
}

/// Waits until a tail shows a position.
async fn wait_for(tail: &mut tokio::sync::watch::Receiver<Position>, position: Position) {
    let shown = tokio::time::timeout(Duration::from_secs(10), tail.wait_for(|seen| *seen >= position));
    assert_eq!(*shown.await.expect("the tail did not move").unwrap(), position);
}

pub async fn the_tail_wakes_on_an_append(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut tail = store.tail();
    assert_eq!(*tail.borrow_and_update(), Position(0));
    let appended = append(&*store, records("ic-1", 3)).await;
    wait_for(&mut tail, stored(appended[2]).0).await;
    assert_eq!(append_one(&*store, record("ic-1", "call-0000")).await, Appended::Duplicate);
    assert_eq!(*store.tail().borrow(), stored(appended[2]).0);
}

pub async fn the_tail_wakes_on_an_append_elsewhere(backend: &mut dyn Backend) {
    let Some(other) = backend.another_handle().await else { return };
    let mut tail = backend.store().tail();
    for call in ["1", "2", "3"] {
        let (position, _) = stored(append_one(&*other, record("ic-1", call)).await);
        wait_for(&mut tail, position).await;
    }
    let fresh = backend.another_handle().await.unwrap();
    assert_eq!(*fresh.tail().borrow(), *tail.borrow());
}

pub async fn what_one_handle_writes_the_other_reads(backend: &mut dyn Backend) {
    let Some(other) = backend.another_handle().await else { return };
    let store = backend.store();
    append(&*store, records("ic-1", 2)).await;
    assert_eq!(append_one(&*other, record("ic-1", "call-0000")).await, Appended::Duplicate);
    assert_eq!(log(&*other).await.len(), 2);
    let ttl = Duration::from_secs(60);
    store.put_value("k", "v".into(), ttl).await.unwrap();
    assert_eq!(other.get_value("k").await.unwrap().unwrap(), "v");
    let lease = store.acquire_lease("sync", "a", ttl).await.unwrap().unwrap();
    assert_eq!(other.acquire_lease("sync", "b", ttl).await.unwrap(), None);
    store.release_lease(&lease).await.unwrap();
    assert!(other.acquire_lease("sync", "b", ttl).await.unwrap().unwrap().fence > lease.fence);
}
