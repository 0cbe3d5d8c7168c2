//! What goes over the wire, spelt as the vendor's documents spell it.

use outdial_core::json::KnownFields;
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
pub const RESULT_FIELDS: KnownFields = KnownFields::new(&[
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
