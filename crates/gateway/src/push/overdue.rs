//! Tells by an event that an account has had no push for longer than is usual. What is usual, and of which push it was told, is
//! shared by all replicas, so the event is one.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outdial_core::{Clock, PushOverdue, Timestamp};
use outdial_store::{Batch, EventLog, Kv, Store, StoreError};

use super::rhythm::Rhythm;
use crate::accounts::Account;

/// How long what was learned is kept without a push.
const LIFE: Duration = Duration::from_secs(35 * 24 * 60 * 60);
/// How often it is written anew when another replica was faster.
const RACES: usize = 8;

/// The watch over pushes that do not come.
pub struct OverdueWatch {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl OverdueWatch {
    /// A watch that shares what it learns in this store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Shares what this replica knows of an account's pushes, `newest` of the stored records among them, learns what others
    /// know and, if `may_tell`, tells of a push that is overdue.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn look_at(
        &self,
        account: &Account,
        newest: Option<Timestamp>,
        may_tell: bool,
    ) -> Result<(), StoreError> {
        let key = format!("rhythm:{}", account.id);
        for _ in 0..RACES {
            let kept = Kv::get_value(&*self.store, &key).await?;
            let known: Option<Rhythm> = kept.as_ref().and_then(|kept| serde_json::from_slice(kept).ok());
            let pushes = [newest, account.last_push_at()];
            let mut is_changed = known.is_none();
            let first = pushes.into_iter().flatten().next();
            let Some(mut rhythm) = known.or_else(|| first.map(Rhythm::new)) else { return Ok(()) };
            account.note_push(rhythm.last_push_at);
            for push_at in pushes.into_iter().flatten() {
                is_changed |= rhythm.note(push_at);
            }
            if may_tell {
                is_changed |= self.tell(account, &mut rhythm).await?;
            }
            if !is_changed {
                return Ok(());
            }
            let value = Bytes::from(serde_json::to_vec(&rhythm).unwrap_or_default());
            if Kv::compare_and_set(&*self.store, &key, kept.as_ref(), value, LIFE).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Appends the event if a push is overdue and it was not told yet. Answers whether it did.
    async fn tell(&self, account: &Account, rhythm: &mut Rhythm) -> Result<bool, StoreError> {
        let (now, last_push_at) = (self.clock.now(), rhythm.last_push_at);
        let overdue = rhythm.expected_by().filter(|by| *by < now && rhythm.told_of != Some(last_push_at));
        let Some(expected_by) = overdue else { return Ok(false) };
        let vendor = account.vendor.descriptor().vendor.clone();
        let event = PushOverdue { last_push_at, expected_by }.into_draft(account.id.clone(), vendor, now);
        EventLog::append(&*self.store, Batch { events: vec![event], ..Batch::default() }, now).await?;
        tracing::warn!(account = %account.id, %last_push_at, %expected_by, "push.overdue");
        rhythm.told_of = Some(last_push_at);
        Ok(true)
    }
}
