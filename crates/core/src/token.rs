//! Tokens of vendors.

use std::time::Duration;

use secrecy::SecretString;

use crate::Timestamp;

/// A token as a vendor gave it.
#[derive(Clone, Debug)]
pub struct Token {
    /// What goes on requests.
    pub access: SecretString,
    /// What renews it, where the vendor gives one.
    pub refresh: Option<SecretString>,
    /// When the vendor stops taking it.
    pub expires_at: Timestamp,
}

/// How often a vendor lets tokens be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBudget {
    /// Fetches within one window.
    pub fetches: u32,
    /// The sliding window.
    pub window: Duration,
}
