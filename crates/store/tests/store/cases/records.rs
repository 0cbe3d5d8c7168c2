//! Call records, queried.

use outdial_core::{AccountId, CallRecord, Disposition, EndedBy, Outcome, PhoneNumber, RecordQuery};
use outdial_store::Store;

use crate::{
    backend::{Backend, at},
    samples::{account, append, append_one, batch, record, stored},
};

/// Every page of a query, as call ids. Each page is at most `limit` long, and the walk ends.
async fn walk(store: &dyn Store, accounts: &[&str], query: &RecordQuery, limit: usize) -> Vec<String> {
    let accounts: Vec<AccountId> = accounts.iter().map(|id| account(id)).collect();
    let (mut after, mut found) = (None, Vec::new());
    for _ in 0..100 {
        let page = store.query(&accounts, query, after, limit).await.unwrap();
        assert!(page.records.len() <= limit);
        found.extend(page.records.into_iter().map(|record| record.id()));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
    panic!("a hundred pages and no end");
}

pub async fn every_filter_selects(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut wanted = record("ic-1", "wanted");
    wanted.campaign_id = Some("c:2 名".into());
    wanted.task_id = Some("t1".into());
    wanted.caller = PhoneNumber::new("01012345678");
    wanted.called = PhoneNumber::new("13300000000");
    wanted.roster_entry_id = Some("e1".into());
    wanted.outcome = Outcome::Busy;
    wanted.disposition = Disposition::NotConnected;
    wanted.ended_by = Some(EndedBy::System);
    wanted.started_at = Some(at(5_000));
    let mut calls: Vec<CallRecord> = (0..5).map(|n| record("ic-1", &format!("other-{n}"))).collect();
    calls.insert(2, wanted);
    append(&*store, calls).await;
    append(&*store, vec![record("ic-2", "wanted")]).await;

    let any = RecordQuery::default;
    let text = |text: &str| Some(text.to_owned());
    let queries = [
        RecordQuery { campaign_id: text("c:2 名"), ..any() },
        RecordQuery { task_id: text("t1"), ..any() },
        RecordQuery { call_id: text("wanted"), ..any() },
        RecordQuery { caller: text("01012345678"), ..any() },
        RecordQuery { called: text("13300000000"), ..any() },
        RecordQuery { roster_entry_id: text("e1"), ..any() },
        RecordQuery { outcome: Some(Outcome::Busy), ..any() },
        RecordQuery { disposition: Some(Disposition::NotConnected), ..any() },
        RecordQuery { ended_by: Some(EndedBy::System), ..any() },
        RecordQuery { started_from: Some(at(1_001)), started_to: Some(at(5_000)), ..any() },
        RecordQuery { started_from: Some(at(5_000)), ..any() },
        RecordQuery { campaign_id: text("c:2 名"), call_id: text("wanted"), ..any() },
    ];
    for query in queries {
        assert_eq!(walk(&*store, &["ic-1"], &query, 2).await, ["ic-1/wanted"], "{query:?}");
    }
    let nothing = [
        RecordQuery { started_to: Some(at(999)), ..any() },
        RecordQuery { started_from: Some(at(5_001)), ..any() },
        RecordQuery { call_id: text("wanted"), outcome: Some(Outcome::Answered), ..any() },
        RecordQuery { campaign_id: text("c:2"), ..any() },
    ];
    for query in nothing {
        assert!(walk(&*store, &["ic-1"], &query, 2).await.is_empty(), "{query:?}");
    }
    let both = RecordQuery { call_id: text("wanted"), ..any() };
    assert_eq!(walk(&*store, &["ic-1", "ic-2"], &both, 1).await, ["ic-1/wanted", "ic-2/wanted"]);
    assert!(walk(&*store, &[], &any(), 10).await.is_empty());
}

pub async fn pages_are_newest_first_over_all_accounts(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut expected: Vec<(i64, String)> = Vec::new();
    for (n, account_id) in ["ic-1", "ic-2", "ic-3"].iter().cycle().take(60).enumerate() {
        // Seven is prime to sixty, so that the order of arrival is not the order in time.
        let millis = i64::try_from((n * 7) % 60).unwrap() * 1_000;
        let mut call = record(account_id, &format!("{n}"));
        call.started_at = (n % 4 != 0).then(|| at(millis));
        call.received_at = at(millis);
        call.campaign_id = (n % 2 == 0).then(|| "c1".into());
        append_one(&*store, call).await;
        if *account_id != "ic-3" {
            expected.push((-millis, format!("{account_id}/{n}")));
        }
    }
    expected.sort();
    let expected: Vec<String> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(expected.len(), 40);
    let all = RecordQuery::default();
    for limit in [1, 7, 40, 1_000] {
        assert_eq!(walk(&*store, &["ic-2", "ic-1"], &all, limit).await, expected, "pages of {limit}");
    }
    let range = RecordQuery {
        started_from: Some(at(10_000)),
        started_to: Some(at(20_000)),
        ..RecordQuery::default()
    };
    let inside = walk(&*store, &["ic-1", "ic-2", "ic-3"], &range, 3).await;
    assert_eq!(inside.len(), 11, "{inside:?}");
}

pub async fn calls_of_one_moment_are_paged_by_id(backend: &mut dyn Backend) {
    let store = backend.store();
    let calls: Vec<CallRecord> = ["ic-1", "ic-2"]
        .iter()
        .flat_map(|account| (0..30).map(move |n| record(account, &format!("{n:02}"))))
        .collect();
    let mut expected: Vec<String> = calls.iter().map(|call| call.id()).collect();
    append(&*store, calls).await;
    expected.sort();
    assert_eq!(walk(&*store, &["ic-1", "ic-2"], &RecordQuery::default(), 7).await, expected);
}

pub async fn a_call_whose_start_becomes_known_moves(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut late = record("ic-1", "late");
    (late.started_at, late.campaign_id) = (None, None);
    append(&*store, vec![late.clone(), record("ic-1", "other")]).await;
    let all = RecordQuery::default();
    assert_eq!(walk(&*store, &["ic-1"], &all, 1).await, ["ic-1/late", "ic-1/other"]);
    (late.started_at, late.campaign_id) = (Some(at(0)), Some("c2".into()));
    append_one(&*store, late.clone()).await;
    assert_eq!(walk(&*store, &["ic-1"], &all, 1).await, ["ic-1/other", "ic-1/late"]);
    let campaign = |id: &str| RecordQuery { campaign_id: Some(id.to_owned()), ..RecordQuery::default() };
    assert_eq!(walk(&*store, &["ic-1"], &campaign("c2"), 1).await, ["ic-1/late"]);
    late.campaign_id = Some("c3".into());
    append_one(&*store, late).await;
    assert!(walk(&*store, &["ic-1"], &campaign("c2"), 1).await.is_empty());
    assert_eq!(walk(&*store, &["ic-1"], &campaign("c3"), 1).await, ["ic-1/late"]);
}

pub async fn a_record_keeps_its_raw_json(backend: &mut dyn Backend) {
    let store = backend.store();
    let raw = r#"{ "call_id":"68", "n":1e400, "id":68115358180212858889999, "名":"\u2028" }"#;
    let mut call = record("ic-1", "68/名 %");
    call.raw = serde_json::from_str(raw).unwrap();
    append_one(&*store, call).await;
    let kept = store.get(&account("ic-1"), "68/名 %").await.unwrap().unwrap();
    assert_eq!(kept.raw.unwrap().get(), raw);
    let page = store.query(&[account("ic-1")], &RecordQuery::default(), None, 1).await.unwrap();
    assert_eq!(page.records[0].raw.as_ref().unwrap().get(), raw);
}

pub async fn old_records_expire(backend: &mut dyn Backend) {
    let store = backend.store();
    store.append(batch(vec![record("ic-1", "old"), record("ic-1", "renewed")]), at(0)).await.unwrap();
    let mut renewed = record("ic-1", "renewed");
    renewed.talk_seconds = Some(1);
    store.append(batch(vec![renewed, record("ic-2", "new")]), at(10_000)).await.unwrap();
    assert_eq!(store.expire(at(0)).await.unwrap(), 0);
    assert_eq!(store.expire(at(10_000)).await.unwrap(), 1);
    assert!(store.get(&account("ic-1"), "old").await.unwrap().is_none());
    let left = walk(&*store, &["ic-1", "ic-2"], &RecordQuery::default(), 10).await;
    assert_eq!(left, ["ic-1/renewed", "ic-2/new"]);
    let of_campaign = RecordQuery { campaign_id: Some("c1".into()), ..RecordQuery::default() };
    assert_eq!(walk(&*store, &["ic-1"], &of_campaign, 10).await, ["ic-1/renewed"]);
    let mut afresh = record("ic-1", "old");
    afresh.talk_seconds = Some(9);
    assert_eq!(stored(append_one(&*store, afresh).await).1, 1);
}
