//! How an adapter reads the settings of an account.

use secrecy::SecretString;

/// One account's section of the configuration. Reading a key marks it as known, so that what is left over can be reported;
/// every mistake is collected, and none stops the reading. Secrets are resolved (`env:NAME`, `file:PATH`) on the way.
pub trait SettingsSource {
    /// A text, `None` if absent or not text (which is reported).
    fn text(&mut self, key: &str) -> Option<String>;

    /// A secret, `None` if absent or not to be had (which is reported).
    fn secret(&mut self, key: &str) -> Option<SecretString>;

    /// A list of secrets, or one alone; empty if absent.
    fn secrets(&mut self, key: &str) -> Vec<SecretString>;

    /// A whole number within `range`, `None` if absent or outside (which is reported).
    fn integer(&mut self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64>;

    /// Reports a mistake at a key. The problem never repeats a secret's value.
    fn reject(&mut self, key: &str, problem: &str);
}

/// Reads the base of a URL, without trailing slashes; reports one that is no http or https URL, or has a query.
pub fn read_url(source: &mut dyn SettingsSource, key: &str, default: &str) -> Option<String> {
    let text = source.text(key).unwrap_or_else(|| default.to_owned());
    let trimmed = text.trim_end_matches('/');
    let valid = trimmed.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if valid.is_none() {
        source.reject(key, "is not an http or https URL without a query");
    }
    valid.map(|_| trimmed.to_owned())
}

/// A service's URL: as configured if that has a path, else with the documented one.
pub fn with_default_path(url: &str, path: &str) -> String {
    let has_path = url.parse::<http::Uri>().is_ok_and(|uri| uri.path() != "/");
    if has_path { url.to_owned() } else { format!("{url}{path}") }
}
