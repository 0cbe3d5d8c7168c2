//! Tokens that were verified a moment ago, so that a caller who calls again costs no signature check.
//!
//! An entry holds what was read of a token, and the very keys that it was checked against: whenever an issuer's keys are
//! renewed, removed or too old, nothing that was checked with the old ones counts. Times are judged anew at each use.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use super::{Principal, keys::KeySet, token::Times};

/// Tokens that are remembered. Beyond it, all are forgotten at once: each costs one check again.
const LIMIT: usize = 4_096;

/// The digest of a token, so that no token lies about in memory.
type Key = [u8; 32];

/// A token that was verified.
pub(super) struct Verified {
    pub(super) principal: Arc<Principal>,
    pub(super) times: Times,
    /// The place of its issuer in the configuration.
    pub(super) issuer: usize,
    /// What its signature was checked against.
    pub(super) keys: Arc<KeySet>,
}

/// The tokens that were verified.
#[derive(Default)]
pub(super) struct Memory(RwLock<HashMap<Key, Verified>>);

impl Memory {
    pub(super) fn key(token: &[u8]) -> Key {
        Sha256::digest(token).into()
    }

    /// What `read` makes of a token that was verified.
    pub(super) fn find<T>(&self, key: &Key, read: impl FnOnce(&Verified) -> Option<T>) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).and_then(read)
    }

    pub(super) fn keep(&self, key: Key, verified: Verified) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= LIMIT {
            held.clear();
        }
        held.insert(key, verified);
    }
}
