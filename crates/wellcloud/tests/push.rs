//! Pushed results, against records that were worked out by hand from the contract.

mod support;

use outdial_core::{CallRecord, Disposition, PushOutcome};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{adapter, decode};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn golden(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn records(body: &[u8]) -> Vec<CallRecord> {
    decode(body).items.into_iter().map(|item| item.result.unwrap().record).collect()
}

fn one(fields: Value) -> outdial_core::DecodedRecord<'static> {
    let body = serde_json::to_vec(&json!([fields])).unwrap();
    decode(&body).items.remove(0).result.unwrap()
}

fn warnings(fields: Value) -> Vec<String> {
    one(fields).warnings.iter().map(|warning| format!("{}:{}", warning.field, warning.code)).collect()
}

fn assert_golden(body: &str, expected: &str) {
    let body = fixture(body);
    let raw: Vec<Value> = serde_json::from_slice(&body).unwrap();
    let mut expected = golden(expected);
    for (record, raw) in expected.as_array_mut().unwrap().iter_mut().zip(raw) {
        record["raw"] = raw;
    }
    assert_eq!(serde_json::to_value(records(&body)).unwrap(), expected);
}

#[test]
fn the_example_of_the_contract() {
    assert_golden("wellcloud-result-push.sample.json", "result-push.json");
}

#[test]
fn the_example_of_the_newer_documents() {
    assert_golden("wellcloud-result-push-newer.sample.json", "result-push-newer.json");
}

#[test]
fn raw_is_the_very_text_of_the_record() {
    let body = b"[ {\"id\" : \"1\",\"state\":  99 ,\"new\":\"\\u5f20\"} ]";
    let record = records(body).remove(0);
    assert_eq!(record.raw.unwrap().get(), "{\"id\" : \"1\",\"state\":  99 ,\"new\":\"\\u5f20\"}");
}

#[test]
fn every_field_is_optional() {
    let record = one(json!({})).record;
    assert_eq!(record.disposition, Disposition::NotDialled);
    assert_eq!((record.campaign_id, record.roster_entry_id, record.round), (None, None, None));
}

#[test]
fn entries_never_dialled_get_an_id_that_repeats() {
    let entry = json!({"id": "7", "activityId": "a", "round": 1, "state": -10});
    let (first, again) = (one(entry.clone()).record, one(entry).record);
    assert_eq!(first.call_id, again.call_id);
    assert!(first.call_id.starts_with("nd-") && first.id() == format!("wc-main/{}", first.call_id));
    assert_eq!((first.disposition, first.outcome.as_str()), (Disposition::NotDialled, "expired"));
    for other in [
        json!({"id": "8", "activityId": "a", "round": 1, "state": -10}),
        json!({"id": "7", "activityId": "b", "round": 1, "state": -10}),
        json!({"id": "7", "activityId": "a", "round": 2, "state": -10}),
        json!({"id": "7", "activityId": "a", "round": 1, "state": -5}),
    ] {
        assert_ne!(one(other.clone()).record.call_id, first.call_id, "{other}");
    }
}

#[test]
fn results_without_call_and_entry_are_told_apart_by_all_they_say() {
    let id = |fields: Value| one(fields).record.call_id;
    let first = json!({"activityId": "a", "round": 1, "state": -5, "number": "13300000001"});
    let other = json!({"activityId": "a", "round": 1, "state": -5, "number": "13300000002"});
    assert_eq!(id(first.clone()), id(first.clone()));
    assert_ne!(id(first), id(other));
}

#[test]
fn times_come_in_seconds_or_milliseconds_and_zero_is_none() {
    let time = |value: Value| {
        let record = one(json!({"callId": "c", "startTime": value})).record;
        record.started_at.map(|time| time.to_string())
    };
    assert_eq!(time(json!(1_559_124_400_892_i64)).as_deref(), Some("2019-05-29T10:06:40.892Z"));
    assert_eq!(time(json!("1559124400892")).as_deref(), Some("2019-05-29T10:06:40.892Z"));
    assert_eq!(time(json!(1_559_124_400)).as_deref(), Some("2019-05-29T10:06:40Z"));
    assert_eq!(time(json!(0)), None);
    for bad in [json!(-1), json!("soon"), json!(true), json!({"a": 1}), json!(9_999_999_999_999_999_i64)] {
        assert_eq!(time(bad.clone()), None, "{bad}");
        assert_eq!(warnings(json!({"callId": "c", "startTime": bad})).len(), 1, "{bad}");
    }
    assert_eq!(
        decode(br#"[{"callId":"c","startTime":1e400}]"#).items[0].result.as_ref().unwrap().warnings.len(),
        1
    );
}

#[test]
fn an_answered_call_was_handed_over_at_its_end_time() {
    let record = one(json!({"callId": "c", "state": 0, "respondTime": 1_510_211_831_000_i64, "endTime": 1_510_211_835_000_i64})).record;
    assert_eq!(record.bridged_at.unwrap().to_string(), "2017-11-09T07:17:15.000Z");
    assert_eq!((record.ended_at, record.talk_seconds, record.answered_seconds), (None, None, None));
}

#[test]
fn msg_stands_in_for_state_and_unknown_codes_are_kept() {
    let record = one(json!({"callId": "c", "msg": "1"})).record;
    assert_eq!((record.outcome.as_str(), record.vendor_codes.outcome.as_deref()), ("busy", Some("1")));
    let record = one(json!({"callId": "c", "state": 77})).record;
    assert_eq!((record.outcome.as_str(), record.vendor_codes.outcome.as_deref()), ("unknown", Some("77")));
    assert_eq!(warnings(json!({"callId": "c", "state": 77})), ["state:unknown_code"]);
}

#[test]
fn unknown_fields_are_named() {
    let decoded = one(json!({"callId": "c", "hangupSide": 1, "uui": {}}));
    assert_eq!(decoded.unknown_fields, ["hangupSide"]);
    assert_eq!(decoded.record.user_data, None);
}

#[test]
fn a_broken_record_costs_none_of_its_neighbours() {
    let mut good: Vec<String> = (0..1000).map(|n| format!(r#"{{"callId":"c{n}","state":0}}"#)).collect();
    for broken in [r#"{"callId":"\ud800"}"#, "null", "1", r#""x""#, "[]", "{\"a\":}", ""] {
        good[500] = broken.to_owned();
        let items = decode(format!("[{}]", good.join(",")).as_bytes()).items;
        assert_eq!(items.len(), 1000);
        assert_eq!(items.iter().filter(|item| item.result.is_ok()).count(), 999, "{broken}");
        assert_eq!(items[500].raw.as_ref(), broken.as_bytes());
    }
    let mut body = format!("[{}]", good.join(",")).into_bytes();
    let place = body.windows(4).position(|w| w == b"c700").unwrap();
    body[place] = 0xff;
    assert_eq!(decode(&body).items.iter().filter(|item| item.result.is_ok()).count(), 998);
}

#[test]
fn other_bodies() {
    assert_eq!(decode(b"[]").items.len(), 0);
    assert_eq!(decode(b"\xef\xbb\xbf[{\"callId\":\"c\"}]").items.len(), 1);
    assert!(decode(br#"{"callId":"c"}"#).items[0].result.is_ok());
    let many = format!("[{}]", vec![r#"{"callId":"c"}"#; 1001].join(","));
    assert_eq!(decode(many.as_bytes()).items.len(), 1001);
    for whole in ["", "null", "x", r#"[{"callId":"c"}] trailing"#, r#"[{"callId":"c"},{"ca"#] {
        let items = decode(whole.as_bytes()).items;
        assert_eq!(items.len(), 1, "{whole}");
        assert_eq!(items[0].result.as_ref().unwrap_err().code, "not_json", "{whole}");
        assert_eq!(items[0].raw.as_ref(), whole.as_bytes());
    }
}

#[test]
fn a_whole_body_in_gbk_is_read() {
    // 张三 in GBK is D5 C5 C8 FD.
    let body = b"[{\"callId\":\"c\",\"state\":0,\"result\":\"\xd5\xc5\xc8\xfd\"}]";
    assert_eq!(records(body)[0].vendor_codes.message.as_deref(), Some("张三"));
}

#[test]
fn nesting_is_bounded() {
    let deep = format!(r#"[{{"callId":"a"}},{{"uui":{}{}}}]"#, "[".repeat(100_000), "]".repeat(100_000));
    let items = decode(deep.as_bytes()).items;
    assert!(items[0].result.is_ok());
    assert_eq!(items[1].result.as_ref().unwrap_err().code, "too_deep");
}

#[test]
fn replies_say_what_became_of_the_batch() {
    let adapter = adapter(&[("token", "t")]);
    let taken = adapter.reply(&PushOutcome::Taken { stored: 2, duplicate: 1, quarantined: 3, answer: None });
    assert_eq!(taken.body.as_ref(), br#"{"code":0,"stored":2,"duplicate":1,"quarantined":3}"#);
    assert_eq!(taken.status, 200);
    let away = adapter.reply(&PushOutcome::StoreAway);
    assert_eq!((away.status.as_u16(), away.retry_after), (503, Some(5)));
    for (outcome, status) in [
        (PushOutcome::Malformed, 400),
        (PushOutcome::Truncated, 400),
        (PushOutcome::TooLarge, 413),
        (PushOutcome::Compressed, 415),
        (PushOutcome::TooSlow, 408),
        (PushOutcome::Shed, 503),
        (PushOutcome::Deadline, 503),
        (PushOutcome::Internal, 500),
    ] {
        let reply = adapter.reply(&outcome);
        assert_eq!(reply.status, status, "{outcome:?}");
        let code = serde_json::from_slice::<Value>(&reply.body).unwrap()["code"].as_i64().unwrap();
        assert_eq!(code / 100, i64::from(status), "{outcome:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode(&body);
    }

    #[test]
    fn no_near_json_makes_it_panic(body in r#"[\[\]{}",:\\0-9a-e \-]{0,120}"#) {
        decode(body.as_bytes());
    }
}
