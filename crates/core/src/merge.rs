//! How a record that arrives again is joined with what is known of the call.

use serde_json::{Value, value::RawValue};

use crate::{Agent, AgentLeg, CallRecord, Outcome, ReceivedVia, Region, UserData, VendorCodes};

/// What came of joining an arriving record with the stored one.
#[derive(Debug)]
pub enum Merged {
    /// It says nothing new.
    Duplicate,
    /// It does: the joined record, with the next revision.
    Changed(Box<CallRecord>),
}

/// Joins `incoming` into `stored`, both of the same id. A fact once known is not overwritten by null, because a push
/// carries what a search leaves out and the other way round. A known fact that differs is the newer truth. The raw JSON and
/// the user data of a push stay over those of a search, which can be asked for again.
pub fn merge(stored: &CallRecord, incoming: &CallRecord) -> Merged {
    let mut joined = stored.clone();
    join_facts(&mut joined, incoming);
    join_outcome(&mut joined, incoming);
    let raw_changed = join_raw(&mut joined, incoming);
    if !raw_changed && has_same_content(stored, &joined) {
        return Merged::Duplicate;
    }
    joined.revision = stored.revision.saturating_add(1);
    Merged::Changed(Box::new(joined))
}

fn overlay<T: Clone>(known: &mut Option<T>, newer: &Option<T>) {
    if newer.is_some() {
        known.clone_from(newer);
    }
}

fn join_facts(joined: &mut CallRecord, incoming: &CallRecord) {
    overlay(&mut joined.campaign_id, &incoming.campaign_id);
    overlay(&mut joined.task_id, &incoming.task_id);
    overlay(&mut joined.batch_id, &incoming.batch_id);
    overlay(&mut joined.roster_entry_id, &incoming.roster_entry_id);
    overlay(&mut joined.round, &incoming.round);
    overlay(&mut joined.caller, &incoming.caller);
    overlay(&mut joined.called, &incoming.called);
    overlay(&mut joined.called_line_type, &incoming.called_line_type);
    overlay(&mut joined.called_carrier, &incoming.called_carrier);
    overlay(&mut joined.ended_by, &incoming.ended_by);
    overlay(&mut joined.started_at, &incoming.started_at);
    overlay(&mut joined.ringing_at, &incoming.ringing_at);
    overlay(&mut joined.answered_at, &incoming.answered_at);
    overlay(&mut joined.bridged_at, &incoming.bridged_at);
    overlay(&mut joined.ended_at, &incoming.ended_at);
    overlay(&mut joined.answered_seconds, &incoming.answered_seconds);
    overlay(&mut joined.talk_seconds, &incoming.talk_seconds);
    overlay(&mut joined.total_seconds, &incoming.total_seconds);
    overlay(&mut joined.recording_url, &incoming.recording_url);
    join_within(&mut joined.called_region, &incoming.called_region, join_region);
    join_within(&mut joined.agent, &incoming.agent, join_agent);
    join_within(&mut joined.agent_leg, &incoming.agent_leg, join_leg);
    // A search spells the members otherwise than a push (ICSOC contract 1.4 `extId`, 2.4 `ext_id`): both side by side would
    // make news of every call that was pushed and then found.
    if joined.user_data.is_none() || !is_push_over_search(joined, incoming) {
        join_within(&mut joined.user_data, &incoming.user_data, join_user_data);
    }
}

fn join_within<T: Clone>(known: &mut Option<T>, newer: &Option<T>, join: fn(&mut T, &T)) {
    match (known.as_mut(), newer) {
        (Some(known), Some(newer)) => join(known, newer),
        (None, Some(newer)) => *known = Some(newer.clone()),
        (_, None) => {}
    }
}

fn join_region(known: &mut Region<'static>, newer: &Region<'static>) {
    overlay(&mut known.area_code, &newer.area_code);
    overlay(&mut known.name, &newer.name);
}

fn join_agent(known: &mut Agent<'static>, newer: &Agent<'static>) {
    overlay(&mut known.id, &newer.id);
    overlay(&mut known.extension, &newer.extension);
}

fn join_leg(known: &mut AgentLeg, newer: &AgentLeg) {
    overlay(&mut known.started_at, &newer.started_at);
    overlay(&mut known.ringing_at, &newer.ringing_at);
    overlay(&mut known.answered_at, &newer.answered_at);
    overlay(&mut known.ended_at, &newer.ended_at);
}

fn join_user_data(known: &mut UserData<'static>, newer: &UserData<'static>) {
    for (key, value) in newer.fields().iter().filter(|(_, value)| !value.is_null()) {
        known.insert(key.clone(), value.clone());
    }
}

/// Outcome and disposition come from one code, so they change together, and only by a record that carries the code.
fn join_outcome(joined: &mut CallRecord, incoming: &CallRecord) {
    let says_nothing = incoming.outcome == Outcome::Unknown && incoming.vendor_codes.outcome.is_none();
    if !says_nothing {
        joined.outcome = incoming.outcome;
        joined.disposition = incoming.disposition;
    }
    let VendorCodes { outcome, message, ended_by } = &incoming.vendor_codes;
    overlay(&mut joined.vendor_codes.outcome, outcome);
    overlay(&mut joined.vendor_codes.message, message);
    overlay(&mut joined.vendor_codes.ended_by, ended_by);
}

/// `raw` is the push's JSON once there was a push, else the search's; `received_via` says which. Returns whether it now
/// says something else.
fn join_raw(joined: &mut CallRecord, incoming: &CallRecord) -> bool {
    if is_push_over_search(joined, incoming) {
        return false;
    }
    joined.received_via = incoming.received_via;
    let Some(newer) = &incoming.raw else { return false };
    let differs = joined.raw.as_ref().is_none_or(|known| !is_same_json(known, newer));
    joined.raw = Some(newer.clone());
    differs
}

fn is_push_over_search(known: &CallRecord, incoming: &CallRecord) -> bool {
    known.received_via == ReceivedVia::Push && incoming.received_via == ReceivedVia::Search
}

fn is_same_json(a: &RawValue, b: &RawValue) -> bool {
    if a.get() == b.get() {
        return true;
    }
    let trees = (serde_json::from_str::<Value>(a.get()), serde_json::from_str::<Value>(b.get()));
    matches!(trees, (Ok(a), Ok(b)) if a == b)
}

fn has_same_content(a: &CallRecord, b: &CallRecord) -> bool {
    let content = |record: &CallRecord| serde_json::to_value(CallRecord { raw: None, ..record.clone() }).ok();
    content(a) == content(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disposition, PhoneNumber, Timestamp, VendorId};

    fn record(via: ReceivedVia, raw: &str) -> CallRecord {
        let account = "ic-1".parse().unwrap();
        let mut record =
            CallRecord::new(account, VendorId::new("icsoc"), "68".into(), via, Timestamp::from_millis(5));
        record.raw = serde_json::from_str(raw).unwrap();
        record
    }

    fn changed(stored: &CallRecord, incoming: &CallRecord) -> CallRecord {
        match merge(stored, incoming) {
            Merged::Changed(joined) => *joined,
            Merged::Duplicate => panic!("taken for a duplicate"),
        }
    }

    #[test]
    fn the_same_push_again_is_a_duplicate_however_it_is_spaced() {
        let stored = record(ReceivedVia::Push, r#"{"a":1}"#);
        let mut again = record(ReceivedVia::Push, r#"{ "a": 1 }"#);
        again.received_at = Timestamp::from_millis(9);
        assert!(matches!(merge(&stored, &again), Merged::Duplicate));
    }

    #[test]
    fn a_number_with_a_fraction_is_the_same_after_it_was_stored() {
        for n in 0..2_000_u64 {
            let text = format!(r#"{{"score":0.{:017}}}"#, n * 49_999_999_999_993 + 10_000_000_000_000_001);
            let mut incoming = record(ReceivedVia::Push, &text);
            incoming.user_data = serde_json::from_str(&text).unwrap();
            let stored = serde_json::from_str(&serde_json::to_string(&incoming).unwrap()).unwrap();
            assert!(matches!(merge(&stored, &incoming), Merged::Duplicate), "{text}");
        }
    }

    #[test]
    fn null_never_overwrites_and_a_newer_fact_does() {
        let mut stored = record(ReceivedVia::Push, "{}");
        stored.talk_seconds = Some(21);
        stored.recording_url = Some("https://rec.example.net/1".into());
        let mut newer = record(ReceivedVia::Push, "{}");
        newer.talk_seconds = Some(22);
        let joined = changed(&stored, &newer);
        assert_eq!(joined.talk_seconds, Some(22));
        assert_eq!(joined.recording_url, stored.recording_url);
        assert_eq!(joined.revision, 2);
    }

    #[test]
    fn a_search_adds_facts_but_leaves_the_raw_json_of_the_push() {
        let stored = record(ReceivedVia::Push, r#"{"record_file":"x"}"#);
        let mut found = record(ReceivedVia::Search, r#"{"callId":"68"}"#);
        assert!(matches!(merge(&stored, &found), Merged::Duplicate));
        found.called = PhoneNumber::new("13300000000");
        let joined = changed(&stored, &found);
        assert_eq!(joined.raw.unwrap().get(), r#"{"record_file":"x"}"#);
        assert_eq!(joined.received_via, ReceivedVia::Push);
    }

    #[test]
    fn the_user_data_of_a_push_stay_over_those_of_a_search() {
        let data = |text: &str| serde_json::from_str::<Option<UserData<'static>>>(text).unwrap();
        let mut stored = record(ReceivedVia::Push, "{}");
        let mut found = record(ReceivedVia::Search, "{}");
        found.user_data = data(r#"{"extId":"1"}"#);
        assert_eq!(changed(&stored, &found).user_data, found.user_data, "there were none");
        stored.user_data = data(r#"{"ext_id":"1"}"#);
        assert!(matches!(merge(&stored, &found), Merged::Duplicate));
        let joined = changed(&found, &stored);
        assert_eq!(joined.user_data, data(r#"{"extId":"1","ext_id":"1"}"#));
        assert!(matches!(merge(&joined, &found), Merged::Duplicate));
    }

    #[test]
    fn a_push_after_a_search_brings_its_raw_json() {
        let stored = record(ReceivedVia::Search, r#"{"callId":"68"}"#);
        let joined = changed(&stored, &record(ReceivedVia::Push, r#"{"new_field":1}"#));
        assert_eq!(joined.raw.unwrap().get(), r#"{"new_field":1}"#);
        assert_eq!(joined.received_via, ReceivedVia::Push);
    }

    #[test]
    fn an_unknown_field_that_changes_is_changed_content() {
        let stored = record(ReceivedVia::Push, r#"{"a":1}"#);
        assert_eq!(changed(&stored, &record(ReceivedVia::Push, r#"{"a":1,"b":2}"#)).revision, 2);
    }

    #[test]
    fn a_record_without_a_code_leaves_the_outcome() {
        let mut stored = record(ReceivedVia::Push, "{}");
        stored.outcome = Outcome::Answered;
        stored.disposition = Disposition::Connected;
        stored.vendor_codes.outcome = Some("0".into());
        let mut later = record(ReceivedVia::Push, "{}");
        later.batch_id = Some("58".into());
        let joined = changed(&stored, &later);
        assert_eq!((joined.outcome, joined.disposition), (Outcome::Answered, Disposition::Connected));
    }
}
