//! What a failure of Redis lets the caller conclude.

use redis::{ErrorKind, RedisError, RetryMethod};

use crate::{StoreError, StoreErrorKind};

/// Replies that say that nothing was written.
const REFUSALS: &[&str] = &[
    "OOM",
    "MISCONF",
    "LOADING",
    "READONLY",
    "NOREPLICAS",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "BUSY",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CROSSSLOT",
    "NOSCRIPT",
];

/// A failure after a request may have been sent.
pub(super) fn of_request(error: &RedisError) -> StoreError {
    let kind = match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => StoreErrorKind::Corrupt,
        ErrorKind::AuthenticationFailed | ErrorKind::ClusterConnectionNotFound => StoreErrorKind::Unavailable,
        _ => match error.code() {
            Some("WRONGTYPE") => StoreErrorKind::Corrupt,
            Some(code) if REFUSALS.contains(&code) => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::OutcomeUnknown,
        },
    };
    StoreError::new(kind, describe(error))
}

/// A failure before any request was sent.
pub(super) fn of_connecting(error: &RedisError) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("cannot connect: {}", describe(error)))
}

/// The same failure for a reader, to whom it makes no difference whether the server saw the request.
pub(super) fn of_read(error: StoreError) -> StoreError {
    match error.kind {
        StoreErrorKind::OutcomeUnknown => StoreError::new(StoreErrorKind::Unavailable, error.detail),
        _ => error,
    }
}

/// Redis did not answer in time.
pub(super) fn timed_out() -> StoreError {
    StoreError::new(StoreErrorKind::OutcomeUnknown, "redis: no answer in time")
}

/// Whether another connection has to be made: this one is broken, or its server is no longer the one that writes.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || matches!(error.kind(), ErrorKind::Parse | ErrorKind::AuthenticationFailed)
        || matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "NOAUTH" | "WRONGPASS" | "LOADING"))
        || matches!(error.retry_method(), RetryMethod::Reconnect)
}

/// Whether the connection was gone, so that repeating the request on another one is worth it.
pub(super) fn was_cut(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout()
}

/// The server's code and, where it cannot hold what was to be stored, its words.
fn describe(error: &RedisError) -> String {
    match error.code() {
        Some(code) if REFUSALS.contains(&code) => match error.detail() {
            Some(detail) => format!("redis: {code} {detail}"),
            None => format!("redis: {code}"),
        },
        Some(code) => format!("redis: {code}"),
        None if error.is_timeout() => "redis: no answer in time".to_owned(),
        None if error.is_io_error() => format!("redis: {error}"),
        None => format!("redis: {}", error.category()),
    }
}
