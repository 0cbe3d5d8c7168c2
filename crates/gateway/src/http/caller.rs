//! Extractors: who calls, and what they ask in the query.

use std::{future::Future, ops::Deref, pin::Pin, sync::Arc};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};

use super::problem::Failure;
use crate::{
    auth::{Principal, Scope, Verifier},
    params::Params,
};

/// The caller of a route that demands a token. Its existence proves that the token was checked; the scope is checked by
/// [`Caller::with`].
#[derive(Debug)]
pub struct Caller(Arc<Principal>);

impl Caller {
    /// The caller, if their token has the scope.
    ///
    /// # Errors
    /// `insufficient-scope`, naming it.
    pub fn with(self, scope: Scope) -> Result<Arc<Principal>, Failure> {
        match self.0.require(scope) {
            Ok(()) => Ok(self.0),
            Err(error) => Err(Failure { scope: Some(scope.as_str()), ..Failure::from(error) }),
        }
    }
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl FromRequest for Caller {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let verifier = request.app_data::<web::Data<Verifier>>().cloned();
        let given: Vec<String> = request
            .headers()
            .get_all(header::AUTHORIZATION)
            .map(|value| value.to_str().unwrap_or_default().to_owned())
            .collect();
        Box::pin(async move {
            let verifier = verifier.ok_or_else(|| Failure::from_status(internal()))?;
            // Two headers are two callers: neither is believed.
            let only = if given.len() == 1 { given.first().map(String::as_str) } else { None };
            Ok(Self(verifier.verify(only).await?))
        })
    }
}

const fn internal() -> actix_web::http::StatusCode {
    actix_web::http::StatusCode::INTERNAL_SERVER_ERROR
}

/// The parameters of a request, decoded.
pub fn params(request: &HttpRequest) -> Params {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    Params::new(pairs.map(web::Query::into_inner).unwrap_or_default())
}

/// Refuses every parameter, on a route that has none.
///
/// # Errors
/// `invalid-parameter`.
pub fn no_params(request: &HttpRequest) -> Result<(), Failure> {
    Ok(params(request).finish()?)
}
