//! The keys of one issuer, each bound to the one algorithm it may be used with.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// Largest JWKS document, in bytes.
pub(crate) const JWKS_LIMIT: usize = 256 * 1024;

/// Most keys taken of one document.
const KEY_LIMIT: usize = 100;

/// A key and the algorithm it is for. The algorithm is the key's, never the token's.
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The keys of one issuer.
#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// One shared secret, for HS256 alone.
    pub(super) fn shared(secret: &[u8]) -> Self {
        Self(vec![Key { id: None, algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(secret) }])
    }

    /// Reads a JWKS document. Keys that are not for signatures, or of a kind we do not take, are passed over, and so is
    /// everything after the first hundred.
    ///
    /// # Errors
    /// When the document is no JWKS, or holds no key that can be used.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(text).map_err(|error| format!("no JWKS document: {error}"))?;
        let keys: Vec<Key> = document.keys.into_iter().take(KEY_LIMIT).filter_map(read_key).collect();
        if keys.is_empty() { Err("holds no RS256, ES256 or EdDSA key".to_owned()) } else { Ok(Self(keys)) }
    }

    /// The key of a token: by its id, or the only one of the algorithm where the token names none or the key has none.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let named = id.and_then(|id| self.0.iter().find(|key| key.id.as_deref() == Some(id)));
        if let Some(key) = named {
            return Some(key).filter(|key| key.algorithm == algorithm);
        }
        let mut fitting =
            self.0.iter().filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.is_none()));
        let first = fitting.next();
        if fitting.next().is_some() { None } else { first }
    }
}

fn read_key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let algorithm = algorithm_of(&jwk).filter(|_| for_signatures)?;
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Key { id: jwk.common.key_id, algorithm, decoding })
}

/// Public keys alone: a shared secret in a document of public keys would let every reader of it sign.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    let declared = jwk.common.key_algorithm;
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    declared.is_none_or(|declared| declared == name).then_some(algorithm)
}
