//! Headers that a subscriber wants on its deliveries: which names and values may be set, and which values are shown.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::members::Members;
use crate::delivery::target::is_settable;

/// Most headers of a subscription.
const COUNT_LIMIT: usize = 20;
/// Longest name, in bytes.
const NAME_LIMIT: usize = 128;
/// Longest value, in bytes.
const VALUE_LIMIT: usize = 1_024;
/// What stands in an answer for a value that may be a secret.
const HIDDEN: &str = "***";

/// Parts of names whose values are not shown again.
const SECRET_PARTS: [&str; 8] =
    ["auth", "token", "secret", "key", "password", "credential", "signature", "session"];

/// Reads `headers`. Names are kept in lower case.
pub fn read_headers(members: &mut Members) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    let Some(mut inside) = members.open("headers") else { return headers };
    let names = inside.names();
    for given in names.iter().take(COUNT_LIMIT) {
        let name = given.to_ascii_lowercase();
        if !is_token(&name) {
            let _ = inside.take(given);
            inside.refuse(&shown_name(given), "invalid-name", "The name is not one of a header.");
            continue;
        }
        if !is_settable(&name) {
            let _ = inside.take(given);
            inside.refuse(given, "refused-name", "This header is not the subscriber's to set.");
            continue;
        }
        let wanted = format!("1 to {VALUE_LIMIT} visible ASCII characters or spaces, none at the ends");
        let Some(value) = inside.text(given, &wanted, is_value) else { continue };
        if headers.insert(name, value).is_some() {
            inside.refuse(given, "duplicate", "The name stands twice; upper and lower case are one.");
        }
    }
    for left in names.iter().skip(COUNT_LIMIT) {
        let _ = inside.take(left);
    }
    members.close(inside);
    if names.len() > COUNT_LIMIT {
        members.refuse("headers", "length", format!("There are more than {COUNT_LIMIT} headers."));
    }
    headers
}

/// The headers as they are answered: values that may be secrets are hidden.
pub fn show_headers(headers: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let shown = |name: &str, value| if is_secret(name) { HIDDEN } else { value };
    headers.iter().map(|(name, value)| (name.as_str(), shown(name, value.as_str()))).collect()
}

/// Puts a patch's names in lower case, and leaves out the values that are only what an answer showed instead.
pub fn settle_patch(patch: &mut Map<String, Value>, known: &BTreeMap<String, String>) {
    let Some(Value::Object(headers)) = patch.get_mut("headers") else { return };
    let given = std::mem::take(headers);
    for (name, value) in given {
        let name = name.to_ascii_lowercase();
        let is_unchanged = value == HIDDEN && is_secret(&name) && known.contains_key(&name);
        if !is_unchanged {
            headers.insert(name, value);
        }
    }
}

fn shown_name(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect()
}

/// A token (RFC 9110, 5.6.2).
fn is_token(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(plain)
}

fn is_secret(name: &str) -> bool {
    SECRET_PARTS.iter().any(|part| name.contains(part))
}

fn is_value(value: &str) -> bool {
    (1..=VALUE_LIMIT).contains(&value.len())
        && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && value.trim() == value
        && value != HIDDEN
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(headers: Value) -> Result<BTreeMap<String, String>, Vec<String>> {
        let mut members = Members::of_body(json!({ "headers": headers })).unwrap();
        let read = read_headers(&mut members);
        let name = |error: crate::api_error::ApiError| {
            error.places.into_iter().filter_map(|place| place.pointer).collect()
        };
        members.finish().map(|()| read).map_err(name)
    }

    #[test]
    fn names_are_tokens_that_are_neither_ours_nor_the_connections() {
        let good = read(json!({ "X-Team": "dialling 7", "authorization": "Bearer abc" })).unwrap();
        assert_eq!(good["x-team"], "dialling 7");
        for name in [
            "Host",
            "Content-Length",
            "content-type",
            "Webhook-Id",
            "Connection",
            "Transfer-Encoding",
            "Proxy-Authorization",
            "Cookie",
            "User-Agent",
            "TE",
            "a b",
            "",
            "ä",
            "x\r\ny",
        ] {
            assert!(read(json!({ name: "v" })).is_err(), "{name:?}");
        }
        assert_eq!(read(json!({ "x-a": "1", "X-A": "2" })).unwrap_err(), ["/headers/x-a"]);
        let many: Map<String, Value> = (0..21).map(|n| (format!("x-{n}"), json!("v"))).collect();
        assert_eq!(read(Value::Object(many)).unwrap_err(), ["/headers"]);
    }

    #[test]
    fn values_cannot_end_a_line() {
        for value in ["", "a\r\nb", "a\0", "ü", " a", "***", "x".repeat(1_025).as_str()] {
            assert_eq!(read(json!({ "x-a": value })).unwrap_err(), ["/headers/x-a"], "{value:?}");
        }
        assert!(read(json!({ "x-a": "x".repeat(1_024) })).is_ok());
        assert!(read(json!({ "x-a": 1 })).is_err());
    }

    #[test]
    fn what_may_be_a_secret_is_hidden_and_kept_when_it_comes_back() {
        let known = read(json!({ "x-api-key": "s3cret", "x-team": "a" })).unwrap();
        assert_eq!(show_headers(&known), BTreeMap::from([("x-api-key", "***"), ("x-team", "a")]));
        let patch = json!({ "headers": { "X-Api-Key": "***", "X-Team": null, "x-new-key": "***" } });
        let Value::Object(mut patch) = patch else { unreachable!() };
        settle_patch(&mut patch, &known);
        assert_eq!(patch["headers"], json!({ "x-team": null, "x-new-key": "***" }));
    }
}
