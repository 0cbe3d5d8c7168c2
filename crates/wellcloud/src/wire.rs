//! What goes over the wire, spelt as the vendor's documents spell it.

use outdial_core::json::{Field, KnownFields};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Any other content type is answered 500 (public documents).
pub const JSON_TYPE: &str = "application/json;charset=utf-8";

/// Reply of the token service. The token is shown as a string; a number is taken too.
#[derive(Deserialize)]
pub struct TokenReply<'a> {
    #[serde(borrow)]
    pub token: &'a RawValue,
}

/// One entry of the JSON form.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RosterInfo<'a> {
    pub roster_id: &'a str,
    pub prd_type: &'a str,
    pub number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<&'a str>,
}

/// Every field of a pushed result, of both generations of the documents.
pub static RESULT_FIELDS: KnownFields = KnownFields::new(&[
    "id",
    "callId",
    "prdType",
    "prdId",
    "activityId",
    "state",
    "msg",
    "failMsg",
    "result",
    "round",
    "startTime",
    "endTime",
    "respondTime",
    "batchId",
    "agent",
    "number",
    "uui",
]);

/// The fields of a pushed result that are read.
pub mod result {
    use super::{Field, RESULT_FIELDS};

    pub static ID: Field = RESULT_FIELDS.field("id");
    pub static CALL_ID: Field = RESULT_FIELDS.field("callId");
    pub static ACTIVITY_ID: Field = RESULT_FIELDS.field("activityId");
    pub static STATE: Field = RESULT_FIELDS.field("state");
    pub static MSG: Field = RESULT_FIELDS.field("msg");
    pub static FAIL_MSG: Field = RESULT_FIELDS.field("failMsg");
    pub static RESULT: Field = RESULT_FIELDS.field("result");
    pub static ROUND: Field = RESULT_FIELDS.field("round");
    pub static START_TIME: Field = RESULT_FIELDS.field("startTime");
    pub static END_TIME: Field = RESULT_FIELDS.field("endTime");
    pub static RESPOND_TIME: Field = RESULT_FIELDS.field("respondTime");
    pub static BATCH_ID: Field = RESULT_FIELDS.field("batchId");
    pub static AGENT: Field = RESULT_FIELDS.field("agent");
    pub static NUMBER: Field = RESULT_FIELDS.field("number");
    pub static UUI: Field = RESULT_FIELDS.field("uui");
}
