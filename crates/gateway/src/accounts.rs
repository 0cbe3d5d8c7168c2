//! The accounts that the gateway serves.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use outdial_core::{AccountId, Error, ErrorClass, SecretString, Timestamp, Vendor};

use crate::account_sync::{AccountSync, SyncConfig};

/// How much of a vendor one account may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpstreamLimits {
    /// Calls per second, over all replicas.
    pub max_rps: f64,
    /// Calls at once, over all replicas.
    pub max_concurrency: usize,
    /// Deadline of one call, from the first byte out to the last byte in.
    pub timeout: Duration,
}

/// Who may push, and to which path.
#[derive(Clone, Debug, Default)]
pub struct PushAccess {
    /// The secret parts of the path, each valid.
    pub tokens: Vec<SecretString>,
    /// Source addresses that may push; empty means all.
    pub allow: Vec<IpNet>,
}

/// One account: its adapter, its limits, and when something last came of it.
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// The adapter, built with the account's URLs and secrets.
    pub vendor: Arc<dyn Vendor>,
    /// How much of the vendor it may use.
    pub limits: UpstreamLimits,
    /// Who may push for it.
    pub push: PushAccess,
    /// The search for its records on the timer, unless its vendor has none or it is switched off.
    pub sync: Option<AccountSync>,
    /// Milliseconds since the epoch of the last push that is known of; 0 if none is.
    last_push: AtomicI64,
}

impl Account {
    /// An account of which no push is known yet.
    pub fn new(id: AccountId, vendor: Arc<dyn Vendor>, limits: UpstreamLimits, push: PushAccess) -> Self {
        Self { id, vendor, limits, push, sync: None, last_push: AtomicI64::new(0) }
    }

    /// The same with a search on the timer.
    #[must_use]
    pub fn with_sync(self, config: Option<SyncConfig>) -> Self {
        Self { sync: config.map(AccountSync::new), ..self }
    }

    /// Notes that pushes may be lost now, for the sync to make up for.
    pub fn note_trouble(&self, now: Timestamp) {
        if let Some(sync) = &self.sync {
            sync.note_trouble(now);
        }
    }

    /// Notes that a push was taken.
    pub fn note_push(&self, at: Timestamp) {
        self.last_push.fetch_max(at.millis(), Ordering::Relaxed);
    }

    /// When a push was last taken, as far as this replica knows: its own at once, others' within a minute.
    pub fn last_push_at(&self) -> Option<Timestamp> {
        let millis = self.last_push.load(Ordering::Relaxed);
        (millis > 0).then(|| Timestamp::from_millis(millis))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// All accounts, by id.
#[derive(Clone, Debug, Default)]
pub struct Accounts(Arc<BTreeMap<AccountId, Arc<Account>>>);

impl Accounts {
    /// The accounts of a configuration; ids are unique there.
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        let by_id = accounts.into_iter().map(|account| (account.id.clone(), Arc::new(account)));
        Self(Arc::new(by_id.collect()))
    }

    /// One account.
    ///
    /// # Errors
    /// `NotFound`, with the same words for an account that does not exist and for one that the caller may not see.
    pub fn get(&self, id: &str) -> Result<&Arc<Account>, Error> {
        self.0
            .get(id)
            .ok_or_else(|| Error::new(ErrorClass::NotFound, "not-found", "There is no such account."))
    }

    /// All accounts in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.0.values()
    }
}
