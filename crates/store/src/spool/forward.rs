//! The roles besides the log, which know no spool: they answer as Redis does.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use outdial_core::{AccountId, CallRecord, Position, RecordQuery, Timestamp};

use super::Spooled;
use crate::{
    CallRecords, DeliveryCommit, DeliveryProgress, DeliveryStatus, EntryOutcomes, EntryRow, Holder,
    HourCount, Kv, Lease, Leases, PageKey, Quarantine, QuarantineDraft, QuarantineFilter, QuarantinedItem,
    RecordPage, RosterBodies, RosterFilter, Rosters, StoreError, StoredDelivery, StoredRoster,
    StoredSubscription, Subscriptions, Summary, TurnAnswer, TurnRequest, Turns,
};

#[async_trait]
impl CallRecords for Spooled {
    async fn query(
        &self,
        accounts: &[AccountId],
        query: &RecordQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        self.redis.query(accounts, query, after, limit).await
    }

    async fn get(&self, account: &AccountId, call_id: &str) -> Result<Option<CallRecord>, StoreError> {
        self.redis.get(account, call_id).await
    }

    async fn summary(&self, account: &AccountId, campaign_id: &str) -> Result<Summary, StoreError> {
        self.redis.summary(account, campaign_id).await
    }

    async fn count_by_hour(
        &self,
        account: &AccountId,
        campaign_id: Option<&str>,
        first_hour: i64,
        hours: usize,
    ) -> Result<Vec<HourCount>, StoreError> {
        self.redis.count_by_hour(account, campaign_id, first_hour, hours).await
    }

    async fn expire(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.redis.expire(older_than).await
    }
}

#[async_trait]
impl Rosters for Spooled {
    async fn put_roster(&self, roster: &StoredRoster) -> Result<bool, StoreError> {
        self.redis.put_roster(roster).await
    }

    async fn put_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
        entries: Vec<EntryRow>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.redis.put_entries(account, campaign_id, roster_id, entries, now).await
    }

    async fn remove_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        self.redis.remove_entries(account, campaign_id, roster_id).await
    }

    async fn withhold_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        self.redis.withhold_entries(account, campaign_id, roster_id).await
    }

    async fn restore_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        self.redis.restore_entries(account, campaign_id, roster_id).await
    }

    async fn entry_outcomes(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<EntryOutcomes, StoreError> {
        self.redis.entry_outcomes(account, campaign_id, roster_id).await
    }

    async fn get_roster(&self, id: &str) -> Result<Option<StoredRoster>, StoreError> {
        self.redis.get_roster(id).await
    }

    async fn list_rosters(
        &self,
        filter: &RosterFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredRoster>, StoreError> {
        self.redis.list_rosters(filter, before, limit).await
    }

    async fn get_entry(
        &self,
        account: &AccountId,
        campaign_id: &str,
        entry_id: &str,
    ) -> Result<Option<EntryRow>, StoreError> {
        self.redis.get_entry(account, campaign_id, entry_id).await
    }

    async fn expire_rosters(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.redis.expire_rosters(older_than).await
    }
}

#[async_trait]
impl RosterBodies for Spooled {
    async fn put_body_chunk(
        &self,
        roster_id: &str,
        part: u32,
        chunk: u32,
        bytes: Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.redis.put_body_chunk(roster_id, part, chunk, bytes, now).await
    }

    async fn get_body_chunk(
        &self,
        roster_id: &str,
        part: u32,
        chunk: u32,
    ) -> Result<Option<Bytes>, StoreError> {
        self.redis.get_body_chunk(roster_id, part, chunk).await
    }

    async fn count_body_chunks(&self, roster_id: &str, part: u32) -> Result<u64, StoreError> {
        self.redis.count_body_chunks(roster_id, part).await
    }

    async fn remove_body(&self, roster_id: &str, part: u32) -> Result<(), StoreError> {
        self.redis.remove_body(roster_id, part).await
    }
}

#[async_trait]
impl Quarantine for Spooled {
    async fn put_suspect(&self, draft: QuarantineDraft) -> Result<(), StoreError> {
        self.redis.put_suspect(draft).await
    }

    async fn list_quarantined(
        &self,
        filter: &QuarantineFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<QuarantinedItem>, StoreError> {
        self.redis.list_quarantined(filter, before, limit).await
    }

    async fn list_quarantined_ids(
        &self,
        filter: &QuarantineFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.redis.list_quarantined_ids(filter, after, limit).await
    }

    async fn get_quarantined(&self, id: &str) -> Result<Option<QuarantinedItem>, StoreError> {
        self.redis.get_quarantined(id).await
    }

    async fn delete_quarantined(&self, id: &str) -> Result<bool, StoreError> {
        self.redis.delete_quarantined(id).await
    }

    async fn expire_quarantined(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.redis.expire_quarantined(older_than).await
    }
}

#[async_trait]
impl Kv for Spooled {
    async fn get_value(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.redis.get_value(key).await
    }

    async fn put_value(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        self.redis.put_value(key, value, ttl).await
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&Bytes>,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.redis.compare_and_set(key, expected, value, ttl).await
    }

    async fn delete_value(&self, key: &str) -> Result<bool, StoreError> {
        self.redis.delete_value(key).await
    }
}

#[async_trait]
impl Leases for Spooled {
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        self.redis.acquire_lease(name, owner, ttl).await
    }

    async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<bool, StoreError> {
        self.redis.renew_lease(lease, ttl).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.redis.release_lease(lease).await
    }
}

#[async_trait]
impl Subscriptions for Spooled {
    async fn create_subscription(
        &self,
        subscription: &StoredSubscription,
        start: Position,
    ) -> Result<bool, StoreError> {
        self.redis.create_subscription(subscription, start).await
    }

    async fn replace_subscription(&self, subscription: &StoredSubscription) -> Result<bool, StoreError> {
        self.redis.replace_subscription(subscription).await
    }

    async fn get_subscription(&self, id: &str) -> Result<Option<StoredSubscription>, StoreError> {
        self.redis.get_subscription(id).await
    }

    async fn list_subscriptions(&self) -> Result<Vec<StoredSubscription>, StoreError> {
        self.redis.list_subscriptions().await
    }

    async fn delete_subscription(&self, id: &str) -> Result<bool, StoreError> {
        self.redis.delete_subscription(id).await
    }

    async fn get_progress(&self, id: &str) -> Result<Option<DeliveryProgress>, StoreError> {
        self.redis.get_progress(id).await
    }

    async fn commit_deliveries(
        &self,
        id: &str,
        fence: u64,
        commit: DeliveryCommit,
    ) -> Result<bool, StoreError> {
        self.redis.commit_deliveries(id, fence, commit).await
    }

    async fn list_deliveries(
        &self,
        id: &str,
        status: DeliveryStatus,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        self.redis.list_deliveries(id, status, before, limit).await
    }

    async fn get_delivery(&self, id: &str, delivery: &str) -> Result<Option<StoredDelivery>, StoreError> {
        self.redis.get_delivery(id, delivery).await
    }

    async fn count_deliveries(&self, id: &str, status: DeliveryStatus) -> Result<u64, StoreError> {
        self.redis.count_deliveries(id, status).await
    }

    async fn redrive_deliveries(
        &self,
        id: &str,
        delivery: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.redis.redrive_deliveries(id, delivery, now).await
    }

    async fn expire_deliveries(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.redis.expire_deliveries(older_than).await
    }
}

#[async_trait]
impl Turns for Spooled {
    async fn take_turn(&self, request: &TurnRequest<'_>) -> Result<TurnAnswer, StoreError> {
        self.redis.take_turn(request).await
    }

    async fn give_turn_back(&self, account: &AccountId, holder: Holder<'_>) -> Result<(), StoreError> {
        self.redis.give_turn_back(account, holder).await
    }

    async fn pause_turns(&self, account: &AccountId, pause: Duration) -> Result<(), StoreError> {
        self.redis.pause_turns(account, pause).await
    }
}
