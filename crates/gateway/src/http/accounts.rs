//! `GET /v1/accounts` and one account.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use outdial_core::{AccountId, Capabilities, Timestamp, VendorId};
use serde::Serialize;

use super::{
    accept::choose,
    caller::{Caller, no_params},
    problem::Failure,
};
use crate::{
    account_sync::{AccountSync, SyncState},
    accounts::{Account, Accounts},
    auth::Scope,
    query::covered_account,
    upstream::{TokenState, Upstream},
};

#[derive(Serialize)]
struct AccountView<'a> {
    id: &'a AccountId,
    vendor: &'a VendorId,
    capabilities: Capabilities,
    state: &'static str,
    circuit: &'static str,
    last_push_at: Option<Timestamp>,
    last_sync_at: Option<Timestamp>,
    sync: Option<SyncView>,
    token: TokenState,
}

#[derive(Serialize)]
struct SyncView {
    state: SyncState,
    through: Option<Timestamp>,
}

async fn view<'a>(account: &'a Arc<Account>, upstream: &Upstream) -> Result<AccountView<'a>, Failure> {
    let token = upstream.token_state(account).await?;
    let descriptor = account.vendor.descriptor();
    let circuit = upstream.circuit(&account.id);
    let state = match token.state {
        "backing_off" => "token_failing",
        _ if circuit != "closed" || upstream.is_failing(&account.id) => "unavailable",
        _ => "ok",
    };
    let sync = account.sync.as_ref().map(AccountSync::seen);
    Ok(AccountView {
        id: &account.id,
        vendor: &descriptor.vendor,
        capabilities: descriptor.capabilities,
        state,
        circuit,
        last_push_at: account.last_push_at(),
        last_sync_at: sync.and_then(|seen| seen.completed_at),
        sync: sync.map(|seen| SyncView { state: seen.state, through: seen.through }),
        token,
    })
}

#[derive(Serialize)]
struct AccountPage<'a> {
    data: Vec<AccountView<'a>>,
    next_cursor: Option<&'a str>,
}

/// All accounts that the token covers.
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    accounts: web::Data<Accounts>,
    upstream: web::Data<Upstream>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::AccountsRead)?;
    choose(&request, &["application/json"])?;
    no_params(&request)?;
    let mut data = Vec::new();
    for account in accounts.iter().filter(|account| principal.covers(&account.id)) {
        data.push(view(account, &upstream).await?);
    }
    Ok(HttpResponse::Ok().json(AccountPage { data, next_cursor: None }))
}

/// One account.
pub async fn get(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    accounts: web::Data<Accounts>,
    upstream: web::Data<Upstream>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::AccountsRead)?;
    choose(&request, &["application/json"])?;
    no_params(&request)?;
    let account = covered_account(&accounts, &principal, &path)?;
    Ok(HttpResponse::Ok().json(view(account, &upstream).await?))
}
