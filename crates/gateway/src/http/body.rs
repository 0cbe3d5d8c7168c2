//! The body of a request: read within a size and a time, and as JSON where that is what is wanted.

use std::time::Duration;

use actix_web::{HttpRequest, http::header, web};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Failure;
use crate::api_error::{ApiError, Place};

/// Longest silence inside a body.
pub const BODY_IDLE: Duration = Duration::from_secs(10);
/// Largest JSON body of a request that is no upload.
const JSON_LIMIT: u64 = 128 * 1024;
/// Longest time to read one.
const JSON_TIME: Duration = Duration::from_secs(30);

/// The bytes of a request, counted and timed.
pub struct Meter {
    limit: u64,
    read: u64,
    pub(super) deadline: Instant,
    pub(super) digest: Option<Sha256>,
}

impl Meter {
    /// A meter for the body of a request.
    ///
    /// # Errors
    /// `unsupported-media-type` for a content encoding, `body-too-large` for an announced length.
    pub fn begin(request: &HttpRequest, limit: u64, time_limit: Duration) -> Result<Self, Failure> {
        if request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Failure::new(
                "unsupported-media-type",
                "The body has a content encoding; send it as it is.",
            ));
        }
        let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        Ok(Self { limit, read: 0, deadline: Instant::now() + time_limit, digest: None })
    }

    /// The next chunk; `None` at the end.
    pub async fn next<S, E>(&mut self, chunks: &mut S) -> Result<Option<Bytes>, Failure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        Failure: FromBody<E>,
    {
        let chunk = match timeout_at(self.deadline, timeout(BODY_IDLE, chunks.next())).await {
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(chunk))) => chunk.map_err(Failure::from_body)?,
            Ok(Err(_)) | Err(_) => {
                return Err(Failure::new("request-timeout", "The body came too slowly."));
            }
        };
        self.read += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if self.read > self.limit {
            return Err(too_large(self.limit));
        }
        if let Some(digest) = &mut self.digest {
            digest.update(&chunk);
        }
        Ok(Some(chunk))
    }
}

/// How a body can break.
pub trait FromBody<E> {
    /// What it means.
    fn from_body(error: E) -> Self;
}

impl FromBody<actix_web::error::PayloadError> for Failure {
    fn from_body(_: actix_web::error::PayloadError) -> Self {
        ApiError::body("The body ended before its announced length.").into()
    }
}

impl FromBody<actix_multipart::MultipartError> for Failure {
    fn from_body(_: actix_multipart::MultipartError) -> Self {
        ApiError::body("The form cannot be read.").into()
    }
}

pub(super) fn too_large(limit: u64) -> Failure {
    Failure::new("body-too-large", format!("The body is larger than {limit} bytes."))
}

/// The `Content-Type` of a request, where it is text.
pub fn content_type(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::CONTENT_TYPE)?.to_str().ok()
}

/// Reads a body of one of these media types as JSON.
///
/// # Errors
/// `unsupported-media-type`, `body-too-large`, `request-timeout`, or `invalid-body`, naming the line.
pub async fn read_json(
    request: &HttpRequest,
    mut payload: web::Payload,
    media_types: &[&str],
) -> Result<Value, Failure> {
    let given = content_type(request).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if !media_types.iter().any(|known| known.eq_ignore_ascii_case(media_type)) {
        let detail = format!("The body has to be {}.", media_types.join(" or "));
        return Err(Failure::new("unsupported-media-type", detail));
    }
    let mut meter = Meter::begin(request, JSON_LIMIT, JSON_TIME)?;
    let mut body = BytesMut::new();
    while let Some(chunk) = meter.next(&mut payload).await? {
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|error| {
        let line = u64::try_from(error.line().max(1)).ok();
        let detail = format!("not JSON at column {}", error.column());
        let place = Place { line, code: "not-json".to_owned(), detail, ..Place::default() };
        let class = outdial_core::ErrorClass::InvalidInput;
        ApiError::at(class, "invalid-body", "The body is not JSON.", vec![place]).into()
    })
}
