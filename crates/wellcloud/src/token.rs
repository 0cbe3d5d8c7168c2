//! Tokens: `POST …/apply/token?appId=…&appSecret=…&type=tenant` (WellCloud public documents), alive for 24 hours.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use outdial_core::{
    Error, ErrorClass, ExposeSecret, SecretString, Timestamp, Token, UpstreamFailure, encode_query_value,
    json::scalar_text,
};

use crate::{
    reply::refusal,
    settings::{Authentication, Settings},
    wire::{JSON_TYPE, TokenReply},
};

const LIFE_MILLIS: i64 = 24 * 60 * 60 * 1000;

pub fn request(settings: &Settings) -> Result<Request<Bytes>, Error> {
    let Authentication::App { id, secret } = &settings.authentication else {
        return Err(Error::new(ErrorClass::Internal, "internal", "A fixed token needs no fetching."));
    };
    let (id, secret) = (encode_query_value(id.expose_secret()), encode_query_value(secret.expose_secret()));
    let url = format!("{}?appId={id}&appSecret={secret}&type=tenant", settings.token_url);
    Request::post(url)
        .header(CONTENT_TYPE, JSON_TYPE)
        .body(Bytes::new())
        .map_err(|_| Error::new(ErrorClass::Internal, "internal", "The token request cannot be built."))
}

pub fn parse(response: &Response<Bytes>, now: Timestamp) -> Result<Token, Error> {
    if response.status() != StatusCode::OK {
        return Err(refusal(response));
    }
    let reply = serde_json::from_slice::<TokenReply<'_>>(response.body()).ok();
    let token = reply.and_then(|reply| scalar_text(reply.token)).filter(|token| !token.trim().is_empty());
    let token = token.ok_or_else(|| {
        let failure = UpstreamFailure::from_status(response.status());
        Error::new(ErrorClass::Protocol, "upstream-protocol", "The token service answered without a token.")
            .with_upstream(failure)
    })?;
    Ok(Token { access: token.into(), refresh: None, expires_at: now.plus_millis(LIFE_MILLIS) })
}

/// The bare token, without a scheme word (WellCloud contract 1).
pub fn authorize(headers: &mut HeaderMap, token: &SecretString) -> Result<(), Error> {
    let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| {
        Error::new(ErrorClass::Internal, "internal", "The vendor's token cannot stand in a header.")
    })?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}
