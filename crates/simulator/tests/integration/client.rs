//! What Outdial would send, written by hand: requests to the vendors' addresses.

use std::time::Duration;

use outdial_simulator::{Simulator, SimulatorConfig};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

/// The token that [`config`] makes always good at WellCloud.
pub const FIXED_TOKEN: &str = "87654321";

/// No push address, no hour that ends by itself, a fixed token.
pub fn config() -> SimulatorConfig {
    let mut config = SimulatorConfig::default();
    config.wellcloud.hour = Duration::ZERO;
    config.wellcloud.fixed_token = Some(FIXED_TOKEN.to_owned());
    config
}

/// A client without the environment's proxy.
pub fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

/// The token request of WellCloud's public documents.
pub fn wellcloud_token(simulator: &Simulator, query: &str, content_type: &str) -> RequestBuilder {
    client().post(format!("{}?{query}", simulator.wellcloud_token_url())).header("Content-Type", content_type)
}

/// The media type of [`file_upload`].
pub const FORM: &str = "multipart/form-data; boundary=----outdial-test";

/// A roster file in a form.
pub fn file_upload(simulator: &Simulator, campaign: &str, file_name: &str, file: &str) -> RequestBuilder {
    file_upload_as(FORM, simulator, campaign, file_name, file)
}

/// The same under any media type.
pub fn file_upload_as(
    content_type: &str,
    simulator: &Simulator,
    campaign: &str,
    file_name: &str,
    file: &str,
) -> RequestBuilder {
    let boundary = "----outdial-test";
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\n\
         Content-Type: text/plain\r\n\r\n{file}\r\n--{boundary}--\r\n"
    );
    client()
        .post(format!("{}/fileupload?activity_id={campaign}", simulator.wellcloud_base_url()))
        .header("Content-Type", content_type)
        .header("Authorization", FIXED_TOKEN)
        .body(body)
}

/// A roster as JSON.
pub fn json_upload(simulator: &Simulator, campaign: &str, body: &str) -> RequestBuilder {
    json_upload_as("application/json;charset=utf-8", simulator, campaign, body)
}

/// The same under any media type.
pub fn json_upload_as(
    content_type: &str,
    simulator: &Simulator,
    campaign: &str,
    body: &str,
) -> RequestBuilder {
    client()
        .post(format!("{}/v1/rosterinfo/create/{campaign}", simulator.wellcloud_base_url()))
        .header("Content-Type", content_type)
        .header("Authorization", FIXED_TOKEN)
        .body(body.to_owned())
}

/// A roster file of `entries` lines with ids `e0`, `e1`, ….
pub fn roster(entries: usize) -> String {
    (0..entries).map(|number| format!("e{number},S,1330000{number:04}\n")).collect()
}

/// A token request at ICSOC, form-encoded.
pub async fn icsoc_fetch(simulator: &Simulator, form: &str) -> Response {
    client()
        .post(simulator.icsoc_token_url())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
        .send()
        .await
        .unwrap()
}

/// A good ICSOC token.
pub async fn icsoc_token(simulator: &Simulator) -> String {
    let form = "grant_type=password&client_id=demo-client&client_secret=demo-client-secret\
                &username=demo%7C1001&password=demo-password&scope=openid";
    let answer: Value = icsoc_fetch(simulator, form).await.json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// A search by POST.
pub fn search(simulator: &Simulator, token: &str, body: &Value) -> RequestBuilder {
    client()
        .post(format!("{}/api/v1/cdr/search", simulator.icsoc_base_url()))
        .header("Authorization", format!("Bearer {token}"))
        .json(body)
}

/// The status of the answer.
pub async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}
