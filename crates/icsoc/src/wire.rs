//! What goes over the wire, spelt as the vendor's documents spell it.

use outdial_core::json::KnownFields;
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

/// An answer to a search (ICSOC contract 1.2).
#[derive(Deserialize)]
pub struct SearchReply<'a> {
    #[serde(borrow)]
    pub code: &'a RawValue,
    #[serde(borrow)]
    pub data: SearchResults<'a>,
}

/// A page of calls.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchResults<'a> {
    #[serde(borrow)]
    pub results: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub search_after: Option<&'a RawValue>,
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
    pub call_id: &'static str,
    pub project: Option<&'static str>,
    pub task: Option<&'static str>,
    pub entry: &'static str,
    pub user_data: &'static str,
    pub areacode: &'static str,
    pub areaname: &'static str,
    pub line_type: &'static str,
    pub carrier: &'static str,
    pub extension: &'static str,
    pub start: &'static str,
    pub ring: &'static str,
    pub answer: &'static [&'static str],
    pub link: Option<&'static str>,
    pub end: &'static str,
    pub agent_start: &'static str,
    pub agent_ring: &'static str,
    pub agent_answer: &'static str,
    pub agent_end: &'static str,
    pub answered_seconds: &'static str,
    pub talk_seconds: &'static str,
    pub total_seconds: &'static str,
    pub call_time: Option<&'static str>,
    pub recording: Option<&'static str>,
    /// Every field that the documents have.
    pub known: KnownFields,
}

/// ICSOC contract 1.3. The table says `answerTime`, the example `ansTime`.
pub const SEARCH: Names = Names {
    call_id: "callId",
    project: Some("projectId"),
    task: Some("taskId"),
    entry: "extId",
    user_data: "userData",
    areacode: "calledAreacode",
    areaname: "calledAreaname",
    line_type: "calledType",
    carrier: "calledVendor",
    extension: "transPhone",
    start: "startTime",
    ring: "ringTime",
    answer: &["answerTime", "ansTime"],
    link: None,
    end: "endTime",
    agent_start: "startTimeEe",
    agent_ring: "ringTimeEe",
    agent_answer: "answerTimeEe",
    agent_end: "endTimeEe",
    answered_seconds: "ansSecs",
    talk_seconds: "linkSecs",
    total_seconds: "allSecs",
    call_time: None,
    recording: None,
    known: KnownFields::new(&[
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
    ]),
};

/// ICSOC contract 2.2, and its example.
pub const PUSH: Names = Names {
    call_id: "call_id",
    project: None,
    task: None,
    entry: "ext_id",
    user_data: "user_data",
    areacode: "called_areacode",
    areaname: "called_areaname",
    line_type: "called_type",
    carrier: "called_vendor",
    extension: "trans_phone",
    start: "start_time",
    ring: "ring_time",
    answer: &["ans_time"],
    link: Some("link_time"),
    end: "end_time",
    agent_start: "start_time_ee",
    agent_ring: "ring_time_ee",
    agent_answer: "answer_time_ee",
    agent_end: "end_time_ee",
    answered_seconds: "ans_secs",
    talk_seconds: "link_secs",
    total_seconds: "all_secs",
    call_time: Some("call_time"),
    recording: Some("record_file"),
    known: KnownFields::new(&[
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
    ]),
};
