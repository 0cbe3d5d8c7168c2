//! From a pushed result to a call record. Total: a field that cannot be used is null, with a warning.

use std::borrow::Cow;

use outdial_core::{
    AccountId, Agent, DecodedRecord, Disposition, Outcome, PhoneNumber, ReceivedVia, Record, Timestamp,
    json::{Field, FieldReader, parse_integer},
};
use sha2::{Digest, Sha256};

use crate::{VENDOR, codes, wire::result};

/// Below this a time is in seconds, from it on in milliseconds: 10^11 ms is March 1973, 10^11 s the year 5138.
const FIRST_MILLIS: i64 = 100_000_000_000;

/// Reads one result.
pub fn normalize<'a>(
    account: &AccountId,
    mut fields: FieldReader<'a>,
    received_at: Timestamp,
) -> DecodedRecord<'a> {
    let unknown_fields = fields.unknown_fields().to_vec();
    let call_id = fields.text(result::CALL_ID);
    let was_dialled = call_id.is_some();
    let mut record =
        Record::new(account.clone(), VENDOR, call_id.unwrap_or_default(), ReceivedVia::Push, received_at);
    record.campaign_id = fields.text(result::ACTIVITY_ID);
    record.batch_id = fields.text(result::BATCH_ID);
    record.roster_entry_id = fields.text(result::ID);
    record.round = read_round(&mut fields);
    record.called = fields.text(result::NUMBER).and_then(PhoneNumber::from_text);
    record.agent = fields.text(result::AGENT).map(|id| Agent { id: Some(id), extension: None });
    record.user_data = fields.object(result::UUI);
    record.vendor_codes.message = fields.text(result::FAIL_MSG).or_else(|| fields.text(result::RESULT));
    read_outcome(&mut fields, &mut record, was_dialled);
    read_times(&mut fields, &mut record);
    if !was_dialled {
        record.call_id = undialled_id(&record, fields.whole()).into();
    }
    DecodedRecord { record, unknown_fields, warnings: fields.warnings }
}

fn read_round(fields: &mut FieldReader<'_>) -> Option<u32> {
    let value = fields.integer(result::ROUND)?;
    let round = u32::try_from(value).ok().filter(|round| *round > 0);
    if round.is_none() {
        fields.warn(result::ROUND, "out_of_range");
    }
    round
}

/// `state` is the code; `msg` repeats it, and stands in where the tenant does not send `state`.
fn read_outcome<'a>(fields: &mut FieldReader<'a>, record: &mut Record<'a>, was_dialled: bool) {
    let code = fields.text(result::STATE).or_else(|| fields.text(result::MSG));
    if let Some(code) = &code {
        match parse_integer(code).and_then(codes::outcome) {
            Some(outcome) => record.outcome = outcome,
            None => fields.warn(result::STATE, "unknown_code"),
        }
    }
    record.vendor_codes.outcome = code;
    record.disposition = match (was_dialled, record.outcome) {
        (false, _) => Disposition::NotDialled,
        (true, Outcome::Answered) => Disposition::Connected,
        (true, _) => Disposition::NotConnected,
    };
}

/// `endTime` is the end of an attempt that nobody answered, but of an answered one the moment it was handed to an agent
/// (WellCloud contract 3): when such a call ended, and how long it lasted, is unknown.
fn read_times(fields: &mut FieldReader<'_>, record: &mut Record<'_>) {
    record.started_at = read_time(fields, result::START_TIME);
    record.answered_at = read_time(fields, result::RESPOND_TIME);
    let end = read_time(fields, result::END_TIME);
    if record.answered_at.is_some() && record.disposition != Disposition::NotDialled {
        record.disposition = Disposition::Connected;
    }
    if record.disposition == Disposition::Connected {
        record.bridged_at = end;
    } else {
        record.ended_at = end;
    }
}

fn read_time(fields: &mut FieldReader<'_>, field: Field) -> Option<Timestamp> {
    let value = fields.integer(field).filter(|value| *value != 0)?;
    let moment = match value {
        1..FIRST_MILLIS => Timestamp::from_seconds(value),
        FIRST_MILLIS.. => Timestamp::from_seconds(value / 1000).map(|_| Timestamp::from_millis(value)),
        _ => None,
    };
    if moment.is_none() {
        fields.warn(field, "not_a_time");
    }
    moment
}

/// The id of a result without a call: the same entry, round and state give the same id, so that a repeat is a duplicate. A
/// tenant may leave out the entry's id too (WellCloud contract 3); then only the very same text is the same result.
fn undialled_id(record: &Record<'_>, text: &str) -> String {
    let round = record.round.map(|round| Cow::from(round.to_string()));
    let parts = [&record.campaign_id, &record.roster_entry_id, &round, &record.vendor_codes.outcome];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_deref().unwrap_or_default());
        hash.update([0]);
    }
    if record.roster_entry_id.is_none() {
        hash.update(text);
    }
    let hex: String = hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("nd-{hex}")
}
