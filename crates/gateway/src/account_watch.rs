//! What other replicas, or this one before it was started anew, did for the accounts: when a push was last taken, and how
//! many token fetches are left.

use std::{sync::Arc, time::Duration};

use outdial_core::{ReceivedVia, RecordQuery};
use outdial_store::{CallRecords, Store};

use crate::{
    accounts::{Account, Accounts},
    upstream::Upstream,
};

/// How often it is looked at.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// Looks at the accounts in the store.
pub struct AccountWatch {
    accounts: Accounts,
    store: Arc<dyn Store>,
    upstream: Arc<Upstream>,
}

impl AccountWatch {
    /// A watch over these accounts.
    pub fn new(accounts: Accounts, store: Arc<dyn Store>, upstream: Arc<Upstream>) -> Self {
        Self { accounts, store, upstream }
    }

    /// Looks once at every account. A store that is away is told of elsewhere.
    pub async fn look(&self) {
        for account in self.accounts.iter() {
            self.look_at(account).await;
        }
    }

    async fn look_at(&self, account: &Arc<Account>) {
        let ids = std::slice::from_ref(&account.id);
        let newest = CallRecords::query(&*self.store, ids, &RecordQuery::default(), None, 1).await;
        for record in newest.into_iter().flat_map(|page| page.records) {
            if record.received_via == ReceivedVia::Push {
                account.note_push(record.received_at);
            }
        }
        // Asking for a state shows it as a metric: of the circuit, and of the token's budget.
        self.upstream.circuit(&account.id);
        if let Err(error) = self.upstream.token_state(account).await {
            tracing::debug!(account = %account.id, problem = %error, "account_watch.store_away");
        }
    }
}
