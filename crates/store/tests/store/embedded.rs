//! What is special to the embedded store.

use std::sync::Arc;

use outdial_core::ManualClock;
use outdial_store::{StoreErrorKind, open};

use crate::{
    backend::{at, open_embedded, settings},
    samples::{append, log, records},
};

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at(0)));
    let first = open_embedded(&clock, folder.path()).await.unwrap();
    let refused = open_embedded(&clock, folder.path()).await.err().unwrap();
    assert_eq!(refused.kind, StoreErrorKind::Locked);
    let owner = format!("is locked by pid {}", std::process::id());
    assert!(refused.detail.contains(&owner), "{refused}");
    append(&*first, records("ic-1", 1)).await;
    drop(first);
    let next = open_embedded(&clock, folder.path()).await.unwrap();
    assert_eq!(log(&*next).await.len(), 1);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(at(0)));
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/outdial.db"), "nothing of ours ".repeat(1_000)).unwrap();
    let refused = open_embedded(&clock, folder.path()).await.err().unwrap();
    assert_eq!(refused.kind, StoreErrorKind::Corrupt, "{refused}");
}

#[tokio::test]
async fn a_url_of_no_backend_is_refused_without_being_repeated() {
    let clock = Arc::new(ManualClock::new(at(0)));
    for url in ["postgres://u:hunter2@db/x", "sqlite:", "hunter2", ""] {
        let refused = open(settings(url, &clock)).await.err().unwrap();
        assert_eq!(refused.kind, StoreErrorKind::Invalid, "{url}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}
