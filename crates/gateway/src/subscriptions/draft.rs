//! What a caller wants a subscription to be: read from a body, checked member by member, and written back for a patch.

use std::collections::BTreeMap;

use outdial_store::{StoredSubscription, SubscriptionFilter, SubscriptionStatus};
use serde_json::{Map, Value, json};

use super::{
    filter::{FilterOwner, read_filter},
    headers::{read_headers, settle_patch},
    members::Members,
};
use crate::{
    api_error::ApiError,
    config::{format_duration, parse_duration},
    egress::Egress,
};

/// Longest id that a client may give.
const ID_LIMIT: usize = 64;
/// Longest description, in characters.
const DESCRIPTION_LIMIT: usize = 500;
/// Most events of one delivery.
const MAX_EVENTS: u32 = 1_000;
/// Longest wait for more events, in milliseconds.
const LINGER_LIMIT: u32 = 60_000;
/// Most deliveries under way at once, and how many there are unless said.
const CONCURRENCY_LIMIT: u32 = 64;
const CONCURRENCY: u32 = 8;
/// Most deliveries per second.
const RATE_LIMIT: u32 = 10_000;
/// Most waits between attempts.
const WAITS_LIMIT: usize = 20;
/// Shortest and longest wait, in milliseconds.
const WAITS: std::ops::RangeInclusive<u64> = 1_000..=24 * 60 * 60 * 1_000;

/// What a caller may decide.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionDraft {
    /// As in [`StoredSubscription`], and so below; `None` for one that we make.
    pub id: Option<String>,
    pub url: String,
    pub description: Option<String>,
    pub filter: SubscriptionFilter,
    pub ordered: bool,
    pub max_events: u32,
    pub linger_ms: u32,
    pub concurrency: u32,
    pub rate_per_second: Option<u32>,
    pub full_numbers: bool,
    pub headers: BTreeMap<String, String>,
    pub retry_schedule: Vec<u64>,
    pub status: SubscriptionStatus,
}

/// What a draft is checked against.
pub struct DraftRules<'a> {
    /// Whose accounts and campaigns may be wanted.
    pub owner: FilterOwner<'a>,
    /// Where deliveries may go.
    pub egress: &'a Egress,
    /// The subscription that is changed.
    pub known: Option<&'a StoredSubscription>,
}

impl SubscriptionDraft {
    /// Reads a body.
    ///
    /// # Errors
    /// `invalid-body` when it is no object, else `invalid-members`, naming every one.
    pub fn read(body: Value, rules: &DraftRules<'_>) -> Result<Self, ApiError> {
        let mut members = Members::of_body(body)?;
        let wanted = format!("1 to {ID_LIMIT} of A-Z, a-z, 0-9, _ and -");
        let id = members.text("id", &wanted, is_id);
        let url = read_url(&mut members, rules);
        let wanted = format!("1 to {DESCRIPTION_LIMIT} characters");
        let description = members.text("description", &wanted, |text| is_short(text, DESCRIPTION_LIMIT));
        let filter = read_filter(&mut members, &rules.owner);
        let ordered = members.flag("ordered").unwrap_or(false);
        let (max_events, linger_ms) = read_batch(&mut members);
        let concurrency = members.whole("concurrency", 1..=CONCURRENCY_LIMIT).unwrap_or(CONCURRENCY);
        let rate_per_second = members.whole("rate_per_second", 1..=RATE_LIMIT);
        let full_numbers = members.parsed("numbers", "masked or full", |value| match value.as_str()? {
            "masked" => Some(false),
            "full" => Some(true),
            _ => None,
        });
        let headers = read_headers(&mut members);
        let retry_schedule = read_schedule(&mut members);
        let status = read_status(&mut members, rules.known);
        if let Some(known) = rules.known
            && id.as_ref().is_some_and(|id| *id != known.id)
        {
            members.refuse("id", "not-changeable", "The id of a subscription cannot be changed.");
        }
        members.finish()?;
        Ok(Self {
            id,
            url: url.unwrap_or_default(),
            description,
            filter,
            ordered,
            max_events,
            linger_ms,
            concurrency,
            rate_per_second,
            full_numbers: full_numbers.unwrap_or(false),
            headers,
            retry_schedule,
            status,
        })
    }

    /// Reads a merge patch (RFC 7396) of a subscription.
    ///
    /// # Errors
    /// As [`SubscriptionDraft::read`].
    pub fn read_patch(
        patch: Value,
        known: &StoredSubscription,
        rules: &DraftRules<'_>,
    ) -> Result<Self, ApiError> {
        let Value::Object(mut patch) = patch else {
            return Err(ApiError::body("The patch is not a JSON object."));
        };
        settle_patch(&mut patch, &known.headers);
        let mut body = Value::Object(written(known));
        merge(&mut body, Value::Object(patch));
        Self::read(body, rules)
    }

    /// The draft as a changed subscription.
    #[must_use]
    pub fn apply(self, known: &StoredSubscription) -> StoredSubscription {
        // A subscription that its owner sets going again is no longer one that the gateway stopped.
        let disabled_reason = known.disabled_reason.clone();
        let is_disabled = self.status == SubscriptionStatus::Disabled;
        StoredSubscription {
            url: self.url,
            description: self.description,
            filter: self.filter,
            ordered: self.ordered,
            max_events: self.max_events,
            linger_ms: self.linger_ms,
            concurrency: self.concurrency,
            rate_per_second: self.rate_per_second,
            full_numbers: self.full_numbers,
            headers: self.headers,
            retry_schedule: self.retry_schedule,
            status: self.status,
            disabled_reason: disabled_reason.filter(|_| is_disabled),
            ..known.clone()
        }
    }
}

fn is_short(text: &str, limit: usize) -> bool {
    (1..=limit).contains(&text.chars().count()) && !text.contains('\0')
}

fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=ID_LIMIT).contains(&text.len()) && text.bytes().all(plain)
}

/// A URL that stays as it is was judged when it was given, and is judged again with each delivery.
fn read_url(members: &mut Members, rules: &DraftRules<'_>) -> Option<String> {
    let Some(value) = members.take("url") else {
        members.refuse("url", "missing", "A subscription has a URL.");
        return None;
    };
    let Some(url) = value.as_str() else {
        members.refuse("url", "not-a-url", "The value is not text.");
        return None;
    };
    let is_known = rules.known.is_some_and(|known| known.url == url);
    if !is_known && let Err(error) = rules.egress.check_url(url) {
        members.refuse("url", error.code, error.detail);
        return None;
    }
    Some(url.to_owned())
}

fn read_batch(members: &mut Members) -> (u32, u32) {
    let Some(mut batch) = members.open("batch") else { return (1, 0) };
    let max_events = batch.whole("max_events", 1..=MAX_EVENTS).unwrap_or(1);
    let linger_ms = batch.whole("linger_ms", 0..=LINGER_LIMIT).unwrap_or(0);
    members.close(batch);
    (max_events, linger_ms)
}

fn read_schedule(members: &mut Members) -> Vec<u64> {
    let wait = |text: &str| {
        let millis = u64::try_from(parse_duration(text)?.as_millis()).ok()?;
        WAITS.contains(&millis).then_some(millis)
    };
    let wanted = "a wait from 1s to 24h, such as \"5s\" or \"15m\"";
    members.list("retry_schedule", WAITS_LIMIT, wanted, wait).unwrap_or_default()
}

/// The gateway alone disables; what is disabled may be said to be so.
fn read_status(members: &mut Members, known: Option<&StoredSubscription>) -> SubscriptionStatus {
    let is_disabled = known.is_some_and(|known| known.status == SubscriptionStatus::Disabled);
    let status = members.parsed("status", "active or paused", |value| match value.as_str()? {
        "active" => Some(SubscriptionStatus::Active),
        "paused" => Some(SubscriptionStatus::Paused),
        "disabled" if is_disabled => Some(SubscriptionStatus::Disabled),
        _ => None,
    });
    status.unwrap_or(SubscriptionStatus::Active)
}

/// The word for a status.
pub const fn status_word(status: SubscriptionStatus) -> &'static str {
    match status {
        SubscriptionStatus::Active => "active",
        SubscriptionStatus::Paused => "paused",
        SubscriptionStatus::Disabled => "disabled",
    }
}

/// What a caller may decide, as it was decided; a set that asks for no limit is null.
pub fn written(known: &StoredSubscription) -> Map<String, Value> {
    let waits: Vec<String> = known.retry_schedule.iter().map(|millis| format_duration(*millis)).collect();
    let some = |is_empty: bool, list: Value| if is_empty { Value::Null } else { list };
    let SubscriptionFilter { types, accounts, campaigns, outcomes, dispositions } = &known.filter;
    let value = json!({
        "id": known.id,
        "url": known.url,
        "description": known.description,
        "types": some(types.is_empty(), json!(types)),
        "accounts": some(accounts.is_empty(), json!(accounts)),
        "campaigns": some(campaigns.is_empty(), json!(campaigns)),
        "outcomes": some(outcomes.is_empty(), json!(outcomes)),
        "dispositions": some(dispositions.is_empty(), json!(dispositions)),
        "ordered": known.ordered,
        "batch": { "max_events": known.max_events, "linger_ms": known.linger_ms },
        "concurrency": known.concurrency,
        "rate_per_second": known.rate_per_second,
        "numbers": if known.full_numbers { "full" } else { "masked" },
        "headers": known.headers,
        "retry_schedule": some(waits.is_empty(), json!(waits)),
        "status": status_word(known.status),
    });
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// RFC 7396. A body's own depth is bounded by its parser.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(members) = target {
        for (name, value) in patch {
            if value.is_null() {
                members.remove(&name);
            } else {
                merge(members.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_does_what_its_document_says() {
        // The cases of RFC 7396, appendix A, that are objects.
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, patch.clone());
            assert_eq!(merged, result, "{target} with {patch}");
        }
    }
}
