//! Reads the body of a roster as it comes, whole or as the one file of a form.

use std::time::Duration;

use actix_multipart::Multipart;
use actix_web::{HttpRequest, http::header, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Failure;
use crate::{
    api_error::{ApiError, Place},
    rosters::{Format, Intake, Prepared, Reader, TYPES},
};

/// Longest silence inside a body.
const BODY_IDLE: Duration = Duration::from_secs(10);
/// Longest name of a file that is looked at.
const FILE_NAME_LIMIT: usize = 255;

/// A body that was read to its end.
pub struct RosterBody {
    intake: Intake,
    digest: Option<Sha256>,
}

impl RosterBody {
    /// What was read, ready to be sent.
    ///
    /// # Errors
    /// `roster-rejected`, naming every place.
    pub fn prepare(self) -> Result<Prepared, ApiError> {
        self.intake.finish()
    }

    /// A digest of what was asked: the content type, the query and the body.
    pub fn fingerprint(&self, request: &HttpRequest) -> String {
        let mut digest = self.digest.clone().unwrap_or_default();
        for part in [content_type(request).unwrap_or_default(), request.query_string()] {
            digest.update([0]);
            digest.update(part);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The bytes of a request, counted and timed.
struct Meter {
    limit: u64,
    read: u64,
    deadline: Instant,
    digest: Option<Sha256>,
}

impl Meter {
    /// The next chunk; `None` at the end.
    async fn next<S, E>(&mut self, chunks: &mut S) -> Result<Option<Bytes>, Failure>
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

fn too_large(limit: u64) -> Failure {
    Failure::new("body-too-large", format!("The body is larger than {limit} bytes."))
}

fn content_type(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::CONTENT_TYPE)?.to_str().ok()
}

/// Reads a roster into the intake.
///
/// # Errors
/// `unsupported-media-type`, `body-too-large`, `request-timeout`, or `invalid-body`, naming the place.
pub async fn read_roster(
    request: &HttpRequest,
    payload: web::Payload,
    mut intake: Intake,
    limit: u64,
    time_limit: Duration,
    wants_digest: bool,
) -> Result<RosterBody, Failure> {
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
    let digest = wants_digest.then(Sha256::new);
    let mut meter = Meter { limit, read: 0, deadline: Instant::now() + time_limit, digest };
    let given = content_type(request);
    let is_form = given.is_some_and(|given| given.to_ascii_lowercase().starts_with("multipart/form-data"));
    if is_form {
        read_form(request, payload, &mut meter, &mut intake).await?;
    } else {
        let reader = Reader::new(Format::parse(given, None)?);
        let mut payload = payload;
        read_all(reader, &mut payload, &mut meter, &mut intake).await?;
    }
    Ok(RosterBody { intake, digest: meter.digest })
}

async fn read_all<S, E>(
    mut reader: Reader,
    chunks: &mut S,
    meter: &mut Meter,
    intake: &mut Intake,
) -> Result<(), Failure>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    Failure: FromBody<E>,
{
    while let Some(chunk) = meter.next(chunks).await? {
        reader.feed(&chunk, intake)?;
    }
    Ok(reader.finish(intake)?)
}

/// A form with exactly one file, and nothing else.
async fn read_form(
    request: &HttpRequest,
    payload: web::Payload,
    meter: &mut Meter,
    intake: &mut Intake,
) -> Result<(), Failure> {
    let mut form = Multipart::new(request.headers(), payload);
    let mut files = 0;
    loop {
        let field = match timeout_at(meter.deadline, timeout(BODY_IDLE, form.next())).await {
            Ok(Ok(None)) => break,
            Ok(Ok(Some(field))) => field.map_err(Failure::from_body)?,
            Ok(Err(_)) | Err(_) => {
                return Err(Failure::new("request-timeout", "The body came too slowly."));
            }
        };
        files += 1;
        let disposition = field.content_disposition();
        let name = disposition.and_then(|disposition| disposition.get_filename());
        let Some(name) = name.filter(|name| files == 1 && name.len() <= FILE_NAME_LIMIT) else {
            return Err(not_one_file());
        };
        let own_type = field.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let format = Format::parse(own_type, Some(name))?;
        let mut field = field;
        read_all(Reader::new(format), &mut field, meter, intake).await?;
    }
    if files == 1 { Ok(()) } else { Err(not_one_file()) }
}

fn not_one_file() -> Failure {
    let place = Place {
        code: "not-one-file".to_owned(),
        detail: format!("The form has to have exactly one part with a file name, which is {TYPES}."),
        ..Place::default()
    };
    let class = outdial_core::ErrorClass::InvalidInput;
    ApiError::at(class, "invalid-body", "The form is not one file.", vec![place]).into()
}
