//! Rosters: list, read.

use actix_web::{HttpRequest, HttpResponse, web};
use outdial_core::AccountId;
use outdial_store::{RosterFilter, RosterStatus, Rosters, Store};
use serde::Serialize;

use super::{
    accept::choose,
    caller::{Caller, no_params, params},
    problem::Failure,
};
use crate::{
    accounts::Accounts,
    api_error::ApiError,
    auth::Scope,
    params::ID_LIMIT,
    query::{Cursors, covered_account, covered_accounts},
    rosters::{RosterView, count_outcomes},
};

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

/// One roster, and what came of its entries.
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
    let entries = count_outcomes(&**store, &roster).await?;
    Ok(HttpResponse::Ok().json(RosterView { entries: Some(entries), ..RosterView::from(roster) }))
}
