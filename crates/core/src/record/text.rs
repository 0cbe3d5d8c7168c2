//! Records as JSON: one list of members for serde and for the writer of pages, which is several times as quick.

use std::convert::Infallible;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Agent, AgentLeg, Record, Region, UserData, VendorCodes};
use crate::{
    AccountId, Disposition, EndedBy, Outcome, PhoneNumber, ReceivedVia, Timestamp, VendorId,
    json::{WriteJson, is_plain, write_any, write_text},
};

/// Who is given the members.
trait Members {
    type Failure;

    /// Takes a member: its name, the name with its punctuation, and its value.
    fn member<T: Serialize + WriteJson>(
        &mut self,
        name: &'static str,
        quoted: &'static str,
        value: &T,
    ) -> Result<(), Self::Failure>;
}

macro_rules! give_members {
    ($members:ident, $($name:literal: $value:expr,)+) => {
        $( $members.member($name, concat!(",\"", $name, "\":"), $value)?; )+
    };
}

/// Appends members. The first comma becomes the bracket.
struct Writer<'o>(&'o mut Vec<u8>);

impl Members for Writer<'_> {
    type Failure = Infallible;

    fn member<T: Serialize + WriteJson>(
        &mut self,
        _name: &'static str,
        quoted: &'static str,
        value: &T,
    ) -> Result<(), Self::Failure> {
        self.0.extend_from_slice(quoted.as_bytes());
        value.write_json(self.0);
        Ok(())
    }
}

fn write_object(out: &mut Vec<u8>, members: impl FnOnce(&mut Writer<'_>) -> Result<(), Infallible>) {
    let start = out.len();
    let Ok(()) = members(&mut Writer(out));
    if let Some(first) = out.get_mut(start) {
        *first = b'{';
    }
    out.push(b'}');
}

/// Gives members to serde.
struct Serde<S>(S);

impl<S: SerializeStruct> Members for Serde<S> {
    type Failure = S::Error;

    fn member<T: Serialize + WriteJson>(
        &mut self,
        name: &'static str,
        _quoted: &'static str,
        value: &T,
    ) -> Result<(), S::Error> {
        self.0.serialize_field(name, value)
    }
}

/// Members without `raw`.
const MEMBERS: usize = 33;

impl Record<'_> {
    /// Appends the record as JSON, the same that serde writes, except that user data keep the order in which they came.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        write_object(out, |members| {
            self.give_members(members)?;
            if let Some(raw) = &self.raw {
                members.0.extend_from_slice(b",\"raw\":");
                members.0.extend_from_slice(raw.get().as_bytes());
            }
            Ok(())
        });
    }

    fn give_members<M: Members>(&self, members: &mut M) -> Result<(), M::Failure> {
        give_members!(
            members,
            "id": &RecordId(self),
            "account": &self.account,
            "vendor": &self.vendor,
            "call_id": &self.call_id,
            "campaign_id": &self.campaign_id,
            "task_id": &self.task_id,
            "batch_id": &self.batch_id,
            "roster_entry_id": &self.roster_entry_id,
            "round": &self.round,
            "caller": &self.caller,
            "called": &self.called,
            "called_region": &self.called_region,
            "called_line_type": &self.called_line_type,
            "called_carrier": &self.called_carrier,
            "agent": &self.agent,
            "disposition": &self.disposition,
            "outcome": &self.outcome,
            "ended_by": &self.ended_by,
            "started_at": &self.started_at,
            "ringing_at": &self.ringing_at,
            "answered_at": &self.answered_at,
            "bridged_at": &self.bridged_at,
            "ended_at": &self.ended_at,
            "agent_leg": &self.agent_leg,
            "answered_seconds": &self.answered_seconds,
            "talk_seconds": &self.talk_seconds,
            "total_seconds": &self.total_seconds,
            "recording_url": &self.recording_url,
            "user_data": &self.user_data,
            "vendor_codes": &self.vendor_codes,
            "received_via": &self.received_via,
            "received_at": &self.received_at,
            "revision": &self.revision,
        );
        Ok(())
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let length = MEMBERS + usize::from(self.raw.is_some());
        let mut members = Serde(serializer.serialize_struct("CallRecord", length)?);
        self.give_members(&mut members)?;
        if let Some(raw) = &self.raw {
            members.0.serialize_field("raw", raw)?;
        }
        members.0.end()
    }
}

/// `{account}/{call_id}`.
struct RecordId<'r, 'a>(&'r Record<'a>);

impl Serialize for RecordId<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.id())
    }
}

impl WriteJson for RecordId<'_, '_> {
    fn write_json(&self, out: &mut Vec<u8>) {
        let Record { account, call_id, .. } = self.0;
        if !is_plain(call_id) {
            return write_any(out, self);
        }
        // An account's id needs no escape.
        for part in ["\"", account.as_str(), "/", call_id, "\""] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

impl WriteJson for AccountId {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_text(out, self.as_str());
    }
}

impl WriteJson for VendorId {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_text(out, self.as_str());
    }
}

impl WriteJson for PhoneNumber<'_> {
    fn write_json(&self, out: &mut Vec<u8>) {
        write_text(out, self.as_str());
    }
}

macro_rules! write_words {
    ($($words:ty),+) => {
        $(impl WriteJson for $words {
            fn write_json(&self, out: &mut Vec<u8>) {
                write_text(out, self.as_str());
            }
        })+
    };
}

write_words!(Disposition, Outcome, EndedBy, ReceivedVia);

macro_rules! write_members {
    ($kind:ty, $($name:literal: $field:ident,)+) => {
        impl WriteJson for $kind {
            fn write_json(&self, out: &mut Vec<u8>) {
                write_object(out, |members| {
                    give_members!(members, $($name: &self.$field,)+);
                    Ok(())
                });
            }
        }
    };
}

write_members!(Region<'_>, "area_code": area_code, "name": name,);
write_members!(Agent<'_>, "id": id, "extension": extension,);
write_members!(
    AgentLeg,
    "started_at": started_at,
    "ringing_at": ringing_at,
    "answered_at": answered_at,
    "ended_at": ended_at,
);
write_members!(VendorCodes<'_>, "outcome": outcome, "message": message, "ended_by": ended_by,);

impl WriteJson for UserData<'_> {
    fn write_json(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}

impl WriteJson for Timestamp {
    fn write_json(&self, out: &mut Vec<u8>) {
        self.write_quoted(out);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::value::RawValue;

    use super::*;

    fn check(record: &Record<'_>) {
        let mut out = b"before ".to_vec();
        record.write_json(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.strip_prefix("before "), Some(serde_json::to_string(record).unwrap().as_str()));
    }

    fn record() -> Record<'static> {
        let account = "ic-1".parse().unwrap();
        let now = Timestamp::from_millis(5);
        Record::new(account, VendorId::new("icsoc"), "6\"8".into(), ReceivedVia::Push, now)
    }

    #[test]
    fn both_ways_of_writing_give_the_same_text() {
        check(&record());
        let text = |text: &'static str| Some(Cow::Borrowed(text));
        let time = Timestamp::from_seconds(1_616_491_476);
        check(&Record {
            call_id: "68".into(),
            campaign_id: text("1\\0"),
            task_id: text("张\u{1}"),
            batch_id: text("b"),
            roster_entry_id: text("e"),
            round: Some(u32::MAX),
            caller: PhoneNumber::new("01012345678"),
            called: PhoneNumber::new("18512342456"),
            called_region: Some(Region { area_code: text("0755"), name: None }),
            called_line_type: text("MOBILE"),
            called_carrier: text("C"),
            agent: Some(Agent { id: text("5902@ocm.test"), extension: text("7") }),
            ended_by: Some(EndedBy::Agent),
            started_at: time,
            ringing_at: time,
            answered_at: time,
            bridged_at: time,
            ended_at: Some(Timestamp::from_millis(-1)),
            agent_leg: Some(AgentLeg { started_at: time, ..AgentLeg::default() }),
            answered_seconds: Some(0),
            talk_seconds: Some(10),
            total_seconds: Some(907),
            recording_url: text("https://rec.example.net/1?a=\"b\""),
            user_data: Some(UserData::as_it_came(r#"{"a":"\n","b":1}"#)),
            vendor_codes: VendorCodes { outcome: text("0"), message: text("m"), ended_by: text("11") },
            raw: Some(Cow::Owned(RawValue::from_string("{ \"n\": 1e400 }".to_owned()).unwrap())),
            ..record()
        });
    }
}
