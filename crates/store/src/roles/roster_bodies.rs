//! Bodies of the parts of rosters, kept until the vendor has them, so that what was not sent can be sent later.

use async_trait::async_trait;
use bytes::Bytes;
use outdial_core::Timestamp;

use crate::{StoreError, StoreErrorKind};

/// Largest chunk of a body, in bytes: neither a store nor its client handles a whole body at once.
pub const BODY_CHUNK_LIMIT: usize = 256 * 1024;

/// Refuses a chunk that is too large.
pub(crate) fn check_chunk(chunk: &Bytes) -> Result<(), StoreError> {
    if chunk.len() <= BODY_CHUNK_LIMIT {
        return Ok(());
    }
    let detail = format!("a chunk of {} bytes is more than {BODY_CHUNK_LIMIT}", chunk.len());
    Err(StoreError::new(StoreErrorKind::Invalid, detail))
}

/// Bodies of parts, in chunks numbered from 0. They expire with their roster.
#[async_trait]
pub trait RosterBodies: Send + Sync {
    /// Stores one chunk durably, in place of one that is there.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`; storing it again is safe. `Invalid` above [`BODY_CHUNK_LIMIT`].
    async fn put_body_chunk(
        &self,
        roster_id: &str,
        part: u32,
        chunk: u32,
        bytes: Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// One chunk.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_body_chunk(
        &self,
        roster_id: &str,
        part: u32,
        chunk: u32,
    ) -> Result<Option<Bytes>, StoreError>;

    /// How many chunks of a part there are.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn count_body_chunks(&self, roster_id: &str, part: u32) -> Result<u64, StoreError>;

    /// Removes the chunks of a part.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`; doing it again is safe.
    async fn remove_body(&self, roster_id: &str, part: u32) -> Result<(), StoreError>;
}
