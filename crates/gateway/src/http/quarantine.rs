//! The quarantine: list, read, replay, delete.

use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use outdial_core::{AccountId, QuarantineReason, Timestamp, VendorId};
use outdial_store::{QuarantineFilter, QuarantinedItem, Store};
use serde::Serialize;

use super::{
    accept::choose,
    caller::{Caller, no_params, params},
    problem::Failure,
};
use crate::{
    accounts::{Account, Accounts},
    api_error::ApiError,
    auth::{Principal, Scope},
    params::Params,
    push::{Explanation, PushReceiver, ReplayResult, ReplayTotals, explain, replay as replay_item},
    query::{Cursors, covered_account, covered_accounts, read_include},
    telemetry::Metrics,
};

/// Longest reason that can be one of ours.
const REASON_LIMIT: usize = 64;
/// How long a replay of many items begins with another one.
const REPLAY_TIME: Duration = Duration::from_secs(20);

#[derive(Serialize)]
struct ItemView {
    id: String,
    account: AccountId,
    vendor: VendorId,
    received_at: Timestamp,
    reason: QuarantineReason,
    content_type: Option<String>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

impl ItemView {
    fn of(item: QuarantinedItem, include_raw: bool) -> Self {
        let QuarantinedItem { id, draft } = item;
        Self {
            id,
            account: draft.account,
            vendor: draft.vendor,
            received_at: draft.received_at,
            reason: draft.reason,
            content_type: draft.content_type,
            bytes: draft.raw.len(),
            raw: include_raw.then(|| STANDARD.encode(&draft.raw)),
            explanation: None,
        }
    }
}

#[derive(Serialize)]
struct ItemPage {
    data: Vec<ItemView>,
    next_cursor: Option<String>,
}

/// What is in quarantine, newest first.
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    cursors: web::Data<Cursors>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::QuarantineManage)?;
    choose(&request, &["application/json"])?;
    let (filter, cursor, limit) = read_page(params(&request), &accounts, &principal)?;
    let binding = format!("quarantine {filter:?}");
    let before: Option<String> = cursors.load(cursor.as_deref(), &binding).await?;
    let mut items = Vec::new();
    if !filter.accounts.is_empty() {
        // One more than asked shows whether another page follows.
        items = store.list_quarantined(&filter, before.as_deref(), limit + 1).await?;
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().map(|item| item.id.clone()).filter(|_| more);
    let next_cursor = cursors.save(binding, last).await?;
    let data = items.into_iter().map(|item| ItemView::of(item, false)).collect();
    Ok(HttpResponse::Ok().json(ItemPage { data, next_cursor }))
}

#[derive(Serialize)]
struct ReplayPage {
    data: Vec<ReplayResult>,
    totals: ReplayTotals,
    next_cursor: Option<String>,
}

/// Takes items once more, oldest first: as many as are asked for, or as can be done in a while.
pub async fn replay_all(
    caller: Caller,
    request: HttpRequest,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    receiver: web::Data<PushReceiver>,
    cursors: web::Data<Cursors>,
    metrics: web::Data<Metrics>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::QuarantineManage)?;
    choose(&request, &["application/json"])?;
    let (filter, cursor, limit) = read_page(params(&request), &accounts, &principal)?;
    let binding = format!("replayed {filter:?}");
    let after: Option<String> = cursors.load(cursor.as_deref(), &binding).await?;
    // One more than asked shows whether another page follows.
    let ids = store.list_quarantined_ids(&filter, after.as_deref(), limit + 1).await?;
    let (started, mut done, mut data) = (Instant::now(), 0_usize, Vec::new());
    for id in ids.iter().take(limit) {
        if done > 0 && started.elapsed() >= REPLAY_TIME {
            break;
        }
        done += 1;
        // One that is gone was dealt with by somebody else.
        let Some(item) = store.get_quarantined(id).await? else { continue };
        let account = covered_account(&accounts, &principal, item.draft.account.as_str())?;
        let result = replay_item(&**store, &receiver, account, item).await?;
        count(&metrics, account, if result.removed { "recovered" } else { "still_unreadable" });
        data.push(result);
    }
    let last = ids.get(done.wrapping_sub(1)).cloned().filter(|_| ids.len() > done);
    let next_cursor = cursors.save(binding, last).await?;
    let totals = ReplayTotals::of(&data);
    tracing::info!(
        items = totals.items,
        removed = totals.removed,
        subject = principal.subject,
        "quarantine.replayed_all"
    );
    Ok(HttpResponse::Ok().json(ReplayPage { data, totals, next_cursor }))
}

/// Filter, cursor and limit of a walk over the quarantine.
fn read_page(
    mut params: Params,
    accounts: &Accounts,
    principal: &Principal,
) -> Result<(QuarantineFilter, Option<String>, usize), Failure> {
    let wanted = params.accounts("account");
    let reason = params.parsed("reason", "the code of a reason", |text| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (text.len() <= REASON_LIMIT && text.bytes().all(plain)).then(|| text.to_owned())
    });
    let (cursor, limit) = (params.text("cursor"), params.limit());
    params.finish()?;
    let covered = covered_accounts(accounts, principal, &wanted)?;
    let ids = covered.iter().map(|account| account.id.clone()).collect();
    Ok((QuarantineFilter { accounts: ids, reason }, cursor, limit))
}

async fn find(
    store: &dyn Store,
    accounts: &Accounts,
    principal: &Principal,
    id: &str,
) -> Result<QuarantinedItem, Failure> {
    let item = store.get_quarantined(id).await?.ok_or_else(ApiError::not_found)?;
    // An item of an account outside the token is answered like one that is not there.
    covered_account(accounts, principal, item.draft.account.as_str()).map_err(|_| ApiError::not_found())?;
    Ok(item)
}

/// Counts what was done with an item.
fn count(metrics: &Metrics, account: &Account, step: &str) {
    let vendor = account.vendor.descriptor().vendor.as_str();
    metrics.quarantine_steps.with_label_values(&[account.id.as_str(), vendor, step]).inc();
}

/// One item, with its bytes and what its proof is worth if wanted.
pub async fn get(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    metrics: web::Data<Metrics>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::QuarantineManage)?;
    choose(&request, &["application/json"])?;
    let mut params = params(&request);
    let include_raw = read_include(&mut params);
    let wants_explanation = params.flag("explain");
    params.finish()?;
    let item = find(&**store, &accounts, &principal, &path).await?;
    let account = covered_account(&accounts, &principal, item.draft.account.as_str())?;
    if include_raw {
        // The bytes hold numbers in full: who looked is to be known.
        tracing::info!(item = item.id, subject = principal.subject, "quarantine.read");
        count(&metrics, account, "read");
    }
    let explanation = wants_explanation.then(|| explain(account, &item.draft));
    if explanation.is_some() {
        count(&metrics, account, "explained");
    }
    Ok(HttpResponse::Ok().json(ItemView { explanation, ..ItemView::of(item, include_raw) }))
}

/// Removes an item for good.
pub async fn delete(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    metrics: web::Data<Metrics>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::QuarantineManage)?;
    no_params(&request)?;
    let item = find(&**store, &accounts, &principal, &path).await?;
    if !store.delete_quarantined(&item.id).await? {
        return Err(ApiError::not_found().into());
    }
    tracing::info!(item = item.id, subject = principal.subject, "quarantine.deleted");
    count(&metrics, covered_account(&accounts, &principal, item.draft.account.as_str())?, "deleted");
    Ok(HttpResponse::NoContent().finish())
}

/// Takes an item once more.
pub async fn replay(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    accounts: web::Data<Accounts>,
    store: web::Data<dyn Store>,
    receiver: web::Data<PushReceiver>,
    metrics: web::Data<Metrics>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::QuarantineManage)?;
    choose(&request, &["application/json"])?;
    no_params(&request)?;
    let item = find(&**store, &accounts, &principal, &path).await?;
    let account = covered_account(&accounts, &principal, item.draft.account.as_str())?;
    let result = replay_item(&**store, &receiver, account, item).await?;
    count(&metrics, account, if result.removed { "recovered" } else { "still_unreadable" });
    Ok(HttpResponse::Ok().json(result))
}
