//! The push's envelope: signed, and encrypted if wanted, as PHP does it (ICSOC public docs).

use aes::Aes256;
use base64::{Engine, engine::general_purpose::STANDARD};
use cfb_mode::{Encryptor, cipher::KeyIvInit};
use md5::{Digest, Md5};

use crate::json::{Json, Spelling};

const KEY_BYTES: usize = 32;
const IV_BYTES: usize = 16;
/// Type 1: a call record (ICSOC contract 2.2).
const CALL_RECORD: i64 = 1;

/// How an envelope is closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal<'a> {
    /// Encrypts.
    pub(crate) secret: &'a str,
    /// Signs; the same one, unless the sign is to be wrong.
    pub(crate) sign_secret: &'a str,
    pub(crate) encrypt: bool,
    /// How the body is written; what is signed is always PHP's default.
    pub(crate) spelling: Spelling,
}

impl Seal<'_> {
    /// The body of a push of `data` at `timestamp`.
    pub(crate) fn close(self, data: &Json, timestamp: String) -> String {
        let signed = data.encode(Spelling::Php);
        let (signed, value) = if self.encrypt {
            let encrypted = encrypt(signed.as_bytes(), self.secret);
            (encrypted.clone(), Json::text(encrypted))
        } else {
            (signed, data.clone())
        };
        let sign = sign(&signed, self.sign_secret);
        Json::Object(vec![
            ("type".into(), Json::Int(CALL_RECORD)),
            ("data".into(), value),
            ("sign".into(), Json::text(sign)),
            ("timestamp".into(), Json::text(timestamp)),
        ])
        .encode(self.spelling)
    }
}

/// `md5($text . $secret)`.
fn sign(text: &str, secret: &str) -> String {
    let digest = Md5::new().chain_update(text).chain_update(secret).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `openssl_encrypt($text, 'aes-256-cfb', $secret, 0, substr($secret, 0, 16))`.
fn encrypt(text: &[u8], secret: &str) -> String {
    let mut buffer = text.to_vec();
    let (key, iv): ([u8; KEY_BYTES], [u8; IV_BYTES]) = (fit(secret), fit(secret));
    Encryptor::<Aes256>::new(&key.into(), &iv.into()).encrypt(&mut buffer);
    STANDARD.encode(buffer)
}

/// PHP pads what is short with zero bytes and cuts what is long.
fn fit<const N: usize>(secret: &str) -> [u8; N] {
    let mut fitted = [0; N];
    for (place, byte) in fitted.iter_mut().zip(secret.bytes()) {
        *place = byte;
    }
    fitted
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    /// A push made with PHP itself.
    #[derive(Deserialize)]
    pub(crate) struct Vector {
        secret: String,
        plain: String,
        encrypted: String,
        pub(crate) data_json: String,
    }

    /// All of them, by name.
    pub(crate) fn vectors() -> BTreeMap<String, Vector> {
        serde_json::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/icsoc-push-vectors.json"
        )))
        .unwrap()
    }

    #[derive(Deserialize)]
    struct Envelope {
        timestamp: String,
    }

    #[test]
    fn every_body_that_php_made_is_made_again_to_the_byte() {
        for (name, vector) in vectors() {
            let data: Json = serde_json::from_str(&vector.data_json).unwrap();
            let Envelope { timestamp } = serde_json::from_str(&vector.plain).unwrap();
            // That one was written with other flags than it was signed with.
            let spelling = match name.as_str() {
                "body_written_with_unescaped_unicode" => Spelling::PhpUnescaped,
                _ => Spelling::Php,
            };
            let secret = vector.secret.as_str();
            let seal = Seal { secret, sign_secret: secret, encrypt: false, spelling };
            assert_eq!(seal.close(&data, timestamp.clone()), vector.plain, "{name}");
            let seal = Seal { encrypt: true, ..seal };
            assert_eq!(seal.close(&data, timestamp), vector.encrypted, "{name}");
        }
    }

    #[test]
    fn another_secret_gives_another_sign_and_nothing_else() {
        let seal = Seal { secret: "a", sign_secret: "a", encrypt: true, spelling: Spelling::Php };
        let data = Json::text("x");
        let right = seal.close(&data, String::new());
        let wrong = Seal { sign_secret: "b", ..seal }.close(&data, String::new());
        let differing = right.bytes().zip(wrong.bytes()).filter(|(one, other)| one != other).count();
        assert!(right.len() == wrong.len() && (1..=32).contains(&differing));
    }
}
