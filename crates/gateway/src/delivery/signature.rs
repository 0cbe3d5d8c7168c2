//! Signs deliveries as Standard Webhooks wants it: HMAC-SHA256 of id, time and body, by every secret that is alive.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use outdial_core::Timestamp;
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret (Standard Webhooks, "Signature scheme").
const SHORTEST: usize = 24;
const LONGEST: usize = 64;
/// Bytes of a secret made here.
const LENGTH: usize = 32;
/// Characters of one signature, with its version and the space behind it.
const SIGNATURE_LENGTH: usize = 3 + 44 + 1;

/// Why text is no secret. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not {PREFIX} and the base64 of {SHORTEST} to {LONGEST} bytes")]
pub struct InvalidSecret;

/// The system gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoEntropy;

/// A secret, ready to sign.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a secret: `whsec_` and base64, with its padding, of 24 to 64 bytes.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if !(SHORTEST..=LONGEST).contains(&bytes.len()) {
            return Err(InvalidSecret);
        }
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| InvalidSecret)
    }
}

/// A new secret. The bytes come from the system by way of ring, which the TLS of this program relies on too; a UUID would
/// have 122 random bits at most.
///
/// # Errors
/// When the system has none.
pub fn generate_secret() -> Result<String, NoEntropy> {
    let mut bytes = [0; LENGTH];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| NoEntropy)?;
    let mut text = String::from(PREFIX);
    STANDARD.encode_string(bytes, &mut text);
    Ok(text)
}

/// The value of `webhook-signature`: one signature per key, in their order. `seconds` is the text of `webhook-timestamp`.
pub fn sign(keys: &[SigningKey], id: &str, seconds: &str, body: &[u8]) -> String {
    let mut text = String::with_capacity(keys.len() * SIGNATURE_LENGTH);
    for SigningKey(prepared) in keys {
        if !text.is_empty() {
            text.push(' ');
        }
        let mut mac = prepared.clone();
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            mac.update(part);
        }
        text.push_str("v1,");
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut text);
    }
    text
}

/// The text of `webhook-timestamp`.
pub fn timestamp_text(now: Timestamp) -> String {
    now.seconds().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn signs_as_the_specification_does() {
        // The example that the libraries of Standard Webhooks are tested with.
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_key_signs_in_its_place() {
        let [one, two] = [vec![1; 24], vec![2; 64]].map(|bytes| format!("whsec_{}", STANDARD.encode(bytes)));
        let keys = [SigningKey::parse(&one).unwrap(), SigningKey::parse(&two).unwrap()];
        let both = sign(&keys, "evt_1", "1700000000", b"{}");
        let alone = |at: usize| sign(&keys[at..=at], "evt_1", "1700000000", b"{}");
        assert_eq!(both, format!("{} {}", alone(0), alone(1)));
        assert_ne!(alone(0), alone(1));
        assert_eq!(both.len() + 1, 2 * SIGNATURE_LENGTH);
        for (id, seconds, body) in
            [("evt_2", "1700000000", "{}"), ("evt_1", "1700000001", "{}"), ("evt_1", "1700000000", "[]")]
        {
            assert_ne!(sign(&keys, id, seconds, body.as_bytes()), both);
        }
        assert_eq!(sign(&[], "evt_1", "1", b""), "");
    }

    #[test]
    fn a_secret_has_its_prefix_and_its_length() {
        let with = |length: usize| format!("whsec_{}", STANDARD.encode(vec![7; length]));
        for length in [24, 32, 64] {
            assert!(SigningKey::parse(&with(length)).is_ok(), "{length}");
        }
        for length in [0, 1, 23, 65] {
            assert_eq!(SigningKey::parse(&with(length)).err(), Some(InvalidSecret), "{length}");
        }
        let good = with(24);
        for bad in [&good[6..], &good.replace("whsec_", "WHSEC_"), &format!("{good}\n"), "whsec_%%%", ""] {
            assert_eq!(SigningKey::parse(bad).err(), Some(InvalidSecret), "{bad}");
        }
        let key = SigningKey::parse(&good).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey { .. }");
    }

    #[test]
    fn made_secrets_can_be_read_and_differ() {
        let made: BTreeSet<String> = (0..100).map(|_| generate_secret().unwrap()).collect();
        assert_eq!(made.len(), 100);
        for secret in &made {
            assert!(SigningKey::parse(secret).is_ok());
            assert_eq!(STANDARD.decode(&secret[PREFIX.len()..]).unwrap().len(), LENGTH);
        }
    }

    #[test]
    fn the_time_is_whole_seconds() {
        assert_eq!(timestamp_text(Timestamp::from_millis(1_614_265_330_999)), "1614265330");
    }
}
