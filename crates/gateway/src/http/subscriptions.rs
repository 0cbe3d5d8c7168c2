//! Subscriptions: create, list, read, change, remove, and their secrets.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use outdial_store::SubscriptionStatus;
use serde::Serialize;

use super::{
    accept::choose,
    body::read_json,
    caller::{Caller, no_params, params},
    problem::Failure,
};
use crate::{
    api_error::ApiError,
    auth::{Principal, Scope},
    query::Cursors,
    subscriptions::{SubscriptionService, SubscriptionView},
};

const JSON: &[&str] = &["application/json"];
/// A patch is a merge patch by either name.
const PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

/// The caller, and that they accept JSON.
pub(super) fn manager(caller: Caller, request: &HttpRequest) -> Result<Arc<Principal>, Failure> {
    let principal = caller.with(Scope::SubscriptionsManage)?;
    choose(request, JSON)?;
    Ok(principal)
}

/// What a page of a list is bound to: accounts decide what the caller sees.
pub(super) fn binding(principal: &Principal, list: &str) -> String {
    format!("{list} {:?}", principal.accounts)
}

/// The one scope besides the route's own that a change may need.
fn name_scope(error: ApiError) -> Failure {
    let scope = (error.error.code == "insufficient-scope").then_some(Scope::RecordsPii.as_str());
    Failure { scope, ..Failure::from(error) }
}

/// Creates a subscription.
pub async fn create(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    no_params(&request)?;
    let body = read_json(&request, payload, JSON).await?;
    let created = service.create(&principal, body).await.map_err(name_scope)?;
    let location = format!("/v1/subscriptions/{}", created.id());
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(created))
}

#[derive(Serialize)]
struct Page {
    data: Vec<SubscriptionView>,
    next_cursor: Option<String>,
}

/// Subscriptions that the caller may see, in the order of their ids.
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    service: web::Data<SubscriptionService>,
    cursors: web::Data<Cursors>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    let mut params = params(&request);
    let status = params.parsed("status", "active, paused or disabled", |text| match text {
        "active" => Some(SubscriptionStatus::Active),
        "paused" => Some(SubscriptionStatus::Paused),
        "disabled" => Some(SubscriptionStatus::Disabled),
        _ => None,
    });
    let cursor = params.text("cursor");
    let limit = params.limit();
    params.finish()?;
    let binding = binding(&principal, &format!("subscriptions {status:?}"));
    let after: Option<String> = cursors.load(cursor.as_deref(), &binding).await?;
    let page = service.list(&principal, status, after.as_deref(), limit).await?;
    let next_cursor = cursors.save(binding, page.last).await?;
    Ok(HttpResponse::Ok().json(Page { data: page.data, next_cursor }))
}

/// One subscription, with how far it got.
pub async fn get(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    no_params(&request)?;
    Ok(HttpResponse::Ok().json(service.get(&principal, &path).await?))
}

/// Changes a subscription.
pub async fn patch(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    no_params(&request)?;
    let body = read_json(&request, payload, PATCH).await?;
    let changed = service.patch(&principal, &path, &body).await.map_err(name_scope)?;
    Ok(HttpResponse::Ok().json(changed))
}

/// Removes a subscription.
pub async fn delete(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::SubscriptionsManage)?;
    no_params(&request)?;
    service.delete(&principal, &path).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives a subscription a new secret.
pub async fn rotate_secret(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    service: web::Data<SubscriptionService>,
) -> Result<HttpResponse, Failure> {
    let principal = manager(caller, &request)?;
    no_params(&request)?;
    Ok(HttpResponse::Ok().json(service.rotate_secret(&principal, &path).await?))
}
