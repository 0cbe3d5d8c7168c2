//! Call records by search: `POST /api/v1/cdr/search` (ICSOC contract 1).

use bytes::Bytes;
use bytestring::ByteString;
use http::{
    Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use outdial_core::{
    AccountId, DecodedRecord, Disposition, EndedBy, Error, ErrorClass, FoundRecord, Outcome,
    QuarantineReason, ReceivedVia, RecordQuery, SearchPage, SearchRequest, Timestamp, UpstreamFailure,
    json::{Scanner, parse_integer, scalar_text, split_array, split_object},
};
use serde_json::value::RawValue;
use time::{OffsetDateTime, macros::format_description, macros::offset};

use crate::{
    normalize::normalize,
    settings::Settings,
    wire::{SEARCH, SearchParameters, TimeRange},
};

/// Records that there is room for at first: a page of the usual size.
const USUAL_RECORDS: usize = 128;

pub fn request(settings: &Settings, search: &SearchRequest<'_>) -> Result<Request<Bytes>, Error> {
    let query = search.query;
    let parameters = SearchParameters {
        search_after: search.mark,
        call_id: query.call_id.as_deref(),
        project_id: query.campaign_id.as_deref(),
        task_id: query.task_id.as_deref(),
        caller: query.caller.as_deref(),
        called: query.called.as_deref(),
        callresult: callresult(query),
        endresult: query.ended_by.map(endresult),
        per_page: search.limit,
        start_time: time_range(query),
    };
    let failed = |_| Error::new(ErrorClass::Internal, "internal", "The search request cannot be built.");
    let body = serde_json::to_vec(&parameters).map_err(|error| failed(error.to_string()))?;
    Request::post(format!("{}/api/v1/cdr/search", settings.base_url))
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(Bytes::from(body))
        .map_err(|error| failed(error.to_string()))
}

fn callresult(query: &RecordQuery) -> Option<&'static str> {
    match (query.outcome, query.disposition) {
        (Some(Outcome::Bridged), _) => Some("2"),
        (Some(Outcome::Answered), _) => Some("1"),
        (Some(Outcome::NoAnswer), _) | (None, Some(Disposition::NotConnected)) => Some("0"),
        _ => None,
    }
}

fn endresult(ended_by: EndedBy) -> &'static str {
    match ended_by {
        EndedBy::Customer => "11",
        EndedBy::Agent | EndedBy::System => "12",
    }
}

/// The vendor counts whole seconds, so the bounds are rounded outwards and the rest is filtered by us.
fn time_range(query: &RecordQuery) -> Option<TimeRange> {
    let gte = query.started_from.and_then(|from| china_time(from.seconds()));
    let lte = query.started_to.and_then(|to| china_time(to.plus_millis(999).seconds()));
    (gte.is_some() || lte.is_some()).then_some(TimeRange { gte, lte })
}

fn china_time(seconds: i64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok()?.to_offset(offset!(+8));
    moment.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]")).ok()
}

pub fn parse(response: &Response<Bytes>) -> Result<SearchPage, Error> {
    if response.status() != StatusCode::OK {
        return Err(Error::from_vendor_status("ICSOC", response));
    }
    let whole = ByteString::try_from(response.body().clone());
    if let Some(page) = whole.ok().and_then(|whole| read_whole(&whole)) {
        return Ok(page);
    }
    let undocumented = |place: &str| {
        let message = format!("ICSOC answered a search with something that is not documented: {place}.");
        Error::new(ErrorClass::Protocol, "upstream-protocol", message)
            .with_upstream(UpstreamFailure::from_status(response.status()))
    };
    let body = response.body();
    let envelope = members(body).ok_or_else(|| undocumented("the body is not a JSON object"))?;
    let member = |name: &str| find(&envelope, name);
    let code = member("code").and_then(text).and_then(|text| parse_integer(&text));
    if code.ok_or_else(|| undocumented("code is absent"))? != 0 {
        return Err(rejection(response.status(), &envelope));
    }
    let data =
        members(member("data").unwrap_or_default()).ok_or_else(|| undocumented("data is not an object"))?;
    let results = find(&data, "results").ok_or_else(|| undocumented("data.results is absent"))?;
    // PHP writes an empty list in more than one way.
    let ranges = match results {
        b"null" | b"{}" => Vec::new(),
        _ => split_array(results).ok_or_else(|| undocumented("data.results is not a list"))?,
    };
    let found = ranges.into_iter().map(|range| FoundRecord::other(body.slice_ref(&results[range])));
    Ok(page(found.collect(), find(&data, "searchAfter")))
}

fn page(records: Vec<FoundRecord>, mark: Option<&[u8]>) -> SearchPage {
    let mark = mark.and_then(text).filter(|mark| !mark.is_empty() && !records.is_empty());
    SearchPage { next_mark: mark, records }
}

/// Takes an answer apart that is made as documented, in one walk. `None` for any other, which is then read piece by piece.
fn read_whole(body: &ByteString) -> Option<SearchPage> {
    let (mut code, mut results, mut mark) = (None, None, None);
    let mut scanner = Scanner::new(body);
    scanner.object(|name, scanner| match name {
        b"code" => keep(&mut code, scanner),
        b"data" => {
            (results, mark) = (None, None);
            scanner.object(|name, scanner| match name {
                b"results" => keep_records(&mut results, body, scanner),
                b"searchAfter" => keep(&mut mark, scanner),
                _ => scanner.value().map(drop),
            })
        }
        _ => scanner.value().map(drop),
    })?;
    if !scanner.is_at_end() || parse_integer(&text(code?)?)? != 0 {
        return None;
    }
    Some(page(results?, mark))
}

fn keep<'a>(value: &mut Option<&'a [u8]>, scanner: &mut Scanner<'a>) -> Option<()> {
    *value = Some(scanner.value()?.as_bytes());
    Some(())
}

fn keep_records(
    records: &mut Option<Vec<FoundRecord>>,
    body: &ByteString,
    scanner: &mut Scanner<'_>,
) -> Option<()> {
    let found = records.insert(Vec::with_capacity(USUAL_RECORDS));
    scanner.list(|scanner| {
        let (text, places) = scanner.record(SEARCH.known)?;
        let text = body.slice_ref(text);
        found.push(match places {
            Some(places) => FoundRecord::plain(text, places),
            None => FoundRecord::other(text.into_bytes()),
        });
        Some(())
    })
}

/// Keys and values of an object, both as bytes of the body.
type Members<'a> = Vec<(String, &'a [u8])>;

fn members(bytes: &[u8]) -> Option<Members<'_>> {
    let members = split_object(bytes)?.into_iter();
    // A key that is no text is none that is looked for.
    let named = members
        .filter_map(|member| Some((serde_json::from_slice(&bytes[member.key]).ok()?, &bytes[member.value])));
    Some(named.collect())
}

fn find<'a>(members: &Members<'a>, name: &str) -> Option<&'a [u8]> {
    members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
}

fn text(value: &[u8]) -> Option<String> {
    scalar_text(serde_json::from_slice::<&RawValue>(value).ok()?)
}

/// `code` other than 0 is a failure even with HTTP 200 (ICSOC contract 0.2).
fn rejection(status: StatusCode, envelope: &Members<'_>) -> Error {
    let said = |name: &str| find(envelope, name).and_then(text);
    let mut failure = UpstreamFailure::from_status(status);
    failure.code = said("code");
    failure.request_id = said("request_id");
    if let Some(message) = said("message") {
        failure = failure.with_message(&message);
    }
    Error::new(ErrorClass::Protocol, "upstream-rejected", "ICSOC rejected the search.").with_upstream(failure)
}

/// Reads a record of a page.
pub fn read_found<'a>(
    account: &AccountId,
    found: &'a FoundRecord,
    now: Timestamp,
) -> Result<DecodedRecord<'a>, QuarantineReason> {
    normalize(account, &SEARCH, ReceivedVia::Search, found.fields(SEARCH.known)?, now)
}
