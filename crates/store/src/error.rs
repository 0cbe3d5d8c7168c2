//! Failures of a store.

/// What kind of failure it is, by what the caller may conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Nothing was written: the store refused, or cannot be reached.
    Unavailable,
    /// The write may or may not have happened. Repeating it is safe, because ids follow content.
    OutcomeUnknown,
    /// What is stored cannot be read.
    Corrupt,
    /// The request cannot be stored, whatever the state of the store.
    Invalid,
    /// Someone else holds the store or the lease.
    Locked,
}

/// A failure of a store. `Display` is for the log: it holds no value that was to be stored.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct StoreError {
    /// What the caller may conclude.
    pub kind: StoreErrorKind,
    /// What happened, for the log.
    pub detail: String,
}

impl StoreError {
    /// A failure.
    pub fn new(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}
