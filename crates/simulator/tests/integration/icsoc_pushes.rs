//! ICSOC's pushes: signed, encrypted, retried, given up.

use std::{collections::BTreeSet, time::Duration};

use aes::Aes256;
use base64::{Engine, engine::general_purpose::STANDARD};
use cfb_mode::{Decryptor, cipher::KeyIvInit};
use md5::{Digest, Md5};
use outdial_simulator::{Faults, Simulator, SimulatorConfig, Vendor};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    client::config,
    receiver::{Answer, Receiver, TAKEN},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A push as a receiver sees it.
#[derive(Deserialize)]
struct Push<'a> {
    r#type: i64,
    #[serde(borrow)]
    data: &'a RawValue,
    sign: String,
    timestamp: String,
}

fn read(body: &str) -> Push<'_> {
    serde_json::from_str(body).unwrap()
}

fn sign(text: &str) -> String {
    Md5::digest(format!("{text}{SECRET}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn call_id(data: &str) -> String {
    serde_json::from_str::<Value>(data).unwrap()["call_id"].as_str().unwrap_or_default().to_owned()
}

async fn start(receiver: &Receiver, calls: usize, change: impl FnOnce(&mut SimulatorConfig)) -> Simulator {
    let mut config = config();
    config.icsoc.push_url = Some(receiver.url.clone());
    config.icsoc.calls = calls;
    config.icsoc.retry_unit = Duration::ZERO;
    change(&mut config);
    Simulator::start(config).await.unwrap()
}

#[tokio::test]
async fn every_call_is_pushed_once_and_signed_over_its_own_bytes() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, 60, |_| {}).await;
    simulator.control().settled().await;
    let mut pushed = BTreeSet::new();
    for body in receiver.bodies() {
        let push = read(&body);
        assert_eq!((push.r#type, push.timestamp.len()), (1, 19));
        assert_eq!(push.sign, sign(push.data.get()));
        assert!(body.is_ascii() && push.data.get().contains("\\u"), "as PHP writes by default");
        pushed.insert(call_id(push.data.get()));
    }
    assert_eq!(pushed, simulator.control().call_ids().into_iter().collect());
    let push = simulator.control().stats().icsoc.push;
    assert_eq!((push.attempted, push.acknowledged), (60, 60));
    assert_eq!((push.records_sent, push.records_acknowledged), (60, 60));
}

#[tokio::test]
async fn an_encrypted_push_is_signed_over_its_base64_and_opens_with_the_secret() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, 20, |config| config.icsoc.encrypt = true).await;
    simulator.control().settled().await;
    let mut pushed = BTreeSet::new();
    for body in receiver.bodies() {
        let push = read(&body);
        let encrypted: String = serde_json::from_str(push.data.get()).unwrap();
        assert_eq!(push.sign, sign(&encrypted));
        let mut opened = STANDARD.decode(encrypted).unwrap();
        let (key, iv) = (SECRET.as_bytes(), &SECRET.as_bytes()[..16]);
        Decryptor::<Aes256>::new_from_slices(key, iv).unwrap().decrypt(&mut opened);
        pushed.insert(call_id(std::str::from_utf8(&opened).unwrap()));
    }
    assert_eq!(pushed, simulator.control().call_ids().into_iter().collect());
}

#[tokio::test]
async fn a_push_is_tried_ten_times_and_then_given_up() {
    let receiver = Receiver::start(|_| Answer::Full(200, r#"{"code":1}"#)).await;
    let simulator = start(&receiver, 1, |_| {}).await;
    simulator.control().settled().await;
    assert_eq!(receiver.bodies().len(), 10);
    let push = simulator.control().stats().icsoc.push;
    assert_eq!((push.attempted, push.refused, push.given_up), (10, 10, 1));
    assert_eq!((push.records_sent, push.records_acknowledged), (1, 0));
}

#[tokio::test]
async fn retries_keep_to_the_schedule_until_a_full_success_is_read() {
    let receiver = Receiver::start(|number| match number {
        0 => Answer::Full(503, r#"{"code":0}"#),
        1 => Answer::Cut,
        2 => Answer::Full(200, "ok"),
        _ => TAKEN,
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let simulator = start(&receiver, 1, |config| {
        config.icsoc.retry_unit = Duration::from_millis(4);
        config.ledger = Some(path.clone());
    })
    .await;
    simulator.control().settled().await;
    let at: Vec<_> = receiver.received().into_iter().map(|received| received.at).collect();
    let gaps: Vec<Duration> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps.len(), 3);
    for (gap, seconds) in gaps.iter().zip([15, 15, 30]) {
        // The receiver notes the time before it answers, so the gap is never shorter; only a timer's millisecond.
        assert!(*gap >= Duration::from_millis(4) * seconds - Duration::from_millis(1), "{gaps:?}");
    }
    let ledger = std::fs::read_to_string(path).unwrap();
    let expected = format!(
        "{{\"vendor\":\"icsoc\",\"ids\":[\"{}\"],\"broken\":0}}\n",
        simulator.control().call_ids()[0]
    );
    assert_eq!(ledger, expected);
}

#[tokio::test]
async fn seeded_calls_and_repeats_are_pushed_when_there_is_an_address() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, 2, |config| config.icsoc.push_url = None).await;
    let control = simulator.control();
    assert_eq!(control.seed_calls(3).len(), 3);
    assert!(!control.push_icsoc_again(&control.call_ids()[0]), "there is no address");
    control.set_push_urls(None, Some(receiver.url.clone()));
    let added = control.seed_calls(4);
    assert!(control.push_icsoc_again(&added[0]));
    assert!(!control.push_icsoc_again("6780001242530852864"), "there is no such call");
    control.settled().await;
    let pushed: Vec<String> = receiver.bodies().iter().map(|body| call_id(read(body).data.get())).collect();
    assert_eq!(pushed.len(), 5);
    assert_eq!(pushed.iter().filter(|id| **id == added[0]).count(), 2);
    assert_eq!(control.call_ids().len(), 9);
    assert_eq!(control.stats().icsoc.push.records_sent, 4, "a repeat is no new record");
}

#[tokio::test]
async fn the_spellings_that_the_contract_leaves_open_all_occur() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, 200, |_| {}).await;
    simulator.control().settled().await;
    let mut shapes = BTreeSet::new();
    for body in receiver.bodies() {
        let data: Value = serde_json::from_str(read(&body).data.get()).unwrap();
        shapes.insert(match &data["user_data"] {
            Value::Array(list) if list.is_empty() => "array",
            Value::Object(object) if object.contains_key("ext_id") => "object",
            Value::String(text) if serde_json::from_str::<Value>(text).unwrap()["ext_id"].is_string() => {
                "text"
            }
            Value::Null => "null",
            other => panic!("{other}"),
        });
        shapes.insert(if data["all_secs"].is_string() { "secs text" } else { "secs number" });
        shapes.insert(if data.get("call_time").is_some() { "call_time" } else { "no call_time" });
    }
    let expected =
        ["array", "call_time", "no call_time", "null", "object", "secs number", "secs text", "text"];
    assert_eq!(shapes, expected.into_iter().collect());
}

#[tokio::test]
async fn pushes_can_be_spoilt() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, 0, |_| {}).await;
    let control = simulator.control();
    let icsoc = || Faults { vendor: Some(Vendor::Icsoc), ..Faults::default() };
    let mut seen = 0;
    let mut push = async |faults: Faults, count: usize| {
        assert!(control.set_faults(faults));
        control.seed_calls(count);
        control.settled().await;
        let bodies = receiver.bodies().split_off(seen);
        seen += bodies.len();
        bodies
    };

    let bodies = push(Faults { duplicate_pushes: true, ..icsoc() }, 3).await;
    assert_eq!(bodies.len(), 6);
    let bodies = push(Faults { wrong_sign: true, ..icsoc() }, 3).await;
    assert!(bodies.iter().all(|body| read(body).sign != sign(read(body).data.get())));
    let bodies = push(Faults { broken_rows: 3, ..icsoc() }, 9).await;
    let broken: Vec<&String> =
        bodies.iter().filter(|body| call_id(read(body).data.get()).is_empty()).collect();
    assert_eq!((bodies.len(), broken.len()), (9, 3));
    assert!(
        broken.iter().all(|body| read(body).sign == sign(read(body).data.get())),
        "authentic all the same"
    );
    let bodies = push(Faults { unescaped_bodies: true, ..icsoc() }, 3).await;
    assert!(bodies.iter().all(|body| !body.is_ascii() && read(body).sign != sign(read(body).data.get())));
    let bodies = push(Faults::default(), 3).await;
    assert!(bodies.iter().all(|body| read(body).sign == sign(read(body).data.get())));

    let stats = control.stats().icsoc.push;
    assert_eq!((stats.attempted, stats.records_sent, stats.broken_sent), (24, 18, 3));
}

#[tokio::test]
async fn a_share_of_the_pushes_is_dropped_by_the_seed() {
    let mut kept = Vec::new();
    for _ in 0..2 {
        let receiver = Receiver::taking().await;
        let simulator = start(&receiver, 0, |_| {}).await;
        let control = simulator.control();
        control.set_faults(Faults { dropped_percent: 30, ..Faults::default() });
        assert_eq!(control.seed_calls(500).len(), 500);
        control.settled().await;
        let pushed = receiver.bodies();
        let ids = pushed.iter().map(|body| call_id(read(body).data.get()));
        kept.push(ids.collect::<BTreeSet<_>>());
        control.set_faults(Faults { dropped_percent: 100, ..Faults::default() });
        control.seed_calls(50);
        control.settled().await;
        assert_eq!(receiver.bodies().len(), kept[0].len());
    }
    assert!((300..400).contains(&kept[0].len()), "{}", kept[0].len());
    assert_eq!(kept[0], kept[1]);
}
