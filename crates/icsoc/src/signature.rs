//! The proof of a push: `sign = md5(S + SECRET)`, where S is the JSON text that PHP's `json_encode` made of `data`, or the
//! base64 text itself when `data` is encrypted (ICSOC public documents).
//!
//! MD5 with the secret behind the text, and a fixed initialization vector, are the vendor's choice and weak: the signature
//! covers neither `type` nor `timestamp`, and proves nothing about freshness. The secret in the path and the source-address
//! list stand beside it for that reason.

use aes::{
    Aes256,
    cipher::{Array, KeyIvInit},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use md5::{Digest, Md5};
use outdial_core::{ExposeSecret, PushRefusal, RawPush, SecretString, VerifiedPush};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::{envelope, php::reencode};

/// The text was signed as it stands in the body.
pub const RAW_SLICE: &str = "raw_slice";
/// The text was signed as PHP writes it by default, and sent with other flags.
pub const PHP_ENCODING: &str = "php_encoding";
/// The base64 text was signed.
pub const ENCRYPTED: &str = "encrypted";

/// Checks the signature over the bytes as they came, before anything is decrypted.
pub fn verify(secrets: &[SecretString], push: RawPush) -> Result<VerifiedPush, PushRefusal> {
    let Some(envelope) = envelope::open(&push.body) else {
        return Err(PushRefusal::Malformed { reason: "not_one_envelope" });
    };
    let refuse = |reason| PushRefusal::NotAuthentic { reason };
    let sign = envelope.sign.as_deref().and_then(decode_sign).ok_or_else(|| refuse("no_signature"))?;
    let data = envelope.data.ok_or_else(|| refuse("no_data"))?;
    let slice = push.body.slice(data);
    if slice.first() == Some(&b'"') {
        let text: String = serde_json::from_slice(&slice).map_err(|_| refuse("no_data"))?;
        let index =
            matching_secret(secrets, text.as_bytes(), &sign).ok_or_else(|| refuse("wrong_signature"))?;
        return Ok(verified(push, Bytes::from(text), index, ENCRYPTED));
    }
    if let Some(index) = matching_secret(secrets, &slice, &sign) {
        return Ok(verified(push, slice, index, RAW_SLICE));
    }
    for empty_as_list in [false, true] {
        let text = reencode(&slice, empty_as_list).unwrap_or_default();
        if let Some(index) = matching_secret(secrets, text.as_bytes(), &sign) {
            return Ok(verified(push, slice, index, PHP_ENCODING));
        }
    }
    Err(refuse("wrong_signature"))
}

fn verified(raw: RawPush, payload: Bytes, index: usize, proof: &'static str) -> VerifiedPush {
    VerifiedPush { raw, payload, secret_index: Some(index), proof }
}

/// Sixteen bytes from 32 hex digits of either case.
fn decode_sign(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut sign = [0; 16];
    for (byte, pair) in sign.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(sign)
}

/// Which secret made the signature. Every secret is tried, and the comparison takes the same time whatever it finds. Empty
/// text never verifies: `json_encode` of what it cannot encode gives `false`, so `md5(SECRET)` is no secret.
fn matching_secret(secrets: &[SecretString], text: &[u8], sign: &[u8; 16]) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    let (mut found, mut index) = (Choice::from(0), u64::MAX);
    for (at, secret) in (0_u64..).zip(secrets) {
        let mut hash = Md5::new();
        hash.update(text);
        hash.update(secret.expose_secret());
        let equal = hash.finalize().as_slice().ct_eq(sign);
        index.conditional_assign(&at, equal & !found);
        found |= equal;
    }
    bool::from(found).then(|| usize::try_from(index).ok()).flatten()
}

/// Decrypts `base64(AES-256-CFB(text, key = secret, iv = first 16 bytes of it))`, 128-bit feedback, no padding. As PHP
/// does, a short key or vector is filled with zero bytes and a long one cut. `None` if it is not base64.
pub fn decrypt(text: &[u8], secret: &SecretString) -> Option<Vec<u8>> {
    let mut bytes = STANDARD.decode(text).ok()?;
    let secret = secret.expose_secret().as_bytes();
    let (key, iv): ([u8; 32], [u8; 16]) = (zero_filled(secret), zero_filled(secret));
    cfb_mode::Decryptor::<Aes256>::new(&Array::from(key), &Array::from(iv)).decrypt(&mut bytes);
    Some(bytes)
}

fn zero_filled<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    let mut filled = [0; LENGTH];
    let length = bytes.len().min(LENGTH);
    filled[..length].copy_from_slice(&bytes[..length]);
    filled
}
