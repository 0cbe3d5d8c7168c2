//! `POST /oauth2/token` (ICSOC public docs): password, client credentials, refresh token.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use actix_web::http::Method;
use serde_json::json;

use crate::{
    config::IcsocSettings,
    dice::Dice,
    http::{Call, Reply, read_pairs},
    stats::Counter,
    tokens::{TOKEN_LIFE_MS, Tokens},
};

/// Fetches that an agent may make in 24 hours, refused ones too (ICSOC public docs).
const MAX_FETCHES: usize = 128;
/// The one scope there is.
const SCOPE: &str = "openid";

/// The token address.
#[derive(Debug, Default)]
pub(crate) struct TokenDesk {
    tokens: Tokens,
    refresh_tokens: Tokens,
    issued: Counter,
    /// When tokens were asked for, within the last 24 hours.
    fetches: Mutex<VecDeque<i64>>,
}

impl TokenDesk {
    /// Whether calls may carry `token`.
    pub(crate) fn is_good(&self, token: &str, now_ms: i64) -> bool {
        self.tokens.is_good(token, now_ms)
    }

    /// Lets every access token expire.
    pub(crate) fn expire_tokens(&self) {
        self.tokens.expire_all();
    }

    /// Answers a request for a token; the error is a refusal.
    pub(crate) fn answer(
        &self,
        call: &Call,
        settings: &IcsocSettings,
        seed: u64,
        now_ms: i64,
    ) -> Result<Reply, Reply> {
        if call.method != Method::POST {
            return Err(refuse(405, "invalid_request", "POST expected"));
        }
        if !self.count_fetch(now_ms) {
            return Err(refuse(429, "too_many_requests", "128 tokens in 24 hours"));
        }
        let form = read_form(call)
            .ok_or_else(|| refuse(400, "invalid_request", "a form or a JSON object of strings expected"))?;
        let value = |name: &str| form.get(name).map(String::as_str);
        if value("client_id") != Some(settings.client_id.as_str())
            || value("client_secret") != Some(settings.client_secret.as_str())
        {
            return Err(refuse(401, "invalid_client", "the client credentials are wrong"));
        }
        let renews = match value("grant_type") {
            Some("password") => {
                let named = (value("username"), value("password"));
                if named != (Some(settings.username.as_str()), Some(settings.password.as_str())) {
                    return Err(refuse(400, "invalid_grant", "the user name or password is wrong"));
                }
                true
            }
            Some("client_credentials") => false,
            Some("refresh_token") => {
                let token = value("refresh_token").unwrap_or_default();
                if !self.refresh_tokens.is_good(token, now_ms) || !self.refresh_tokens.revoke(token) {
                    return Err(refuse(400, "invalid_grant", "the refresh token is wrong or used"));
                }
                true
            }
            Some(_) => return Err(refuse(400, "unsupported_grant_type", "no such grant type")),
            None => return Err(refuse(400, "invalid_request", "no grant type")),
        };
        if value("scope").is_some_and(|scope| scope != SCOPE) {
            return Err(refuse(400, "invalid_scope", "openid expected"));
        }
        Ok(self.issue(seed, renews, now_ms))
    }

    fn issue(&self, seed: u64, renews: bool, now_ms: i64) -> Reply {
        self.issued.bump();
        let mut dice = Dice::new(seed, &["icsoc token", &self.issued.get().to_string()]);
        let token = dice.hex(40);
        self.tokens.issue(token.clone(), now_ms);
        let mut answer = json!({
            "access_token": token,
            "expires_in": TOKEN_LIFE_MS / 1_000,
            "token_type": "Bearer",
            "scope": SCOPE,
        });
        if renews {
            let refresh_token = dice.hex(40);
            self.refresh_tokens.issue(refresh_token.clone(), now_ms);
            answer["refresh_token"] = refresh_token.into();
        }
        Reply::value(200, &answer)
    }

    /// False when the day's fetches are used up.
    fn count_fetch(&self, now_ms: i64) -> bool {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        while fetches.front().is_some_and(|fetched| fetched + TOKEN_LIFE_MS <= now_ms) {
            fetches.pop_front();
        }
        if fetches.len() >= MAX_FETCHES {
            return false;
        }
        fetches.push_back(now_ms);
        true
    }
}

fn read_form(call: &Call) -> Option<BTreeMap<String, String>> {
    if call.is_of_type("application/json") {
        return serde_json::from_slice(&call.body).ok();
    }
    if call.is_of_type("application/x-www-form-urlencoded") {
        let pairs = read_pairs(std::str::from_utf8(&call.body).ok()?)?;
        return Some(pairs.into_iter().collect());
    }
    None
}

fn refuse(status: u16, error: &str, description: &str) -> Reply {
    Reply::value(status, &json!({"error": error, "error_description": description}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(desk: &TokenDesk, body: &str, now_ms: i64) -> Reply {
        let call = Call {
            method: Method::POST,
            path: "/oauth2/token".to_owned(),
            tail: String::new(),
            query: Vec::new(),
            content_type: Some("application/x-www-form-urlencoded".to_owned()),
            authorization: None,
            body: body.as_bytes().to_vec().into(),
            too_large: false,
        };
        desk.answer(&call, &IcsocSettings::default(), 1, now_ms).unwrap_or_else(|refusal| refusal)
    }

    #[test]
    fn the_hundred_and_twenty_ninth_fetch_of_a_day_is_refused_and_the_next_day_begins_anew() {
        let desk = TokenDesk::default();
        let wrong = "client_id=demo-client&client_secret=wrong&grant_type=client_credentials";
        assert!((0..128).all(|_| fetch(&desk, wrong, 0).status == 401));
        let right = "client_id=demo-client&client_secret=demo-client-secret&grant_type=client_credentials";
        assert_eq!(fetch(&desk, right, TOKEN_LIFE_MS - 1).status, 429);
        assert_eq!(fetch(&desk, right, TOKEN_LIFE_MS).status, 200);
    }
}
