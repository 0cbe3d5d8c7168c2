//! `GET /v1/events`: a page, or a stream that goes on.

use std::convert::Infallible;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use bytes::Bytes;
use outdial_core::{Error, ErrorClass, Position, event_type};
use outdial_store::Store;

use super::{
    accept::choose,
    caller::{Caller, params},
    problem::Failure,
};
use crate::{
    accounts::Accounts,
    api_error::{ApiError, Place},
    auth::{AccountGrant, Scope},
    events::{EventFilter, EventStreams, Frames, Start, read_page},
    params::ID_LIMIT,
    query::covered_accounts,
};

const FORMS: &[&str] = &["application/json", "text/event-stream"];

/// Events after a position.
pub async fn read(
    caller: Caller,
    request: HttpRequest,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    streams: web::Data<EventStreams>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::EventsRead)?;
    let form = choose(&request, FORMS)?;
    let mut params = params(&request);
    let after: Option<Position> =
        params.parsed("after", "a position, such as the sequence of an event", |text| text.parse().ok());
    let types = params.texts("type");
    if types.iter().any(|given| !event_type::ALL.contains(&given.as_str())) {
        params.refuse(
            "type",
            "not-valid",
            format!("The value is not one of {}.", event_type::ALL.join(", ")),
        );
    }
    let wanted = params.accounts("account");
    let campaign_id = params.short_text("campaign_id", ID_LIMIT);
    let limit = params.limit();
    params.finish()?;
    let covered = covered_accounts(&accounts, &principal, &wanted)?;
    // Who may see every account and asks for none sees also what is of no account, or of all of them.
    let is_unlimited = wanted.is_empty() && principal.accounts == AccountGrant::All;
    let filter = EventFilter {
        accounts: (!is_unlimited).then(|| covered.iter().map(|account| account.id.clone()).collect()),
        types: types.into_iter().collect(),
        campaigns: campaign_id.into_iter().collect(),
        full_numbers: principal.has(Scope::RecordsPii),
        ..EventFilter::default()
    };
    let last = last_event_id(&request)?;
    if form == FORMS[0] {
        let page = read_page(&**store, &filter, after.unwrap_or_default(), limit).await?;
        return Ok(HttpResponse::Ok().json(page));
    }
    let start = last.or(after).map_or(Start::Now, Start::After);
    let frames = streams.open(filter, start).ok_or_else(too_many)?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(into_stream(frames)))
}

fn into_stream(frames: Frames) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    futures_util::stream::unfold(frames, |mut frames| async move {
        let frame = frames.next().await?;
        Some((Ok(frame), frames))
    })
}

/// Where a follower that reconnects left off.
fn last_event_id(request: &HttpRequest) -> Result<Option<Position>, Failure> {
    let Some(value) = request.headers().get(header::HeaderName::from_static("last-event-id")) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(position) => Ok(Some(position)),
        Err(_) => {
            let place = Place::header("Last-Event-ID", "not-valid", "The value is not a position.");
            let message = "A header is not valid.";
            Err(ApiError::at(ErrorClass::InvalidInput, "invalid-header", message, vec![place]).into())
        }
    }
}

fn too_many() -> Failure {
    Error::new(ErrorClass::Unavailable, "too-many-streams", "Too many streams of events are open.").into()
}
