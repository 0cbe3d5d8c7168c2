//! The marks of a vendor's search that a walk has seen: one that comes again ends it (ICSOC contract 1.2).

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Marks that are remembered of one walk.
const KEPT: usize = 20_000;
/// Bytes of a mark's digest.
const DIGEST_BYTES: usize = 8;

/// Digests of the marks seen, eight bytes each, as base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeenMarks(String);

impl SeenMarks {
    /// Remembers a mark. Answers whether it is new.
    pub fn note(&mut self, mark: &str) -> bool {
        let digest = Sha256::digest(mark.as_bytes());
        let digest = &digest[..DIGEST_BYTES];
        let mut seen = STANDARD_NO_PAD.decode(&self.0).unwrap_or_default();
        if seen.chunks_exact(DIGEST_BYTES).any(|known| known == digest) {
            return false;
        }
        if seen.len() >= KEPT * DIGEST_BYTES {
            seen.drain(..DIGEST_BYTES);
        }
        seen.extend_from_slice(digest);
        self.0 = STANDARD_NO_PAD.encode(seen);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_new_once_and_only_so_many_are_kept() {
        let mut seen = SeenMarks::default();
        assert!(seen.note("a") && seen.note("b") && !seen.note("a"));
        let mut full = SeenMarks(STANDARD_NO_PAD.encode(vec![0; KEPT * DIGEST_BYTES]));
        assert!(full.note("a") && !full.note("a"));
        assert_eq!(STANDARD_NO_PAD.decode(&full.0).unwrap().len(), KEPT * DIGEST_BYTES);
    }
}
