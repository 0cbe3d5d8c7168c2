//! Makes one request to a subscriber, and tells what came of it. Whether and when another follows is the worker's to say.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use outdial_core::{Timestamp, mask_numbers_in_text};
use outdial_store::DeliveryAttempt;

use super::{
    signature::{SigningKey, sign, timestamp_text},
    target::Target,
};
use crate::{
    egress::{Egress, Lookup, SystemLookup, TargetError},
    retry_after::read_retry_after,
    upstream::{Exchange, Reuse, Unsent, Wire, WireError},
};

/// How much of an answer is read. The connection of a longer one is closed.
const ANSWER_LIMIT: usize = 16 * 1024;
/// Bytes of an answer that can become part of a detail.
const EXCERPT: usize = 1_024;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One event.
    Event,
    /// A list of events.
    Batch,
}

impl Form {
    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Event => HeaderValue::from_static("application/cloudevents+json"),
            Self::Batch => HeaderValue::from_static("application/cloudevents-batch+json"),
        }
    }
}

/// What is delivered.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// `webhook-id`: the same at every attempt.
    pub id: &'a str,
    /// The body, which is signed as it is.
    pub body: Bytes,
    /// What it holds.
    pub form: Form,
    /// The secrets that are alive; each one signs.
    pub keys: &'a [SigningKey],
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The subscriber's status, where there was one.
    pub status: Option<u16>,
    /// Why it failed: a word of [`DeliveryAttempt::error`]; `None` for success.
    pub error: Option<&'static str>,
    /// What can be said of the failure, as [`DeliveryAttempt::detail`] wants it.
    pub detail: Option<String>,
    /// How long the subscriber wants to be left alone, by its `Retry-After`.
    pub retry_after: Option<Duration>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl Sent {
    /// An attempt that got no answer.
    pub fn failed(error: &'static str, detail: &str) -> Self {
        Self { status: None, error: Some(error), detail: Some(tidy(detail)), retry_after: None, millis: 0 }
    }
}

/// Makes requests to subscribers.
pub struct Sender {
    wire: Wire,
    limit: Duration,
}

impl Sender {
    /// Starts the threads that make the requests. They end with the sender. `limit` is for one attempt, from its beginning to
    /// the last byte of the answer.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(threads: usize, egress: Arc<Egress>, limit: Duration) -> io::Result<Self> {
        Self::start_with(threads, egress, Arc::new(SystemLookup), limit)
    }

    /// The same with a resolver.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start_with(
        threads: usize,
        egress: Arc<Egress>,
        lookup: Arc<dyn Lookup>,
        limit: Duration,
    ) -> io::Result<Self> {
        Ok(Self { wire: Wire::start_guarded(threads, egress, lookup)?, limit })
    }

    /// Makes one attempt.
    pub async fn send(&self, target: &Target, outgoing: Outgoing<'_>, now: Timestamp) -> Sent {
        let started = Instant::now();
        let mut sent = match sign_request(target, outgoing, now) {
            Ok(request) => self.exchange(target, request, now).await,
            Err(detail) => Sent::failed("internal", detail),
        };
        sent.millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        sent
    }

    async fn exchange(&self, target: &Target, request: Request<Bytes>, now: Timestamp) -> Sent {
        let exchange = Exchange {
            pool: target.pool.clone(),
            request,
            timeout: self.limit,
            body_limit: ANSWER_LIMIT,
            reuse: Reuse::Repeatable,
        };
        match self.wire.exchange(exchange).await {
            Ok(answer) => judge(&answer.response, now),
            Err(WireError::Timeout) => {
                Sent::failed("timeout", &format!("no whole answer within {} ms", self.limit.as_millis()))
            }
            Err(WireError::Broken(detail)) => Sent::failed("reset", &detail),
            Err(WireError::NotSent(why, detail)) => Sent::failed(word(why), &detail),
        }
    }
}

const fn word(why: Unsent) -> &'static str {
    match why {
        Unsent::Dns => "dns",
        Unsent::Refused => "refused",
        Unsent::Tls => "tls",
        Unsent::Blocked => TargetError::BLOCKED,
        Unsent::Timeout => "timeout",
        Unsent::Other => "internal",
    }
}

fn sign_request(
    target: &Target,
    outgoing: Outgoing<'_>,
    now: Timestamp,
) -> Result<Request<Bytes>, &'static str> {
    let seconds = timestamp_text(now);
    let signature = sign(outgoing.keys, outgoing.id, &seconds, &outgoing.body);
    let value = |text: String| HeaderValue::try_from(text).map_err(|_| "the id cannot stand in a header");
    let mut headers = target.headers.clone();
    headers.insert(header::CONTENT_TYPE, outgoing.form.content_type());
    headers.insert(WEBHOOK_ID, value(outgoing.id.to_owned())?);
    headers.insert(WEBHOOK_TIMESTAMP, value(seconds)?);
    headers.insert(WEBHOOK_SIGNATURE, value(signature)?);
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri.clone();
    *request.headers_mut() = headers;
    Ok(request)
}

/// The status says whether a delivery was taken, whatever became of the body behind it.
fn judge(response: &http::Response<Bytes>, now: Timestamp) -> Sent {
    let status = response.status();
    let retry_after = read_retry_after(response.headers(), now);
    if status.is_success() {
        return Sent { status: Some(status.as_u16()), error: None, detail: None, retry_after, millis: 0 };
    }
    let mut detail = describe(status);
    let excerpt = &response.body()[..response.body().len().min(EXCERPT)];
    if !excerpt.is_empty() {
        detail.push_str(": ");
        detail.push_str(&String::from_utf8_lossy(excerpt));
    }
    Sent { status: Some(status.as_u16()), retry_after, ..Sent::failed("status", &detail) }
}

fn describe(status: StatusCode) -> String {
    let note = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    format!("status {}{note}", status.as_u16())
}

/// One line, without numbers of people, within the limit.
fn tidy(detail: &str) -> String {
    let plain: String = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut text = mask_numbers_in_text(&plain, &[]).into_owned();
    let limit =
        (0..=text.len().min(DeliveryAttempt::DETAIL_LIMIT)).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(limit.unwrap_or_default());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, retry_after: &str, body: &str) -> Sent {
        let mut response = http::Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if !retry_after.is_empty() {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after.parse().unwrap());
        }
        // Sat, 01 Nov 2025 00:00:00 GMT
        judge(&response, Timestamp::from_millis(1_761_955_200_000))
    }

    #[test]
    fn success_is_two_hundred_and_something() {
        for status in [200, 201, 202, 204, 299] {
            let sent = answered(status, "", "whatever");
            assert_eq!((sent.status, sent.error, sent.detail), (Some(status), None, None));
        }
        for status in [100, 199, 300, 302, 304, 400, 410, 429, 500, 503, 599] {
            let sent = answered(status, "", "");
            assert_eq!((sent.status, sent.error), (Some(status), Some("status")));
            assert!(sent.detail.unwrap().starts_with(&format!("status {status}")));
        }
    }

    #[test]
    fn a_detail_is_short_one_line_and_without_numbers_of_people() {
        let sent = answered(500, "", "no such customer 13312345678\r\nat line 5\u{0}");
        assert_eq!(sent.detail.unwrap(), "status 500: no such customer 133****5678  at line 5 ");
        for filler in ["x", "号", "😀", "\u{fffd}"] {
            let detail = answered(500, "", &filler.repeat(20_000)).detail.unwrap();
            assert!(detail.len() <= DeliveryAttempt::DETAIL_LIMIT);
            assert!(detail.len() > DeliveryAttempt::DETAIL_LIMIT - 4, "{}", detail.len());
        }
        // A number at the edge is masked before it is cut.
        let detail = answered(500, "", &format!("{} 13312345678", "x".repeat(490))).detail.unwrap();
        assert!(!detail.contains("1331"), "{detail}");
    }
}
