//! Tokens that a relayed call was refused with. That may be the fault of the call as well as of the token.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use outdial_core::{AccountId, Error, SecretString};

use super::{Local, Tokens};
use crate::accounts::Account;

impl Local {
    /// Answers the one that there was.
    fn set_suspect(&self, token: Option<SecretString>) -> Option<SecretString> {
        let mut suspect = self.suspect.write().unwrap_or_else(PoisonError::into_inner);
        self.is_suspect.store(token.is_some(), Ordering::Release);
        std::mem::replace(&mut *suspect, token)
    }
}

impl Tokens {
    /// Notes that a relayed call was refused with this token. That costs at most half of the fetches that the vendor allows, and
    /// never a token that others can work with.
    pub fn note_rejected(&self, account: &AccountId, token: &SecretString) {
        if let Some(local) = self.local.get(account) {
            local.set_suspect(Some(token.clone()));
        }
    }

    pub(super) fn is_suspect(&self, account: &AccountId) -> bool {
        self.local.get(account).is_some_and(|local| local.is_suspect.load(Ordering::Acquire))
    }

    pub(super) fn take_suspect(&self, account: &AccountId) -> Option<SecretString> {
        self.local.get(account)?.set_suspect(None)
    }

    /// A token in place of one that may be good after all.
    pub(super) async fn replace(
        self: &Arc<Self>,
        account: &Arc<Account>,
        suspect: SecretString,
    ) -> Result<SecretString, Error> {
        if let Some(token) = self.in_memory(&account.id, Some(&suspect)) {
            return Ok(token);
        }
        let may_fetch = self.ledger.is_half_left(account).await.unwrap_or(false);
        let replaced = if may_fetch { self.obtain_apart(account, Some(suspect)).await.ok() } else { None };
        let kept = || self.in_memory(&account.id, None).or_else(|| self.ending(&account.id, None));
        match replaced.or_else(kept) {
            Some(token) => Ok(token),
            None => self.obtain_apart(account, None).await,
        }
    }
}
