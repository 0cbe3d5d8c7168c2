//! What was and is to be delivered to a subscription: deliveries, their retry, samples and replays.

use actix_web::{HttpRequest, HttpResponse, web};
use outdial_store::DeliveryStatus;
use serde::Serialize;

use super::{
    body::read_json,
    caller::{Caller, no_params, params},
    event_types::CATALOGUE,
    problem::Failure,
    subscriptions::{binding, manager},
};
use crate::{
    query::Cursors,
    subscriptions::{DeliveryView, SubscriptionService},
};

#[derive(Serialize)]
struct Page {
    data: Vec<DeliveryView>,
    next_cursor: Option<String>,
}

/// Deliveries of a subscription, newest first.
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    service: web::Data<SubscriptionService>,
    cursors: web::Data<Cursors>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    let mut params = params(&request);
    let status = params.parsed("status", "pending, delivered or dead", |text| match text {
        "pending" => Some(DeliveryStatus::Pending),
        "delivered" => Some(DeliveryStatus::Delivered),
        "dead" => Some(DeliveryStatus::Dead),
        _ => None,
    });
    let cursor = params.text("cursor");
    let limit = params.limit();
    params.finish()?;
    let binding = binding(&principal, &format!("deliveries {path} {status:?}"));
    let before: Option<String> = cursors.load(cursor.as_deref(), &binding).await?;
    let page = service.list_deliveries(&principal, &path, status, before.as_deref(), limit).await?;
    let next_cursor = cursors.save(binding, page.last).await?;
    Ok(HttpResponse::Ok().json(Page { data: page.data, next_cursor }))
}

/// Tries a dead delivery again.
pub async fn retry(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    no_params(&request)?;
    let (id, delivery) = path.into_inner();
    Ok(HttpResponse::Accepted().json(service.retry_delivery(&principal, &id, &delivery).await?))
}

/// Tries every dead delivery again.
pub async fn retry_all(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    no_params(&request)?;
    Ok(HttpResponse::Accepted().json(service.retry_deliveries(&principal, &path).await?))
}

/// Sends a sample.
pub async fn test(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    no_params(&request)?;
    Ok(HttpResponse::Ok().json(service.send_sample(&principal, &path, &CATALOGUE).await?))
}

/// Has events delivered once more, or says how many that would be.
pub async fn replay(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    no_params(&request)?;
    let body = read_json(&request, payload, &["application/json"]).await?;
    let planned = service.replay(&principal, &path, body).await?;
    let mut answer = if planned.dry_run { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    Ok(answer.json(planned))
}
