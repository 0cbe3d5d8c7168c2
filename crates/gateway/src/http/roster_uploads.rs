//! Rosters: upload, retry. The caller waits for the vendor, or with `Prefer: respond-async` only for the store.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, http::header, web};
use outdial_core::{Clock, ErrorClass};
use outdial_store::{Rosters, Store};

use super::{
    accept::choose,
    around::{RequestId, trace},
    caller::{Caller, no_params, params},
    problem::{Failure, MEDIA_TYPE},
    roster_body::{RosterBody, read_roster},
};
use crate::{
    accounts::{Account, Accounts},
    api_error::{ApiError, Place},
    auth::{Principal, Scope},
    config::{HttpConfig, RosterConfig},
    params::Params,
    query::covered_account,
    rosters::{
        Begin, Claim, Idempotency, Intake, OnDuplicate, OnInvalid, Options, Prepared, RosterUploads,
        RosterView, SavedAnswer,
    },
    tasks::Tasks,
    upstream::Trace,
};

/// The preference of one who does not wait for the vendor (RFC 7240, 4.1).
const RESPOND_ASYNC: &str = "respond-async";

/// What an upload needs besides the request.
pub struct UploadService {
    uploads: Arc<RosterUploads>,
    idempotency: Idempotency,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    limits: RosterConfig,
    http: HttpConfig,
}

impl UploadService {
    /// The service over these parts.
    pub fn new(
        uploads: Arc<RosterUploads>,
        idempotency: Idempotency,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        limits: RosterConfig,
        http: HttpConfig,
    ) -> Self {
        Self { uploads, idempotency, clock, tasks, limits, http }
    }
}

/// Sends a roster to the vendor.
pub async fn upload(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    accounts: web::Data<Accounts>,
    service: web::Data<UploadService>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RostersWrite)?;
    choose(&request, &["application/json"])?;
    let options = read_options(params(&request))?;
    let key = idempotency_key(&request)?;
    let (account, campaign_id) = path.into_inner();
    let account = Arc::clone(covered_account(&accounts, &principal, &account)?);
    let encoder = account.vendor.roster_encoder(&campaign_id)?;
    let intake = Intake::new(encoder, options, service.limits.max_entries);
    let timeout = service.http.request_timeout;
    let body = read_roster(&request, payload, intake, service.limits.max_bytes, timeout, key.is_some()).await;
    let claim = match (&key, &body) {
        (Some(key), Ok(body)) => {
            let scope = [account.id.as_str(), campaign_id.as_str(), key];
            match claim(&service, &principal, &scope, body.fingerprint(&request), &request).await? {
                Claimed::Fresh(claim) => Some(claim),
                Claimed::Answered(answer) => return Ok(render_saved(answer, true)),
            }
        }
        _ => None,
    };
    let prepared = match body.map(RosterBody::prepare) {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(error)) => {
            release(claim).await;
            return Err(error.into());
        }
        Err(failure) => return Err(failure),
    };
    if options.dry_run {
        release(claim).await;
        let view = RosterView::planned(&account, &campaign_id, prepared, service.clock.now());
        return Ok(HttpResponse::Ok().json(view));
    }
    let work = Work::Upload { campaign_id, prepared: Box::new(prepared) };
    Job::new(service.into_inner(), account, work, &request).run(claim).await
}

/// Sends what of a roster was refused or never begun.
pub async fn retry(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    service: web::Data<UploadService>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RostersWrite)?;
    choose(&request, &["application/json"])?;
    no_params(&request)?;
    let key = idempotency_key(&request)?;
    let roster_id = path.into_inner();
    let roster = Rosters::get_roster(&**store, &roster_id).await?.ok_or_else(ApiError::not_found)?;
    let account = covered_account(&accounts, &principal, roster.account.as_str());
    let account = Arc::clone(account.map_err(|_| ApiError::not_found())?);
    let claim = match &key {
        Some(key) => {
            let scope = [account.id.as_str(), "retry", roster_id.as_str(), key];
            match claim(&service, &principal, &scope, "retry".to_owned(), &request).await? {
                Claimed::Fresh(claim) => Some(claim),
                Claimed::Answered(answer) => return Ok(render_saved(answer, true)),
            }
        }
        None => None,
    };
    Job::new(service.into_inner(), account, Work::Retry { roster_id }, &request).run(claim).await
}

async fn release(claim: Option<Box<Claim>>) {
    if let Some(claim) = claim {
        claim.abandon().await;
    }
}

/// What is to be sent.
enum Work {
    Upload { campaign_id: String, prepared: Box<Prepared> },
    Retry { roster_id: String },
}

impl Work {
    /// The status of an answer that tells what the vendor did.
    const fn status(&self) -> u16 {
        match self {
            Self::Upload { .. } => 201,
            Self::Retry { .. } => 200,
        }
    }
}

/// One upload or retry. It runs to its end even if the caller hangs up.
struct Job {
    service: Arc<UploadService>,
    account: Arc<Account>,
    work: Work,
    responds_async: bool,
    trace: Trace,
    request_id: String,
}

impl Job {
    fn new(service: Arc<UploadService>, account: Arc<Account>, work: Work, request: &HttpRequest) -> Self {
        let responds_async = prefers_async(request);
        Self {
            service,
            account,
            work,
            responds_async,
            trace: trace(request),
            request_id: RequestId::get(request),
        }
    }

    async fn run(self, claim: Option<Box<Claim>>) -> Result<HttpResponse, Failure> {
        let tasks = self.service.tasks.clone();
        match tasks.spawn(async move { self.answer(claim).await }).await {
            Ok(outcome) => outcome.map(|answer| render_saved(answer, false)),
            Err(_) => Err(Failure::from_status(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }

    /// Sends, and keeps the answer under the key once sending had begun.
    async fn answer(self, mut claim: Option<Box<Claim>>) -> Result<SavedAnswer, Failure> {
        let request_id = self.request_id.clone();
        match self.send(claim.as_deref_mut()).await {
            Ok(answer) => {
                if let Some(claim) = claim {
                    claim.complete(answer.clone()).await;
                }
                Ok(answer)
            }
            Err(error) => {
                let failure = Failure::from(error);
                match claim {
                    Some(claim) if claim.is_sending() => {
                        claim.complete(save_failure(&failure, &request_id)).await;
                    }
                    claim => release(claim).await,
                }
                Err(failure)
            }
        }
    }

    async fn send(self, claim: Option<&mut Claim>) -> Result<SavedAnswer, ApiError> {
        let Self { service, account, work, responds_async, trace, .. } = self;
        let uploads = &service.uploads;
        let place = if responds_async { Some(uploads.place()?) } else { None };
        let status = work.status();
        let begun = match work {
            Work::Upload { campaign_id, prepared } => {
                uploads.begin_upload(&account, &campaign_id, *prepared, claim).await?
            }
            Work::Retry { roster_id } => uploads.begin_retry(&account, &roster_id, claim).await?,
        };
        match place {
            Some(place) => Ok(save_roster(202, &uploads.detach(begun, place, trace).await?)),
            None => Ok(save_roster(status, &uploads.finish(begun, &trace).await?)),
        }
    }
}

/// An answer with a roster. Only what was made or is being sent says where it is.
fn save_roster(status: u16, roster: &RosterView) -> SavedAnswer {
    let location = roster.id.as_ref().map(|id| format!("/v1/rosters/{id}"));
    SavedAnswer {
        status,
        location: location.filter(|_| status != 200),
        content_type: "application/json".to_owned(),
        retry_after: None,
        body: serde_json::to_string(roster).unwrap_or_default(),
    }
}

fn save_failure(failure: &Failure, request_id: &str) -> SavedAnswer {
    SavedAnswer {
        status: failure.status().as_u16(),
        location: None,
        content_type: MEDIA_TYPE.to_owned(),
        retry_after: failure.retry_after(),
        body: failure.body(request_id),
    }
}

fn render_saved(answer: SavedAnswer, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK));
    response.content_type(answer.content_type);
    if let Some(location) = answer.location {
        response.insert_header((header::LOCATION, location));
    }
    if let Some(seconds) = answer.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    if answer.status == 202 {
        response.insert_header(("Preference-Applied", RESPOND_ASYNC));
    }
    if replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    response.body(answer.body)
}

enum Claimed {
    Fresh(Box<Claim>),
    Answered(SavedAnswer),
}

async fn claim(
    service: &UploadService,
    principal: &Principal,
    scope: &[&str],
    fingerprint: String,
    request: &HttpRequest,
) -> Result<Claimed, Failure> {
    let caller = [principal.issuer.as_str(), principal.subject.as_str()];
    let scope: Vec<&str> = caller.iter().chain(scope).copied().collect();
    match service.idempotency.begin(&scope, fingerprint).await? {
        Begin::Fresh(claim) => Ok(Claimed::Fresh(Box::new(claim))),
        Begin::Replay(answer) => Ok(Claimed::Answered(answer)),
        Begin::Orphaned(roster_id, claim) => {
            let answer = match service.uploads.find_detached(&roster_id).await? {
                // It goes on without the one who took it.
                Some(roster) => save_roster(202, &roster),
                None => save_failure(&orphaned(&roster_id), &RequestId::get(request)),
            };
            claim.complete(answer.clone()).await;
            Ok(Claimed::Answered(answer))
        }
    }
}

fn orphaned(roster_id: &str) -> Failure {
    let message = format!(
        "The first request with this key ended while {roster_id} was being sent; what came of it is in \
         GET /v1/rosters/{roster_id}. It is not sent again."
    );
    outdial_core::Error::new(ErrorClass::OutcomeUnknown, "upstream-outcome-unknown", message).into()
}

/// Whether one of the preferences is not to wait. They are separated by commas, and may have values and parameters.
fn prefers_async(request: &HttpRequest) -> bool {
    let values = request.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).filter_map(|one| one.split(['=', ';']).next());
    names.any(|name| name.trim().eq_ignore_ascii_case(RESPOND_ASYNC))
}

fn read_options(mut params: Params) -> Result<Options, Failure> {
    let on_invalid = params.parsed("on_invalid", "reject or skip", |text| match text {
        "reject" => Some(OnInvalid::Reject),
        "skip" => Some(OnInvalid::Skip),
        _ => None,
    });
    let on_duplicate = params.parsed("on_duplicate", "reject, skip or allow", |text| match text {
        "reject" => Some(OnDuplicate::Reject),
        "skip" => Some(OnDuplicate::Skip),
        "allow" => Some(OnDuplicate::Allow),
        _ => None,
    });
    let dry_run = params.flag("dry_run");
    params.finish()?;
    Ok(Options {
        on_invalid: on_invalid.unwrap_or_default(),
        on_duplicate: on_duplicate.unwrap_or_default(),
        dry_run,
    })
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Failure> {
    let name = "Idempotency-Key";
    let values: Vec<_> = request.headers().get_all(name).collect();
    let [value] = values.as_slice() else {
        return if values.is_empty() { Ok(None) } else { Err(bad_key(name)) };
    };
    let visible =
        |text: &&str| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = value.to_str().ok().filter(visible).ok_or_else(|| bad_key(name))?;
    Ok(Some(text.to_owned()))
}

fn bad_key(name: &str) -> Failure {
    let place =
        Place::header(name, "not-valid", "The value is not 1 to 255 visible ASCII characters, given once.");
    ApiError::at(ErrorClass::InvalidInput, "invalid-header", "A header is not valid.", vec![place]).into()
}
