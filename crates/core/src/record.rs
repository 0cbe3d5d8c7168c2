//! The call record: what came of one call, the same for every vendor.

use std::{borrow::Cow, collections::HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    AccountId, Disposition, EndedBy, Outcome, PhoneNumber, ReceivedVia, Timestamp, VendorId,
    mask_numbers_in_text,
};

/// What came of one call. A fact that the vendor did not give is `null`, never 0 or "".
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallRecord {
    /// `{account}/{call_id}`.
    pub id: String,
    /// Whose call it was.
    pub account: AccountId,
    /// Who placed it.
    pub vendor: VendorId,
    /// The vendor's id of the call, or one derived from the entry when it was never dialled.
    pub call_id: String,
    /// WellCloud activity or ICSOC project.
    pub campaign_id: Option<String>,
    /// ICSOC task.
    pub task_id: Option<String>,
    /// WellCloud roster batch.
    pub batch_id: Option<String>,
    /// The uploader's own id of the roster entry.
    pub roster_entry_id: Option<String>,
    /// Which attempt at this entry, from 1.
    pub round: Option<u32>,
    /// The number shown to the customer.
    pub caller: Option<PhoneNumber>,
    /// The customer's number.
    pub called: Option<PhoneNumber>,
    /// Where the customer's number belongs.
    pub called_region: Option<Region>,
    /// The vendor's word for the kind of line, such as `MOBILE`.
    pub called_line_type: Option<String>,
    /// The vendor's word for the customer's carrier.
    pub called_carrier: Option<String>,
    /// The agent who was given the call.
    pub agent: Option<Agent>,
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
    pub recording_url: Option<String>,
    /// What the uploader attached to the entry, and what the call collected.
    pub user_data: Option<Map<String, Value>>,
    /// The vendor's codes as they came.
    pub vendor_codes: VendorCodes,
    /// How the record first reached us.
    pub received_via: ReceivedVia,
    /// When the record first reached us.
    pub received_at: Timestamp,
    /// 1, then one more for each changed content.
    pub revision: u32,
    /// The vendor's own JSON, kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Box<RawValue>>,
}

/// Where a number belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Area code, such as `0755`.
    pub area_code: Option<String>,
    /// Name, such as `广东 深圳`.
    pub name: Option<String>,
}

/// An agent of the company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The agent's id at the vendor, such as `5902@ocm.test`.
    pub id: Option<String>,
    /// The agent's extension.
    pub extension: Option<String>,
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
pub struct VendorCodes {
    /// WellCloud `state`, ICSOC `callresult`.
    pub outcome: Option<String>,
    /// WellCloud `failMsg` or `result`.
    pub message: Option<String>,
    /// ICSOC `endresult`.
    pub ended_by: Option<String>,
}

impl CallRecord {
    /// A record of which nothing is known yet but who it belongs to and how it came.
    pub fn new(
        account: AccountId,
        vendor: VendorId,
        call_id: String,
        received_via: ReceivedVia,
        received_at: Timestamp,
    ) -> Self {
        Self {
            id: [account.as_str(), "/", &call_id].concat(),
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

    /// The record for a reader who may not see numbers: caller and called are masked, and so is every place in
    /// `user_data`, `raw` and `recording_url` where one of them, or a mobile number, stands.
    #[must_use]
    pub fn masked(mut self) -> Self {
        let numbers: HashSet<String> = [&self.caller, &self.called]
            .into_iter()
            .flatten()
            .map(|number| number.as_str().to_owned())
            .collect();
        let known: Vec<&str> = numbers.iter().map(String::as_str).collect();
        self.caller = self.caller.as_ref().map(PhoneNumber::masked);
        self.called = self.called.as_ref().map(PhoneNumber::masked);
        if let Some(extension) = self.agent.as_mut().and_then(|agent| agent.extension.as_mut()) {
            *extension = mask_numbers_in_text(extension, &known).into_owned();
        }
        self.recording_url = self.recording_url.map(|url| mask_numbers_in_text(&url, &known).into_owned());
        self.user_data = self.user_data.map(|data| masked_fields(data, &known));
        self.raw = self.raw.and_then(|raw| masked_raw(&raw, &known));
        self
    }
}

/// JSON that cannot be read as a tree (it is nested too deep) is left out rather than shown unmasked.
fn masked_raw(raw: &RawValue, known: &[&str]) -> Option<Box<RawValue>> {
    let tree = serde_json::from_str(raw.get()).ok()?;
    serde_json::value::to_raw_value(&masked_tree(tree, known)).ok()
}

fn masked_fields(fields: Map<String, Value>, known: &[&str]) -> Map<String, Value> {
    let masked = |(key, item): (String, Value)| {
        (mask_numbers_in_text(&key, known).into_owned(), masked_tree(item, known))
    };
    fields.into_iter().map(masked).collect()
}

fn masked_tree(value: Value, known: &[&str]) -> Value {
    match value {
        Value::String(text) => Value::String(mask_numbers_in_text(&text, known).into_owned()),
        Value::Number(number) => match mask_numbers_in_text(&number.to_string(), known) {
            Cow::Borrowed(_) => Value::Number(number),
            Cow::Owned(masked) => Value::String(masked),
        },
        Value::Array(items) => items.into_iter().map(|item| masked_tree(item, known)).collect(),
        Value::Object(fields) => Value::Object(masked_fields(fields, known)),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> CallRecord {
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

    #[test]
    fn masking_reaches_every_place_a_number_can_stand_in() {
        let mut full = record();
        full.called = PhoneNumber::new("02112345678");
        full.recording_url = Some("https://rec.example.net/02112345678.mp3".into());
        full.user_data = serde_json::from_str(r#"{"phone":"02112345678","n":13312345678,"age":26}"#).unwrap();
        full.raw = serde_json::from_str(r#"{"called":"02112345678","start_time":"1623996691"}"#).unwrap();
        let text = serde_json::to_string(&full.masked()).unwrap();
        assert!(!text.contains("02112345678") && !text.contains("13312345678"), "{text}");
        assert!(text.contains("021****5678") && text.contains("133****5678") && text.contains("1623996691"));
        assert!(text.contains("\"age\":26"));
    }
}
