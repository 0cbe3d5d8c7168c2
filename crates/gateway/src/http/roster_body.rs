//! Reads the body of a roster as it comes, whole or as the one file of a form.

use std::time::Duration;

use actix_multipart::Multipart;
use actix_web::{HttpRequest, http::header, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::time::{timeout, timeout_at};

use super::{
    body::{BODY_IDLE, FromBody, Meter, content_type},
    problem::Failure,
};
use crate::{
    api_error::{ApiError, Place},
    rosters::{Format, Intake, Prepared, Reader, TYPES},
};

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
    let mut meter = Meter::begin(request, limit, time_limit)?;
    meter.digest = wants_digest.then(Sha256::new);
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
