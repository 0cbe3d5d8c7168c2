//! Takes an item of the quarantine once more, with the secrets and the code of today.

use outdial_core::{DecodedPush, PushItem, QuarantineReason, RawPush};
use outdial_store::{QuarantinedItem, Store};
use serde::Serialize;

use super::PushReceiver;
use crate::{accounts::Account, api_error::ApiError};

/// What became of a replayed item; openapi.yaml describes each field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayResult {
    pub id: String,
    pub stored: usize,
    pub duplicate: usize,
    pub quarantined: usize,
    pub removed: bool,
}

/// Replays an item. It leaves the quarantine once every record in it is stored or known; not while one is only spooled, for a
/// spool may go with its volume.
///
/// # Errors
/// When the store is away; then nothing has changed, or what has changed is a duplicate the next time.
pub async fn replay(
    store: &dyn Store,
    receiver: &PushReceiver,
    account: &Account,
    item: QuarantinedItem,
) -> Result<ReplayResult, ApiError> {
    let QuarantinedItem { id, draft } = item;
    let raw =
        RawPush { body: draft.raw, content_type: draft.content_type.clone(), received_at: draft.received_at };
    let decoded = match account.vendor.verify(raw) {
        Ok(verified) => account.vendor.decode(&verified),
        Err(_) => DecodedPush { items: vec![still_refused()], answer: None },
    };
    // One record's slice that is a list itself is a body without records: nothing of it was read.
    let is_empty = decoded.items.is_empty() && decoded.answer.is_none();
    let unreadable = decoded.items.iter().filter(|item| item.result.is_err()).count() + usize::from(is_empty);
    let readable = DecodedPush {
        items: decoded.items.into_iter().filter(|item| item.result.is_ok()).collect(),
        answer: None,
    };
    let taken = receiver.store_items(account, readable, draft.content_type).await?;
    let removed = unreadable == 0 && !taken.spooled && store.delete_quarantined(&id).await?;
    tracing::info!(item = id, stored = taken.stored, unreadable, removed, "quarantine.replayed");
    Ok(ReplayResult {
        id,
        stored: taken.stored,
        duplicate: taken.duplicate,
        quarantined: unreadable,
        removed,
    })
}

/// What became of several items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayTotals {
    pub items: usize,
    pub removed: usize,
    pub stored: usize,
    pub duplicate: usize,
    pub quarantined: usize,
}

impl ReplayTotals {
    /// The sums over these items.
    pub fn of(results: &[ReplayResult]) -> Self {
        let sum = |count: fn(&ReplayResult) -> usize| results.iter().map(count).sum();
        Self {
            items: results.len(),
            removed: sum(|result| usize::from(result.removed)),
            stored: sum(|result| result.stored),
            duplicate: sum(|result| result.duplicate),
            quarantined: sum(|result| result.quarantined),
        }
    }
}

fn still_refused() -> PushItem {
    let reason = QuarantineReason::new("not_authentic", "the proof does not fit any secret of today");
    PushItem { raw: bytes::Bytes::new(), result: Err(reason) }
}
