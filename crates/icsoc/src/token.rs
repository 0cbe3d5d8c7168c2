//! Tokens: OAuth 2 at `/oauth2/token` (ICSOC public documents), form-encoded.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use outdial_core::{
    Error, ErrorClass, ExposeSecret, SecretString, Timestamp, Token, UpstreamFailure, encode_query_value,
    json::{parse_integer, scalar_text},
};

use crate::{
    settings::{Client, Grant, Settings},
    wire::{OAuthFailure, TokenReply},
};

/// What a reply without `expires_in` means.
const DEFAULT_LIFE_SECONDS: i64 = 86_400;

pub fn request(settings: &Settings, previous: Option<&Token>) -> Result<Request<Bytes>, Error> {
    let client = match &settings.grant {
        Grant::Password { client, .. } | Grant::ClientCredentials { client } => client,
        Grant::Fixed(_) => {
            return Err(Error::new(ErrorClass::Internal, "internal", "A fixed token needs no fetching."));
        }
    };
    let form = match (previous.and_then(|token| token.refresh.as_ref()), &settings.grant) {
        (Some(refresh), _) => {
            form(client, &[("grant_type", "refresh_token"), ("refresh_token", refresh.expose_secret())])
        }
        (None, Grant::Password { username, password, .. }) => {
            let who = [("username", username.expose_secret()), ("password", password.expose_secret())];
            form(client, &[("grant_type", "password"), who[0], who[1], ("scope", &settings.scope)])
        }
        (None, _) => form(client, &[("grant_type", "client_credentials"), ("scope", &settings.scope)]),
    };
    Request::post(&settings.token_url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form))
        .map_err(|_| Error::new(ErrorClass::Internal, "internal", "The token request cannot be built."))
}

fn form(client: &Client, fields: &[(&str, &str)]) -> String {
    let credentials =
        [("client_id", client.id.expose_secret()), ("client_secret", client.secret.expose_secret())];
    let pairs = fields.iter().chain(&credentials);
    pairs.map(|(key, value)| format!("{key}={}", encode_query_value(value))).collect::<Vec<_>>().join("&")
}

pub fn parse(response: &Response<Bytes>, now: Timestamp) -> Result<Token, Error> {
    let failure = UpstreamFailure::from_status(response.status());
    match response.status() {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => {
            let said = serde_json::from_slice::<OAuthFailure>(response.body()).unwrap_or_default();
            let failure = UpstreamFailure { code: said.error, ..failure };
            let message = "ICSOC does not take the account's credentials.";
            return Err(
                Error::new(ErrorClass::Unauthenticated, "upstream-auth", message).with_upstream(failure)
            );
        }
        _ => return Err(Error::from_vendor_status("ICSOC's token service", response)),
    }
    read_token(response.body(), now).ok_or_else(|| {
        let message = "ICSOC's token service answered without a token.";
        Error::new(ErrorClass::Protocol, "upstream-protocol", message).with_upstream(failure)
    })
}

fn read_token(body: &[u8], now: Timestamp) -> Option<Token> {
    let reply: TokenReply<'_> = serde_json::from_slice(body).ok()?;
    let text = |raw| scalar_text(raw).filter(|text| !text.is_empty());
    let access = text(reply.access_token)?;
    let life = reply.expires_in.and_then(scalar_text).and_then(|text| parse_integer(&text));
    let life_millis = life.filter(|life| *life > 0).unwrap_or(DEFAULT_LIFE_SECONDS).saturating_mul(1000);
    let refresh = reply.refresh_token.and_then(text).map(SecretString::from);
    Some(Token { access: access.into(), refresh, expires_at: now.plus_millis(life_millis) })
}

/// `Authorization: Bearer <token>`.
pub fn authorize(headers: &mut HeaderMap, token: &SecretString) -> Result<(), Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| {
        Error::new(ErrorClass::Internal, "internal", "The vendor's token cannot stand in a header.")
    })?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}
