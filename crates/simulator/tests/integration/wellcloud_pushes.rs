//! WellCloud's hours: what is pushed, in which spelling, and what is remembered of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use outdial_simulator::{Generation, Simulator, SimulatorConfig};
use serde_json::Value;

use crate::{
    client::{config, file_upload, json_upload, roster, status},
    receiver::{Answer, Receiver},
};

/// Starts a simulator that pushes to `receiver`, with `file` uploaded.
async fn start(receiver: &Receiver, file: &str, change: impl FnOnce(&mut SimulatorConfig)) -> Simulator {
    let mut config = config();
    config.wellcloud.push_url = Some(receiver.url.clone());
    change(&mut config);
    let simulator = Simulator::start(config).await.unwrap();
    assert_eq!(status(file_upload(&simulator, "c1", "names.csv", file)).await, 200);
    simulator
}

fn read(bodies: &[String]) -> Vec<Vec<BTreeMap<String, Value>>> {
    bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

fn sample_names(text: &str) -> BTreeSet<String> {
    let samples: Vec<BTreeMap<String, Value>> = serde_json::from_str(text).unwrap();
    samples[0].keys().cloned().collect()
}

#[tokio::test]
async fn an_hour_brings_every_dialled_entry_once_in_arrays_of_a_thousand() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, &roster(2_500), |_| {}).await;
    let control = simulator.control();
    let before = control.stats().wellcloud;
    assert!((150..350).contains(&before.waiting), "{before:?}");
    assert_eq!(before.records + before.waiting, 2_500);

    let queued = control.flush_hour();
    control.settled().await;
    assert_eq!(u64::try_from(queued).unwrap(), before.records);
    let batches = read(&receiver.bodies());
    let mut sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [queued - 2_000, 1_000, 1_000]);
    let entries: BTreeSet<&str> = batches.iter().flatten().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(entries.len(), queued, "each entry once");
    let push = control.stats().wellcloud.push;
    assert_eq!((push.attempted, push.acknowledged, push.unsettled), (3, 3, 0));
    assert_eq!((push.records_sent, push.records_acknowledged), (before.records, before.records));
}

#[tokio::test]
async fn busy_entries_come_again_in_the_next_hours_with_the_next_round() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, &roster(300), |_| {}).await;
    let control = simulator.control();
    let mut calls = BTreeSet::new();
    for round in 1..=3 {
        assert!(control.flush_hour() > 0);
        control.settled().await;
        let batches = read(&receiver.bodies());
        let rows = batches.last().unwrap();
        assert!(rows.iter().all(|row| row["round"] == round), "round {round}");
        for call_id in rows.iter().filter_map(|row| row.get("callId")) {
            assert!(calls.insert(call_id.to_string()), "a call id twice");
        }
    }
    assert_eq!(control.flush_hour(), 0);
    assert_eq!(control.stats().wellcloud.held, 0);
}

#[tokio::test]
async fn both_generations_are_spelt_as_their_documents_samples_are() {
    let samples = [
        (
            Generation::Old,
            sample_names(include_str!("../../../../tests/fixtures/wellcloud-result-push.sample.json")),
        ),
        (
            Generation::New,
            sample_names(include_str!("../../../../tests/fixtures/wellcloud-result-push-newer.sample.json")),
        ),
    ];
    for (generation, names) in samples {
        let receiver = Receiver::taking().await;
        let simulator =
            start(&receiver, &roster(400), |config| config.wellcloud.generation = generation).await;
        simulator.control().flush_hour();
        simulator.control().settled().await;
        let rows = read(&receiver.bodies()).remove(0);
        let (dialled, undialled): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.contains_key("callId"));
        for row in &dialled {
            assert_eq!(row.keys().cloned().collect::<BTreeSet<_>>(), names);
            let answered = row["state"] == 0;
            assert_eq!(row["respondTime"] != 0, answered);
            assert!(row["endTime"].as_i64() > row["startTime"].as_i64());
        }
        assert!(!undialled.is_empty(), "some entries expire or are blocked");
        for row in undialled {
            assert!([-10, -5].contains(&row["state"].as_i64().unwrap()));
            assert!(!row.contains_key("startTime") && !row.contains_key("agent"));
        }
    }
}

#[tokio::test]
async fn the_newer_result_carries_user_data_and_key_presses() {
    let receiver = Receiver::taking().await;
    let file: String = (0..100).map(|n| format!("e{n},S,1330000{n:04},a,name:张三|age:{n}\n")).collect();
    let simulator = start(&receiver, &file, |config| config.wellcloud.generation = Generation::New).await;
    simulator.control().flush_hour();
    simulator.control().settled().await;
    let rows = read(&receiver.bodies()).remove(0);
    assert!(rows.iter().all(|row| row["uui"]["name"] == "张三" && row["prdId"] == "S"));
    let presses: Vec<&str> = rows.iter().filter_map(|row| row["uui"]["recognition"].as_str()).collect();
    assert!(!presses.is_empty());
    let pressed: Value = serde_json::from_str(presses[0]).unwrap();
    assert!(pressed[0]["input1"].is_string());
}

#[tokio::test]
async fn an_entry_uploaded_twice_is_called_twice_and_its_agent_is_kept() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, "e,S,133\n", |config| config.wellcloud.dialled_share = 1.0).await;
    let again = r#"[{"rosterId":"e","prdType":"S","number":"133","agent":"7001"}]"#;
    for _ in 0..20 {
        assert_eq!(status(json_upload(&simulator, "c1", again)).await, 200);
    }
    simulator.control().flush_hour();
    simulator.control().settled().await;
    let rows = read(&receiver.bodies()).remove(0);
    assert_eq!(rows.len(), 21);
    let dialled: Vec<_> = rows.iter().filter(|row| row.contains_key("callId")).collect();
    let calls: BTreeSet<String> = dialled.iter().map(|row| row["callId"].to_string()).collect();
    assert!(dialled.len() > 10 && calls.len() == dialled.len());
    let chosen = dialled.iter().filter(|row| row["agent"] == "7001").count();
    assert!(chosen + 1 >= dialled.len(), "only the file's entry has another agent");
}

#[tokio::test]
async fn fields_that_are_not_ticked_are_not_sent() {
    let receiver = Receiver::taking().await;
    let omitted = || vec!["callId".to_owned(), "agent".to_owned()];
    let simulator = start(&receiver, &roster(50), |config| config.wellcloud.omitted_fields = omitted()).await;
    simulator.control().flush_hour();
    simulator.control().settled().await;
    let rows = read(&receiver.bodies()).remove(0);
    assert!(rows.iter().all(|row| !row.contains_key("callId") && !row.contains_key("agent")));
}

#[tokio::test]
async fn the_same_seed_and_time_give_the_same_bodies() {
    let mut bodies = Vec::new();
    for seed in [5, 5, 6] {
        let receiver = Receiver::taking().await;
        let simulator = start(&receiver, &roster(200), |config| {
            config.seed = seed;
            config.fixed_time = Some(1_559_124_400_892);
        })
        .await;
        simulator.control().flush_hour();
        simulator.control().settled().await;
        bodies.push(receiver.bodies());
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[0], bodies[2]);
}

#[tokio::test]
async fn hours_end_by_themselves_and_wait_for_an_address() {
    let receiver = Receiver::taking().await;
    let simulator = start(&receiver, &roster(30), |config| {
        config.wellcloud.hour = Duration::from_millis(20);
        config.wellcloud.push_url = None;
    })
    .await;
    assert_eq!(simulator.control().flush_hour(), 0, "kept while there is no address");
    simulator.control().set_push_urls(Some(receiver.url.clone()), None);
    let received = receiver.wait_for(2).await;
    assert!(received.iter().all(|received| received.body.starts_with('[')));
}

#[tokio::test]
async fn a_refused_push_is_lost_because_no_retry_is_documented() {
    let receiver = Receiver::start(|_| Answer::Full(503, "{}")).await;
    let simulator = start(&receiver, &roster(30), |_| {}).await;
    simulator.control().flush_hour();
    simulator.control().settled().await;
    let push = simulator.control().stats().wellcloud.push;
    assert_eq!((push.attempted, push.refused, push.given_up, push.acknowledged), (1, 1, 1, 0));
    assert!(push.records_sent > 0 && push.records_acknowledged == 0);
}

#[tokio::test]
async fn the_ledger_names_what_was_acknowledged_and_only_that() {
    // The first push is answered by half.
    let receiver = Receiver::start(|number| match number {
        0 => Answer::Cut,
        _ => Answer::Full(200, "{}"),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let simulator = start(&receiver, &roster(300), |config| config.ledger = Some(path.clone())).await;
    for _ in 0..2 {
        simulator.control().flush_hour();
        simulator.control().settled().await;
    }
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((line["vendor"].as_str(), line["broken"].as_u64()), (Some("wellcloud"), Some(0)));
    let second = read(&receiver.bodies()).remove(1);
    let expected: Vec<&Value> = second.iter().map(|row| &row["callId"]).collect();
    assert_eq!(line["ids"].as_array().unwrap().iter().collect::<Vec<_>>(), expected);
}
