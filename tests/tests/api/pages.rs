//! Lists, walked to their end.

use outdial_tests::{client::Client, gateway::TestGateway};
use serde_json::Value;

/// Every item of a list. `query` begins with `?` or is empty.
pub async fn walk(client: &Client, path: &str, query: &str) -> Vec<Value> {
    follow(client, path, query, "cursor").await
}

/// Every event that is kept.
pub async fn events(gateway: &TestGateway) -> Vec<Value> {
    follow(&gateway.client(), "/v1/events", "?limit=1000", "after").await
}

/// Events of call records.
pub async fn record_events(gateway: &TestGateway) -> Vec<Value> {
    let mut events = events(gateway).await;
    events.retain(|event| event["type"].as_str().unwrap().starts_with("io.outdial.call-record."));
    events
}

/// Every record in the store, newest first, with numbers in full.
pub async fn stored(gateway: &TestGateway) -> Vec<Value> {
    walk(&gateway.client(), "/v1/call-records", "?source=store&limit=1000").await
}

/// What is in quarantine, newest first.
pub async fn quarantined(gateway: &TestGateway) -> Vec<Value> {
    walk(&gateway.client(), "/v1/quarantine", "").await
}

async fn follow(client: &Client, path: &str, query: &str, name: &str) -> Vec<Value> {
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let mark = if query.is_empty() { '?' } else { '&' };
        let more = if next.is_empty() { String::new() } else { format!("{mark}{name}={next}") };
        let page = client.read(&format!("{path}{query}{more}")).await;
        found.extend(page["data"].as_array().unwrap().iter().cloned());
        assert!(found.len() < 100_000, "the list has no end");
        match page["next_cursor"].as_str() {
            Some(cursor) => cursor.clone_into(&mut next),
            None => return found,
        }
    }
}
