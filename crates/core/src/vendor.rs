//! The seam between the gateway and an adapter.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use secrecy::SecretString;
use serde::Serialize;

use crate::{
    DecodedPush, DecodedRecord, Error, ErrorClass, FoundRecord, PushOutcome, PushRefusal, PushReply,
    QuarantineReason, RawPush, RosterEncoder, SearchPage, SearchRequest, Timestamp, Token, TokenBudget,
    VendorId, VerifiedPush,
};

/// What a vendor can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is the capability it is named after")]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent capabilities, printed as such")]
pub struct Capabilities {
    pub roster_upload: bool,
    pub roster_agent: bool,
    pub roster_user_data: bool,
    pub record_search: bool,
    pub record_push: bool,
}

/// What the gateway has to know of a vendor besides its protocol.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// The vendor.
    pub vendor: VendorId,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How often it lets tokens be fetched, where it says so.
    pub token_budget: Option<TokenBudget>,
    /// Largest push body, in bytes.
    pub push_limit: usize,
    /// Whether the vendor repeats a push that was refused. One that does not is refused last.
    pub repeats_pushes: bool,
}

/// One vendor's protocol for one account. Adapters do no I/O: they turn our requests into HTTP requests, and the vendor's
/// responses and pushes into our types. The account's id, URLs and secrets are given at construction, the time with each
/// call that needs it.
pub trait Vendor: Send + Sync {
    /// What the gateway has to know of the vendor.
    fn descriptor(&self) -> &Descriptor;

    /// Where calls go, for the passthrough.
    fn base_url(&self) -> &str;

    /// A token that was configured and never expires; then [`Vendor::token_request`] is not called.
    fn fixed_token(&self) -> Option<&SecretString>;

    /// The request that fetches a token, renewing `previous` where the vendor can.
    ///
    /// # Errors
    /// `Internal` when the request cannot be built from the settings.
    fn token_request(&self, previous: Option<&Token>) -> Result<Request<Bytes>, Error>;

    /// Reads a fetched token.
    ///
    /// # Errors
    /// `Unauthenticated` for wrong credentials, `RateLimited`, `Unavailable`, or `Protocol` for what no document allows.
    fn parse_token(&self, response: &Response<Bytes>, now: Timestamp) -> Result<Token, Error>;

    /// Puts a token on a request.
    ///
    /// # Errors
    /// `Internal` when the token cannot stand in a header.
    fn authorize(&self, headers: &mut HeaderMap, token: &SecretString) -> Result<(), Error>;

    /// Whether this status says that the token is no longer taken, so that a fresh one is worth one more try.
    fn rejects_token(&self, status: StatusCode) -> bool {
        status == StatusCode::UNAUTHORIZED
    }

    /// An encoder for one roster.
    ///
    /// # Errors
    /// `Unsupported` when the vendor takes no rosters, `InvalidInput` when the campaign id cannot be one.
    fn roster_encoder(&self, campaign_id: &str) -> Result<Box<dyn RosterEncoder>, Error>;

    /// Reads the reply to one part.
    ///
    /// # Errors
    /// What the vendor said, mapped; a 401 is `Unauthenticated`.
    fn parse_roster_reply(&self, response: &Response<Bytes>) -> Result<(), Error>;

    /// The request for one page of call records.
    ///
    /// # Errors
    /// `Unsupported` when the vendor has no search.
    fn search_request(&self, search: &SearchRequest<'_>) -> Result<Request<Bytes>, Error>;

    /// Takes a page of call records apart.
    ///
    /// # Errors
    /// What the vendor said, mapped; a 401 is `Unauthenticated`, anything undocumented `Protocol`.
    fn parse_search(&self, response: &Response<Bytes>) -> Result<SearchPage, Error>;

    /// Reads a record of a page, without its raw JSON.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read_found<'a>(
        &self,
        found: &'a FoundRecord,
        now: Timestamp,
    ) -> Result<DecodedRecord<'a>, QuarantineReason>;

    /// Checks the sender's proof over the bytes as they came, before anything is decrypted or believed.
    ///
    /// # Errors
    /// The refusal, which names no value.
    fn verify(&self, push: RawPush) -> Result<VerifiedPush, PushRefusal>;

    /// Takes an authentic push apart. Total: what cannot be read becomes an item with a reason.
    fn decode(&self, push: &VerifiedPush) -> DecodedPush;

    /// The reply in the vendor's dialect.
    fn reply(&self, outcome: &PushOutcome) -> PushReply;
}

impl dyn Vendor {
    /// The refusal of what the vendor cannot do.
    pub fn unsupported(vendor: &VendorId, what: &str) -> Error {
        Error::new(ErrorClass::Unsupported, "unsupported-by-vendor", format!("{vendor} has no {what}"))
    }
}
