//! Rosters as the tests upload them.

use outdial_simulator::Upload;
use outdial_tests::{
    client::Answer, client::Client, gateway::TestGateway, secrets::number, setup::WELLCLOUD,
    waiting::eventually,
};
use serde_json::{Value, json};

/// The campaign that most rosters go to.
pub const CAMPAIGN: &str = "92b8e0f87d3411e9ad53005056955a13";

/// Media types of rosters.
pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";
pub const CSV: &str = "text/csv";
pub const COLUMNS: &str = "text/csv; header=absent";

/// Where a roster is uploaded to.
pub fn target(campaign: &str, query: &str) -> String {
    format!("/v1/accounts/{WELLCLOUD}/campaigns/{campaign}/rosters{query}")
}

/// Uploads to the usual campaign.
pub async fn upload(
    client: &Client,
    query: &str,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    client.post(&target(CAMPAIGN, query), content_type, body).send().await
}

/// Uploads a list of entries.
pub async fn upload_entries(client: &Client, query: &str, entries: Value) -> Answer {
    upload(client, query, JSON, json!({ "entries": entries }).to_string()).await
}

/// `count` entries `e-0`, `e-1`, …, as JSON.
pub fn entries(count: usize) -> Value {
    (0..count).map(|index| json!({ "entry_id": format!("e-{index}"), "number": number(index) })).collect()
}

/// The same as CSV.
pub fn csv(count: usize) -> String {
    let rows: String = (0..count).map(|index| format!("e-{index},{}\n", number(index))).collect();
    format!("entry_id,number\n{rows}")
}

/// A roster as it is kept, without what came of its entries.
pub async fn kept(client: &Client, roster: &Value) -> Value {
    let path = format!("/v1/rosters/{}", roster["id"].as_str().unwrap());
    let mut kept = client.read(&path).await;
    assert!(kept.as_object_mut().unwrap().remove("entries").is_some());
    kept
}

/// A roster once it is sent no longer.
pub async fn ended(client: &Client, roster: &Value) -> Value {
    eventually("the roster ends", async || {
        Some(kept(client, roster).await).filter(|roster| roster["status"] != "sending")
    })
    .await
}

/// Entries that go by the JSON form, one by one where parts hold one.
pub fn with_agents(ids: std::ops::Range<usize>) -> Value {
    ids.map(
        |index| json!({ "entry_id": format!("e-{index}"), "number": number(index), "agent": "5902@ocm.test" }),
    )
    .collect()
}

/// The ids that the vendor took, upload by upload.
pub fn taken(gateway: &TestGateway) -> Vec<Vec<String>> {
    let uploads = gateway.control().uploads().into_iter();
    uploads.filter(|upload| upload.taken).map(|upload| upload.entry_ids).collect()
}

/// The only upload that the vendor saw.
pub fn only_upload(gateway: &TestGateway) -> Upload {
    let mut uploads = gateway.control().uploads();
    assert_eq!(uploads.len(), 1, "the vendor saw {} uploads", uploads.len());
    uploads.remove(0)
}

/// How many uploads the vendor saw.
pub fn upload_count(gateway: &TestGateway) -> usize {
    gateway.control().uploads().len()
}

/// The sums of the usual campaign.
pub async fn summary(gateway: &TestGateway) -> Value {
    gateway.client().read(&format!("/v1/accounts/{WELLCLOUD}/campaigns/{CAMPAIGN}/summary")).await
}
