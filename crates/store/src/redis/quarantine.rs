//! The quarantine in Redis.

use async_trait::async_trait;
use bytes::Bytes;
use outdial_core::{AccountId, QuarantineReason, Timestamp, VendorId};
use redis::{ScriptInvocation, cmd, pipe};
use serde::{Deserialize, Serialize};

use super::{Redis, scripts, unreadable};
use crate::{Quarantine, QuarantineDraft, QuarantineFilter, QuarantinedItem, StoreError, StoreErrorKind};

/// What is kept of an item besides its bytes.
#[derive(Serialize, Deserialize)]
struct Facts {
    account: AccountId,
    vendor: VendorId,
    received_at: i64,
    reason: QuarantineReason,
    content_type: Option<String>,
}

#[async_trait]
impl Quarantine for Redis {
    async fn put_suspect(&self, draft: QuarantineDraft) -> Result<(), StoreError> {
        let mut call = scripts::call(&self.scripts.put_suspect, &self.keys);
        call.arg(QuarantineDraft::SUSPECT_LIMIT);
        add_item(&mut call, &draft)?;
        self.shared.ask_again(&call).await
    }

    async fn list_quarantined(
        &self,
        filter: &QuarantineFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<QuarantinedItem>, StoreError> {
        let mut ids = self.read_ids(filter, |range| add_older(range, before, limit)).await?;
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(limit);
        self.read_items(&ids).await
    }

    async fn list_quarantined_ids(
        &self,
        filter: &QuarantineFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let start = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let newer = |range: &mut redis::Pipeline| {
            range.arg(&start).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(limit);
        };
        let mut ids = self.read_ids(filter, newer).await?;
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }

    async fn get_quarantined(&self, id: &str) -> Result<Option<QuarantinedItem>, StoreError> {
        Ok(self.read_items(&[id.to_owned()]).await?.pop())
    }

    async fn delete_quarantined(&self, id: &str) -> Result<bool, StoreError> {
        let mut call = scripts::call(&self.scripts.drop_item, &self.keys);
        call.arg(id);
        self.shared.ask(&call).await
    }

    async fn expire_quarantined(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.expire_in_steps(&self.scripts.expire_items, older_than.millis()).await
    }
}

impl Redis {
    /// Ids of the items of a filter, those of one account after those of another.
    async fn read_ids(
        &self,
        filter: &QuarantineFilter,
        add_range: impl Fn(&mut redis::Pipeline),
    ) -> Result<Vec<String>, StoreError> {
        if filter.accounts.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = pipe();
        for account in &filter.accounts {
            let index = match &filter.reason {
                Some(reason) => self.keys.of("quarantined", format_args!("{account}:{reason}")),
                None => self.keys.of("quarantined", account),
            };
            add_range(pipeline.cmd("ZRANGE").arg(index));
        }
        let lists: Vec<Vec<String>> = self.shared.read(&pipeline).await?;
        Ok(lists.into_iter().flatten().collect())
    }

    async fn read_items(&self, ids: &[String]) -> Result<Vec<QuarantinedItem>, StoreError> {
        let mut items = Vec::with_capacity(ids.len());
        // One by one: an item may be a body of many megabytes.
        for id in ids {
            let mut get = cmd("HMGET");
            get.arg(self.keys.of("quarantine", id)).arg("facts").arg("raw");
            let (facts, raw): (Option<Vec<u8>>, Option<Vec<u8>>) = self.shared.read(&get).await?;
            let (Some(facts), Some(raw)) = (facts, raw) else { continue };
            let facts: Facts =
                serde_json::from_slice(&facts).map_err(|_| unreadable("an item in quarantine"))?;
            let draft = QuarantineDraft {
                account: facts.account,
                vendor: facts.vendor,
                received_at: Timestamp::from_millis(facts.received_at),
                reason: facts.reason,
                content_type: facts.content_type,
                raw: Bytes::from(raw),
            };
            items.push(QuarantinedItem { id: id.clone(), draft });
        }
        Ok(items)
    }
}

/// Ends a `ZRANGE` over names: the newest first, older than one.
pub(super) fn add_older(range: &mut redis::Pipeline, before: Option<&str>, limit: usize) {
    let end = before.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
    range.arg(end).arg("-").arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(limit);
}

/// The arguments of an item, as the scripts take it.
pub(super) fn add_item(call: &mut ScriptInvocation<'_>, draft: &QuarantineDraft) -> Result<(), StoreError> {
    let facts = Facts {
        account: draft.account.clone(),
        vendor: draft.vendor.clone(),
        received_at: draft.received_at.millis(),
        reason: draft.reason.clone(),
        content_type: draft.content_type.clone(),
    };
    let facts = serde_json::to_string(&facts).map_err(|error| {
        StoreError::new(StoreErrorKind::Invalid, format!("an item cannot be written as JSON: {error}"))
    })?;
    call.arg(draft.id()).arg(draft.account.as_str()).arg(&draft.reason.code);
    call.arg(draft.received_at.millis()).arg(facts).arg(draft.raw.as_ref());
    Ok(())
}
