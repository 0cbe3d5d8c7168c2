//! The one error type that crosses crates: a closed class, a message for the caller, a detail for the log.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::mask_numbers_in_text;

/// What kind of failure it is. Every decision (status, retry, metric) is one exhaustive match over this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The caller's input is wrong.
    InvalidInput,
    /// Credentials are missing or wrong.
    Unauthenticated,
    /// Credentials do not suffice.
    Forbidden,
    /// There is no such thing, or the caller may not know of it.
    NotFound,
    /// The state of the thing forbids it.
    Conflict,
    /// Too many calls.
    RateLimited,
    /// No answer in time, and nothing was changed.
    Timeout,
    /// The request may or may not have taken effect.
    OutcomeUnknown,
    /// The other side cannot be reached or says it is broken.
    Unavailable,
    /// The other side answered something that its documents do not allow.
    Protocol,
    /// This vendor cannot do that.
    Unsupported,
    /// A fault of ours.
    Internal,
}

impl ErrorClass {
    /// The class as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }

    /// Whether the same call may succeed later without being changed.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::RateLimited | Self::Timeout | Self::Unavailable => true,
            Self::InvalidInput
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::Conflict
            | Self::OutcomeUnknown
            | Self::Protocol
            | Self::Unsupported
            | Self::Internal => false,
        }
    }
}

/// What a vendor said when it refused or failed. Shown to the caller, so it holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamFailure {
    /// HTTP status, where there was a response.
    pub status: Option<u16>,
    /// The vendor's own code, such as ICSOC's envelope `code`.
    pub code: Option<String>,
    /// The vendor's own message, cut at 300 characters, its mobile numbers masked.
    pub message: Option<String>,
    /// The vendor's own id of the request.
    pub request_id: Option<String>,
}

/// A failure. `Display` is the public message; the detail is for the log alone.
#[derive(Clone, Debug)]
pub struct Error {
    /// What kind of failure it is.
    pub class: ErrorClass,
    /// Stable kebab-case code, such as `upstream-rejected`; the last part of the problem's `type`.
    pub code: &'static str,
    /// For the caller: no secret, no number, no path of ours.
    pub message: String,
    /// For the log.
    pub detail: Option<String>,
    /// What the vendor said, if this is a vendor's failure.
    pub upstream: Option<Box<UpstreamFailure>>,
    /// How long to wait before trying again, where known.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// A failure with a message for the caller.
    pub fn new(class: ErrorClass, code: &'static str, message: impl Into<String>) -> Self {
        Self { class, code, message: message.into(), detail: None, upstream: None, retry_after: None }
    }

    /// Adds what only the log may say.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what the vendor said.
    #[must_use]
    pub fn with_upstream(mut self, failure: UpstreamFailure) -> Self {
        self.upstream = Some(Box::new(failure));
        self
    }

    /// Adds how long to wait.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl Error {
    /// What a vendor's status means where its documents give it no meaning of its own. `vendor` is its name for people.
    pub fn from_vendor_status<T>(vendor: &str, response: &http::Response<T>) -> Self {
        let (class, code, what) = match response.status().as_u16() {
            401 => (ErrorClass::Unauthenticated, "upstream-auth", "does not take our credentials"),
            403 => (ErrorClass::Forbidden, "upstream-auth", "refuses us access"),
            404 => (ErrorClass::NotFound, "upstream-rejected", "knows no such address"),
            429 => (ErrorClass::RateLimited, "upstream-rate-limited", "asks us to slow down"),
            500..=599 => (ErrorClass::Unavailable, "upstream-unavailable", "failed"),
            _ => (ErrorClass::Protocol, "upstream-protocol", "answered with an undocumented status"),
        };
        let error = Self::new(class, code, format!("{vendor} {what}."))
            .with_upstream(UpstreamFailure::from_status(response.status()));
        let delay = response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        match delay.and_then(|text| text.trim().parse().ok()) {
            Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
            None => error,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl UpstreamFailure {
    /// Longest message taken over from a vendor, in characters.
    const MESSAGE_LIMIT: usize = 300;

    /// A failure that is known by its HTTP status alone.
    pub fn from_status(status: http::StatusCode) -> Self {
        Self { status: Some(status.as_u16()), ..Self::default() }
    }

    /// Takes the vendor's message over, cut and without control characters. A vendor may repeat the number that it was
    /// asked for; it is masked before the cut, which could leave half of one.
    #[must_use]
    pub fn with_message(mut self, message: &str) -> Self {
        let masked = mask_numbers_in_text(message, &[]);
        let plain = masked.chars().filter(|c| !c.is_control()).take(Self::MESSAGE_LIMIT).collect();
        self.message = Some(plain);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendors_message_shows_no_number() {
        let said = |message: &str| UpstreamFailure::default().with_message(message).message.unwrap();
        assert_eq!(said("号码\n13312345678 无效"), "号码133****5678 无效");
        assert!(said(&format!("{}13312345678", "x".repeat(295))).ends_with("x133**"));
    }
}
