//! Who calls the API, and what they may do.

mod principal;

pub use principal::{AccountGrant, Principal, Scope};
