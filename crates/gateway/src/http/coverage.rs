//! `GET /v1/accounts/{account}/coverage`.

use actix_web::{HttpRequest, HttpResponse, web};
use outdial_core::Clock;
use outdial_store::Store;

use super::{
    accept::choose,
    caller::{Caller, params},
    problem::Failure,
};
use crate::{
    accounts::Accounts,
    auth::Scope,
    query::covered_account,
    sync::{Coverage, CoverageRequest},
};

/// What came by push, what only a search found, and whether that is all, hour by hour.
pub async fn get(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    clock: web::Data<dyn Clock>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::RecordsRead)?;
    choose(&request, &["application/json"])?;
    let mut params = params(&request);
    let wanted = CoverageRequest::read(&mut params, clock.now());
    params.finish()?;
    let account = covered_account(&accounts, &principal, &path)?;
    Ok(HttpResponse::Ok().json(Coverage::read(&**store, account, wanted).await?))
}
