//! How an arriving record is joined with what the store knows, the same for every backend.

use outdial_core::{CallRecord, EventDraft, Merged, PhoneNumber, Timestamp, merge, record_event};
use serde_json::Value;

use crate::EntryRow;

/// Whether the roster entry of a record could add something: the record names one, and lacks what an entry has.
pub(crate) fn wants_entry(record: &CallRecord) -> bool {
    record.roster_entry_id.is_some()
        && record.campaign_id.is_some()
        && (record.called.is_none() || !has_customer_id(record))
}

fn has_customer_id(record: &CallRecord) -> bool {
    record.user_data.as_ref().is_some_and(|data| data.contains_key("customer_id"))
}

/// Gives a record what its roster entry knows.
pub(crate) fn add_entry(record: &mut CallRecord, entry: &EntryRow) {
    if record.called.is_none() {
        record.called = PhoneNumber::new(&entry.number).map(PhoneNumber::into_owned);
    }
    if let Some(customer_id) = &entry.customer_id
        && !has_customer_id(record)
    {
        let data = record.user_data.get_or_insert_default();
        data.insert("customer_id".to_owned(), Value::String(customer_id.clone()));
    }
}

/// What has to be written for a record: the record as it is to be kept, and the event that tells of it. `None` for a
/// duplicate.
pub(crate) fn join(
    stored: Option<&CallRecord>,
    incoming: CallRecord,
    now: Timestamp,
) -> Option<(CallRecord, EventDraft)> {
    let kept = match stored {
        None => CallRecord { revision: 1, ..incoming },
        Some(stored) => match merge(stored, &incoming) {
            Merged::Duplicate => return None,
            Merged::Changed(joined) => *joined,
        },
    };
    let event = record_event(&kept, now);
    Some((kept, event))
}
