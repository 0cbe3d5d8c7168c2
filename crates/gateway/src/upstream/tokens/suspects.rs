//! Tokens that a relayed call was refused with. That may be the fault of the call as well as of the token.

use std::sync::{Arc, PoisonError};

use outdial_core::{AccountId, Error, SecretString};

use super::Tokens;
use crate::accounts::Account;

impl Tokens {
    /// Notes that a relayed call was refused with this token. That costs at most half of the fetches that the vendor allows, and
    /// never a token that others can work with.
    pub fn note_rejected(&self, account: &AccountId, token: &SecretString) {
        if let Some(local) = self.local.get(account) {
            *local.suspect.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        }
    }

    pub(super) fn is_suspect(&self, account: &AccountId) -> bool {
        let suspect = self.local.get(account).map(|local| local.suspect.read());
        suspect.is_some_and(|suspect| suspect.unwrap_or_else(PoisonError::into_inner).is_some())
    }

    pub(super) fn take_suspect(&self, account: &AccountId) -> Option<SecretString> {
        let suspect = &self.local.get(account)?.suspect;
        suspect.write().unwrap_or_else(PoisonError::into_inner).take()
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
