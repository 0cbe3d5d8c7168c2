//! Faults of the servers, and of WellCloud's pushes.

use std::time::{Duration, Instant};

use outdial_simulator::{Faults, Simulator, Vendor};
use serde_json::{Value, json};

use crate::{
    client::{config, file_upload, icsoc_token, roster, search, status},
    receiver::Receiver,
};

fn upload(simulator: &Simulator) -> reqwest::RequestBuilder {
    file_upload(simulator, "c1", "names.txt", &roster(3))
}

#[tokio::test]
async fn a_status_instead_of_the_answer_spoils_so_many_uploads_and_takes_none_of_them() {
    let simulator = Simulator::start(config()).await.unwrap();
    let control = simulator.control();
    control.set_faults(Faults { status: Some(503), status_count: 2, ..Faults::default() });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(status(upload(&simulator)).await);
    }
    assert_eq!(statuses, [503, 503, 200]);
    let seen: Vec<(u16, bool, usize)> =
        control.uploads().iter().map(|upload| (upload.status, upload.taken, upload.count)).collect();
    assert_eq!(seen, [(503, false, 3), (503, false, 3), (200, true, 3)]);
}

#[tokio::test]
async fn a_scope_spoils_its_own_requests_only() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    let control = simulator.control();
    let path_prefix = Some("/api/".to_owned());
    control.set_faults(Faults { status: Some(502), path_prefix, ..Faults::default() });
    assert_eq!(status(search(&simulator, &token, &json!({}))).await, 502);
    assert_eq!(status(upload(&simulator)).await, 200);
    icsoc_token(&simulator).await;
    control.set_faults(Faults { vendor: Some(Vendor::Wellcloud), html_answer: true, ..Faults::default() });
    assert_eq!(status(search(&simulator, &token, &json!({}))).await, 502, "the other scope stays");
    let page = upload(&simulator).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    assert!(!control.uploads()[1].taken);
    control.set_faults(Faults::default());
    assert_eq!(status(search(&simulator, &token, &json!({}))).await, 200);
}

#[tokio::test]
async fn a_cut_answer_is_noticed_by_who_reads_it_and_the_upload_was_taken() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    let control = simulator.control();
    control.set_faults(Faults { cut_body: true, status_count: 2, ..Faults::default() });
    let answer = search(&simulator, &token, &json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err());
    assert!(upload(&simulator).send().await.unwrap().bytes().await.is_err());
    assert!(control.uploads()[0].taken);
    let answer = search(&simulator, &token, &json!({})).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], 0);
}

#[tokio::test]
async fn a_connection_can_be_closed_without_an_answer_after_the_upload_was_taken() {
    let simulator = Simulator::start(config()).await.unwrap();
    let control = simulator.control();
    control.set_faults(Faults { hang_up: true, status_count: 1, ..Faults::default() });
    let error = upload(&simulator).send().await.unwrap_err();
    assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{error:?}");
    assert_eq!(control.uploads().len(), 1);
    assert!(control.uploads()[0].taken);
    assert_eq!(status(upload(&simulator)).await, 200);
}

#[tokio::test]
async fn an_answer_can_be_huge() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    let huge_body_bytes = 5_000_001;
    simulator.control().set_faults(Faults { huge_body_bytes, ..Faults::default() });
    let answer = search(&simulator, &token, &json!({})).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(huge_body_bytes)));
    assert_eq!(answer.bytes().await.unwrap().len(), 5_000_001);
}

#[tokio::test]
async fn a_delayed_answer_comes_after_the_upload_was_taken() {
    let simulator = Simulator::start(config()).await.unwrap();
    let control = simulator.control();
    control.set_faults(Faults { delay_ms: 300, ..Faults::default() });
    let impatient = upload(&simulator).timeout(Duration::from_millis(100)).send().await;
    assert!(impatient.unwrap_err().is_timeout());
    assert!(control.uploads()[0].taken, "the caller does not know, the vendor does");
    let started = Instant::now();
    assert_eq!(status(upload(&simulator)).await, 200);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_code_that_is_not_zero_stands_inside_a_two_hundred() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    simulator.control().set_faults(Faults { code_nonzero: Some(50_001), ..Faults::default() });
    let answer = search(&simulator, &token, &json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], 50_001);
    assert_eq!(status(upload(&simulator)).await, 200, "WellCloud knows no codes");
}

#[tokio::test]
async fn a_good_token_is_rejected_once() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    for vendor in [Vendor::Wellcloud, Vendor::Icsoc] {
        let faults = Faults { vendor: Some(vendor), reject_token_once: true, ..Faults::default() };
        assert!(simulator.control().set_faults(faults));
    }
    for expected in [401, 200] {
        assert_eq!(status(upload(&simulator)).await, expected);
        assert_eq!(status(search(&simulator, &token, &json!({}))).await, expected);
    }
}

#[tokio::test]
async fn a_search_can_repeat_its_mark() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    simulator.control().set_faults(Faults { repeat_mark: true, ..Faults::default() });
    let mut after = Value::Null;
    for _ in 0..3 {
        let body = json!({"perPage": 10, "searchAfter": after});
        let answer: Value = search(&simulator, &token, &body).send().await.unwrap().json().await.unwrap();
        after = answer["data"]["searchAfter"].clone();
        assert_eq!(after, simulator.control().call_ids()[9]);
    }
}

#[tokio::test]
async fn a_search_can_show_what_is_no_record() {
    let simulator = Simulator::start(config()).await.unwrap();
    let token = icsoc_token(&simulator).await;
    simulator.control().set_faults(Faults { broken_results: 4, ..Faults::default() });
    let body = json!({"perPage": 10});
    let answer: Value = search(&simulator, &token, &body).send().await.unwrap().json().await.unwrap();
    let results = answer["data"]["results"].as_array().unwrap();
    let broken: Vec<usize> = (0..10).filter(|index| results[*index] == "broken").collect();
    assert_eq!((results.len(), broken), (10, vec![3, 7]));
}

#[tokio::test]
async fn wellclouds_pushes_can_be_doubled_reversed_and_broken() {
    let receiver = Receiver::taking().await;
    let mut config = config();
    config.wellcloud.push_url = Some(receiver.url.clone());
    config.wellcloud.dialled_share = 1.0;
    let simulator = Simulator::start(config).await.unwrap();
    let control = simulator.control();
    let file = file_upload(&simulator, "c1", "names.txt", &roster(100));
    assert_eq!(status(file).await, 200);
    control.set_faults(Faults {
        duplicate_pushes: true,
        reorder_pushes: true,
        broken_rows: 10,
        ..Faults::default()
    });
    control.flush_hour();
    control.settled().await;
    let bodies = receiver.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
    let rows: Vec<Value> = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!((rows.len(), rows.iter().filter(|row| !row.is_object()).count()), (100, 10));
    assert_eq!((&rows[0]["id"], &rows[98]["id"]), (&json!("e99"), &json!("e1")));
    let push = control.stats().wellcloud.push;
    assert_eq!((push.attempted, push.records_sent, push.broken_sent), (2, 90, 10));
    assert_eq!(push.records_acknowledged, 90);
}
