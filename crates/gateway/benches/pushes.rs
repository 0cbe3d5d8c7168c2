//! What it costs to take a push apart and normalize it, beside parsing the same JSON into a tree in the same run.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark talks to a person and may stop")]

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use outdial_core::{RawPush, Timestamp, Vendor};
use outdial_gateway::config::{Config, FixedEnvironment};
use serde_json::{Value, json};

const RECORDS: usize = 1_000;
const ROUNDS: usize = 101;

const CONFIG: &str = r#"
[[auth.issuers]]
issuer = "bench"
audience = "bench"
hs256_secret = "0123456789abcdef0123456789abcdef"
[[accounts]]
id = "wc"
vendor = "wellcloud"
token = "bench"
push_token = "0123456789abcdef"
"#;

fn body() -> Bytes {
    let records: Vec<Value> = (0..RECORDS)
        .map(|n| {
            json!({
                "id": format!("entry-{n}"), "callId": format!("7d1c6a0e-0000-4000-8000-{n:012}"), "prdType": "6666",
                "activityId": "92b8e0f87d3411e9ad53005056955a13", "state": 0, "msg": 0, "failMsg": "成功", "round": 1,
                "startTime": 1_559_124_413_101_u64, "endTime": 1_559_124_433_101_u64,
                "respondTime": 1_559_124_423_101_u64, "batchId": "58-20171109095000391", "agent": "5902@ocm.test",
            })
        })
        .collect();
    Bytes::from(serde_json::to_vec(&records).unwrap())
}

fn median_millis(mut run: impl FnMut()) -> f64 {
    let mut millis: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    millis[ROUNDS / 2]
}

fn decode(vendor: &dyn Vendor, body: &Bytes) -> usize {
    let received_at = Timestamp::from_millis(1_559_124_500_000);
    let raw = RawPush { body: body.clone(), content_type: None, received_at };
    let decoded = vendor.decode(&vendor.verify(raw).unwrap());
    decoded.items.iter().filter(|item| item.result.is_ok()).count()
}

fn main() {
    let config = Config::parse(CONFIG, &FixedEnvironment::default()).unwrap();
    let account = config.accounts.get("wc").unwrap();
    let body = body();
    assert_eq!(decode(&*account.vendor, &body), RECORDS);
    let tree = median_millis(|| {
        black_box(serde_json::from_slice::<Value>(black_box(&body)).unwrap());
    });
    let ours = median_millis(|| {
        black_box(decode(&*account.vendor, black_box(&body)));
    });
    println!("| push of {RECORDS} records, {} KB, one core | ms | of a JSON tree |", body.len() / 1_000);
    println!("|---|---:|---:|");
    println!("| verified, taken apart and normalized | {ours:.2} | {:.2} |", ours / tree);
    println!("| serde_json tree of the same bytes | {tree:.2} | 1.00 |");
}
