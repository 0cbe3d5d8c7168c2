//! Rosters: upload, list, read.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use outdial_core::{AccountId, Clock, ErrorClass};
use outdial_store::{RosterFilter, RosterStatus, Rosters, Store};
use serde::Serialize;

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
    params::{ID_LIMIT, Params},
    query::{Cursors, covered_account, covered_accounts},
    rosters::{
        Begin, Claim, Idempotency, Intake, OnDuplicate, OnInvalid, Options, Prepared, RosterUploads,
        RosterView, SavedAnswer,
    },
    tasks::Tasks,
    upstream::Trace,
};

/// What an upload needs besides the request.
pub struct UploadService {
    pub(super) uploads: Arc<RosterUploads>,
    pub(super) idempotency: Idempotency,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    pub(super) limits: RosterConfig,
    pub(super) http: HttpConfig,
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
            match claim(&service, &principal, &account, &campaign_id, key, body, &request).await? {
                Claimed::Fresh(claim) => Some(claim),
                Claimed::Answered(answer) => return Ok(render_saved(answer, true)),
            }
        }
        _ => None,
    };
    let job = UploadJob {
        service: service.into_inner(),
        account,
        campaign_id,
        dry_run: options.dry_run,
        trace: trace(&request),
        request_id: RequestId::get(&request),
    };
    let prepared = match body.map(RosterBody::prepare) {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(error)) => {
            release(claim).await;
            return Err(error.into());
        }
        Err(failure) => return Err(failure),
    };
    job.run(prepared, claim).await
}

async fn release(claim: Option<Box<Claim>>) {
    if let Some(claim) = claim {
        claim.abandon().await;
    }
}

/// One upload. It runs to its end even if the caller hangs up.
struct UploadJob {
    service: Arc<UploadService>,
    account: Arc<Account>,
    campaign_id: String,
    dry_run: bool,
    trace: Trace,
    request_id: String,
}

impl UploadJob {
    async fn run(self, prepared: Prepared, claim: Option<Box<Claim>>) -> Result<HttpResponse, Failure> {
        if self.dry_run {
            release(claim).await;
            let now = self.service.clock.now();
            let view = RosterView::planned(&self.account, &self.campaign_id, prepared, now);
            return Ok(HttpResponse::Ok().json(view));
        }
        let tasks = self.service.tasks.clone();
        let work = tasks.spawn(async move { self.send(prepared, claim).await });
        match work.await {
            Ok(outcome) => outcome.map(|answer| render_saved(answer, false)),
            Err(_) => Err(Failure::from_status(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }

    /// Sends, and keeps the answer under the key once sending had begun.
    async fn send(self, prepared: Prepared, mut claim: Option<Box<Claim>>) -> Result<SavedAnswer, Failure> {
        let uploads = &self.service.uploads;
        let sent = uploads
            .upload(&self.account, &self.campaign_id, prepared, claim.as_deref_mut(), &self.trace)
            .await;
        match sent {
            Ok(roster) => {
                let answer = SavedAnswer {
                    status: 201,
                    location: roster.id.as_ref().map(|id| format!("/v1/rosters/{id}")),
                    content_type: "application/json".to_owned(),
                    retry_after: None,
                    body: serde_json::to_string(&roster).unwrap_or_default(),
                };
                if let Some(claim) = claim {
                    claim.complete(answer.clone()).await;
                }
                Ok(answer)
            }
            Err(error) => {
                let failure = Failure::from(error);
                match claim {
                    Some(claim) if claim.is_sending() => {
                        claim.complete(save_failure(&failure, &self.request_id)).await;
                    }
                    Some(claim) => claim.abandon().await,
                    None => {}
                }
                Err(failure)
            }
        }
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
    let status = actix_web::http::StatusCode::from_u16(answer.status);
    let mut response = HttpResponse::build(status.unwrap_or(actix_web::http::StatusCode::OK));
    response.content_type(answer.content_type);
    if let Some(location) = answer.location {
        response.insert_header((header::LOCATION, location));
    }
    if let Some(seconds) = answer.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
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
    account: &Account,
    campaign_id: &str,
    key: &str,
    body: &RosterBody,
    request: &HttpRequest,
) -> Result<Claimed, Failure> {
    let fingerprint = body.fingerprint(request);
    let scope = [&principal.issuer, &principal.subject, account.id.as_str(), campaign_id, key];
    match service.idempotency.begin(&scope, fingerprint).await? {
        Begin::Fresh(claim) => Ok(Claimed::Fresh(Box::new(claim))),
        Begin::Replay(answer) => Ok(Claimed::Answered(answer)),
        Begin::Orphaned(roster_id, claim) => {
            let message = format!(
                "The first request with this key ended while {roster_id} was being sent; what came of it is in \
                 GET /v1/rosters/{roster_id}. It is not sent again."
            );
            let error =
                outdial_core::Error::new(ErrorClass::OutcomeUnknown, "upstream-outcome-unknown", message);
            let failure = Failure::from(error);
            let answer = save_failure(&failure, &RequestId::get(request));
            claim.complete(answer.clone()).await;
            Ok(Claimed::Answered(answer))
        }
    }
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

#[derive(Serialize)]
struct RosterPage {
    data: Vec<RosterView>,
    next_cursor: Option<String>,
}

/// Rosters, newest first.
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    cursors: web::Data<Cursors>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RostersRead)?;
    choose(&request, &["application/json"])?;
    let mut params = params(&request);
    let wanted = params.accounts("account");
    let campaign_id = params.short_text("campaign_id", ID_LIMIT);
    let status = params.parsed("status", "sending, accepted, partial, failed or unknown", read_status);
    let cursor = params.text("cursor");
    let limit = params.limit();
    params.finish()?;
    let covered = covered_accounts(&accounts, &principal, &wanted)?;
    let ids: Vec<AccountId> = covered.iter().map(|account| account.id.clone()).collect();
    let binding = format!("rosters {ids:?} {campaign_id:?} {status:?}");
    let before: Option<String> = cursors.load(cursor.as_deref(), &binding).await?;
    let filter = RosterFilter { accounts: ids, campaign_id, status };
    let mut rosters = Vec::new();
    if !filter.accounts.is_empty() {
        // One more than asked shows whether another page follows.
        rosters = store.list_rosters(&filter, before.as_deref(), limit + 1).await?;
    }
    let more = rosters.len() > limit;
    rosters.truncate(limit);
    let last = rosters.last().map(|roster| roster.id.clone()).filter(|_| more);
    let next_cursor = cursors.save(binding, last).await?;
    let data = rosters.into_iter().map(RosterView::from).collect();
    Ok(HttpResponse::Ok().json(RosterPage { data, next_cursor }))
}

fn read_status(text: &str) -> Option<RosterStatus> {
    let all = [
        RosterStatus::Sending,
        RosterStatus::Accepted,
        RosterStatus::Partial,
        RosterStatus::Failed,
        RosterStatus::Unknown,
    ];
    all.into_iter().find(|status| status.as_str() == text)
}

/// One roster.
pub async fn get(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RostersRead)?;
    choose(&request, &["application/json"])?;
    no_params(&request)?;
    let roster = Rosters::get_roster(&**store, &path).await?.ok_or_else(ApiError::not_found)?;
    covered_account(&accounts, &principal, roster.account.as_str()).map_err(|_| ApiError::not_found())?;
    Ok(HttpResponse::Ok().json(RosterView::from(roster)))
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
