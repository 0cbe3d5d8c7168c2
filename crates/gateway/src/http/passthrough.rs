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

/// Whether a path is that of a relayed call, with no escapes on our side of it.
pub fn is_plain(path: &str) -> bool {
    let Some((account, rest)) = path.strip_prefix("/v1/accounts/").and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let part = rest.strip_prefix("vendor/");
    !account.is_empty() && !account.contains('%') && part.is_some_and(|part| !part.is_empty())
}

/// Passes a call on.
pub async fn pass(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    accounts: web::Data<Accounts>,
    relay: web::Data<Relay>,
) -> Result<HttpResponse, Failure> {
    let principal = caller.with(Scope::VendorCall)?;
    let (account, target) = split(&request);
    // What has escapes on our side of the path was told by its pattern, which decodes them.
    let account = request.match_info().get("account").unwrap_or(account);
    let account = covered_account(&accounts, &principal, account)?;
    check_target(target)?;
    let body = body_of(&request, payload, relay.max_request())?;
    let call = RelayCall {
        method: request.method().clone(),
        target,
        headers: request.headers(),
        request_id: RequestId::value(&request),
        body,
    };
    match relay.pass(account, call).await {
        Ok(relayed) => Ok(response(relayed)),
        Err(failure) => Err(explain(account, failure, relay.max_request())),
    }
}

/// The account, and path and query of the vendor's API, byte for byte as the caller wrote them.
fn split(request: &HttpRequest) -> (&str, &str) {
    let whole = request.uri().path_and_query().map_or("", |whole| whole.as_str());
    let mut parts = whole.splitn(OWN_SLASHES + 1, '/');
    // Between them stands the word that tells relayed calls from others.
    (parts.nth(OWN_SLASHES - 2).unwrap_or_default(), parts.nth(1).unwrap_or_default())
}

/// Refuses a path that could lead out of the vendor's API.
fn check_target(target: &str) -> Result<(), Failure> {
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
    })
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

fn response(relayed: Relayed) -> HttpResponse {
    let Relayed { vendor, status, headers, body } = relayed;
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
    response.headers_mut().insert(UPSTREAM, vendor);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plainly_relayed_is_told_without_a_pattern() {
        for path in
            ["/v1/accounts/wc-1/vendor/a", "/v1/accounts/wc-1/vendor/a/b%2F/", "/v1/accounts/x/vendor//"]
        {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "/v1/accounts/wc-1/vendor/",
            "/v1/accounts/wc-1/vendor",
            "/v1/accounts//vendor/a",
            "/v1/accounts/wc%2D1/vendor/a",
            "/v1/accounts/wc-1/%76endor/a",
            "/v1/accounts/wc-1/vendors/a",
            "/v1/accounts/wc-1/drift",
            "/v1/accounts/wc-1",
            "/v2/accounts/wc-1/vendor/a",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
