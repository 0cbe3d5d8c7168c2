//! Authentic pushes that could not be read, and suspects whose proof did not fit.

use async_trait::async_trait;
use bytes::Bytes;
use outdial_core::{AccountId, QuarantineReason, Timestamp, VendorId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::StoreError;

/// Bytes to be kept for later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuarantineDraft {
    /// Whose push it was.
    pub account: AccountId,
    /// The account's vendor.
    pub vendor: VendorId,
    /// When it came in.
    pub received_at: Timestamp,
    /// Why it could not be read. The code `not_authentic` marks suspects, which are kept in a ring of
    /// [`QuarantineDraft::SUSPECT_LIMIT`] bytes per account, the oldest dropped first.
    pub reason: QuarantineReason,
    /// The `Content-Type` of the body, for the replay.
    pub content_type: Option<String>,
    /// The bytes: one record's slice, or a whole body. As JSON in base64.
    #[serde(with = "base64_bytes")]
    pub raw: Bytes,
}

impl QuarantineDraft {
    /// The reason code of pushes whose proof did not fit: the wrong secret may be ours.
    pub const SUSPECT: &'static str = "not_authentic";
    /// Most bytes of suspects kept per account.
    pub const SUSPECT_LIMIT: usize = 64 * 1024 * 1024;

    /// `qua_`, the time of receipt and a digest of the rest: ids sort by time, and the same item has the same id.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.account.as_str(), self.reason.code.as_str()] {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(&self.raw);
        let digest: String = hash.finalize().iter().take(10).map(|byte| format!("{byte:02x}")).collect();
        format!("qua_{:012x}{digest}", self.received_at.millis().max(0))
    }
}

mod base64_bytes {
    use std::borrow::Cow;

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(|_| D::Error::custom("not base64"))
    }
}

/// An item in quarantine.
#[derive(Clone, Debug)]
pub struct QuarantinedItem {
    /// [`QuarantineDraft::id`].
    pub id: String,
    /// What is kept.
    pub draft: QuarantineDraft,
}

/// Which items a reader asks for.
#[derive(Clone, Debug, Default)]
pub struct QuarantineFilter {
    /// Only of these; never empty.
    pub accounts: Vec<AccountId>,
    /// Only with this reason code.
    pub reason: Option<String>,
}

/// The quarantine. Items enter with [`crate::Batch::quarantined`], in the same atomic step as the records of the body, or by
/// [`Quarantine::put_suspect`].
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Keeps a push whose proof did not fit. Not part of any acknowledgement, so best effort.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn put_suspect(&self, draft: QuarantineDraft) -> Result<(), StoreError>;

    /// Up to `limit` items, newest first, older than the item `before`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_quarantined(
        &self,
        filter: &QuarantineFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<QuarantinedItem>, StoreError>;

    /// The ids of up to `limit` items, oldest first, newer than the item `after`. Without their bytes, which may be many.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_quarantined_ids(
        &self,
        filter: &QuarantineFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// One item.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_quarantined(&self, id: &str) -> Result<Option<QuarantinedItem>, StoreError>;

    /// Removes an item. Answers whether it was there.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn delete_quarantined(&self, id: &str) -> Result<bool, StoreError>;

    /// Removes items received before a time. Answers how many, at most 10,000 a call.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn expire_quarantined(&self, older_than: Timestamp) -> Result<u64, StoreError>;
}
