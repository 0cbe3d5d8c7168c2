//! `ANY /v1/accounts/{account}/vendor/{path}`: the vendor's own API, with the account's token put on.

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodyStream, BoxBody, SizedStream},
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    web,
};
use bytes::Bytes;
use futures_util::stream;

use super::{around::RequestId, body::too_large, caller::Caller, problem::Failure};
use crate::{
    accounts::{Account, Accounts},
    api_error::{ApiError, Place},
    auth::Scope,
    query::covered_account,
    upstream::{CallerBody, Relay, RelayCall, RelayFailure, Relayed, RelayedBody, UploadFault, check_path},
};

/// Says that an answer is a vendor's, and whose: without it a vendor's 401 would look like ours.
pub const UPSTREAM: HeaderName = HeaderName::from_static("outdial-upstream");

/// Slashes before the part of a path that belongs to the vendor.
const OWN_SLASHES: usize = 5;

/// Passes a call on.
pub async fn pass(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    accounts: web::Data<Accounts>,
    relay: web::Data<Relay>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::VendorCall)?;
    let account = request.match_info().get("account").unwrap_or_default();
    let account = covered_account(&accounts, &principal, account)?;
    let target = vendors_part(&request)?;
    let body = body_of(&request, payload, relay.max_request())?;
    let call = RelayCall {
        method: request.method().clone(),
        target,
        headers: request.headers(),
        request_id: RequestId::value(&request),
        body,
    };
    match relay.pass(account, call).await {
        Ok(relayed) => Ok(response(account, relayed)),
        Err(failure) => Err(explain(account, failure, relay.max_request())),
    }
}

/// Path and query of the vendor's API, byte for byte as the caller wrote them.
fn vendors_part(request: &HttpRequest) -> Result<&str, Failure> {
    let whole = request.uri().path_and_query().map_or("", |whole| whole.as_str());
    let target = whole.splitn(OWN_SLASHES + 1, '/').nth(OWN_SLASHES).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    check_path(path).map_err(|problem| {
        let place =
            Place { pointer: Some("path".to_owned()), code: "not-valid".to_owned(), ..Place::default() };
        let place = Place { detail: format!("The path {problem}."), ..place };
        Failure::from(ApiError::at(
            outdial_core::ErrorClass::InvalidInput,
            "invalid-parameter",
            "The path could lead out of the vendor's API.",
            vec![place],
        ))
    })?;
    Ok(target)
}

fn body_of(
    request: &HttpRequest,
    payload: web::Payload,
    limit: u64,
) -> Result<CallerBody<web::Payload>, Failure> {
    let headers = request.headers();
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match announced.and_then(|text| text.parse().ok()) {
        Some(length) if length > limit => Err(too_large(limit)),
        Some(length) => Ok(CallerBody::Sized(length, payload)),
        None if headers.contains_key(header::TRANSFER_ENCODING) => Ok(CallerBody::Chunked(payload)),
        None => Ok(CallerBody::None),
    }
}

fn response(account: &Account, relayed: Relayed) -> HttpResponse {
    let Relayed { status, headers, body } = relayed;
    let body = match body {
        RelayedBody::None(None) => BoxBody::new(()),
        // A body of that size that never comes: the answer to HEAD tells the length alone.
        RelayedBody::None(Some(length)) => {
            BoxBody::new(SizedStream::new(length, stream::empty::<Result<Bytes, std::io::Error>>()))
        }
        RelayedBody::Whole(bytes) => BoxBody::new(bytes),
        RelayedBody::Coming(Some(length), chunks) => BoxBody::new(SizedStream::new(length, chunks)),
        RelayedBody::Coming(None, chunks) => BoxBody::new(BodyStream::new(chunks)),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::with_body(status, body);
    for (name, value) in headers {
        response.headers_mut().append(name, value);
    }
    if let Ok(vendor) = HeaderValue::from_str(account.vendor.descriptor().vendor.as_str()) {
        response.headers_mut().insert(UPSTREAM, vendor);
    }
    // Whatever the vendor sends is no page of ours.
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn explain(account: &Account, failure: RelayFailure, limit: u64) -> Failure {
    match failure {
        RelayFailure::Vendor(error) => {
            ApiError::from(error).of_account(&account.id, &account.vendor.descriptor().vendor).into()
        }
        RelayFailure::Upload(UploadFault::Broken) => {
            ApiError::body("The body ended before its announced length.").into()
        }
        RelayFailure::Upload(UploadFault::TooSlow) => {
            Failure::new("request-timeout", "The body came too slowly.")
        }
        RelayFailure::Upload(UploadFault::TooLarge) => too_large(limit),
    }
}
