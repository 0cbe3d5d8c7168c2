//! Records, entries, rosters and quarantined items to store.

use bytes::Bytes;
use outdial_core::{
    AccountId, CallRecord, Disposition, EndedBy, EventDraft, Outcome, PartForm, PhoneNumber, Position,
    QuarantineReason, ReceivedVia, RosterEvent, VendorId,
};
use outdial_store::{
    Appended, Batch, DeliveredEvent, DeliveryAttempt, DeliveryCommit, DeliveryProgress, DeliveryStatus,
    Disabling, EntryRow, KeptRequest, QuarantineDraft, Replay, RosterStatus, SigningSecret, Store,
    StoredDelivery, StoredEvent, StoredPart, StoredPartStatus, StoredRequest, StoredRoster,
    StoredSubscription, SubscriptionFilter, SubscriptionStatus,
};

use crate::backend::at;

pub const VENDOR: VendorId = VendorId::new("icsoc");

pub fn account(id: &str) -> AccountId {
    id.parse().unwrap()
}

/// A call that was answered, started a second after the suite's start.
pub fn record(account_id: &str, call_id: &str) -> CallRecord {
    let mut record = CallRecord::new(
        account(account_id),
        VENDOR,
        call_id.to_owned().into(),
        ReceivedVia::Push,
        at(60_000),
    );
    record.campaign_id = Some("c1".into());
    record.called = PhoneNumber::new("18512342456");
    record.disposition = Disposition::Connected;
    record.outcome = Outcome::Answered;
    record.vendor_codes.outcome = Some("1".into());
    record.ended_by = Some(EndedBy::Customer);
    record.started_at = Some(at(1_000));
    record
}

pub fn records(account_id: &str, count: usize) -> Vec<CallRecord> {
    (0..count).map(|n| record(account_id, &format!("call-{n:04}"))).collect()
}

pub fn batch(records: Vec<CallRecord>) -> Batch {
    Batch { records, ..Batch::default() }
}

/// Appends records and expects to be told of each.
pub async fn append(store: &dyn Store, records: Vec<CallRecord>) -> Vec<Appended> {
    let count = records.len();
    let appended = store.append(batch(records), at(0)).await.unwrap();
    assert_eq!(appended.len(), count);
    appended
}

/// Appends one record.
pub async fn append_one(store: &dyn Store, record: CallRecord) -> Appended {
    append(store, vec![record]).await[0]
}

/// The place and revision of a record that was stored.
pub fn stored(appended: Appended) -> (Position, u32) {
    match appended {
        Appended::Stored { position, revision } => (position, revision),
        other => panic!("{other:?}"),
    }
}

/// The whole log.
pub async fn log(store: &dyn Store) -> Vec<StoredEvent> {
    store.read(Position(0), 100_000).await.unwrap()
}

/// A member of an event's JSON text.
pub fn member(event: &StoredEvent, pointer: &str) -> serde_json::Value {
    let json: serde_json::Value = serde_json::from_str(&event.json).unwrap();
    json.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {json}")).clone()
}

pub fn roster_event(roster_id: &str) -> EventDraft {
    let event = RosterEvent {
        roster_id: roster_id.into(),
        campaign_id: "c1".into(),
        attempt: 1,
        status: "accepted".into(),
        received: 2,
        accepted: 2,
        rejected: 0,
    };
    event.into_draft(account("ic-1"), VENDOR, at(0))
}

pub fn draft(account_id: &str, millis: i64, code: &str, raw: &[u8]) -> QuarantineDraft {
    QuarantineDraft {
        account: account(account_id),
        vendor: VENDOR,
        received_at: at(millis),
        reason: QuarantineReason::new(code, "byte 3 is no JSON"),
        content_type: Some("application/json".into()),
        raw: Bytes::copy_from_slice(raw),
    }
}

pub fn entry(entry_id: &str, number: &str, customer_id: Option<&str>) -> EntryRow {
    EntryRow { entry_id: entry_id.into(), number: number.into(), customer_id: customer_id.map(str::to_owned) }
}

pub fn roster(id: &str, account_id: &str, campaign_id: &str, millis: i64) -> StoredRoster {
    StoredRoster {
        id: id.into(),
        account: account(account_id),
        vendor: VENDOR,
        campaign_id: campaign_id.into(),
        status: RosterStatus::Sending,
        received: 3,
        accepted: 2,
        rejected: 1,
        rejections: vec![serde_json::json!({"index": 2, "code": "number-missing"})],
        parts: vec![StoredPart {
            n: 1,
            form: PartForm::Json,
            entries: 2,
            bytes: 120,
            status: StoredPartStatus::Sending,
            upstream_status: Some(200),
            kept: Some(KeptRequest { request: 0, bytes: 140 }),
        }],
        created_at: at(millis),
        requests: vec![StoredRequest {
            method: "POST".into(),
            target: "/ocm/fileupload?activity_id=c1".into(),
            headers: vec![("content-type".into(), "text/plain".into())],
        }],
        fence: 7,
        attempt: 2,
        accepted_before: 1,
        detached: true,
    }
}

/// A subscription with something in every field.
pub fn subscription(id: &str) -> StoredSubscription {
    let filter = SubscriptionFilter {
        types: ["io.outdial.call-record.created".to_owned()].into(),
        accounts: [account("ic-1")].into(),
        campaigns: ["c1".to_owned()].into(),
        outcomes: [Outcome::Busy, Outcome::Answered].into(),
        dispositions: [Disposition::Connected].into(),
    };
    StoredSubscription {
        id: id.into(),
        version: 1,
        url: "https://crm.example.com/hooks?a=1".into(),
        description: Some("\u{5ba2}\u{6237}\n\"CRM\"".into()),
        filter: filter.clone(),
        ordered: true,
        max_events: 10,
        linger_ms: 500,
        concurrency: 8,
        rate_per_second: Some(20),
        full_numbers: true,
        headers: [("x-team".to_owned(), "crm".to_owned())].into(),
        retry_schedule: vec![5_000, 30_000],
        status: SubscriptionStatus::Active,
        disabled_reason: None,
        untold: Some(Disabling { reason: "gone".into(), at: at(4), failing_since: Some(at(2)) }),
        secrets: vec![
            SigningSecret { text: "whsec_bmV3".into(), ends_at: None },
            SigningSecret { text: "whsec_b2xk".into(), ends_at: Some(at(86_400_000)) },
        ],
        replay: Some(Replay {
            id: "rpl_1".into(),
            after: Position(1_790_000_000_000_001),
            until: Position(1_790_000_000_000_009),
            filter,
            total: 7,
            requested_at: at(3),
        }),
        created_at: at(0),
        updated_at: at(5),
    }
}

/// A delivery of one event. Its number orders its id.
pub fn delivery(number: usize, status: DeliveryStatus) -> StoredDelivery {
    let place = 1_790_000_000_000_000 + u64::try_from(number).unwrap();
    let attempt = DeliveryAttempt {
        at: at(0),
        millis: 12,
        status: Some(503),
        error: Some("status".into()),
        detail: None,
    };
    let is_pending = status == DeliveryStatus::Pending;
    StoredDelivery {
        id: format!("dlv_{place:016x}00c0ffee"),
        status,
        events: vec![DeliveredEvent {
            id: format!("evt_{number:032x}"),
            position: Position(place),
            subject: number.to_string(),
            is_lifecycle: number.is_multiple_of(7),
        }],
        attempts: 3,
        last_attempts: if status == DeliveryStatus::Delivered { Vec::new() } else { vec![attempt] },
        next_attempt_at: is_pending.then(|| at(1_000)),
        created_at: at(i64::try_from(number).unwrap()),
    }
}

/// What a worker commits that got as far as a position.
pub fn commit(cursor: u64, deliveries: Vec<StoredDelivery>) -> DeliveryCommit {
    let progress = DeliveryProgress { cursor: Position(cursor), ..DeliveryProgress::default() };
    DeliveryCommit { progress, deliveries }
}
