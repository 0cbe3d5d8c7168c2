//! `GET /v1/accounts/{account}/drift`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{
    accept::choose,
    caller::{Caller, no_params},
    problem::Failure,
};
use crate::{
    accounts::Accounts, auth::Scope, drift::DriftKeeper, query::covered_account, telemetry::Sighting,
};

#[derive(Serialize)]
struct Page {
    data: Vec<Sighting>,
    next_cursor: Option<String>,
}

/// What the account's vendor sent that no document of it has.
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    accounts: web::Data<Accounts>,
    drift: web::Data<DriftKeeper>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RecordsRead)?;
    choose(&request, &["application/json"])?;
    no_params(&request)?;
    let account = covered_account(&accounts, &principal, &path)?;
    let data = drift.list(&account.id).await?;
    Ok(HttpResponse::Ok().json(Page { data, next_cursor: None }))
}
