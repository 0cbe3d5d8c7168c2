//! The call record: what came of one call, the same for every vendor.

mod masking;
mod text;
mod user_data;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::user_data::UserData;
use crate::{AccountId, Disposition, EndedBy, Outcome, PhoneNumber, ReceivedVia, Timestamp, VendorId};

/// A call record that holds its own text.
pub type CallRecord = Record<'static>;

/// What came of one call. A fact that the vendor did not give is `null`, never 0 or "". Its text is borrowed from what the
/// vendor sent as long as it is only looked at or written. As JSON, `id` stands before all other members.
#[derive(Clone, Debug, Deserialize)]
pub struct Record<'a> {
    /// Whose call it was.
    pub account: AccountId,
    /// Who placed it.
    pub vendor: VendorId,
    /// The vendor's id of the call, or one derived from the entry when it was never dialled.
    pub call_id: Cow<'a, str>,
    /// WellCloud activity or ICSOC project.
    pub campaign_id: Option<Cow<'a, str>>,
    /// ICSOC task.
    pub task_id: Option<Cow<'a, str>>,
    /// WellCloud roster batch.
    pub batch_id: Option<Cow<'a, str>>,
    /// The uploader's own id of the roster entry.
    pub roster_entry_id: Option<Cow<'a, str>>,
    /// Which attempt at this entry, from 1.
    pub round: Option<u32>,
    /// The number shown to the customer.
    pub caller: Option<PhoneNumber<'a>>,
    /// The customer's number.
    pub called: Option<PhoneNumber<'a>>,
    /// Where the customer's number belongs.
    pub called_region: Option<Region<'a>>,
    /// The vendor's word for the kind of line, such as `MOBILE`.
    pub called_line_type: Option<Cow<'a, str>>,
    /// The vendor's word for the customer's carrier.
    pub called_carrier: Option<Cow<'a, str>>,
    /// The agent who was given the call.
    pub agent: Option<Agent<'a>>,
    /// How far the call got.
    pub disposition: Disposition,
    /// Why it ended as it did.
    pub outcome: Outcome,
    /// Which side ended it.
    pub ended_by: Option<EndedBy>,
    /// Dialling the customer began.
    pub started_at: Option<Timestamp>,
    /// The customer's phone rang.
    pub ringing_at: Option<Timestamp>,
    /// The customer answered.
    pub answered_at: Option<Timestamp>,
    /// Customer and agent were connected.
    pub bridged_at: Option<Timestamp>,
    /// The customer's leg ended.
    pub ended_at: Option<Timestamp>,
    /// The agent's leg.
    pub agent_leg: Option<AgentLeg>,
    /// How long the customer was on the line, in seconds.
    pub answered_seconds: Option<u32>,
    /// How long customer and agent talked, in seconds.
    pub talk_seconds: Option<u32>,
    /// From dialling to hang-up, in seconds.
    pub total_seconds: Option<u32>,
    /// Where the vendor keeps the recording.
    pub recording_url: Option<Cow<'a, str>>,
    /// What the uploader attached to the entry, and what the call collected.
    pub user_data: Option<UserData<'a>>,
    /// The vendor's codes as they came.
    pub vendor_codes: VendorCodes<'a>,
    /// How the record first reached us.
    pub received_via: ReceivedVia,
    /// When the record first reached us.
    pub received_at: Timestamp,
    /// 1, then one more for each changed content.
    pub revision: u32,
    /// The vendor's own JSON, kept as it came.
    #[serde(default)]
    pub raw: Option<Cow<'a, RawValue>>,
}

/// Where a number belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region<'a> {
    /// Area code, such as `0755`.
    pub area_code: Option<Cow<'a, str>>,
    /// Name, such as `广东 深圳`.
    pub name: Option<Cow<'a, str>>,
}

/// An agent of the company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent<'a> {
    /// The agent's id at the vendor, such as `5902@ocm.test`.
    pub id: Option<Cow<'a, str>>,
    /// The agent's extension.
    pub extension: Option<Cow<'a, str>>,
}

/// The times of the agent's leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLeg {
    /// Dialling the agent began.
    pub started_at: Option<Timestamp>,
    /// The agent's phone rang.
    pub ringing_at: Option<Timestamp>,
    /// The agent answered.
    pub answered_at: Option<Timestamp>,
    /// The agent's leg ended.
    pub ended_at: Option<Timestamp>,
}

/// The vendor's codes, as text, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorCodes<'a> {
    /// WellCloud `state`, ICSOC `callresult`.
    pub outcome: Option<Cow<'a, str>>,
    /// WellCloud `failMsg` or `result`.
    pub message: Option<Cow<'a, str>>,
    /// ICSOC `endresult`.
    pub ended_by: Option<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    /// A record of which nothing is known yet but who it belongs to and how it came.
    pub fn new(
        account: AccountId,
        vendor: VendorId,
        call_id: Cow<'a, str>,
        received_via: ReceivedVia,
        received_at: Timestamp,
    ) -> Self {
        Self {
            account,
            vendor,
            call_id,
            campaign_id: None,
            task_id: None,
            batch_id: None,
            roster_entry_id: None,
            round: None,
            caller: None,
            called: None,
            called_region: None,
            called_line_type: None,
            called_carrier: None,
            agent: None,
            disposition: Disposition::NotConnected,
            outcome: Outcome::Unknown,
            ended_by: None,
            started_at: None,
            ringing_at: None,
            answered_at: None,
            bridged_at: None,
            ended_at: None,
            agent_leg: None,
            answered_seconds: None,
            talk_seconds: None,
            total_seconds: None,
            recording_url: None,
            user_data: None,
            vendor_codes: VendorCodes::default(),
            received_via,
            received_at,
            revision: 1,
            raw: None,
        }
    }

    /// What records are sorted by, newest first: the start of dialling, or the receipt where that is unknown. In
    /// milliseconds since the epoch.
    pub fn sort_millis(&self) -> i64 {
        self.started_at.unwrap_or(self.received_at).millis()
    }

    /// `{account}/{call_id}`.
    pub fn id(&self) -> String {
        [self.account.as_str(), "/", &self.call_id].concat()
    }

    /// Keeps the vendor's own JSON with the record.
    pub fn attach_raw(&mut self, json: &'a [u8]) {
        self.raw = serde_json::from_slice::<&RawValue>(json).ok().map(Cow::Borrowed);
    }

    /// The record with text of its own.
    pub fn into_owned(self) -> CallRecord {
        Record {
            account: self.account,
            vendor: self.vendor,
            call_id: own(self.call_id),
            campaign_id: self.campaign_id.map(own),
            task_id: self.task_id.map(own),
            batch_id: self.batch_id.map(own),
            roster_entry_id: self.roster_entry_id.map(own),
            round: self.round,
            caller: self.caller.map(PhoneNumber::into_owned),
            called: self.called.map(PhoneNumber::into_owned),
            called_region: self
                .called_region
                .map(|region| Region { area_code: region.area_code.map(own), name: region.name.map(own) }),
            called_line_type: self.called_line_type.map(own),
            called_carrier: self.called_carrier.map(own),
            agent: self
                .agent
                .map(|agent| Agent { id: agent.id.map(own), extension: agent.extension.map(own) }),
            disposition: self.disposition,
            outcome: self.outcome,
            ended_by: self.ended_by,
            started_at: self.started_at,
            ringing_at: self.ringing_at,
            answered_at: self.answered_at,
            bridged_at: self.bridged_at,
            ended_at: self.ended_at,
            agent_leg: self.agent_leg,
            answered_seconds: self.answered_seconds,
            talk_seconds: self.talk_seconds,
            total_seconds: self.total_seconds,
            recording_url: self.recording_url.map(own),
            user_data: self.user_data.map(UserData::into_owned),
            vendor_codes: VendorCodes {
                outcome: self.vendor_codes.outcome.map(own),
                message: self.vendor_codes.message.map(own),
                ended_by: self.vendor_codes.ended_by.map(own),
            },
            received_via: self.received_via,
            received_at: self.received_at,
            revision: self.revision,
            raw: self.raw.map(|raw| Cow::Owned(raw.into_owned())),
        }
    }
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    pub(super) fn record() -> CallRecord {
        let account = "ic-1".parse().unwrap();
        CallRecord::new(
            account,
            VendorId::new("icsoc"),
            "68".into(),
            ReceivedVia::Push,
            Timestamp::from_millis(5),
        )
    }

    #[test]
    fn absent_facts_are_null_and_raw_is_left_out() {
        let json = serde_json::to_value(record()).unwrap();
        assert_eq!(json["called"], Value::Null);
        assert_eq!(json["id"], "ic-1/68");
        assert!(json.get("talk_seconds").is_some_and(Value::is_null));
        assert!(json.get("raw").is_none());
    }
}
