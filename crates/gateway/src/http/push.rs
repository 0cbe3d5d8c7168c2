//! The push port: the only one that the internet may reach. `POST /push/{account}/{push_token}`; all else is 404.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, Resource, http::header, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use outdial_core::{Clock, PushOutcome, PushReply, RawPush};
use tokio::time::{Instant as TokioInstant, timeout, timeout_at};

use super::around::{count, method_label};
use crate::{
    accounts::Account,
    config::PushConfig,
    push::{Admission, PushReceiver},
    telemetry::Metrics,
};

/// What the push port needs besides the request.
pub struct PushService {
    /// The bounds.
    pub config: PushConfig,
    /// The clock that says when a body was complete.
    pub clock: std::sync::Arc<dyn Clock>,
}

/// The route of the push port.
pub fn resource() -> Resource {
    web::resource("/push/{account}/{push_token}")
        .route(web::post().to(take))
        .default_service(web::to(method_not_allowed))
}

/// The answer to everything else on this port, the same for a wrong account as for a wrong secret.
pub async fn not_found(request: HttpRequest, metrics: web::Data<Metrics>) -> HttpResponse {
    let started = Instant::now();
    let response = HttpResponse::NotFound()
        .content_type("application/json")
        .body(r#"{"code":40400,"message":"not found"}"#);
    note(&request, &metrics, &response, started);
    response
}

async fn method_not_allowed(request: HttpRequest, metrics: web::Data<Metrics>) -> HttpResponse {
    let started = Instant::now();
    let response = HttpResponse::MethodNotAllowed()
        .content_type("application/json")
        .insert_header((header::ALLOW, "POST"))
        .body(r#"{"code":40500,"message":"method not allowed"}"#);
    note(&request, &metrics, &response, started);
    response
}

fn note(request: &HttpRequest, metrics: &Metrics, response: &HttpResponse, started: Instant) {
    let route = if request.match_pattern().is_some() { "/push" } else { "unmatched" };
    let method = method_label(request.method().as_str());
    count(metrics, "push", route, method, response.status(), started.elapsed());
}

async fn take(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    admission: web::Data<Admission>,
    receiver: web::Data<PushReceiver>,
    service: web::Data<PushService>,
    metrics: web::Data<Metrics>,
) -> HttpResponse {
    let started = Instant::now();
    let (account, token) = path.into_inner();
    let sender = request.peer_addr().map(|address| address.ip());
    let Some(account) = admission.find(&account, &token, sender) else {
        return not_found(request, metrics).await;
    };
    let reply = match admit(&request, account, &admission).await {
        Ok(place) => {
            let reply = read_and_take(&request, payload, account, &receiver, &service).await;
            drop(place);
            reply
        }
        Err(outcome) => {
            if outcome == PushOutcome::Shed {
                metrics.shed.with_label_values(&["push", "memory"]).inc();
            }
            receiver.answer(account, &outcome)
        }
    };
    let response = render(reply);
    note(&request, &metrics, &response, started);
    response
}

/// What the head of the request tells: whether the body may be read, and room for it.
async fn admit(
    request: &HttpRequest,
    account: &Account,
    admission: &Admission,
) -> Result<crate::push::Place, PushOutcome> {
    if request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(PushOutcome::Compressed);
    }
    let vendor = account.vendor.descriptor();
    let limit = u64::try_from(vendor.push_limit).unwrap_or(u64::MAX);
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(PushOutcome::TooLarge);
    }
    admission.enter(announced.unwrap_or(limit), vendor.repeats_pushes).await.ok_or(PushOutcome::Shed)
}

async fn read_and_take(
    request: &HttpRequest,
    payload: web::Payload,
    account: &std::sync::Arc<Account>,
    receiver: &web::Data<PushReceiver>,
    service: &PushService,
) -> PushReply {
    let content_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let limit = account.vendor.descriptor().push_limit;
    match read_body(payload, limit, &service.config).await {
        Ok(body) => {
            let raw = RawPush { body, content_type, received_at: service.clock.now() };
            receiver.receive(account, raw).await
        }
        Err((outcome, partial)) => {
            // A vendor that does not repeat sent this once: what came of it is kept.
            if matches!(outcome, PushOutcome::Truncated | PushOutcome::TooSlow) {
                receiver.keep_partial(account, partial, content_type).await;
            }
            receiver.answer(account, &outcome)
        }
    }
}

/// Reads a body within its bounds. actix itself never times a body out.
async fn read_body(
    mut payload: web::Payload,
    limit: usize,
    config: &PushConfig,
) -> Result<Bytes, (PushOutcome, Bytes)> {
    let deadline = TokioInstant::now() + config.body_total;
    let mut body = BytesMut::new();
    loop {
        let next = timeout_at(deadline, timeout(config.body_idle, payload.next())).await;
        match next {
            Ok(Ok(None)) => return Ok(body.freeze()),
            Ok(Ok(Some(Ok(chunk)))) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
            Ok(Ok(Some(Ok(_)))) => return Err((PushOutcome::TooLarge, Bytes::new())),
            Ok(Ok(Some(Err(_)))) => return Err((PushOutcome::Truncated, body.freeze())),
            Ok(Err(_)) | Err(_) => return Err((PushOutcome::TooSlow, body.freeze())),
        }
    }
}

fn render(reply: PushReply) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(reply.status.as_u16());
    let mut response =
        HttpResponse::build(status.unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR));
    response.content_type(reply.content_type);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(seconds) = reply.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    response.body(reply.body)
}
