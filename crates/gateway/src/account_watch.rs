//! What other replicas, or this one before it was started anew, did for the accounts: when a push was last taken, and whether
//! the next one is overdue, and how many token fetches are left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use outdial_core::{Clock, ReceivedVia, RecordQuery, Timestamp};
use outdial_store::{CallRecords, Store};

use crate::{
    accounts::{Account, Accounts},
    push::OverdueWatch,
    upstream::Upstream,
};

/// How often it is looked at.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// How many of the newest records are looked at for one that was pushed: others were only found by a search.
const RECENT: usize = 50;

/// Looks at the accounts in the store.
pub struct AccountWatch {
    accounts: Accounts,
    store: Arc<dyn Store>,
    upstream: Arc<Upstream>,
    overdue: OverdueWatch,
    /// Whether the store was away when it was looked last: then other replicas may have taken pushes that they could not share.
    was_away: AtomicBool,
}

impl AccountWatch {
    /// A watch over these accounts.
    pub fn new(
        accounts: Accounts,
        store: Arc<dyn Store>,
        upstream: Arc<Upstream>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let overdue = OverdueWatch::new(Arc::clone(&store), clock);
        Self { accounts, store, upstream, overdue, was_away: AtomicBool::new(false) }
    }

    /// Looks once at every account. A store that is away is told of elsewhere.
    pub async fn look(&self) {
        let may_tell = !self.was_away.swap(false, Ordering::Relaxed);
        for account in self.accounts.iter() {
            let newest = self.look_at(account).await;
            if let Err(error) = self.overdue.look_at(account, newest, may_tell).await {
                tracing::debug!(account = %account.id, problem = %error, "account_watch.store_away");
                self.was_away.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Answers when the newest record that was pushed came.
    async fn look_at(&self, account: &Arc<Account>) -> Option<Timestamp> {
        let ids = std::slice::from_ref(&account.id);
        let newest = CallRecords::query(&*self.store, ids, &RecordQuery::default(), None, RECENT).await;
        let mut newest = newest.ok().into_iter().flat_map(|page| page.records);
        let pushed = newest.find(|record| record.received_via == ReceivedVia::Push);
        let pushed_at = pushed.map(|record| record.received_at);
        if let Some(pushed_at) = pushed_at {
            account.note_push(pushed_at);
        }
        // Asking for a state shows it as a metric: of the circuit, and of the token's budget.
        self.upstream.circuit(&account.id);
        if let Err(error) = self.upstream.token_state(account).await {
            tracing::debug!(account = %account.id, problem = %error, "account_watch.store_away");
        }
        pushed_at
    }
}
