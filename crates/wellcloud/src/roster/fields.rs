//! Which fields a line of the file form can hold. There is no quoting and no escaping (WellCloud contract 1), so a field
//! that holds a separator is refused: written, it would shift the columns behind it.

use outdial_core::{Refusal, RosterEntry};

/// Digits of a number; the shortest service numbers have three.
const NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 3..=20;

pub fn refuse(code: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal { code, detail: detail.into() }
}

pub fn check_number(number: &str) -> Result<(), Refusal> {
    if NUMBER_DIGITS.contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(refuse("invalid-number", "number is not 3 to 20 digits"))
}

/// Whether an entry can be written as a line. `number` is digits already.
pub fn check_line(entry: &RosterEntry<'_>, product_type: &str) -> Result<(), Refusal> {
    check_field("entry_id", entry.entry_id)?;
    check_field("product_type", product_type)?;
    check_field("customer_id", entry.customer_id.unwrap_or_default())?;
    entry.user_data.iter().try_for_each(|(key, value)| check_user_data(key, value))
}

/// Almost every field is free of separators, so that is found out first, without words for what is wrong.
fn is_plain(value: &str) -> bool {
    let separator = |byte: u8| matches!(byte, b',' | b'\r' | b'\n' | b':' | b'|');
    !value.bytes().fold(false, |found, byte| found | separator(byte))
}

fn check_field(name: &str, value: &str) -> Result<(), Refusal> {
    if is_plain(value) {
        return Ok(());
    }
    match value.bytes().find(|byte| matches!(byte, b',' | b'\r' | b'\n')) {
        None => Ok(()),
        Some(b',') => Err(refuse(
            "separator-in-field",
            format!("{name} holds a comma, which the file form cannot write"),
        )),
        Some(_) => Err(refuse(
            "line-break-in-field",
            format!("{name} holds a line break, which the file form cannot write"),
        )),
    }
}

fn check_user_data(key: &str, value: &str) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(refuse("empty-user-data-key", "user_data has an empty key"));
    }
    if is_plain(key) && is_plain(value) {
        return Ok(());
    }
    check_field("user_data", key)?;
    check_field(&format!("user_data.{key}"), value)?;
    let separator = |text: &str| text.contains([':', '|']);
    if separator(key) || separator(value) {
        let detail = format!("user_data.{key} holds ':' or '|', which the file form cannot write");
        return Err(refuse("separator-in-user-data", detail));
    }
    Ok(())
}
