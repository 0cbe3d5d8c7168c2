//! Bodies of the parts of rosters.

use bytes::Bytes;
use outdial_store::{BODY_CHUNK_LIMIT, StoreErrorKind};

use crate::{
    backend::{Backend, at},
    samples::roster,
};

fn chunk(fill: u8) -> Bytes {
    Bytes::from(vec![fill; BODY_CHUNK_LIMIT])
}

pub async fn a_body_is_kept_in_chunks(backend: &mut dyn Backend) {
    let store = backend.store();
    let bytes = Bytes::from_static(b"\x00\xff\r\n--end");
    store.put_body_chunk("ros_1", 1, 0, chunk(1), at(0)).await.unwrap();
    store.put_body_chunk("ros_1", 1, 1, chunk(9), at(0)).await.unwrap();
    store.put_body_chunk("ros_1", 1, 1, bytes.clone(), at(0)).await.unwrap();
    store.put_body_chunk("ros_1", 11, 0, chunk(3), at(0)).await.unwrap();
    drop(store);
    backend.restart().await;
    let store = backend.store();
    assert_eq!(store.count_body_chunks("ros_1", 1).await.unwrap(), 2);
    assert_eq!(store.get_body_chunk("ros_1", 1, 0).await.unwrap(), Some(chunk(1)));
    assert_eq!(store.get_body_chunk("ros_1", 1, 1).await.unwrap(), Some(bytes));
    assert_eq!(store.get_body_chunk("ros_1", 1, 2).await.unwrap(), None);
    assert_eq!(store.get_body_chunk("ros_2", 1, 0).await.unwrap(), None);
    for _ in 0..2 {
        store.remove_body("ros_1", 1).await.unwrap();
        assert_eq!(store.count_body_chunks("ros_1", 1).await.unwrap(), 0);
        assert_eq!(store.get_body_chunk("ros_1", 1, 0).await.unwrap(), None);
    }
    assert_eq!(store.count_body_chunks("ros_1", 11).await.unwrap(), 1, "another part's stays");
}

pub async fn a_chunk_that_is_too_large_is_refused(backend: &mut dyn Backend) {
    let large = Bytes::from(vec![0; BODY_CHUNK_LIMIT + 1]);
    let refused = backend.store().put_body_chunk("ros_1", 1, 0, large, at(0)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Invalid);
}

pub async fn bodies_expire_with_their_roster(backend: &mut dyn Backend) {
    let store = backend.store();
    for (id, millis) in [("ros_1", 0), ("ros_2", 10_000)] {
        store.put_roster(&roster(id, "ic-1", "c1", millis)).await.unwrap();
        for part in 1..=3 {
            store.put_body_chunk(id, part, 0, Bytes::from_static(b"x"), at(millis)).await.unwrap();
        }
    }
    assert_eq!(store.expire_rosters(at(0)).await.unwrap(), 0);
    assert_eq!(store.expire_rosters(at(10_000)).await.unwrap(), 3);
    assert_eq!(store.expire_rosters(at(10_000)).await.unwrap(), 0);
    assert_eq!(store.count_body_chunks("ros_1", 1).await.unwrap(), 0);
    assert_eq!(store.count_body_chunks("ros_2", 3).await.unwrap(), 1);
    assert_eq!(store.get_roster("ros_1").await.unwrap(), None);
}
