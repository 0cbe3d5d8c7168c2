//! `GET /v1/event-types`: the catalogue of events.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::{
    accept::choose,
    caller::{Caller, no_params},
    docs,
    problem::Failure,
};
use crate::{
    auth::Scope,
    events::{DescribedType, read_catalogue},
};

/// Read of the contract when somebody first asks.
pub(super) static CATALOGUE: LazyLock<Vec<DescribedType>> =
    LazyLock::new(|| docs::contract().map(|contract| read_catalogue(&contract)).unwrap_or_default());

#[derive(Serialize)]
struct Page {
    data: &'static [DescribedType],
    next_cursor: Option<String>,
}

/// Every type of events.
pub async fn list(caller: Caller, request: HttpRequest) -> Result<HttpResponse, Failure> {
    caller.with(Scope::EventsRead)?;
    choose(&request, &["application/json"])?;
    no_params(&request)?;
    Ok(HttpResponse::Ok().json(Page { data: &CATALOGUE, next_cursor: None }))
}
