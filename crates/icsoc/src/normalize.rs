//! From a call, as a push or a search tells it, to a call record. Total: a field that cannot be used is null, with a
//! warning.
//!
//! The dialler calls the customer first and an agent second, so the contract's "caller" side (主叫) is the customer's leg
//! and its "callee" side (被叫) the agent's.

use outdial_core::{
    AccountId, Agent, AgentLeg, DecodedRecord, Disposition, EndedBy, Outcome, PhoneNumber, QuarantineReason,
    ReceivedVia, Record, Region, Timestamp,
    json::{Field, FieldReader},
};
use time::{PrimitiveDateTime, macros::format_description, macros::offset};

use crate::{VENDOR, wire::Names};

/// Reads one call.
///
/// # Errors
/// The reason for quarantine when it names no call.
pub fn normalize<'a>(
    account: &AccountId,
    names: &Names,
    via: ReceivedVia,
    mut fields: FieldReader<'a>,
    received_at: Timestamp,
) -> Result<DecodedRecord<'a>, QuarantineReason> {
    let unknown_fields = fields.unknown_fields().to_vec();
    let Some(call_id) = fields.text(names.call_id) else {
        return Err(QuarantineReason::new(
            "no_call_id",
            format!("{} is absent", names.known.name(names.call_id)),
        ));
    };
    let mut record = Record::new(account.clone(), VENDOR, call_id, via, received_at);
    record.caller = fields.text(names.caller).and_then(PhoneNumber::from_text);
    record.called = fields.text(names.called).and_then(PhoneNumber::from_text);
    record.called_line_type = fields.text(names.line_type);
    record.called_carrier = fields.text(names.carrier);
    record.called_region = read_region(&mut fields, names);
    record.agent =
        fields.text(names.extension).map(|extension| Agent { id: None, extension: Some(extension) });
    record.recording_url = names.recording.and_then(|field| fields.text(field));
    read_origin(&mut fields, names, &mut record);
    read_times(&mut fields, names, &mut record);
    read_result(&mut fields, names, &mut record);
    read_durations(&mut fields, names, &mut record);
    Ok(DecodedRecord { record, unknown_fields, warnings: fields.warnings })
}

fn read_region<'a>(fields: &mut FieldReader<'a>, names: &Names) -> Option<Region<'a>> {
    let region = Region { area_code: fields.text(names.areacode), name: fields.text(names.areaname) };
    (region.area_code.is_some() || region.name.is_some()).then_some(region)
}

/// Which project, task and roster entry the call was for. A push names them in the user data only.
fn read_origin<'a>(fields: &mut FieldReader<'a>, names: &Names, record: &mut Record<'a>) {
    let user_data = fields.object(names.user_data);
    let attached = |name| user_data.as_ref().and_then(|user_data| user_data.text(name));
    record.campaign_id = names.project.and_then(|field| fields.text(field)).or_else(|| attached("proid"));
    record.task_id = names.task.and_then(|field| fields.text(field)).or_else(|| attached("taskid"));
    record.roster_entry_id = attached(names.entry);
    record.user_data = user_data;
}

fn read_times(fields: &mut FieldReader<'_>, names: &Names, record: &mut Record<'_>) {
    record.started_at = read_time(fields, names.start)
        .or_else(|| names.call_time.and_then(|field| read_text_time(fields, field)));
    record.ringing_at = read_time(fields, names.ring);
    record.answered_at = names.answer.iter().find_map(|field| read_time(fields, *field));
    record.bridged_at = names.link.and_then(|field| read_time(fields, field));
    record.ended_at = read_time(fields, names.end);
    let leg = AgentLeg {
        started_at: read_time(fields, names.agent_start),
        ringing_at: read_time(fields, names.agent_ring),
        answered_at: read_time(fields, names.agent_answer),
        ended_at: read_time(fields, names.agent_end),
    };
    record.agent_leg = (leg != AgentLeg::default()).then_some(leg);
}

/// Seconds since the epoch; 0 means that it did not happen.
fn read_time(fields: &mut FieldReader<'_>, field: Field) -> Option<Timestamp> {
    let value = fields.integer(field).filter(|value| *value != 0)?;
    let moment = Some(value).filter(|value| *value > 0).and_then(Timestamp::from_seconds);
    if moment.is_none() {
        fields.warn(field, "not_a_time");
    }
    moment
}

/// `Y-m-d H:i:s` in China Standard Time, which has no daylight saving.
fn read_text_time(fields: &mut FieldReader<'_>, field: Field) -> Option<Timestamp> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let text = fields.text(field)?;
    let moment = PrimitiveDateTime::parse(&text, format).ok().map(|local| local.assume_offset(offset!(+8)));
    let moment = moment.and_then(|moment| Timestamp::from_seconds(moment.unix_timestamp()));
    if moment.is_none() {
        fields.warn(field, "not_a_time");
    }
    moment
}

/// `callresult`: 0 the customer was not connected, 1 only the customer was, 2 both were. `endresult`: 11 the customer hung
/// up, 12 the agent's side did; 12 also stands on calls that no agent was ever on, which the system ended.
fn read_result<'a>(fields: &mut FieldReader<'a>, names: &Names, record: &mut Record<'a>) {
    record.vendor_codes.outcome = fields.text(names.callresult);
    record.vendor_codes.ended_by = fields.text(names.endresult);
    record.outcome = match fields.integer(names.callresult) {
        Some(0) => Outcome::NoAnswer,
        Some(1) => Outcome::Answered,
        Some(2) => Outcome::Bridged,
        Some(_) => {
            fields.warn(names.callresult, "unknown_code");
            Outcome::Unknown
        }
        None => Outcome::Unknown,
    };
    record.disposition = match record.outcome {
        Outcome::Answered | Outcome::Bridged => Disposition::Connected,
        Outcome::Unknown if record.answered_at.is_some() => Disposition::Connected,
        _ => Disposition::NotConnected,
    };
    let agent_answered = record.outcome == Outcome::Bridged
        || record.bridged_at.is_some()
        || record.agent_leg.as_ref().is_some_and(|leg| leg.answered_at.is_some());
    record.ended_by = match fields.integer(names.endresult) {
        Some(11) => Some(EndedBy::Customer),
        Some(12) if agent_answered => Some(EndedBy::Agent),
        Some(12) => Some(EndedBy::System),
        Some(_) => {
            fields.warn(names.endresult, "unknown_code");
            None
        }
        None => None,
    };
}

/// A duration of 0 is a fact only where the thing that lasts did happen.
fn read_durations(fields: &mut FieldReader<'_>, names: &Names, record: &mut Record<'_>) {
    let answered = record.disposition == Disposition::Connected;
    let bridged = record.outcome == Outcome::Bridged || record.bridged_at.is_some();
    record.answered_seconds =
        read_seconds(fields, names.answered_seconds).filter(|value| *value > 0 || answered);
    record.talk_seconds = read_seconds(fields, names.talk_seconds).filter(|value| *value > 0 || bridged);
    let dialled = record.started_at.is_some();
    record.total_seconds = read_seconds(fields, names.total_seconds).filter(|value| *value > 0 || dialled);
}

fn read_seconds(fields: &mut FieldReader<'_>, field: Field) -> Option<u32> {
    let value = fields.integer(field)?;
    let seconds = u32::try_from(value).ok();
    if seconds.is_none() {
        fields.warn(field, "out_of_range");
    }
    seconds
}
