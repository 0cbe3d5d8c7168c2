//! Signing secrets: made here, shown once, replaced with an overlap.

use outdial_core::{Error, ErrorClass, Timestamp};
use outdial_store::SigningSecret;

use crate::delivery::signature::generate_secret;

/// How long the secret before still signs.
const OVERLAP_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// A new secret.
///
/// # Errors
/// `Internal` when the system gives no chance.
pub fn new_secret() -> Result<SigningSecret, Error> {
    let text = generate_secret().map_err(|error| {
        let failure = Error::new(ErrorClass::Internal, "internal", "Something went wrong here.");
        failure.with_detail(error.to_string())
    })?;
    Ok(SigningSecret { text, ends_at: None })
}

/// The secrets after a rotation: the new one, and the one before for a while. What was kept besides that goes.
pub fn rotate(secrets: &[SigningSecret], new: SigningSecret, now: Timestamp) -> Vec<SigningSecret> {
    let before = secrets
        .first()
        .map(|before| SigningSecret { ends_at: Some(now.plus_millis(OVERLAP_MILLIS)), ..before.clone() });
    std::iter::once(new).chain(before).collect()
}

/// Until when a secret signs beside the present one.
pub fn overlap_ends_at(secrets: &[SigningSecret], now: Timestamp) -> Option<Timestamp> {
    secrets.iter().skip(1).filter_map(|secret| secret.ends_at).filter(|end| *end > now).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_before_signs_for_a_day_and_no_third_one() {
        let now = Timestamp::from_millis(1_000);
        let day = now.plus_millis(86_400_000);
        let named = |text: &str| SigningSecret { text: text.to_owned(), ends_at: None };
        let once = rotate(&[named("a")], named("b"), now);
        assert_eq!(once, [named("b"), SigningSecret { ends_at: Some(day), ..named("a") }]);
        let twice = rotate(&once, named("c"), now.plus_millis(1));
        assert_eq!(twice.iter().map(|secret| secret.text.as_str()).collect::<Vec<_>>(), ["c", "b"]);
        assert_eq!(overlap_ends_at(&once, now), Some(day));
        assert_eq!(overlap_ends_at(&once, day), None);
    }
}
