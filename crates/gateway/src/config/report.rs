//! Mistakes of a configuration, collected so that all of them can be told at once.

use std::{cell::RefCell, collections::BTreeMap, fmt};

/// One mistake. Neither field holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key, such as `accounts[0].push_token`.
    pub place: String,
    /// What is wrong with it, to be read after the place.
    pub problem: String,
}

/// Every mistake of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Mistake>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} mistake{}:", if count == 1 { "" } else { "s" })?;
        for Mistake { place, problem } in &self.0 {
            write!(f, "\n  {place} {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Collects mistakes, and knows which keys came from which environment variable.
#[derive(Debug, Default)]
pub(super) struct Report {
    mistakes: RefCell<Vec<Mistake>>,
    origins: BTreeMap<String, String>,
}

impl Report {
    /// A report that names the variable that a key came from.
    pub(super) fn new(origins: BTreeMap<String, String>) -> Self {
        Self { origins, ..Self::default() }
    }

    /// Adds a mistake.
    pub(super) fn reject(&self, place: &str, problem: impl Into<String>) {
        let place = match self.origins.get(place) {
            Some(variable) => format!("{place} ({variable})"),
            None => place.to_owned(),
        };
        self.mistakes.borrow_mut().push(Mistake { place, problem: problem.into() });
    }

    /// Ends the reading.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() { Ok(()) } else { Err(ConfigError(mistakes)) }
    }
}
