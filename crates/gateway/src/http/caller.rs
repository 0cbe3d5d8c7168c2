//! Extractors: who calls, and what they ask in the query.

use std::{ops::Deref, sync::Arc};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderValue},
    web,
};
use futures_util::{
    FutureExt,
    future::{Either, LocalBoxFuture, Ready, ready},
};

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
    type Future = Either<Ready<Result<Self, Failure>>, LocalBoxFuture<'static, Result<Self, Failure>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(verifier) = request.app_data::<web::Data<Verifier>>() else {
            return Either::Left(ready(Err(Failure::from_status(internal()))));
        };
        let mut given = request.headers().get_all(header::AUTHORIZATION);
        // Two headers are two callers: neither is believed.
        let only = given.next().filter(|_| given.next().is_none()).map(HeaderValue::as_bytes);
        if let Some(principal) = verifier.remembered(only) {
            return Either::Left(ready(Ok(Self(principal))));
        }
        let (verifier, only) = (verifier.clone(), only.map(<[u8]>::to_vec));
        Either::Right(async move { Ok(Self(verifier.verify(only.as_deref()).await?)) }.boxed_local())
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
