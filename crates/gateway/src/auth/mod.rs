//! Who calls the API, and what they may do.

mod keys;
mod memory;
mod principal;
mod token;
mod verifier;

pub use principal::{AccountGrant, Principal, Scope};
pub(crate) use verifier::REFRESH_INTERVAL;
pub use verifier::{KeyFetcher, Verifier};
