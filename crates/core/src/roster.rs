//! Rosters on their way to a vendor: entries in, requests out.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Error;

/// One person to be called. Borrowed from the request, so that a roster of any size is encoded without copies.
#[derive(Clone, Copy, Debug, Default)]
pub struct RosterEntry<'a> {
    /// The uploader's own id.
    pub entry_id: &'a str,
    /// The number to call.
    pub number: &'a str,
    /// WellCloud `prdType`; the account's default where absent.
    pub product_type: Option<&'a str>,
    /// An agent assigned in advance.
    pub agent: Option<&'a str>,
    /// The uploader's own id of the customer.
    pub customer_id: Option<&'a str>,
    /// What comes back with the result.
    pub user_data: &'a [(&'a str, &'a str)],
}

/// How a part travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartForm {
    /// A file of lines.
    File,
    /// A JSON array.
    Json,
}

/// One upstream request, ready but for the token.
#[derive(Debug)]
pub struct RosterPart {
    /// How it travels.
    pub form: PartForm,
    /// How many entries it holds.
    pub entries: u32,
    /// Size of what the vendor limits: the file, or the JSON text. In bytes.
    pub bytes: u64,
    /// The request.
    pub request: http::Request<Bytes>,
}

/// Why an entry cannot be sent to this vendor. Holds no value of the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable kebab-case code, such as `separator-in-field`.
    pub code: &'static str,
    /// One sentence that names the field.
    pub detail: String,
}

/// Takes entries one by one and makes as few requests of them as the vendor's limits allow.
pub trait RosterEncoder: Send {
    /// Adds an entry. Answers which of the parts that [`RosterEncoder::finish`] gives will carry it, from 0.
    ///
    /// # Errors
    /// A refusal when no form of this vendor can carry the entry; the encoder is as if it had not been fed.
    fn push(&mut self, entry: &RosterEntry<'_>) -> Result<usize, Refusal>;

    /// The requests, in the order in which their first entries came; none if nothing was added.
    ///
    /// # Errors
    /// When a request cannot be built, such as from a base URL that is none.
    fn finish(self: Box<Self>) -> Result<Vec<RosterPart>, Error>;
}
