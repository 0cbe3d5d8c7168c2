//! The adapter for ICSOC autocall: call records by search and by signed push. Pure: no I/O.

mod envelope;
mod normalize;
mod php;
mod push;
mod reply;
mod search;
mod settings;
mod signature;
mod token;
mod wire;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use outdial_core::{
    AccountId, Capabilities, DecodedPush, DecodedRecord, Descriptor, Error, FoundRecord, PushOutcome,
    PushRefusal, PushReply, QuarantineReason, RawPush, RosterEncoder, SearchPage, SearchRequest,
    SecretString, SettingsSource, Timestamp, Token, TokenBudget, Vendor, VendorId, VerifiedPush,
};
use settings::{Grant, Settings};

/// The vendor's name.
pub const VENDOR: VendorId = VendorId::new("icsoc");

/// Largest push body. A push is one call of about a kilobyte.
const PUSH_LIMIT: usize = 1024 * 1024;

/// "At most 128 token fetches per agent per 24 hours" (public documents).
const TOKEN_BUDGET: TokenBudget = TokenBudget { fetches: 128, window: Duration::from_secs(24 * 60 * 60) };

/// The adapter for one account.
pub struct Icsoc {
    account: AccountId,
    settings: Settings,
    descriptor: Descriptor,
}

/// Builds the adapter from an account's section of the configuration. `None` when a mistake was reported.
pub fn build(account: AccountId, settings: &mut dyn SettingsSource) -> Option<Arc<dyn Vendor>> {
    let settings = Settings::read(settings)?;
    let descriptor = Descriptor {
        vendor: VENDOR,
        capabilities: Capabilities { record_search: true, record_push: true, ..Capabilities::default() },
        token_budget: Some(TOKEN_BUDGET),
        push_limit: PUSH_LIMIT,
        repeats_pushes: true,
    };
    Some(Arc::new(Icsoc { account, settings, descriptor }))
}

impl Vendor for Icsoc {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn base_url(&self) -> &str {
        &self.settings.base_url
    }

    fn fixed_token(&self) -> Option<&SecretString> {
        match &self.settings.grant {
            Grant::Fixed(token) => Some(token),
            Grant::Password { .. } | Grant::ClientCredentials { .. } => None,
        }
    }

    /// With a refresh token at hand it renews; where the vendor refuses that with 400 or 401, a call without `previous`
    /// fetches anew.
    fn token_request(&self, previous: Option<&Token>) -> Result<Request<Bytes>, Error> {
        token::request(&self.settings, previous)
    }

    fn parse_token(&self, response: &Response<Bytes>, now: Timestamp) -> Result<Token, Error> {
        token::parse(response, now)
    }

    fn authorize(&self, headers: &mut HeaderMap, token: &SecretString) -> Result<(), Error> {
        token::authorize(headers, token)
    }

    fn roster_encoder(&self, _campaign_id: &str) -> Result<Box<dyn RosterEncoder>, Error> {
        Err(<dyn Vendor>::unsupported(&VENDOR, "roster upload"))
    }

    fn parse_roster_reply(&self, _response: &Response<Bytes>) -> Result<(), Error> {
        Err(<dyn Vendor>::unsupported(&VENDOR, "roster upload"))
    }

    fn search_request(&self, search: &SearchRequest<'_>) -> Result<Request<Bytes>, Error> {
        search::request(&self.settings, search)
    }

    fn parse_search(&self, response: &Response<Bytes>) -> Result<SearchPage, Error> {
        search::parse(response)
    }

    fn read_found<'a>(
        &self,
        found: &'a FoundRecord,
        now: Timestamp,
    ) -> Result<DecodedRecord<'a>, QuarantineReason> {
        search::read_found(&self.account, found, now)
    }

    fn verify(&self, push: RawPush) -> Result<VerifiedPush, PushRefusal> {
        signature::verify(&self.settings.push_secrets, push)
    }

    fn decode(&self, push: &VerifiedPush) -> DecodedPush {
        push::decode(&self.account, &self.settings.push_secrets, push)
    }

    fn reply(&self, outcome: &PushOutcome) -> PushReply {
        reply::push_reply(outcome)
    }
}
