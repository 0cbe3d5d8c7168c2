//! The result push: an array of up to 1,000 objects in the spelling of either document generation.

use std::{borrow::Cow, sync::Arc};

use super::dial::{Attempt, Row};
use crate::{
    config::{Generation, WellcloudSettings},
    json::{Json, Spelling},
    push::{Mark, Parcel},
};

/// Results in one push at most (WellCloud contract 3).
pub(crate) const MAX_RESULTS: usize = 1_000;

/// One push.
pub(crate) struct Batch {
    rows: Vec<Row>,
    settings: Arc<WellcloudSettings>,
    /// Every nth row is replaced by something else than an object; 0: none.
    broken_rows: usize,
    mark: Mark,
}

type Member = (Cow<'static, str>, Json);

impl Batch {
    /// A push of `rows`.
    pub(crate) fn new(rows: Vec<Row>, settings: Arc<WellcloudSettings>, broken_rows: u32) -> Self {
        let broken_rows = usize::try_from(broken_rows).unwrap_or(usize::MAX);
        Self { rows, settings, broken_rows, mark: Mark::default() }
    }

    fn is_broken(&self, position: usize) -> bool {
        self.broken_rows > 0 && (position + 1).is_multiple_of(self.broken_rows)
    }
}

impl Parcel for Batch {
    fn body(&self) -> String {
        let rows = self.rows.iter().enumerate();
        let elements = rows.map(|(position, row)| match self.is_broken(position) {
            true => break_row(position),
            false => write_row(row, &self.settings),
        });
        Json::List(elements.collect()).encode(Spelling::Java)
    }

    fn ids(&self) -> Vec<String> {
        let rows = self.rows.iter().enumerate();
        let whole = rows.filter(|(position, _)| !self.is_broken(*position));
        whole.map(|(_, row)| name_row(row, &self.settings)).collect()
    }

    fn broken(&self) -> usize {
        (0..self.rows.len()).filter(|position| self.is_broken(*position)).count()
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// Something that is no result; each kind in turn.
fn break_row(position: usize) -> Json {
    match position % 4 {
        0 => Json::text("not a record"),
        1 => Json::Int(7),
        2 => Json::List(Vec::new()),
        _ => Json::Null,
    }
}

/// The row's id in the ledger.
fn name_row(row: &Row, settings: &WellcloudSettings) -> String {
    let is_sent = !settings.omitted_fields.iter().any(|field| field == "callId");
    match &row.call {
        Some(call) if is_sent => call.call_id.clone(),
        _ => {
            let entry_id = row.entry().map(|entry| entry.entry_id.as_str()).unwrap_or_default();
            format!("{}/{entry_id}/{}/{}", row.roster.campaign, row.round, row.outcome.state)
        }
    }
}

fn write_row(row: &Row, settings: &WellcloudSettings) -> Json {
    let mut members = match settings.generation {
        Generation::Old => write_old(row),
        Generation::New => write_new(row),
    };
    members.retain(|(name, _)| !settings.omitted_fields.iter().any(|omitted| omitted == name));
    Json::Object(members)
}

/// In the order of the contract's example.
fn write_old(row: &Row) -> Vec<Member> {
    let Row { call, outcome, .. } = row;
    let mut members: Vec<Member> = vec![
        ("respondTime".into(), Json::Int(call.as_ref().map_or(0, |call| call.responded_ms))),
        ("state".into(), Json::Int(outcome.state)),
        ("round".into(), Json::Int(i64::from(row.round))),
        ("batchId".into(), batch_id(row)),
        ("prdType".into(), entry_text(row, |entry| &entry.product_type)),
        ("msg".into(), write_msg(row)),
        ("id".into(), entry_text(row, |entry| &entry.entry_id)),
        ("activityId".into(), Json::text(row.roster.campaign.clone())),
        ("failMsg".into(), Json::text(outcome.text)),
    ];
    members.extend(call.as_ref().map(write_call).into_iter().flatten());
    members
}

/// With the names of the public documents, and the members that only they have.
fn write_new(row: &Row) -> Vec<Member> {
    let Row { call, outcome, .. } = row;
    let mut members: Vec<Member> = vec![
        ("msg".into(), write_msg(row)),
        ("respondTime".into(), Json::Int(call.as_ref().map_or(0, |call| call.responded_ms))),
        ("uui".into(), write_uui(row)),
        ("batchId".into(), batch_id(row)),
        ("result".into(), Json::text(outcome.text)),
        ("number".into(), entry_text(row, |entry| &entry.number)),
        ("activityId".into(), Json::text(row.roster.campaign.clone())),
        ("round".into(), Json::Int(i64::from(row.round))),
        ("prdId".into(), entry_text(row, |entry| &entry.product_type)),
        ("id".into(), entry_text(row, |entry| &entry.entry_id)),
        ("state".into(), Json::Int(outcome.state)),
    ];
    members.extend(call.as_ref().map(write_call).into_iter().flatten());
    members
}

/// What only a call that was made has.
fn write_call(call: &Attempt) -> [Member; 4] {
    [
        ("callId".into(), Json::text(call.call_id.clone())),
        ("agent".into(), Json::text(call.agent.clone())),
        ("startTime".into(), Json::Int(call.started_ms)),
        ("endTime".into(), Json::Int(call.ended_ms)),
    ]
}

/// Declared a string, seen as an int.
fn write_msg(row: &Row) -> Json {
    match row.msg_is_text {
        true => Json::text(row.outcome.state.to_string()),
        false => Json::Int(row.outcome.state),
    }
}

fn batch_id(row: &Row) -> Json {
    let product_type = row.entry().map(|entry| entry.product_type.as_str()).unwrap_or_default();
    Json::text(format!("{product_type}-{}", row.roster.batch_time))
}

fn entry_text(row: &Row, member: fn(&super::roster::Entry) -> &String) -> Json {
    Json::text(row.entry().map(member).cloned().unwrap_or_default())
}

/// User data and key presses; `recognition` is JSON inside a string (WellCloud public docs).
fn write_uui(row: &Row) -> Json {
    let entry = row.entry();
    let pairs = entry.map(|entry| entry.user_data.as_slice()).unwrap_or_default();
    let mut members: Vec<Member> =
        pairs.iter().map(|(key, value)| (Cow::Owned(key.clone()), Json::text(value.clone()))).collect();
    if let Some(key) = row.call.as_ref().and_then(|call| call.key_pressed.as_deref()) {
        members.push(("recognition".into(), Json::text(format!(r#"[{{"input1":"{key}"}}]"#))));
    }
    Json::Object(members)
}
