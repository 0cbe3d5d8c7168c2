//! `GET /v1/call-records`: a page, a stream of all pages, or one record.

use std::io;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use outdial_core::{AccountId, Error, ErrorClass, Record, RecordQuery};
use outdial_store::{CallRecords, Store};
use serde::Serialize;

use super::{
    accept::choose,
    around::{RequestId, trace},
    caller::{Caller, no_params, params},
    problem::Failure,
};
use crate::{
    accounts::Accounts,
    api_error::ApiError,
    auth::Scope,
    params::ID_LIMIT,
    query::{
        CsvWriter, Cursors, PageWarning, RecordQueries, RecordsRequest, Source, Walk, check_search,
        covered_account, read_include, read_source,
    },
    upstream::Trace,
};

const FORMS: &[&str] = &["application/json", "application/x-ndjson", "text/csv"];

/// Records that there is room for before the first is written.
const ROOM_RECORDS: usize = 128;

/// Call records that pass the filters.
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    accounts: web::Data<Accounts>,
    queries: web::Data<RecordQueries>,
    cursors: web::Data<Cursors>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RecordsRead)?;
    let form = choose(&request, FORMS)?;
    let (wanted, cursor) = RecordsRequest::read(params(&request), &accounts, &principal)?;
    let binding = wanted.binding();
    let mut walk: Walk = cursors.load(cursor.as_deref(), &binding).await?.unwrap_or_default();
    let trace = trace(&request);
    // The first page is read before the head of a stream is sent, so that a failure still has a status.
    if form != FORMS[0] {
        let mut rows = Rows::new((form == FORMS[2]).then(|| CsvWriter::new(wanted.include_raw)));
        let first = rows.read(&queries, &wanted, &mut walk, &trace).await?;
        let request_id = RequestId::get(&request);
        let queries = queries.into_inner();
        let stream = RecordStream { queries, wanted, walk, trace, request_id, next: Some(first), rows };
        return Ok(HttpResponse::Ok().content_type(form).streaming(stream.into_chunks()));
    }
    let mut text = b"{\"data\":[".to_vec();
    let mut write = |record: &Record<'_>| {
        if text.last() != Some(&b'[') {
            text.push(b',');
        }
        make_room(&mut text, &wanted);
        record.write_json(&mut text);
    };
    let warnings = queries.page(&wanted, &mut walk, &trace, &mut write).await?;
    let next_cursor = cursors.save(binding, (!walk.done).then_some(walk)).await?;
    // The rest is an object too, whose bracket is the comma behind the list.
    let end = serde_json::to_vec(&PageEnd { next_cursor, warnings })
        .map_err(|error| ApiError::from(Error::new(ErrorClass::Internal, "internal", error.to_string())))?;
    text.extend_from_slice(b"],");
    text.extend_from_slice(&end[1..]);
    Ok(HttpResponse::Ok().content_type(form).body(text))
}

/// What stands behind the records of a page.
#[derive(Serialize)]
struct PageEnd {
    next_cursor: Option<String>,
    warnings: Vec<PageWarning>,
}

/// Makes room for a page of usual records, once there is one.
fn make_room(text: &mut Vec<u8>, wanted: &RecordsRequest) {
    let room = wanted.limit.min(ROOM_RECORDS) * 1024 + 512;
    if text.capacity() < room {
        text.reserve(room);
    }
}

/// Records as lines: CSV, or else NDJSON.
struct Rows {
    csv: Option<CsvWriter>,
    header_sent: bool,
}

impl Rows {
    const fn new(csv: Option<CsvWriter>) -> Self {
        Self { csv, header_sent: false }
    }

    /// Reads and writes the next page.
    async fn read(
        &mut self,
        queries: &RecordQueries,
        wanted: &RecordsRequest,
        walk: &mut Walk,
        trace: &Trace,
    ) -> Result<Bytes, ApiError> {
        let mut text = Vec::new();
        if let Some(csv) = &mut self.csv
            && !self.header_sent
        {
            text.extend(csv.header());
        }
        let csv = &mut self.csv;
        let mut write = |record: &Record<'_>| match csv {
            Some(csv) => text.extend(csv.row(record)),
            None => {
                make_room(&mut text, wanted);
                let start = text.len();
                record.write_json(&mut text);
                // A line end can stand between the parts of what the vendor sent, and nowhere else.
                text[start..]
                    .iter_mut()
                    .filter(|byte| matches!(byte, b'\n' | b'\r'))
                    .for_each(|end| *end = b' ');
                text.push(b'\n');
            }
        };
        queries.page(wanted, walk, trace, &mut write).await?;
        self.header_sent = true;
        Ok(Bytes::from(text))
    }
}

/// All pages of a walk, as chunks of text.
struct RecordStream {
    queries: std::sync::Arc<RecordQueries>,
    wanted: RecordsRequest,
    walk: Walk,
    trace: Trace,
    request_id: String,
    next: Option<Bytes>,
    rows: Rows,
}

impl RecordStream {
    fn into_chunks(self) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> {
        futures_util::stream::unfold(Some(self), |state| async move {
            let mut stream = state?;
            let page = match stream.next.take() {
                Some(page) => Ok(page),
                None if stream.walk.done => return None,
                None => {
                    let RecordStream { queries, wanted, walk, trace, rows, .. } = &mut stream;
                    rows.read(queries, wanted, walk, trace).await
                }
            };
            match page {
                Ok(page) => Some((Ok(page), Some(stream))),
                Err(error) => Some((stream.end_with(&Failure::from(error)), None)),
            }
        })
    }

    /// A failure in the middle: NDJSON says so in its last line, CSV is cut off, so that it does not look whole.
    fn end_with(&self, failure: &Failure) -> Result<Bytes, io::Error> {
        tracing::warn!(request_id = self.request_id, problem = %failure, "api.stream_cut");
        if self.rows.csv.is_some() {
            return Err(io::Error::other("the records behind this place could not be read"));
        }
        Ok(Bytes::from(format!("{{\"problem\":{}}}\n", failure.body(&self.request_id))))
    }
}

/// One record.
pub async fn get(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    accounts: web::Data<Accounts>,
    queries: web::Data<RecordQueries>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RecordsRead)?;
    choose(&request, &["application/json"])?;
    let mut params = params(&request);
    let include_raw = read_include(&mut params);
    let source = read_source(&mut params);
    params.finish()?;
    let (account, call_id) = path.into_inner();
    let account = covered_account(&accounts, &principal, &account)?;
    if source == Source::Vendor {
        check_search(account)?;
    }
    let wanted = RecordsRequest {
        accounts: vec![account.clone()],
        query: RecordQuery { call_id: Some(call_id.clone()), ..RecordQuery::default() },
        source,
        include_raw,
        full_numbers: principal.has(Scope::RecordsPii),
        limit: 10,
    };
    let record = queries.get(&wanted, &call_id, &trace(&request)).await?;
    Ok(HttpResponse::Ok().json(record))
}

#[derive(Serialize)]
struct SummaryView<'a> {
    account: &'a AccountId,
    campaign_id: &'a str,
    entries: Entries,
    records: u64,
    counts: Vec<outdial_store::SummaryCount>,
    by_outcome: std::collections::BTreeMap<String, u64>,
    by_round: std::collections::BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Entries {
    uploaded: u64,
    with_result: u64,
    dialled: u64,
    waiting: u64,
}

/// What came of a campaign so far.
pub async fn summary(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RecordsRead)?;
    choose(&request, &["application/json"])?;
    no_params(&request)?;
    let (account, campaign_id) = path.into_inner();
    let account = covered_account(&accounts, &principal, &account)?;
    if campaign_id.chars().count() > ID_LIMIT {
        let message = format!("A campaign id has at most {ID_LIMIT} characters.");
        return Err(ApiError::from(Error::new(ErrorClass::InvalidInput, "invalid-parameter", message)).into());
    }
    let summary = CallRecords::summary(&**store, &account.id, &campaign_id).await?;
    let mut by_outcome = std::collections::BTreeMap::new();
    let mut by_round = std::collections::BTreeMap::new();
    for count in &summary.counts {
        *by_outcome.entry(count.outcome.to_string()).or_default() += count.records;
        let round = count.round.map_or_else(|| "unknown".to_owned(), |round| round.to_string());
        *by_round.entry(round).or_default() += count.records;
    }
    let entries = Entries {
        uploaded: summary.entries_uploaded,
        with_result: summary.entries_with_result,
        dialled: summary.entries_dialled,
        waiting: summary.entries_uploaded.saturating_sub(summary.entries_with_result),
    };
    Ok(HttpResponse::Ok().json(SummaryView {
        account: &account.id,
        campaign_id: &campaign_id,
        entries,
        records: summary.records,
        counts: summary.counts,
        by_outcome,
        by_round,
    }))
}
