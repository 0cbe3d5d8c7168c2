//! The admin port: probes and metrics, for the cluster alone.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use outdial_core::Clock;
use outdial_store::StoreStatus;
use serde::Serialize;

use crate::{accounts::Accounts, health::Health, telemetry::Metrics};

/// What the admin port needs.
pub struct AdminService {
    /// Whether pushes can be taken durably.
    pub health: Arc<Health>,
    /// All accounts, for the age of their last push.
    pub accounts: Accounts,
    /// The clock that ages are told by.
    pub clock: Arc<dyn Clock>,
}

/// The routes of the admin port.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/livez", web::get().to(live))
        .route("/healthz", web::get().to(live))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics));
}

/// The process answers.
async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    /// Why not.
    reason: Option<&'a str>,
    store: Option<&'a StoreStatus>,
}

/// Pushes can be stored durably: not "Redis is up".
async fn ready(service: web::Data<AdminService>) -> HttpResponse {
    let status = service.health.status();
    let verdict = service.health.verdict();
    let body = Readiness {
        ready: verdict.is_ok(),
        reason: verdict.as_ref().err().copied(),
        store: status.as_deref(),
    };
    match verdict {
        Ok(()) => HttpResponse::Ok().json(body),
        Err(_) => HttpResponse::ServiceUnavailable().json(body),
    }
}

async fn metrics(service: web::Data<AdminService>, metrics: web::Data<Metrics>) -> HttpResponse {
    let now = service.clock.now();
    for account in service.accounts.iter() {
        if let Some(last) = account.last_push_at() {
            let labels = [account.id.as_str(), account.vendor.descriptor().vendor.as_str()];
            let age = i32::try_from((now.millis() - last.millis()).max(0) / 1_000).unwrap_or(i32::MAX);
            metrics.last_push_age.with_label_values(&labels).set(f64::from(age));
        }
        if let Some(through) = account.sync.as_ref().and_then(|sync| sync.seen().through) {
            metrics.show_sync_lag(account, now, through);
        }
    }
    match metrics.to_text() {
        Ok(text) => HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
