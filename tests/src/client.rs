//! A client of the API that holds every answer it gets to the contract.

use std::time::Duration;

use reqwest::{
    Body, Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;

use crate::contract::{Exchange, PROBLEM};

/// No answer of a test takes longer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A caller with a token, or without.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// A request that is being put together.
pub struct Call {
    request: RequestBuilder,
    method: String,
    path: String,
}

/// An answer that fits the contract.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// A client without the environment's proxy and without redirects.
///
/// # Panics
/// When none can be made.
pub fn http_client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.timeout(TIMEOUT).build().unwrap()
}

impl Client {
    /// A caller of the API at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: String, token: Option<String>) -> Self {
        Self { http: http_client(), base, token }
    }

    /// The same caller with another token, or none.
    #[must_use]
    pub fn with_token(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// A request. `target` is the path with its query, encoded.
    ///
    /// # Panics
    /// When the method is none.
    pub fn call(&self, method: &str, target: &str) -> Call {
        let parsed = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(parsed, format!("{}{target}", self.base));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let path = target.split('?').next().unwrap_or_default().to_owned();
        Call { request, method: method.to_owned(), path }
    }

    /// A request.
    pub fn get(&self, target: &str) -> Call {
        self.call("GET", target)
    }

    /// A request with a body.
    pub fn post(&self, target: &str, content_type: &str, body: impl Into<Body>) -> Call {
        self.call_with("POST", target, content_type, body)
    }

    /// The same by any method.
    pub fn call_with(&self, method: &str, target: &str, content_type: &str, body: impl Into<Body>) -> Call {
        let call = self.call(method, target);
        Call { request: call.request.header(CONTENT_TYPE, content_type).body(body), ..call }
    }

    /// The JSON of an answer that has to be 200.
    pub async fn read(&self, target: &str) -> Value {
        self.get(target).send().await.expect(200)
    }
}

impl Call {
    /// One more header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    /// The media type that is wanted.
    #[must_use]
    pub fn accept(self, media_type: &str) -> Self {
        self.header(ACCEPT.as_str(), media_type)
    }

    /// Sends it and reads the answer whole.
    ///
    /// # Panics
    /// When there is no answer, or it does not fit the contract.
    pub async fn send(self) -> Answer {
        let Self { request, method, path } = self;
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap().to_vec();
        judge(Exchange {
            method: &method,
            path: &path,
            status,
            headers: &headers,
            body: &body,
            is_stream: false,
        });
        Answer { status, headers, body }
    }

    /// Sends it and leaves the body to be read.
    ///
    /// # Panics
    /// When there is no answer, or its head does not fit the contract.
    pub async fn open(self) -> Response {
        let Self { request, method, path } = self;
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers());
        judge(Exchange { method: &method, path: &path, status, headers, body: &[], is_stream: true });
        response
    }
}

fn judge(exchange: Exchange<'_>) {
    let faults = exchange.faults();
    let Exchange { method, path, status, headers, body, .. } = exchange;
    let body = String::from_utf8_lossy(body);
    assert!(faults.is_empty(), "{method} {path} → {status}: {faults:#?}\n{headers:#?}\n{body}");
}

impl Answer {
    /// The body as JSON, of an answer with this status.
    ///
    /// # Panics
    /// When the status is another.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem, of an answer with this status and code.
    ///
    /// # Panics
    /// When it is another, or none.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), Some(PROBLEM));
        assert_eq!(problem["code"], code, "{problem:#}");
        problem
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
