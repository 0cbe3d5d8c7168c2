//! The contract, for machines and for people. No token is needed.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, http::header, web};

use super::{accept::choose, caller::no_params, problem, problem::Failure};
use crate::api_error::ApiError;

/// The contract as it stands in the repository.
pub const OPENAPI_YAML: &str = include_str!("../../../../openapi.yaml");

const PAGE: &str = include_str!("../../assets/docs.html");
const STYLE: &str = include_str!("../../assets/docs.css");
const SCRIPT: &str = include_str!("../../assets/docs.js");

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Converted once, when somebody first asks.
static OPENAPI_JSON: LazyLock<Option<String>> = LazyLock::new(|| serde_json::to_string(&contract()?).ok());

/// The contract as a tree.
pub(super) fn contract() -> Option<serde_json::Value> {
    serde_saphyr::from_str(OPENAPI_YAML).ok()
}

fn serve(
    request: &HttpRequest,
    offered: &'static [&'static str],
    text: &'static str,
) -> Result<HttpResponse, Failure> {
    choose(request, offered)?;
    no_params(request)?;
    let media_type = match offered[0] {
        textual if textual.starts_with("text/") => format!("{textual}; charset=utf-8"),
        other => other.to_owned(),
    };
    Ok(HttpResponse::Ok()
        .content_type(media_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(text))
}

/// The contract.
pub async fn openapi_yaml(request: HttpRequest) -> Result<HttpResponse, Failure> {
    serve(&request, &["application/yaml"], OPENAPI_YAML)
}

/// The contract for readers without a YAML parser.
pub async fn openapi_json(request: HttpRequest) -> Result<HttpResponse, Failure> {
    let text = OPENAPI_JSON.as_deref().ok_or_else(|| Failure::from_status(internal()))?;
    serve(&request, &["application/json"], text)
}

/// The page that shows the contract.
pub async fn page(request: HttpRequest) -> Result<HttpResponse, Failure> {
    serve(&request, &["text/html"], PAGE)
}

/// Its style sheet.
pub async fn style(request: HttpRequest) -> Result<HttpResponse, Failure> {
    serve(&request, &["text/css"], STYLE)
}

/// Its script.
pub async fn script(request: HttpRequest) -> Result<HttpResponse, Failure> {
    serve(&request, &["text/javascript"], SCRIPT)
}

/// What a problem means, for people.
pub async fn problem_page(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, Failure> {
    choose(&request, &["text/html"])?;
    no_params(&request)?;
    let kind = problem::find_kind(&path).ok_or_else(ApiError::not_found)?;
    let again = if kind.retryable { "may succeed later" } else { "will fail again" };
    let (title, code, status, advice) = (kind.title, kind.code, kind.status, kind.advice);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\
         <link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"../docs/docs.css\"></head>\n\
         <body><main><h1>{title}</h1>\n<p><code>{code}</code>, HTTP status {status}</p>\n<p>{advice}</p>\n\
         <p>The same request, unchanged, {again}.</p>\n<p><a href=\"../docs\">The whole contract</a></p></main></body>\n\
         </html>\n"
    );
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(html))
}

const fn internal() -> actix_web::http::StatusCode {
    actix_web::http::StatusCode::INTERNAL_SERVER_ERROR
}
