//! The query of a request, read strictly: every parameter is known, given once, and valid, or is named in the answer.

use std::str::FromStr;

use outdial_core::{AccountId, Timestamp};

use crate::api_error::{ApiError, Place};

/// Longest value of a parameter, in bytes: as long as an entry id may be.
const VALUE_LIMIT: usize = 4_096;
/// Longest id of a campaign, a task or a call, in characters.
pub const ID_LIMIT: usize = 128;
/// Longest number, in characters.
pub const NUMBER_LIMIT: usize = 64;
/// Most parameters of a query.
const COUNT_LIMIT: usize = 64;

/// The parameters of one request that were not read yet, and what was wrong with those that were.
pub struct Params {
    pairs: Vec<(String, String)>,
    places: Vec<Place>,
}

impl Params {
    /// The decoded pairs of a query.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let mut params = Self { pairs, places: Vec::new() };
        if params.pairs.len() > COUNT_LIMIT {
            params.places.push(Place::parameter(
                "",
                "too-many-parameters",
                format!("The query has more than {COUNT_LIMIT} parameters."),
            ));
            params.pairs.clear();
        }
        params
    }

    /// Reports what is wrong with a parameter.
    pub fn refuse(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        self.places.push(Place::parameter(name, code, detail));
    }

    /// All values of a parameter that may be repeated.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        self.pairs.retain(|(key, value)| {
            let found = key == name;
            if found {
                values.push(value.clone());
            }
            !found
        });
        if values.iter().any(|value| value.len() > VALUE_LIMIT) {
            self.refuse(name, "too-long", format!("The value is longer than {VALUE_LIMIT} bytes."));
            values.clear();
        }
        if values.iter().any(|value| value.is_empty() || value.contains('\0')) {
            self.refuse(name, "empty", "The value is empty or holds a NUL; leave the parameter out instead.");
            values.clear();
        }
        values
    }

    /// The value of a parameter.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.texts(name);
        if values.len() > 1 {
            self.refuse(name, "repeated", "The parameter is given more than once.");
            return None;
        }
        values.pop()
    }

    /// The value of a parameter that has at most `limit` characters.
    pub fn short_text(&mut self, name: &str, limit: usize) -> Option<String> {
        let is_short = |text: &str| text.chars().count() <= limit;
        self.parsed(name, &format!("at most {limit} characters long"), |text| {
            is_short(text).then(|| text.to_owned())
        })
    }

    /// The value of a parameter, read. `wanted` completes "The value is not …".
    pub fn parsed<T>(&mut self, name: &str, wanted: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            self.refuse(name, "not-valid", format!("The value is not {wanted}."));
        }
        value
    }

    /// One of the words of a closed set.
    pub fn word<T: FromStr>(&mut self, name: &str, words: &[&str]) -> Option<T> {
        self.parsed(name, &format!("one of {}", words.join(", ")), |text| text.parse().ok())
    }

    /// `true` or `false`; absent is false.
    pub fn flag(&mut self, name: &str) -> bool {
        let read = |text: &str| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        self.parsed(name, "true or false", read).unwrap_or(false)
    }

    /// A moment.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.parsed(
            name,
            "an RFC 3339 time, such as 2021-03-23T09:24:35Z (a + is written %2B)",
            Timestamp::parse,
        )
    }

    /// Account ids. What cannot be one matches no account.
    pub fn accounts(&mut self, name: &str) -> Vec<AccountId> {
        let mut accounts = Vec::new();
        for text in self.texts(name) {
            match text.parse() {
                Ok(account) => accounts.push(account),
                Err(error) => self.refuse(name, "not-valid", format!("The value is not valid: {error}.")),
            }
        }
        accounts
    }

    /// How many items a page has.
    pub fn limit(&mut self) -> usize {
        let read = |text: &str| text.parse().ok().filter(|limit| (1..=1000).contains(limit));
        self.parsed("limit", "a whole number from 1 to 1000", read).unwrap_or(100)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `InvalidInput`, naming every parameter that is wrong or unknown.
    pub fn finish(mut self) -> Result<(), ApiError> {
        let left = std::mem::take(&mut self.pairs);
        for (name, _) in left {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            self.refuse(&shown, "unknown", "This route has no such parameter.");
        }
        if self.places.is_empty() { Ok(()) } else { Err(ApiError::parameters(self.places)) }
    }
}
