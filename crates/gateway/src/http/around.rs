//! What happens around every request of the API: its id, its headers, its metrics, its one error line.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use futures_util::FutureExt;
use uuid::{NoContext, Uuid};

use super::{
    met::{API, Met},
    passthrough::UPSTREAM,
    problem::Failure,
};
use crate::{telemetry::Metrics, upstream::Trace};

/// The route of requests that met none.
const UNMATCHED: &str = "unmatched";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a caller.
const REQUEST_ID_LIMIT: usize = 128;

/// The id of a request, as it stands in a header: plain ASCII.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's if it can be taken, or else a new one. From now on it stands where callers give theirs.
    fn of(request: &mut ServiceRequest) -> Self {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let usable =
            |id: &&HeaderValue| (1..=REQUEST_ID_LIMIT).contains(&id.len()) && id.as_bytes().iter().all(plain);
        let given = request.headers().get(REQUEST_ID).filter(usable);
        let id = given.map_or_else(Self::new, |id| Self(id.clone()));
        // Nobody else holds the request yet: this is the outermost of what is around it.
        request.headers_mut().insert(REQUEST_ID, id.0.clone());
        id
    }

    fn new() -> Self {
        let text = &mut Uuid::encode_buffer();
        // In no order within a millisecond: to keep one would take a lock that all threads share.
        let id = Uuid::new_v7(uuid::Timestamp::now(NoContext));
        let text = id.hyphenated().encode_lower(text);
        Self(HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none")))
    }

    fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id that the middleware gave a request, as text.
    pub fn get(request: &HttpRequest) -> String {
        Self::value(request).map(|id| Self(id).as_str().to_owned()).unwrap_or_default()
    }

    /// The same as the value of a header.
    pub fn value(request: &HttpRequest) -> Option<HeaderValue> {
        request.headers().get(REQUEST_ID).cloned()
    }
}

/// What a request hands on to a vendor.
pub fn trace(request: &HttpRequest) -> Trace {
    let text = |name: &str| {
        let value = request.headers().get(name)?.to_str().ok()?;
        (value.len() <= 128).then(|| value.to_owned())
    };
    Trace { traceparent: text("traceparent") }
}

/// The metrics, shared within one thread: to hold them for each request costs the other threads nothing.
pub type ThreadMetrics = Rc<Arc<Metrics>>;

/// Wraps every route of the API.
pub async fn around_api<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = RequestId::of(&mut request);
    let metrics = request.app_data::<ThreadMetrics>().cloned();
    let method = method_label(request.method().as_str());
    let called = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    let response = match called {
        Ok(Ok(response)) => response.map_into_boxed_body(),
        // The request is gone with the handler, so the answer has to be whole by itself.
        Ok(Err(error)) => {
            let failure = Failure::from_status(error.as_response_error().status_code());
            return Err(Lost { failure, id }.into());
        }
        Err(_) => {
            if let Some(metrics) = &metrics {
                metrics.panics.inc();
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                count(metrics, API, "panicked", method, status, started.elapsed());
            }
            tracing::error!(request_id = id.as_str(), "api.panicked");
            let failure = Failure::from_status(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(Lost { failure, id }.into());
        }
    };
    let route = response.request().app_data::<Met>().map_or(UNMATCHED, |met| met.pattern);
    let mut response = as_problem(response, &id, route);
    add_headers(response.headers_mut(), &id);
    if let Some(metrics) = &metrics {
        let (status, took) = (response.status(), started.elapsed());
        match response.request().app_data::<Met>() {
            Some(met) => met.count(metrics, method, status, took),
            None => count(metrics, API, UNMATCHED, method, status, took),
        }
    }
    Ok(response)
}

/// What every answer says.
fn add_headers(headers: &mut HeaderMap, id: &RequestId) {
    headers.insert(REQUEST_ID, id.0.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// A failure whose request is gone.
#[derive(Debug)]
struct Lost {
    failure: Failure,
    id: RequestId,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl ResponseError for Lost {
    fn status_code(&self) -> StatusCode {
        self.failure.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.failure.response(self.id.as_str());
        add_headers(response.headers_mut(), &self.id);
        response
    }
}

/// Gives every failure the form of a problem, and the failures that are ours a line in the log.
fn as_problem(response: ServiceResponse<BoxBody>, id: &RequestId, route: &str) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let rendered = match response.response().error() {
        Some(error) => match error.as_error::<Failure>() {
            Some(failure) => {
                log_failure(failure, id, route);
                Some(failure.response(id.as_str()))
            }
            None => Some(Failure::from_status(error.as_response_error().status_code()).response(id.as_str())),
        },
        // What the framework answers by itself, such as 404 for a path with broken escapes.
        None if status.is_client_error()
            && !response.headers().contains_key(header::CONTENT_TYPE)
            && !response.headers().contains_key(UPSTREAM) =>
        {
            Some(Failure::from_status(status).response(id.as_str()))
        }
        None => None,
    };
    match rendered {
        Some(problem) => response.into_response(problem),
        None => response,
    }
}

fn log_failure(failure: &Failure, id: &RequestId, route: &str) {
    let error = &failure.error.error;
    let status = failure.status().as_u16();
    let account = failure.error.account.as_deref().map(|(account, _)| account.as_str());
    let (request_id, code, detail) = (id.as_str(), error.code, error.detail.as_deref());
    if status >= 500 {
        tracing::error!(request_id, route, status, code, account, detail, problem = %error, "api.failed");
    } else {
        tracing::info!(request_id, route, status, code, account, detail, "api.refused");
    }
}

/// Counts a request that was answered.
pub fn count(metrics: &Metrics, port: &str, route: &str, method: &str, status: StatusCode, took: Duration) {
    metrics.http_requests.with_label_values(&[port, route, method, status.as_str()]).inc();
    metrics.http_duration.with_label_values(&[port, route]).observe(took.as_secs_f64());
}

/// Methods are text from outside; a label is one of a few.
pub fn method_label(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "POST" => "POST",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
