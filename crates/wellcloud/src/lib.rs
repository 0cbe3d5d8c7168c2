//! The adapter for WellCloud OCM: rosters up by file or JSON, results down by push. Pure: no I/O.

mod codes;
mod normalize;
mod push;
mod reply;
mod roster;
mod settings;
mod token;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use outdial_core::{
    AccountId, Capabilities, DecodedPush, DecodedRecord, Descriptor, Error, FoundRecord, PushOutcome,
    PushRefusal, PushReply, QuarantineReason, RawPush, RosterEncoder, SearchPage, SearchRequest,
    SecretString, SettingsSource, Timestamp, Token, Vendor, VendorId, VerifiedPush,
};
use settings::{Authentication, Settings};

/// The vendor's name.
pub const VENDOR: VendorId = VendorId::new("wellcloud");

/// Largest push body. A batch is 1,000 results of some hundred bytes; this is ten times what was ever seen.
const PUSH_LIMIT: usize = 16 * 1024 * 1024;

/// The adapter for one account.
pub struct WellCloud {
    account: AccountId,
    settings: Settings,
    descriptor: Descriptor,
}

/// Builds the adapter from an account's section of the configuration. `None` when a mistake was reported.
pub fn build(account: AccountId, settings: &mut dyn SettingsSource) -> Option<Arc<dyn Vendor>> {
    let settings = Settings::read(settings)?;
    let descriptor = Descriptor {
        vendor: VENDOR,
        capabilities: Capabilities {
            roster_upload: true,
            roster_agent: true,
            roster_user_data: true,
            record_search: false,
            record_push: true,
        },
        token_budget: None,
        push_limit: PUSH_LIMIT,
        repeats_pushes: false,
    };
    Some(Arc::new(WellCloud { account, settings, descriptor }))
}

impl Vendor for WellCloud {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn base_url(&self) -> &str {
        &self.settings.base_url
    }

    fn fixed_token(&self) -> Option<&SecretString> {
        match &self.settings.authentication {
            Authentication::Fixed(token) => Some(token),
            Authentication::App { .. } => None,
        }
    }

    fn token_request(&self, _previous: Option<&Token>) -> Result<Request<Bytes>, Error> {
        token::request(&self.settings)
    }

    fn parse_token(&self, response: &Response<Bytes>, now: Timestamp) -> Result<Token, Error> {
        token::parse(response, now)
    }

    fn authorize(&self, headers: &mut HeaderMap, token: &SecretString) -> Result<(), Error> {
        token::authorize(headers, token)
    }

    fn roster_encoder(&self, campaign_id: &str) -> Result<Box<dyn RosterEncoder>, Error> {
        Ok(Box::new(roster::Encoder::new(&self.settings, campaign_id)?))
    }

    fn parse_roster_reply(&self, response: &Response<Bytes>) -> Result<(), Error> {
        reply::parse_roster_reply(response)
    }

    fn search_request(&self, _search: &SearchRequest<'_>) -> Result<Request<Bytes>, Error> {
        Err(<dyn Vendor>::unsupported(&VENDOR, "search for call records"))
    }

    fn parse_search(&self, _response: &Response<Bytes>) -> Result<SearchPage, Error> {
        Err(<dyn Vendor>::unsupported(&VENDOR, "search for call records"))
    }

    fn read_found<'a>(
        &self,
        _found: &'a FoundRecord,
        _now: Timestamp,
    ) -> Result<DecodedRecord<'a>, QuarantineReason> {
        Err(QuarantineReason::new("unsupported", "the vendor has no search"))
    }

    fn verify(&self, push: RawPush) -> Result<VerifiedPush, PushRefusal> {
        // WellCloud signs nothing: the secret in the path, which the gateway has checked, is the only proof.
        Ok(VerifiedPush { payload: push.body.clone(), raw: push, secret_index: None, proof: "none" })
    }

    fn decode(&self, push: &VerifiedPush) -> DecodedPush {
        push::decode(&self.account, push)
    }

    fn reply(&self, outcome: &PushOutcome) -> PushReply {
        reply::push_reply(outcome)
    }
}
