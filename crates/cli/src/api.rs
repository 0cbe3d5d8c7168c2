//! A client of a running gateway's API.

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

use crate::{arguments::GatewayOptions, failure::Failure};

/// Most places of a problem that are shown.
const PLACES_SHOWN: usize = 20;

/// A client of a running gateway.
#[derive(Clone)]
pub struct Api {
    client: Client,
    url: String,
    token: String,
}

impl Api {
    /// A client for the gateway that the options name.
    pub fn new(options: &GatewayOptions) -> Result<Self, Failure> {
        let url = options.url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") {
            return Err(Failure::new("--url has to begin with http://; the gateway itself speaks no TLS"));
        }
        // A proxy from the environment would see tokens and numbers.
        let client = Client::builder().no_proxy().build()?;
        Ok(Self { client, url, token: options.token.clone() })
    }

    /// A request for a path, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// Sends a request; a problem becomes a failure with all its places.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: Value = response.json().await.unwrap_or_default();
        Err(Failure::new(describe(status.as_u16(), &problem)))
    }

    /// The JSON behind a path.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.send(self.request(Method::GET, path)).await?.json().await?)
    }
}

/// A problem for people: what, why, and each place.
pub fn describe(status: u16, problem: &Value) -> String {
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("{status} {}: {}", text("code"), text("detail"))];
    let places = problem["errors"].as_array().cloned().unwrap_or_default();
    for place in places.iter().take(PLACES_SHOWN) {
        let at = match (&place["line"], &place["pointer"]) {
            (Value::Number(line), _) => format!("line {line}"),
            (_, Value::String(pointer)) => pointer.clone(),
            _ => "body".to_owned(),
        };
        let (code, detail) = (place["code"].as_str(), place["detail"].as_str());
        lines.push(format!("  {at}: {} ({})", detail.unwrap_or_default(), code.unwrap_or_default()));
    }
    let total = problem["errors_total"].as_u64().unwrap_or_default();
    let hidden = total.saturating_sub(u64::try_from(places.len().min(PLACES_SHOWN)).unwrap_or(u64::MAX));
    if hidden > 0 {
        lines.push(format!("  … and {hidden} more"));
    }
    if let Some(message) = problem["upstream"]["message"].as_str() {
        lines.push(format!("  the vendor says: {message}"));
    }
    if let Some(id) = problem["roster"]["id"].as_str() {
        lines.push(format!("  see GET /v1/rosters/{id}"));
    }
    lines.push(format!("  request {}", text("request_id")));
    lines.join("\n")
}

/// A query of a URL.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", outdial_gateway::encode_query_value(value)))
        .collect();
    if encoded.is_empty() { String::new() } else { format!("?{}", encoded.join("&")) }
}
