//! The vendors that this gateway speaks to. No other module names one: a new vendor is one more arm here.

use std::sync::Arc;

use outdial_core::{AccountId, SettingsSource, Vendor};

/// The names that `vendor` in an account's configuration may have.
pub const NAMES: &[&str] = &["wellcloud", "icsoc"];

/// Builds the adapter of one account from its section of the configuration. `None` when a mistake was reported to
/// `settings`, an unknown name among them.
pub fn build(name: &str, account: AccountId, settings: &mut dyn SettingsSource) -> Option<Arc<dyn Vendor>> {
    match name {
        "wellcloud" => outdial_wellcloud::build(account, settings),
        "icsoc" => outdial_icsoc::build(account, settings),
        _ => {
            settings.reject("vendor", &format!("is not one of {}", NAMES.join(", ")));
            None
        }
    }
}
