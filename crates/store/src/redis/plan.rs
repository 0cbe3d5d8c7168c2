//! What has to be written for batches, by what Redis knows of their records.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use outdial_core::{CallRecord, Disposition, EventDraft, Position, ReceivedVia, Timestamp};

use crate::{
    Appended, Batch, EntryRow, HOUR_MILLIS, QuarantineDraft, StoreError, StoreErrorKind,
    join::{add_entry, join, wants_entry},
};

/// A batch and when it came.
#[derive(Clone)]
pub(crate) struct Submission {
    pub(crate) batch: Arc<Batch>,
    pub(crate) now: Timestamp,
}

/// An entry by campaign (`account:campaign`) and id.
pub(super) type EntryKey = (String, String);

/// The entry that could add something to a record.
pub(super) fn wanted_entry(record: &CallRecord) -> Option<EntryKey> {
    let (campaign, entry) = (record.campaign_id.as_deref()?, record.roster_entry_id.as_deref()?);
    wants_entry(record).then(|| (format!("{}:{campaign}", record.account), entry.to_owned()))
}

/// What Redis knows.
#[derive(Default)]
pub(super) struct Known {
    /// Records by id, as they are kept: `{revision} {json}`.
    pub(super) records: HashMap<String, Vec<u8>>,
    pub(super) entries: HashMap<EntryKey, EntryRow>,
}

/// What has to be written.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) records: Vec<RecordWrite>,
    /// Events of records, up to the position.
    pub(super) heads: Vec<String>,
    /// Other events: id, and the text up to the position.
    pub(super) others: Vec<(String, String)>,
    pub(super) items: Vec<QuarantineDraft>,
    /// What became of each record of each batch.
    pub(super) fates: Vec<Vec<Fate>>,
}

/// A record as it is to be kept.
pub(super) struct RecordWrite {
    pub(super) id: String,
    pub(super) account: String,
    /// What the record's revision has to be still; 0 if there is none.
    pub(super) expected: u32,
    pub(super) value: String,
    pub(super) score: i64,
    pub(super) changed_at: i64,
    pub(super) facts: String,
}

/// What becomes of a record when the plan is carried out.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// Its event is this one of the plan's.
    Event {
        index: u64,
        revision: u32,
    },
    Duplicate,
}

impl Fate {
    pub(super) fn at(self, first: Position) -> Appended {
        match self {
            Self::Event { index, revision } => {
                Appended::Stored { position: Position(first.0 + index), revision }
            }
            Self::Duplicate => Appended::Duplicate,
        }
    }
}

struct Working {
    expected: u32,
    record: Option<CallRecord>,
    changed_at: Option<Timestamp>,
}

impl Plan {
    /// Joins every record, in order, with what is known and with those before it.
    ///
    /// # Errors
    /// `Corrupt` when a known record cannot be read.
    pub(super) fn make(submissions: &[Submission], known: &Known) -> Result<Self, StoreError> {
        let mut plan = Self::default();
        let mut working: HashMap<String, Working> = HashMap::new();
        let mut order = Vec::new();
        for Submission { batch, now } in submissions {
            let mut fates = Vec::with_capacity(batch.records.len());
            for record in &batch.records {
                let state = match working.entry(record.id()) {
                    Entry::Occupied(occupied) => occupied.into_mut(),
                    Entry::Vacant(vacant) => {
                        order.push(record.id());
                        vacant.insert(read_known(known.records.get(&record.id()))?)
                    }
                };
                fates.push(plan.join(state, record.clone(), known, *now)?);
            }
            plan.fates.push(fates);
            for event in &batch.events {
                plan.others.push((event.id.clone(), head(event)?));
            }
            plan.items.extend(batch.quarantined.iter().cloned());
        }
        for id in order {
            if let Some(Working { expected, record: Some(record), changed_at: Some(at) }) =
                working.remove(&id)
            {
                plan.records.push(write(&record, expected, at)?);
            }
        }
        Ok(plan)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.others.is_empty() && self.items.is_empty()
    }

    fn join(
        &mut self,
        state: &mut Working,
        mut record: CallRecord,
        known: &Known,
        now: Timestamp,
    ) -> Result<Fate, StoreError> {
        if let Some(entry) = wanted_entry(&record).and_then(|key| known.entries.get(&key)) {
            add_entry(&mut record, entry);
        }
        let Some((kept, event)) = join(state.record.as_ref(), record, now) else {
            return Ok(Fate::Duplicate);
        };
        let index = u64::try_from(self.heads.len()).unwrap_or(u64::MAX);
        let fate = Fate::Event { index, revision: kept.revision };
        self.heads.push(head(&event)?);
        state.record = Some(kept);
        state.changed_at = Some(now);
        Ok(fate)
    }
}

/// A record as it is kept: `{revision} {json}`.
pub(super) fn parse_record(value: &[u8]) -> Option<CallRecord> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    serde_json::from_slice(value.get(space + 1..)?).ok()
}

fn read_known(value: Option<&Vec<u8>>) -> Result<Working, StoreError> {
    let Some(value) = value else {
        return Ok(Working { expected: 0, record: None, changed_at: None });
    };
    let record = parse_record(value).ok_or_else(|| super::unreadable("a record"))?;
    Ok(Working { expected: record.revision, record: Some(record), changed_at: None })
}

fn write(record: &CallRecord, expected: u32, changed_at: Timestamp) -> Result<RecordWrite, StoreError> {
    let round = record.round.map(|round| round.to_string()).unwrap_or_default();
    let facts = (
        &record.account,
        &record.campaign_id,
        format!("{round}|{}", record.outcome),
        &record.roster_entry_id,
        record.disposition != Disposition::NotDialled,
        arrival(record),
    );
    Ok(RecordWrite {
        id: record.id(),
        account: record.account.to_string(),
        expected,
        value: format!("{} {}", record.revision, serde_json::to_string(record).map_err(unwritable)?),
        score: score(record.sort_millis()),
        changed_at: changed_at.millis(),
        facts: serde_json::to_string(&facts).map_err(unwritable)?,
    })
}

/// Where a record stands in an index. The sign makes the order of a sorted set newest first.
pub(super) fn score(sort_millis: i64) -> i64 {
    sort_millis.saturating_neg()
}

/// Under which name a record is counted among those of its hour.
fn arrival(record: &CallRecord) -> String {
    arrival_field(record.sort_millis().div_euclid(HOUR_MILLIS), record.received_via)
}

/// The name of a count: the hour since the epoch, and how the records came.
pub(super) fn arrival_field(hour: i64, via: ReceivedVia) -> String {
    format!("{hour}|{}", via.as_str())
}

fn head(event: &EventDraft) -> Result<String, StoreError> {
    event.to_json_head().map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, format!("a record cannot be written as JSON: {error}"))
}
