//! Why a command failed, and with which exit code.

use std::fmt;

use outdial_gateway::{StartError, config::ConfigError};

/// What `sysexits.h` calls a configuration error.
const CONFIGURATION: u8 = 78;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong: starting again will not help.
    Configuration(String),
    /// Something else.
    Other(String),
    /// Nobody reads standard output any more; that is no failure of ours.
    ReaderGone,
}

impl Failure {
    /// A failure with a message for the person at the terminal.
    pub fn new(message: impl fmt::Display) -> Self {
        Self::Other(message.to_string())
    }

    /// What the process ends with.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => CONFIGURATION,
            Self::Other(_) => 1,
            Self::ReaderGone => 0,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(message) | Self::Other(message) => f.write_str(message),
            Self::ReaderGone => f.write_str("nobody reads standard output"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Configuration(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Misconfigured(problem) => Self::Configuration(problem),
            StartError::Unavailable(problem) => Self::Other(problem),
        }
    }
}

impl From<reqwest::Error> for Failure {
    /// Without the URL, which may hold a number in its query.
    fn from(error: reqwest::Error) -> Self {
        let kind = if error.is_connect() { "the gateway cannot be reached: " } else { "" };
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Other(format!("{kind}{error}{cause}"))
    }
}
