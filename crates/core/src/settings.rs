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
