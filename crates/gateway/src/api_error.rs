//! A failure on its way to a caller of the API: the error, and what places it names.

use outdial_core::{AccountId, Error, ErrorClass, VendorId};
use outdial_store::{StoreError, StoreErrorKind};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// Most places named in one answer.
pub const PLACES_LIMIT: usize = 1_000;

/// One place in a request and what is wrong with it. It has a pointer or a line, or is about the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// JSON pointer into the body, `?name` for a query parameter, or the name of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Line of the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The uploader's own id of the entry, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_id: Option<String>,
    /// Stable kebab-case code.
    pub code: String,
    /// One sentence.
    pub detail: String,
}

impl Place {
    /// A place in the query.
    pub fn parameter(name: &str, code: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(format!("?{name}")),
            code: code.to_owned(),
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// A header.
    pub fn header(name: &str, code: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(name.to_owned()),
            code: code.to_owned(),
            detail: detail.into(),
            ..Self::default()
        }
    }
}

/// A failure on its way to a caller.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// What happened.
    pub error: Box<Error>,
    /// Whose vendor failed, where one did.
    pub account: Option<Box<(AccountId, VendorId)>>,
    /// The places that are wrong, at most [`PLACES_LIMIT`].
    pub places: Vec<Place>,
    /// How many places are wrong in all.
    pub places_total: u64,
    /// The roster that was made although the upload failed.
    pub roster: Option<Box<Value>>,
}

impl ApiError {
    /// A failure that names places.
    pub fn at(class: ErrorClass, code: &'static str, message: &str, mut places: Vec<Place>) -> Self {
        let places_total = u64::try_from(places.len()).unwrap_or(u64::MAX);
        places.truncate(PLACES_LIMIT);
        Self { places, places_total, ..Self::from(Error::new(class, code, message)) }
    }

    /// Wrong query parameters.
    pub fn parameters(places: Vec<Place>) -> Self {
        Self::at(
            ErrorClass::InvalidInput,
            "invalid-parameter",
            "The query has parameters that are not valid.",
            places,
        )
    }

    /// A thing that is not there, or that the caller may not know of.
    pub fn not_found() -> Self {
        Error::new(ErrorClass::NotFound, "not-found", "There is no such thing here.").into()
    }

    /// A body that is wrong as a whole.
    pub fn body(detail: impl Into<String>) -> Self {
        Error::new(ErrorClass::InvalidInput, "invalid-body", detail).into()
    }

    /// Says whose vendor failed.
    #[must_use]
    pub fn of_account(mut self, account: &AccountId, vendor: &VendorId) -> Self {
        self.account = Some(Box::new((account.clone(), vendor.clone())));
        self
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error), account: None, places: Vec::new(), places_total: 0, roster: None }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        store_failure(error).into()
    }
}

/// What a store's failure means to a caller.
pub fn store_failure(error: StoreError) -> Error {
    let failure = match error.kind {
        StoreErrorKind::Unavailable | StoreErrorKind::OutcomeUnknown | StoreErrorKind::Locked => {
            Error::new(ErrorClass::Unavailable, "store-unavailable", "The store cannot be reached now.")
                .with_retry_after(Duration::from_secs(5))
        }
        StoreErrorKind::Corrupt | StoreErrorKind::Invalid => {
            Error::new(ErrorClass::Internal, "internal", "Something went wrong here.")
        }
    };
    failure.with_detail(error.detail)
}
