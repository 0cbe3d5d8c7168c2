//! Appending, reading and trimming the log.

use outdial_core::{PhoneNumber, Position, ReceivedVia};
use outdial_store::{Appended, Batch, Durability, EventLog, LogBounds, QuarantineFilter, StoreErrorKind};
use serde_json::{Value, json};

use crate::{
    backend::{Backend, NOW, at},
    samples::{
        account, append, append_one, draft, entry, log, member, record, records, roster_event, stored,
    },
};

pub async fn a_new_record_is_one_event(backend: &mut dyn Backend) {
    let store = backend.store();
    assert_eq!(store.bounds().await.unwrap(), LogBounds { trimmed: Position(0), last: Position(0) });
    let (position, revision) = stored(append_one(&*store, record("ic-1", "68")).await);
    assert_eq!(revision, 1);
    let events = log(&*store).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].position, position);
    assert_eq!(member(&events[0], "/type"), "io.outdial.call-record.created");
    assert_eq!(store.bounds().await.unwrap().last, position);
    let kept = store.get(&account("ic-1"), "68").await.unwrap().unwrap();
    assert_eq!((kept.revision, kept.called), (1, PhoneNumber::new("18512342456")));
    assert!(store.get(&account("ic-1"), "69").await.unwrap().is_none());
    assert!(store.get(&account("ic-2"), "68").await.unwrap().is_none());
}

pub async fn the_same_record_again_is_a_duplicate(backend: &mut dyn Backend) {
    let store = backend.store();
    append_one(&*store, record("ic-1", "68")).await;
    let mut again = record("ic-1", "68");
    again.received_at = at(90_000);
    let new = record("ic-1", "69");
    let appended = append(&*store, vec![again.clone(), new, again]).await;
    assert_eq!(appended[0], Appended::Duplicate);
    assert_eq!(stored(appended[1]).1, 1);
    assert_eq!(appended[2], Appended::Duplicate);
    assert_eq!(log(&*store).await.len(), 2);
    let kept = store.get(&account("ic-1"), "68").await.unwrap().unwrap();
    assert_eq!((kept.revision, kept.received_at), (1, at(60_000)));
}

pub async fn changed_content_is_the_next_revision(backend: &mut dyn Backend) {
    let store = backend.store();
    append_one(&*store, record("ic-1", "68")).await;
    let mut changed = record("ic-1", "68");
    changed.talk_seconds = Some(21);
    assert_eq!(stored(append_one(&*store, changed.clone()).await).1, 2);
    changed.talk_seconds = Some(22);
    assert_eq!(stored(append_one(&*store, changed).await).1, 3);
    let events = log(&*store).await;
    assert_eq!(events.len(), 3);
    assert_eq!(member(&events[2], "/type"), "io.outdial.call-record.updated");
    assert_eq!(member(&events[1], "/data/talk_seconds"), 21);
    assert_eq!(member(&events[2], "/data/revision"), 3);
    assert_eq!(store.get(&account("ic-1"), "68").await.unwrap().unwrap().talk_seconds, Some(22));
}

pub async fn two_records_of_one_call_in_one_batch(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut second = record("ic-1", "68");
    second.talk_seconds = Some(21);
    let third = second.clone();
    let appended = append(&*store, vec![record("ic-1", "68"), second, third]).await;
    let ((first, one), (next, two)) = (stored(appended[0]), stored(appended[1]));
    assert_eq!((one, two), (1, 2));
    assert!(next > first);
    assert_eq!(appended[2], Appended::Duplicate);
    let events = log(&*store).await;
    assert_eq!(events.iter().map(|event| event.position).collect::<Vec<_>>(), [first, next]);
    assert_eq!(member(&events[0], "/data/talk_seconds"), Value::Null);
    assert_eq!(member(&events[1], "/data/talk_seconds"), 21);
    assert_eq!(store.get(&account("ic-1"), "68").await.unwrap().unwrap().revision, 2);
}

pub async fn a_fact_is_not_overwritten_by_null(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut pushed = record("ic-1", "68");
    pushed.recording_url = Some("https://rec.example.net/68".into());
    append_one(&*store, pushed).await;
    let mut found = record("ic-1", "68");
    (found.received_via, found.called, found.talk_seconds) = (ReceivedVia::Search, None, Some(5));
    append_one(&*store, found).await;
    let kept = store.get(&account("ic-1"), "68").await.unwrap().unwrap();
    assert_eq!(kept.called, PhoneNumber::new("18512342456"));
    assert_eq!(kept.recording_url.as_deref(), Some("https://rec.example.net/68"));
    assert_eq!((kept.talk_seconds, kept.received_via), (Some(5), ReceivedVia::Push));
}

pub async fn positions_grow_whatever_the_clock_does(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut positions = Vec::new();
    for (n, step) in [0, 0, -3_600_000, 86_400_000, 1].into_iter().enumerate() {
        backend.clock().advance(step);
        let calls = (0..3).map(|call| record("ic-1", &format!("{n}-{call}"))).collect();
        positions.extend(append(&*store, calls).await.into_iter().map(|appended| stored(appended).0));
    }
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    let micros = |millis: i64| u64::try_from((NOW + millis) * 1000).unwrap();
    assert_eq!(positions[0], Position(micros(0)));
    assert_eq!(positions[9], Position(micros(86_400_000 - 3_600_000)));
    assert_eq!(positions[8], Position(micros(0) + 8));
    let read: Vec<Position> = log(&*store).await.into_iter().map(|event| event.position).collect();
    assert_eq!(read, positions);
}

const EXPECTED_EVENT: &str = r#"{
    "specversion": "1.0", "id": null, "source": "/accounts/ic-1", "type": "io.outdial.call-record.created",
    "subject": "68", "time": "2026-09-21T14:13:20.000Z", "datacontenttype": "application/json", "account": "ic-1",
    "vendor": "icsoc", "campaignid": "c1", "occurredat": "2026-09-21T14:13:21.000Z",
    "data": {
        "id": "ic-1/68", "account": "ic-1", "vendor": "icsoc", "call_id": "68", "campaign_id": "c1", "task_id": null,
        "batch_id": null, "roster_entry_id": null, "round": null, "caller": null, "called": "18512342456",
        "called_region": null, "called_line_type": null, "called_carrier": null, "agent": null,
        "disposition": "connected", "outcome": "answered", "ended_by": "customer",
        "started_at": "2026-09-21T14:13:21.000Z", "ringing_at": null, "answered_at": null, "bridged_at": null,
        "ended_at": null, "agent_leg": null, "answered_seconds": null, "talk_seconds": null, "total_seconds": null,
        "recording_url": null, "user_data": {"名": "\"引\" 1.5", "n": 1.5, "big": 6811535818021285888},
        "vendor_codes": {"outcome": "1", "message": null, "ended_by": null}, "received_via": "push",
        "received_at": "2026-09-21T14:14:20.000Z", "revision": 1
    }
}"#;

pub async fn the_event_is_the_expected_json(backend: &mut dyn Backend) {
    let store = backend.store();
    let mut call = record("ic-1", "68");
    call.raw = serde_json::from_str(r#"{"secret":1}"#).unwrap();
    call.user_data =
        serde_json::from_str(r#"{"名":"\"引\" 1.5","n":1.5,"big":6811535818021285888}"#).unwrap();
    let (position, _) = stored(append_one(&*store, call).await);
    let events = log(&*store).await;
    let mut event: Value = serde_json::from_str(&events[0].json).unwrap();
    let id = event["id"].take();
    assert!(id.as_str().is_some_and(|id| id.len() == 36 && id.starts_with("evt_")), "{id}");
    let mut expected: Value = serde_json::from_str(EXPECTED_EVENT).unwrap();
    expected["sequence"] = position.to_string().into();
    assert_eq!(event, expected);
}

pub async fn an_entry_lends_its_number(backend: &mut dyn Backend) {
    let store = backend.store();
    let rows = vec![entry("e1", "13300000000", Some("k1")), entry("e2", "13300000001", None)];
    store.put_entries(&account("ic-1"), "c1", "ros_1", rows, at(0)).await.unwrap();
    let nameless = |call: &'static str, campaign: &'static str, entry: &'static str| {
        let mut call = record("ic-1", call);
        (call.called, call.campaign_id) = (None, Some(campaign.into()));
        call.roster_entry_id = Some(entry.into());
        call
    };
    let mut own_number = nameless("4", "c1", "e1");
    own_number.called = PhoneNumber::new("18512342456");
    own_number.user_data = serde_json::from_str(r#"{"customer_id":"own"}"#).unwrap();
    let calls =
        vec![nameless("1", "c1", "e1"), nameless("2", "c1", "e2"), nameless("3", "c2", "e1"), own_number];
    append(&*store, calls).await;
    let mut found = Vec::new();
    for call in ["1", "2", "3", "4"] {
        let kept = store.get(&account("ic-1"), call).await.unwrap().unwrap();
        let number = kept.called.map(|number| number.as_str().to_owned());
        let customer = kept.user_data.map(|data| data.fields()["customer_id"].clone());
        found.push((number, customer));
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [
            (text("13300000000"), Some(json!("k1"))),
            (text("13300000001"), None),
            (None, None),
            (text("18512342456"), Some(json!("own"))),
        ]
    );
    assert_eq!(member(&log(&*store).await[0], "/data/called"), "13300000000");
}

pub async fn other_events_are_appended_once(backend: &mut dyn Backend) {
    let store = backend.store();
    let events =
        |ids: &[&str]| Batch { events: ids.iter().map(|id| roster_event(id)).collect(), ..Batch::default() };
    assert_eq!(store.append(events(&["ros_1"]), at(0)).await.unwrap(), []);
    store.append(events(&["ros_1", "ros_2", "ros_2"]), at(5_000)).await.unwrap();
    store.append(events(&["ros_2"]), at(5_000)).await.unwrap();
    let log = log(&*store).await;
    let subjects: Vec<Value> = log.iter().map(|event| member(event, "/subject")).collect();
    assert_eq!(subjects, ["ros_1", "ros_2"]);
    assert_eq!(member(&log[1], "/type"), "io.outdial.roster.accepted");
    assert_eq!(member(&log[1], "/sequence"), log[1].position.to_string());
    assert_eq!(store.bounds().await.unwrap().last, log[1].position);
}

pub async fn a_batch_is_stored_with_all_its_parts(backend: &mut dyn Backend) {
    let store = backend.store();
    let whole = Batch {
        records: records("ic-1", 2),
        events: vec![roster_event("ros_1")],
        quarantined: vec![draft("ic-1", 0, "not_json", b"\x00\xffno"), draft("ic-1", 1, "not_json", b"b")],
    };
    for _ in 0..2 {
        let appended = store.append(whole.clone(), at(0)).await.unwrap();
        assert_eq!(appended.len(), 2);
    }
    assert_eq!(log(&*store).await.len(), 3);
    let filter = QuarantineFilter { accounts: vec![account("ic-1")], reason: None };
    assert_eq!(store.list_quarantined(&filter, None, 10).await.unwrap().len(), 2);
    assert_eq!(store.append(Batch::default(), at(0)).await.unwrap(), []);
    assert_eq!(log(&*store).await.len(), 3);
}

pub async fn a_batch_that_is_too_large_is_refused_whole(backend: &mut dyn Backend) {
    let store = backend.store();
    let call = record("ic-1", "68");
    let too_large = Batch {
        records: vec![call; Batch::LIMIT - 1],
        events: vec![roster_event("ros_1")],
        quarantined: vec![draft("ic-1", 0, "not_json", b"a")],
    };
    let refused = store.append(too_large, at(0)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Invalid);
    assert!(log(&*store).await.is_empty());
    assert!(store.get(&account("ic-1"), "68").await.unwrap().is_none());
    let largest = Batch { events: vec![roster_event("ros_1"); Batch::LIMIT], ..Batch::default() };
    assert_eq!(store.append(largest, at(0)).await.unwrap(), []);
    assert_eq!(log(&*store).await.len(), 1);
}

pub async fn reading_goes_on_after_a_position(backend: &mut dyn Backend) {
    let store = backend.store();
    append(&*store, records("ic-1", 25)).await;
    let whole = log(&*store).await;
    let (mut after, mut read) = (Position(0), Vec::new());
    for _ in 0..4 {
        let page = store.read(after, 10).await.unwrap();
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        after = last.position;
        read.extend(page);
    }
    let places = |events: &[outdial_store::StoredEvent]| -> Vec<(Position, String)> {
        events.iter().map(|event| (event.position, event.json.clone())).collect()
    };
    assert_eq!(read.len(), 25);
    assert_eq!(places(&read), places(&whole));
    let between = Position(whole[4].position.0 - 1);
    assert_eq!(store.read(between, 1).await.unwrap()[0].position, whole[4].position);
    assert!(store.read(Position(0), 0).await.unwrap().is_empty());
    assert!(store.read(Position(u64::MAX), 10).await.unwrap().is_empty());
}

pub async fn trimming_moves_the_bounds(backend: &mut dyn Backend) {
    let store = backend.store();
    append(&*store, records("ic-1", 250)).await;
    let positions: Vec<Position> = log(&*store).await.iter().map(|event| event.position).collect();
    assert_eq!(store.trim(Position(positions[0].0 - 1)).await.unwrap(), 0);
    assert_eq!(store.bounds().await.unwrap().trimmed, Position(0));
    assert_eq!(store.trim(positions[149]).await.unwrap(), 150);
    let bounds = store.bounds().await.unwrap();
    assert_eq!(bounds, LogBounds { trimmed: positions[149], last: positions[249] });
    let left: Vec<Position> = log(&*store).await.iter().map(|event| event.position).collect();
    assert_eq!(left, positions[150..]);
    assert_eq!(store.trim(positions[10]).await.unwrap(), 0);
    assert_eq!(store.bounds().await.unwrap().trimmed, positions[149]);

    // What was trimmed stays known: a repeated record is a duplicate still, and positions go on.
    assert_eq!(append_one(&*store, record("ic-1", "call-0000")).await, Appended::Duplicate);
    assert_eq!(store.trim(Position(u64::MAX)).await.unwrap(), 100);
    assert_eq!(store.bounds().await.unwrap(), LogBounds { trimmed: positions[249], last: positions[249] });
    let (position, _) = stored(append_one(&*store, record("ic-1", "new")).await);
    assert!(position > positions[249]);
    assert_eq!(log(&*store).await.len(), 1);
}

pub async fn the_status_tells_mode_and_durability(backend: &mut dyn Backend) {
    let store = backend.store();
    let status = EventLog::status(&*store).await;
    assert_eq!((status.mode, status.durability), (backend.mode(), Durability::Durable));
    assert_eq!((status.spooled, status.problem), (0, None));
}
