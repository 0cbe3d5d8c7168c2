//! Problem details (RFC 9457): the one table of what each failure is called, which status it has, and what to do.

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use outdial_core::{AccountId, Error, ErrorClass, VendorId};
use serde::Serialize;
use serde_json::Value;

use crate::api_error::{ApiError, Place};

/// The media type of every failure.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// Longest `Retry-After` that is passed on from a vendor, in seconds.
const RETRY_AFTER_LIMIT: u64 = 24 * 60 * 60;

/// A kind of failure.
pub struct Kind {
    /// Stable name.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// In words.
    pub title: &'static str,
    /// Whether the same call may succeed later without being changed.
    pub retryable: bool,
    /// What it means and what to do, for people.
    pub advice: &'static str,
}

const fn kind(
    code: &'static str,
    status: u16,
    title: &'static str,
    retryable: bool,
    advice: &'static str,
) -> Kind {
    Kind { code, status, title, retryable, advice }
}

/// Every kind of failure that the API answers.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    kind("invalid-parameter", 400, "Invalid parameter", false, "Correct the query parameters that errors names, and send the request again."),
    kind("invalid-header", 400, "Invalid header", false, "Correct the header that errors names, and send the request again."),
    kind("invalid-body", 400, "Invalid body", false, "The body could not be read to its end. Correct the place that errors names; nothing was done, but of a body on its way to a vendor part may have arrived."),
    kind("invalid-cursor", 400, "Invalid cursor", false, "The cursor is not one of ours or older than a day. Start again without it."),
    kind("cursor-mismatch", 400, "Cursor mismatch", false, "A cursor belongs to its query. Repeat the parameters of the first page; only limit may change."),
    kind("unauthenticated", 401, "Unauthenticated", false, "Send Authorization: Bearer with a token of a configured issuer and audience that has not expired."),
    kind("insufficient-scope", 403, "Insufficient scope", false, "Ask for a token with the scope that the answer names."),
    kind("not-found", 404, "Not found", false, "The thing is not there, has expired, or belongs to an account outside the token."),
    kind("method-not-allowed", 405, "Method not allowed", false, "Use a method that the Allow header names."),
    kind("not-acceptable", 406, "Not acceptable", false, "Accept one of the media types that the detail names."),
    kind("request-timeout", 408, "Request timeout", true, "The body came too slowly. Send it again; nothing was done, but of a body on its way to a vendor part may have arrived."),
    kind("idempotency-in-progress", 409, "Idempotency key in use", true, "The first request with this key is still running. Ask again after Retry-After."),
    kind("subscription-exists", 409, "Subscription exists", false, "Choose another id, or change the subscription that has it with PATCH."),
    kind("subscription-changed", 409, "Subscription changed meanwhile", true, "Others change the subscription at the same time. Send the request again."),
    kind("too-many-subscriptions", 409, "Too many subscriptions", false, "Remove subscriptions that nobody needs."),
    kind("replay-running", 409, "Replay under way", true, "A subscription has one replay at a time. Wait until progress.replay.status is done."),
    kind("delivery-not-dead", 409, "Delivery not dead", false, "Only a dead delivery is tried again; a pending one is tried by itself."),
    kind("roster-sending", 409, "Roster being sent", true, "Wait until the roster's status is another than sending, and look what came of it first."),
    kind("nothing-to-retry", 409, "Nothing to retry", false, "Only refused parts are sent again: never what the vendor took, or may have taken."),
    kind("roster-bodies-gone", 410, "Roster no longer kept", false, "The requests to the vendor are kept as long as the roster, and not for rosters from before they were. Upload the entries that were refused as a new roster."),
    kind("body-too-large", 413, "Body too large", false, "Split the body. Nothing was done, but of a body on its way to a vendor part may have arrived."),
    kind("unsupported-media-type", 415, "Unsupported media type", false, "Send one of the media types that the detail names, without a content encoding."),
    kind("invalid-members", 422, "Invalid members", false, "Correct the members of the body that errors names. Nothing was changed."),
    kind("replay-too-large", 422, "Replay too large", false, "Ask for a part of the range with to_sequence, and for the rest when that is done."),
    kind("roster-rejected", 422, "Roster rejected", false, "Correct the entries that errors names, or send the others with on_invalid=skip. Nothing was sent."),
    kind("idempotency-key-reused", 422, "Idempotency key reused", false, "Use a new key for a new request."),
    kind("unsupported-by-vendor", 422, "Unsupported by the vendor", false, "The account's vendor cannot do that; its capabilities are in GET /v1/accounts."),
    kind("upstream-rate-limited", 429, "Rate limited by the vendor", true, "Wait for Retry-After."),
    kind("internal", 500, "Internal fault", false, "A fault of the gateway. Tell its operators the request id."),
    kind("upstream-auth", 502, "Not authorized at the vendor", false, "The gateway's own credentials at the vendor are refused; your token was not the reason. Tell the operators."),
    kind("upstream-rejected", 502, "Rejected by the vendor", false, "The vendor refused the request; upstream says why."),
    kind("upstream-protocol", 502, "Unexpected answer of the vendor", false, "The vendor answered what its documents do not allow. Tell the operators the request id."),
    kind("store-unavailable", 503, "Store unavailable", true, "The gateway's store is away. Try again after Retry-After."),
    kind("upstream-unavailable", 503, "Vendor unavailable", true, "The vendor cannot be reached or failed. Nothing was taken; try again later."),
    kind("too-many-rosters", 503, "Too many rosters", true, "As many rosters as allowed are being sent with respond-async. Try again after Retry-After, or without the preference."),
    kind("too-many-streams", 503, "Too many streams", true, "As many followers as allowed are connected. Try again after Retry-After, or read pages."),
    kind("upstream-timeout", 504, "Vendor timeout", true, "The vendor did not answer in time. Nothing was changed; try again later."),
    kind("upstream-outcome-unknown", 504, "Outcome unknown", false, "The vendor may or may not have taken the roster, or the call. It is never sent again by itself; find out at the vendor before you send it again."),
];

/// The kind with a code; an unknown code is a fault of ours.
pub fn find_kind(code: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.code == code)
}

/// A failure on its way out of a handler.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: Box<ApiError>,
    /// `Allow`, of 405.
    pub allow: Option<String>,
    /// The scope that is missing, of 403.
    pub scope: Option<&'static str>,
}

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: Box::new(error.into()), allow: None, scope: None }
    }
}

impl Failure {
    /// A failure of the protocol itself.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Error::new(ErrorClass::InvalidInput, code, detail).into()
    }

    /// What an error of the framework means.
    pub fn from_status(status: StatusCode) -> Self {
        match status.as_u16() {
            404 => ApiError::not_found().into(),
            405 => Self::new("method-not-allowed", "This path does not take that method."),
            408 => Self::new("request-timeout", "The request came too slowly."),
            413 => Self::new("body-too-large", "The body is too large."),
            415 => Self::new("unsupported-media-type", "The body has a form that is not taken here."),
            400..=499 => Self::new("invalid-body", "The request cannot be read."),
            _ => Error::new(ErrorClass::Internal, "internal", "Something went wrong here.").into(),
        }
    }

    fn kind(&self) -> &'static Kind {
        let internal = || find_kind("internal").unwrap_or(&KINDS[0]);
        find_kind(self.error.error.code).unwrap_or_else(internal)
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// `Retry-After`, where one is to be sent.
    pub fn retry_after(&self) -> Option<u64> {
        let given = self.error.error.retry_after.map(|delay| delay.as_secs_f64().ceil());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a day")]
        let seconds = given.map(|seconds| seconds.clamp(1.0, 86_400.0) as u64);
        match self.kind().status {
            429 | 503 => Some(seconds.unwrap_or(5).min(RETRY_AFTER_LIMIT)),
            409 => seconds,
            _ => None,
        }
    }

    /// The body of the answer.
    pub fn body(&self, request_id: &str) -> String {
        let ApiError { error, account, places, places_total, roster } = &*self.error;
        let kind = self.kind();
        let upstream = account.as_deref().map(|(account, vendor)| {
            let said = error.upstream.as_deref();
            Upstream {
                account,
                vendor,
                status: said.and_then(|said| said.status),
                code: said.and_then(|said| said.code.as_deref()),
                message: said.and_then(|said| said.message.as_deref()),
                request_id: said.and_then(|said| said.request_id.as_deref()),
            }
        });
        let problem = Problem {
            kind: format!("/problems/{}", kind.code),
            title: kind.title,
            status: kind.status,
            code: kind.code,
            detail: &error.message,
            request_id,
            retryable: kind.retryable,
            errors: (!places.is_empty()).then_some(places),
            errors_total: (!places.is_empty()).then_some(*places_total),
            upstream,
            roster: roster.as_deref(),
        };
        serde_json::to_string(&problem).unwrap_or_default()
    }

    /// The whole answer.
    pub fn response(&self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status());
        response.content_type(MEDIA_TYPE);
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        match (self.kind().status, self.scope) {
            (401, _) => {
                response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
            }
            (403, Some(scope)) => {
                let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
                response.insert_header((header::WWW_AUTHENTICATE, challenge));
            }
            _ => {}
        }
        response.body(self.body(request_id))
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    request_id: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a Vec<Place>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Upstream<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roster: Option<&'a Value>,
}

#[derive(Serialize)]
struct Upstream<'a> {
    account: &'a AccountId,
    vendor: &'a VendorId,
    status: Option<u16>,
    code: Option<&'a str>,
    message: Option<&'a str>,
    request_id: Option<&'a str>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.error.fmt(f)
    }
}

/// The middleware around every route renders the failure again, with the request's id.
impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.response("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case_and_stand_once() {
        for (at, kind) in KINDS.iter().enumerate() {
            assert!(kind.code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", kind.code);
            assert!(KINDS[at + 1..].iter().all(|other| other.code != kind.code), "{}", kind.code);
        }
    }

    #[test]
    fn retry_after_is_whole_clamped_and_only_where_it_means_something() {
        let failure = |code, delay| {
            let error = Error::new(ErrorClass::RateLimited, code, "x");
            Failure::from(error.with_retry_after(std::time::Duration::from_secs_f64(delay))).retry_after()
        };
        assert_eq!(failure("upstream-rate-limited", 1.2), Some(2));
        assert_eq!(failure("upstream-rate-limited", 1e9), Some(86_400));
        assert_eq!(failure("store-unavailable", 0.0), Some(1));
        assert_eq!(failure("upstream-rejected", 5.0), None);
    }
}
