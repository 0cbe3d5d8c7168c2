//! The bearer tokens a vendor has given out.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Both vendors' tokens live a day (WellCloud public docs; ICSOC public docs, `expires_in`).
pub(crate) const TOKEN_LIFE_MS: i64 = 86_400_000;
/// Tokens remembered; the oldest goes first.
const MAX_LIVE_TOKENS: usize = 256;

/// Tokens that are good until their time is over.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issued: Mutex<VecDeque<Issued>>,
}

#[derive(Debug)]
struct Issued {
    token: String,
    expires_ms: i64,
}

impl Tokens {
    /// Makes `token` good for a day.
    pub(crate) fn issue(&self, token: String, now_ms: i64) {
        let mut issued = self.lock();
        if issued.len() >= MAX_LIVE_TOKENS {
            issued.pop_front();
        }
        issued.push_back(Issued { token, expires_ms: now_ms.saturating_add(TOKEN_LIFE_MS) });
    }

    /// Whether `token` was given out and its time is not over.
    pub(crate) fn is_good(&self, token: &str, now_ms: i64) -> bool {
        self.lock().iter().any(|issued| issued.token == token && issued.expires_ms > now_ms)
    }

    /// Takes back `token`; false if it was not given out.
    pub(crate) fn revoke(&self, token: &str) -> bool {
        let mut issued = self.lock();
        let before = issued.len();
        issued.retain(|issued| issued.token != token);
        issued.len() < before
    }

    /// Takes every token back.
    pub(crate) fn expire_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_a_day_and_the_oldest_gives_way() {
        let tokens = Tokens::default();
        tokens.issue("first".to_owned(), 0);
        assert!(tokens.is_good("first", TOKEN_LIFE_MS - 1));
        assert!(!tokens.is_good("first", TOKEN_LIFE_MS));
        for number in 0..MAX_LIVE_TOKENS {
            tokens.issue(number.to_string(), 0);
        }
        assert!(!tokens.is_good("first", 1), "the oldest of too many is forgotten");
        assert!(tokens.revoke("7") && !tokens.is_good("7", 1) && !tokens.revoke("7"));
        tokens.expire_all();
        assert!(!tokens.is_good("8", 1));
    }
}
