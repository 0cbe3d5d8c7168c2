//! Phone numbers: shown masked unless the reader may see them, never in logs.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// A phone number as the vendor spells it (not only digits: the vendors' own examples hold `185xxxx2456`). `Debug` shows it masked.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneNumber<'a>(Cow<'a, str>);

impl<'a> PhoneNumber<'a> {
    /// A number, or `None` for text that is empty or blank.
    pub fn new(text: &'a str) -> Option<Self> {
        Self::from_text(Cow::Borrowed(text))
    }

    /// A number, or `None` for text that is empty or blank.
    pub fn from_text(text: Cow<'a, str>) -> Option<Self> {
        let trimmed = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        (!trimmed.is_empty()).then_some(Self(trimmed))
    }

    /// The number in full.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number as readers without the right to see it get it.
    #[must_use]
    pub fn masked(&self) -> PhoneNumber<'static> {
        PhoneNumber(Cow::Owned(mask_number(&self.0)))
    }

    /// The number with text of its own.
    pub fn into_owned(self) -> PhoneNumber<'static> {
        PhoneNumber(Cow::Owned(self.0.into_owned()))
    }
}

impl fmt::Debug for PhoneNumber<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_number(&self.0))
    }
}

/// `18512342456` → `185****2456`. Of a number shorter than eight characters only the last two stay.
pub fn mask_number(number: &str) -> String {
    let chars: Vec<char> = number.chars().collect();
    let (head, tail) = if chars.len() >= 8 { (3, 4) } else { (0, 2.min(chars.len() / 2)) };
    let start: String = chars[..head].iter().collect();
    let end: String = chars[chars.len() - tail..].iter().collect();
    format!("{start}****{end}")
}

/// Masks, wherever they stand in `text`, the `known` numbers and every run of eleven digits that starts with 1 (a
/// mainland mobile number). Longer runs, such as call ids and times in milliseconds, stay.
pub fn mask_numbers_in_text<'a>(text: &'a str, known: &[&str]) -> Cow<'a, str> {
    let mut result = Cow::Borrowed(text);
    for number in known.iter().filter(|number| number.len() >= 5) {
        if result.contains(number) {
            result = Cow::Owned(result.replace(number, &mask_number(number)));
        }
    }
    mask_mobile_runs(result)
}

const MOBILE_DIGITS: usize = 11;

fn mask_mobile_runs(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut copied = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if run == MOBILE_DIGITS && bytes[at] == b'1' {
            masked.push_str(&text[copied..at]);
            masked.push_str(&mask_number(&text[at..at + run]));
            copied = at + run;
        }
        at += run.max(1);
    }
    if copied == 0 {
        return text;
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_the_middle() {
        assert_eq!(mask_number("18512342456"), "185****2456");
        assert_eq!(mask_number("185xxxx2456"), "185****2456");
        assert_eq!(mask_number("10086"), "****86");
        assert_eq!(mask_number("1"), "****");
        assert_eq!(mask_number(""), "****");
    }

    #[test]
    fn debug_never_shows_the_number() {
        assert_eq!(format!("{:?}", PhoneNumber::new("13300000000")), "Some(133****0000)");
    }

    #[test]
    fn masks_inside_text_but_leaves_ids_and_times() {
        let text = r#"{"called":"13312345678","caller":"01012345674","call_id":"6811535818021285888","t":1559124413101}"#;
        let masked = mask_numbers_in_text(text, &["01012345674"]);
        assert_eq!(
            masked,
            r#"{"called":"133****5678","caller":"010****5674","call_id":"6811535818021285888","t":1559124413101}"#
        );
        assert!(matches!(mask_numbers_in_text("nothing here", &[]), Cow::Borrowed(_)));
    }
}
