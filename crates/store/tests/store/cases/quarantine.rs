//! The quarantine.

use outdial_store::{Batch, QuarantineDraft, QuarantineFilter, Store};

use crate::{
    backend::{Backend, at},
    samples::{account, draft},
};

fn filter(accounts: &[&str], reason: Option<&str>) -> QuarantineFilter {
    QuarantineFilter {
        accounts: accounts.iter().map(|id| account(id)).collect(),
        reason: reason.map(str::to_owned),
    }
}

async fn put(store: &dyn Store, drafts: Vec<QuarantineDraft>) {
    store.append(Batch { quarantined: drafts, ..Batch::default() }, at(0)).await.unwrap();
}

async fn list(
    store: &dyn Store,
    filter: &QuarantineFilter,
    before: Option<&str>,
    limit: usize,
) -> Vec<String> {
    let items = store.list_quarantined(filter, before, limit).await.unwrap();
    items.into_iter().map(|item| item.id).collect()
}

pub async fn an_item_is_kept_as_it_came(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut item = draft("ic-1", 5, "not_json", b"\x00\xff\r\n{\"a\":\xe5");
    item.content_type = None;
    put(&*store, vec![item.clone(), item.clone()]).await;
    assert_eq!(list(&*store, &filter(&["ic-1"], None), None, 10).await, [item.id()]);
    let kept = store.get_quarantined(&item.id()).await.unwrap().unwrap();
    assert_eq!((kept.id, &kept.draft.account, &kept.draft.vendor), (item.id(), &item.account, &item.vendor));
    assert_eq!((kept.draft.received_at, &kept.draft.reason), (item.received_at, &item.reason));
    assert_eq!((kept.draft.content_type, kept.draft.raw), (None, item.raw));
    assert!(store.get_quarantined("qua_0").await.unwrap().is_none());
}

pub async fn items_are_listed_newest_first(backend: &mut dyn Backend) {
    let store = backend.store();
    let drafts: Vec<QuarantineDraft> = (0..9)
        .map(|n| {
            let account_id = if n % 3 == 2 { "ic-2" } else { "ic-1" };
            draft(account_id, n, if n < 6 { "not_json" } else { "unknown_type" }, b"x")
        })
        .collect();
    let ids: Vec<String> = drafts.iter().map(QuarantineDraft::id).collect();
    put(&*store, drafts).await;
    put(&*store, vec![draft("ic-3", 4, "not_json", b"x")]).await;
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    let both = filter(&["ic-1", "ic-2"], None);
    let first = list(&*store, &both, None, 4).await;
    assert_eq!(first, newest_first[..4]);
    assert_eq!(list(&*store, &both, first.last().map(String::as_str), 10).await, newest_first[4..]);
    let of_one = [ids[8].clone(), ids[5].clone(), ids[2].clone()];
    assert_eq!(list(&*store, &filter(&["ic-2"], None), None, 10).await, of_one);
    let by_reason = filter(&["ic-1", "ic-2"], Some("unknown_type"));
    assert_eq!(list(&*store, &by_reason, None, 10).await, newest_first[..3]);
    assert_eq!(list(&*store, &by_reason, Some(&ids[7]), 10).await, [ids[6].clone()]);
    assert!(list(&*store, &filter(&[], None), None, 10).await.is_empty());

    let oldest = async |filter: &QuarantineFilter, after: Option<&str>, limit| {
        store.list_quarantined_ids(filter, after, limit).await.unwrap()
    };
    assert_eq!(oldest(&both, None, 4).await, ids[..4]);
    assert_eq!(oldest(&both, Some(&ids[3]), 100).await, ids[4..]);
    assert_eq!(oldest(&by_reason, Some(&ids[6]), 1).await, [ids[7].clone()]);
    assert!(oldest(&both, Some(&ids[8]), 10).await.is_empty());
    assert!(oldest(&filter(&[], None), None, 10).await.is_empty());
}

pub async fn a_deleted_item_is_gone(backend: &mut dyn Backend) {
    let store = backend.store();
    let (one, other) = (draft("ic-1", 0, "not_json", b"a"), draft("ic-1", 1, "not_json", b"b"));
    put(&*store, vec![one.clone(), other.clone()]).await;
    assert!(store.delete_quarantined(&one.id()).await.unwrap());
    assert!(!store.delete_quarantined(&one.id()).await.unwrap());
    assert!(store.get_quarantined(&one.id()).await.unwrap().is_none());
    for reason in [None, Some("not_json")] {
        assert_eq!(list(&*store, &filter(&["ic-1"], reason), None, 10).await, [other.id()]);
    }
}

pub async fn old_items_expire(backend: &mut dyn Backend) {
    let store = backend.store();
    put(&*store, (0..10).map(|n| draft("ic-1", n * 1_000, "not_json", b"a")).collect()).await;
    store.put_suspect(draft("ic-1", 0, QuarantineDraft::SUSPECT, b"s")).await.unwrap();
    assert_eq!(store.expire_quarantined(at(0)).await.unwrap(), 0);
    assert_eq!(store.expire_quarantined(at(7_000)).await.unwrap(), 8);
    let left = store.list_quarantined(&filter(&["ic-1"], None), None, 10).await.unwrap();
    assert_eq!(
        left.iter().map(|item| item.draft.received_at).collect::<Vec<_>>(),
        [at(9_000), at(8_000), at(7_000)]
    );
}

pub async fn suspects_are_kept_in_a_ring(backend: &mut dyn Backend) {
    let store = backend.store();
    let eighth = QuarantineDraft::SUSPECT_LIMIT / 8;
    let suspect =
        |account_id: &str, n: u8| draft(account_id, n.into(), QuarantineDraft::SUSPECT, &vec![n; eighth]);
    put(&*store, vec![draft("ic-1", 0, "not_json", b"kept")]).await;
    store.put_suspect(suspect("ic-2", 0)).await.unwrap();
    for n in 0..8 {
        store.put_suspect(suspect("ic-1", n)).await.unwrap();
    }
    let suspects = filter(&["ic-1"], Some(QuarantineDraft::SUSPECT));
    assert_eq!(list(&*store, &suspects, None, 100).await.len(), 8);
    // One that was deleted makes room for the next.
    assert!(store.delete_quarantined(&suspect("ic-1", 3).id()).await.unwrap());
    store.put_suspect(suspect("ic-1", 8)).await.unwrap();
    assert_eq!(list(&*store, &suspects, None, 100).await.len(), 8);
    store.put_suspect(suspect("ic-1", 9)).await.unwrap();
    store.put_suspect(suspect("ic-1", 9)).await.unwrap();
    let expected: Vec<String> = [9, 8, 7, 6, 5, 4, 2, 1].iter().map(|n| suspect("ic-1", *n).id()).collect();
    assert_eq!(list(&*store, &suspects, None, 100).await, expected);
    assert_eq!(list(&*store, &filter(&["ic-1"], Some("not_json")), None, 100).await.len(), 1);
    assert_eq!(list(&*store, &filter(&["ic-2"], None), None, 100).await.len(), 1);
}
