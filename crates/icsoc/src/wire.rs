//! What goes over the wire, spelt as the vendor's documents spell it.

use outdial_core::json::{Field, KnownFields};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Reply of the token service.
#[derive(Deserialize)]
pub struct TokenReply<'a> {
    #[serde(borrow)]
    pub access_token: &'a RawValue,
    #[serde(borrow)]
    pub expires_in: Option<&'a RawValue>,
    #[serde(borrow)]
    pub refresh_token: Option<&'a RawValue>,
}

/// A refusal of the token service, or of a call with a bad token.
#[derive(Default, Deserialize)]
pub struct OAuthFailure {
    pub error: Option<String>,
}

/// Parameters of `POST /api/v1/cdr/search` (ICSOC contract 1.2).
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchParameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub called: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callresult: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endresult: Option<&'a str>,
    pub per_page: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<TimeRange>,
}

/// Both bounds inclusive, in China Standard Time; either alone is allowed.
#[derive(Serialize)]
pub struct TimeRange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gte: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lte: Option<String>,
}

/// How one interface spells the fields of a call.
pub struct Names {
    pub call_id: Field,
    pub caller: Field,
    pub called: Field,
    pub callresult: Field,
    pub endresult: Field,
    pub project: Option<Field>,
    pub task: Option<Field>,
    /// Within the user data.
    pub entry: &'static str,
    pub user_data: Field,
    pub areacode: Field,
    pub areaname: Field,
    pub line_type: Field,
    pub carrier: Field,
    pub extension: Field,
    pub start: Field,
    pub ring: Field,
    pub answer: &'static [Field],
    pub link: Option<Field>,
    pub end: Field,
    pub agent_start: Field,
    pub agent_ring: Field,
    pub agent_answer: Field,
    pub agent_end: Field,
    pub answered_seconds: Field,
    pub talk_seconds: Field,
    pub total_seconds: Field,
    pub call_time: Option<Field>,
    pub recording: Option<Field>,
    /// Every field that the documents have.
    pub known: &'static KnownFields,
}

/// ICSOC contract 1.3. The table says `answerTime`, the example `ansTime`.
pub static SEARCH: Names = Names {
    call_id: SEARCH_FIELDS.field("callId"),
    caller: SEARCH_FIELDS.field("caller"),
    called: SEARCH_FIELDS.field("called"),
    callresult: SEARCH_FIELDS.field("callresult"),
    endresult: SEARCH_FIELDS.field("endresult"),
    project: Some(SEARCH_FIELDS.field("projectId")),
    task: Some(SEARCH_FIELDS.field("taskId")),
    entry: "extId",
    user_data: SEARCH_FIELDS.field("userData"),
    areacode: SEARCH_FIELDS.field("calledAreacode"),
    areaname: SEARCH_FIELDS.field("calledAreaname"),
    line_type: SEARCH_FIELDS.field("calledType"),
    carrier: SEARCH_FIELDS.field("calledVendor"),
    extension: SEARCH_FIELDS.field("transPhone"),
    start: SEARCH_FIELDS.field("startTime"),
    ring: SEARCH_FIELDS.field("ringTime"),
    answer: &[SEARCH_FIELDS.field("answerTime"), SEARCH_FIELDS.field("ansTime")],
    link: None,
    end: SEARCH_FIELDS.field("endTime"),
    agent_start: SEARCH_FIELDS.field("startTimeEe"),
    agent_ring: SEARCH_FIELDS.field("ringTimeEe"),
    agent_answer: SEARCH_FIELDS.field("answerTimeEe"),
    agent_end: SEARCH_FIELDS.field("endTimeEe"),
    answered_seconds: SEARCH_FIELDS.field("ansSecs"),
    talk_seconds: SEARCH_FIELDS.field("linkSecs"),
    total_seconds: SEARCH_FIELDS.field("allSecs"),
    call_time: None,
    recording: None,
    known: &SEARCH_FIELDS,
};

static SEARCH_FIELDS: KnownFields = KnownFields::new(&[
    "vccId",
    "projectId",
    "taskId",
    "callId",
    "caller",
    "called",
    "calledAreacode",
    "calledAreaname",
    "calledType",
    "calledVendor",
    "transCaller",
    "transPhone",
    "transAreacode",
    "transAreaname",
    "transType",
    "transVendor",
    "startTimeEe",
    "ringTimeEe",
    "answerTimeEe",
    "endTimeEe",
    "startTime",
    "ringTime",
    "answerTime",
    "ansTime",
    "endTime",
    "ansSecs",
    "linkSecs",
    "allSecs",
    "callresult",
    "endresult",
    "userData",
]);

/// ICSOC contract 2.2, and its example.
pub static PUSH: Names = Names {
    call_id: PUSH_FIELDS.field("call_id"),
    caller: PUSH_FIELDS.field("caller"),
    called: PUSH_FIELDS.field("called"),
    callresult: PUSH_FIELDS.field("callresult"),
    endresult: PUSH_FIELDS.field("endresult"),
    project: None,
    task: None,
    entry: "ext_id",
    user_data: PUSH_FIELDS.field("user_data"),
    areacode: PUSH_FIELDS.field("called_areacode"),
    areaname: PUSH_FIELDS.field("called_areaname"),
    line_type: PUSH_FIELDS.field("called_type"),
    carrier: PUSH_FIELDS.field("called_vendor"),
    extension: PUSH_FIELDS.field("trans_phone"),
    start: PUSH_FIELDS.field("start_time"),
    ring: PUSH_FIELDS.field("ring_time"),
    answer: &[PUSH_FIELDS.field("ans_time")],
    link: Some(PUSH_FIELDS.field("link_time")),
    end: PUSH_FIELDS.field("end_time"),
    agent_start: PUSH_FIELDS.field("start_time_ee"),
    agent_ring: PUSH_FIELDS.field("ring_time_ee"),
    agent_answer: PUSH_FIELDS.field("answer_time_ee"),
    agent_end: PUSH_FIELDS.field("end_time_ee"),
    answered_seconds: PUSH_FIELDS.field("ans_secs"),
    talk_seconds: PUSH_FIELDS.field("link_secs"),
    total_seconds: PUSH_FIELDS.field("all_secs"),
    call_time: Some(PUSH_FIELDS.field("call_time")),
    recording: Some(PUSH_FIELDS.field("record_file")),
    known: &PUSH_FIELDS,
};

static PUSH_FIELDS: KnownFields = KnownFields::new(&[
    "vcc_id",
    "call_id",
    "caller",
    "called",
    "trans_caller",
    "trans_phone",
    "call_time",
    "called_areacode",
    "called_areaname",
    "called_type",
    "called_vendor",
    "trans_areacode",
    "trans_areaname",
    "trans_type",
    "trans_vendor",
    "start_time_ee",
    "ring_time_ee",
    "answer_time_ee",
    "end_time_ee",
    "start_time",
    "ring_time",
    "ans_time",
    "link_time",
    "end_time",
    "ans_secs",
    "link_secs",
    "all_secs",
    "callresult",
    "endresult",
    "user_data",
    "record_file",
    "call_context",
    "call_exten",
    "call_vars",
    "trans_agent",
]);
