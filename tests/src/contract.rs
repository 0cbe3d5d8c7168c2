//! openapi.yaml as the judge of answers: status, headers, media type, body, and what stands in none of them.

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::{
    schema::{DOCUMENT, faults, resolve},
    secrets::find_secret,
};

/// The media type of every failure.
pub const PROBLEM: &str = "application/problem+json";

/// Members of a path item that are methods.
const METHODS: [&str; 7] = ["get", "head", "post", "put", "delete", "patch", "options"];

/// What no answer may hold: traces of the program's own insides.
const INSIDES: [&str; 5] = ["panicked at", "RUST_BACKTRACE", ".rs:", "rusqlite", "stack backtrace"];

/// Headers that belong to HTTP and not to the operation.
const PROTOCOL_HEADERS: [&str; 9] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "date",
    "connection",
    "x-content-type-options",
    "x-accel-buffering",
    "content-security-policy",
    "vary",
];

/// Headers of a vendor that pass with its answer.
const RELAYED_HEADERS: [&str; 12] = [
    "accept-ranges",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-range",
    "etag",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "x-ratelimit-remaining",
    "x-total-count",
];

/// Says that an answer is a vendor's.
const UPSTREAM: &str = "outdial-upstream";

/// One answer, to be judged.
pub struct Exchange<'a> {
    /// Upper case.
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    /// What was answered.
    pub status: StatusCode,
    /// What was answered.
    pub headers: &'a HeaderMap,
    /// Empty for a stream, whose parts are judged by the one who reads it.
    pub body: &'a [u8],
    /// Whether the body is a stream that was not read.
    pub is_stream: bool,
}

/// Method and pattern of every operation.
pub fn operations() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (pattern, item) in paths() {
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            found.push((method.to_uppercase(), pattern.clone()));
        }
    }
    found
}

/// The scope that an operation demands, if it does.
///
/// # Panics
/// When there is no such operation.
pub fn required_scope(method: &str, pattern: &str) -> Option<&'static str> {
    let operation = &DOCUMENT["paths"][pattern][method.to_lowercase()];
    assert!(operation.is_object(), "{method} {pattern} is not in the contract");
    operation["x-required-scope"].as_str()
}

fn paths() -> &'static serde_json::Map<String, Value> {
    DOCUMENT["paths"].as_object().expect("paths is an object")
}

/// The pattern of a path. Of several that fit, the one with more fixed words.
pub fn pattern_of(path: &str) -> Option<&'static str> {
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<&str>, Vec<&str>) =
            (pattern.split('/').collect(), path.split('/').collect());
        // What belongs to the vendor has slashes of its own.
        let is_open = pattern.last() == Some(&"{path}") && path.len() > pattern.len();
        (pattern.len() == path.len() || is_open)
            && pattern
                .iter()
                .zip(&path)
                .all(|(wanted, given)| wanted == given || (wanted.starts_with('{') && !given.is_empty()))
    };
    let fitting = paths().keys().filter(|pattern| fits(pattern));
    fitting.min_by_key(|pattern| pattern.matches('{').count()).map(String::as_str)
}

impl Exchange<'_> {
    /// What is wrong with the answer.
    pub fn faults(&self) -> Vec<String> {
        let mut found = self.leaks();
        match self.response() {
            Ok(Some(response)) => {
                self.check_headers(response, &mut found);
                self.check_body(response, &mut found);
            }
            Ok(None) => {}
            Err(fault) => found.push(fault),
        }
        if self.is_relayed() {
            // A vendor fails in its own words.
        } else if self.content_type() == PROBLEM {
            if !self.is_stream && self.method != "HEAD" {
                self.check_problem(&mut found);
            }
        } else if self.status.is_client_error() || self.status.is_server_error() {
            found.push(format!("{} is no problem but {:?}", self.status, self.content_type()));
        }
        found
    }

    fn is_relayed(&self) -> bool {
        self.headers.contains_key(UPSTREAM)
    }

    fn content_type(&self) -> &str {
        let value =
            self.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// The documented response; `None` where the path is none of the contract's, and so a plain 404.
    fn response(&self) -> Result<Option<&'static Value>, String> {
        let Some(pattern) = pattern_of(self.path) else {
            let expected = self.status == StatusCode::NOT_FOUND;
            return if expected { Ok(None) } else { Err(format!("{} at no path", self.status)) };
        };
        let item = &paths()[pattern];
        let method = self.method.to_lowercase();
        let operation = METHODS.iter().find(|known| **known == method).and_then(|known| item.get(known));
        let operation = match operation {
            Some(operation) => operation,
            // A method that the path does not take gets the 405 that its operations document.
            None if self.status == StatusCode::METHOD_NOT_ALLOWED => {
                METHODS.iter().find_map(|known| item.get(known)).expect("a path has operations")
            }
            None => return Err(format!("{} for a method that the path does not take", self.status)),
        };
        let status = self.status.as_u16().to_string();
        let responses = &operation["responses"];
        let other = responses.get("default").filter(|_| self.is_relayed());
        let response = responses.get(&status).or(other).map(resolve);
        response.map(Some).ok_or_else(|| format!("{status} is not documented for {} {pattern}", self.method))
    }

    fn check_headers(&self, response: &Value, found: &mut Vec<String>) {
        let none = serde_json::Map::new();
        let documented = response.get("headers").and_then(Value::as_object).unwrap_or(&none);
        for (name, header) in documented {
            let header = resolve(header);
            let given: Vec<&str> =
                self.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect();
            match given.as_slice() {
                [] if header["required"] == true => found.push(format!("the header {name} is missing")),
                [] => {}
                [text] => {
                    let schema = resolve(&header["schema"]);
                    let number = text.parse::<i64>().ok().filter(|_| schema["type"] == "integer");
                    let value = number.map_or_else(|| Value::from(*text), Value::from);
                    found.extend(faults(schema, &value).into_iter().map(|fault| format!("{name}: {fault}")));
                }
                _ => found.push(format!("the header {name} stands twice")),
            }
        }
        for name in self.headers.keys().map(reqwest::header::HeaderName::as_str) {
            let is_documented = documented.keys().any(|known| known.eq_ignore_ascii_case(name));
            let passes = self.is_relayed() && RELAYED_HEADERS.contains(&name);
            if !is_documented && !passes && !PROTOCOL_HEADERS.contains(&name) {
                found.push(format!("the header {name} is not documented"));
            }
        }
    }

    fn check_body(&self, response: &Value, found: &mut Vec<String>) {
        let Some(content) = response.get("content").and_then(Value::as_object) else {
            if !self.body.is_empty() {
                found.push("there is a body where none is documented".to_owned());
            }
            return;
        };
        if self.method == "HEAD" {
            return;
        }
        let content_type = self.content_type();
        if self.is_relayed() {
            if !content.contains_key("*/*") {
                found.push("no answer of the vendor is documented".to_owned());
            }
            return;
        }
        let Some(documented) = content.get(content_type) else {
            found.push(format!("the media type {content_type:?} is not documented"));
            return;
        };
        if !self.is_stream && content_type.ends_with("json") && content_type != "application/x-ndjson" {
            match serde_json::from_slice::<Value>(self.body) {
                Ok(value) => found.extend(faults(&documented["schema"], &value)),
                Err(error) => found.push(format!("the body is no JSON: {error}")),
            }
        }
        if content_type == PROBLEM && !self.is_stream {
            let body: Value = serde_json::from_slice(self.body).unwrap_or_default();
            let codes = response["x-problem-codes"].as_array().cloned().unwrap_or_default();
            if !codes.contains(&body["code"]) {
                found.push(format!("the code {} is not documented for {}", body["code"], self.status));
            }
        }
    }

    fn check_problem(&self, found: &mut Vec<String>) {
        let body: Value = serde_json::from_slice(self.body).unwrap_or_default();
        let request_id = self.headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let code = body["code"].as_str().unwrap_or_default();
        // An answer that is given again names the request that it was given to first.
        let is_replayed = self.headers.contains_key("idempotency-replayed");
        let wanted = [
            ("status", body["status"] == self.status.as_u16()),
            ("type", body["type"] == format!("/problems/{code}")),
            ("request_id", is_replayed || request_id.is_some() && body["request_id"].as_str() == request_id),
        ];
        for (member, _) in wanted.iter().filter(|(_, fits)| !fits) {
            found.push(format!("{member} of the problem does not fit the answer"));
        }
        if self.headers.get("cache-control").is_none_or(|value| value != "no-store") {
            found.push("a problem may be cached".to_owned());
        }
        // Numbers of callers belong to answers, but never to failures.
        if let Some(number) = crate::secrets::find_number(&String::from_utf8_lossy(self.body)) {
            found.push(format!("the problem holds the number {number}"));
        }
    }

    fn leaks(&self) -> Vec<String> {
        let body = String::from_utf8_lossy(self.body);
        let mut found = Vec::new();
        found.extend(find_secret(&body).map(|secret| format!("the body holds the secret {secret}")));
        let inside = INSIDES.iter().find(|inside| body.contains(**inside));
        found.extend(inside.map(|inside| format!("the body shows insides: {inside}")));
        for (name, value) in self.headers {
            let text = String::from_utf8_lossy(value.as_bytes());
            found.extend(find_secret(&text).map(|secret| format!("{name} holds the secret {secret}")));
        }
        if self.headers.contains_key("server") {
            found.push("the server tells its name".to_owned());
        }
        found
    }
}
