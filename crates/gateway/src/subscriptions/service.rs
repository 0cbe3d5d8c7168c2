//! Subscriptions: created, read, changed and removed, each only by those who may see all of its accounts.

use std::{collections::BTreeSet, sync::Arc};

use outdial_core::{AccountId, Clock, Error, ErrorClass, Timestamp};
use outdial_store::{
    DeliveryStatus, EventLog, StoreError, StoreErrorKind, StoredSubscription, SubscriptionStatus,
    Subscriptions,
};
use serde_json::Value;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    draft::{DraftRules, SubscriptionDraft},
    filter::FilterOwner,
    secrets::{new_secret, rotate},
    view::{ProgressView, SubscriptionView, Waiting},
};
use crate::{
    accounts::Accounts,
    api_error::ApiError,
    auth::{AccountGrant, Principal, Scope},
    delivery::sender::Sender,
    egress::Egress,
};

/// How often a change is made again when somebody else's came first.
const RACES: usize = 8;
/// Samples that are sent at once; others wait.
const TRIALS: usize = 16;

/// Subscriptions over a store.
pub struct SubscriptionService {
    pub(super) subscriptions: Arc<dyn Subscriptions>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) accounts: Accounts,
    pub(super) egress: Arc<Egress>,
    pub(super) sender: Arc<Sender>,
    pub(super) trials: Semaphore,
    pub(super) clock: Arc<dyn Clock>,
}

/// A page of subscriptions.
pub struct SubscriptionPage {
    /// In the order of their ids.
    pub data: Vec<SubscriptionView>,
    /// The id to go on behind, if more follow.
    pub last: Option<String>,
}

impl SubscriptionService {
    /// Subscriptions in this store, to these accounts, with targets that may be reached.
    pub fn new(
        subscriptions: Arc<dyn Subscriptions>,
        log: Arc<dyn EventLog>,
        accounts: Accounts,
        egress: Arc<Egress>,
        sender: Arc<Sender>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let trials = Semaphore::new(TRIALS);
        Self { subscriptions, log, accounts, egress, sender, trials, clock }
    }

    /// Creates one, which gets what comes from now on. The answer holds its secret.
    ///
    /// # Errors
    /// `invalid-members`, `subscription-exists`, `too-many-subscriptions`, `insufficient-scope` for numbers in full.
    pub async fn create(&self, principal: &Principal, body: Value) -> Result<SubscriptionView, ApiError> {
        let owner = FilterOwner { accounts: &self.accounts, principal, known: None };
        let rules = DraftRules { owner, egress: &self.egress, known: None };
        let draft = SubscriptionDraft::read(body, &rules)?;
        if draft.full_numbers {
            principal.require(Scope::RecordsPii)?;
        }
        let now = self.clock.now();
        let id = draft.id.clone().unwrap_or_else(|| format!("sub_{}", Uuid::now_v7().simple()));
        let subscription = new_subscription(id, draft, now)?;
        let start = self.log.bounds().await?.last;
        match self.subscriptions.create_subscription(&subscription, start).await {
            Ok(true) => {}
            Ok(false) => {
                let message = format!("There is a subscription {} already.", subscription.id);
                return Err(conflict("subscription-exists", message));
            }
            Err(StoreError { kind: StoreErrorKind::Invalid, .. }) => {
                return Err(conflict("too-many-subscriptions", "There are as many as there may be."));
            }
            Err(error) => return Err(error.into()),
        }
        tracing::info!(id = subscription.id, subject = principal.subject, "subscription.created");
        Ok(SubscriptionView::of(&subscription, now).with_secret(&subscription))
    }

    /// Those that the caller may see, behind an id.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn list(
        &self,
        principal: &Principal,
        status: Option<SubscriptionStatus>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<SubscriptionPage, ApiError> {
        let now = self.clock.now();
        let mut all = self.subscriptions.list_subscriptions().await?;
        all.retain(|one| {
            may_see(principal, &one.filter.accounts)
                && status.is_none_or(|status| one.status == status)
                && after.is_none_or(|after| one.id.as_str() > after)
        });
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let more = all.len() > limit;
        all.truncate(limit);
        let last = all.last().map(|one| one.id.clone()).filter(|_| more);
        Ok(SubscriptionPage { data: all.iter().map(|one| SubscriptionView::of(one, now)).collect(), last })
    }

    /// One, with how far it got.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn get(&self, principal: &Principal, id: &str) -> Result<SubscriptionView, ApiError> {
        let subscription = self.find(principal, id).await?;
        let progress = self.subscriptions.get_progress(id).await?.ok_or_else(ApiError::not_found)?;
        let waiting = Waiting {
            pending: self.subscriptions.count_deliveries(id, DeliveryStatus::Pending).await?,
            dead: self.subscriptions.count_deliveries(id, DeliveryStatus::Dead).await?,
        };
        let progress = ProgressView::of(&subscription, &progress, waiting);
        Ok(SubscriptionView::of(&subscription, self.clock.now()).with_progress(progress))
    }

    /// Changes one by a merge patch.
    ///
    /// # Errors
    /// As [`SubscriptionService::create`], `not-found`, and `subscription-changed` when others changed it again and again.
    pub async fn patch(
        &self,
        principal: &Principal,
        id: &str,
        patch: &Value,
    ) -> Result<SubscriptionView, ApiError> {
        let changed = self
            .change(principal, id, |known, now| {
                let known_accounts = Some(&known.filter.accounts);
                let owner = FilterOwner { accounts: &self.accounts, principal, known: known_accounts };
                let rules = DraftRules { owner, egress: &self.egress, known: Some(known) };
                let draft = SubscriptionDraft::read_patch(patch.clone(), known, &rules)?;
                let changed = StoredSubscription { updated_at: now, ..draft.apply(known) };
                if shows_more_numbers(known, &changed) {
                    principal.require(Scope::RecordsPii)?;
                }
                Ok(changed)
            })
            .await?;
        tracing::info!(id, subject = principal.subject, "subscription.changed");
        Ok(SubscriptionView::of(&changed, self.clock.now()))
    }

    /// Gives one a new secret, which the answer holds; the one before signs for a day more.
    ///
    /// # Errors
    /// `not-found`, `subscription-changed`.
    pub async fn rotate_secret(&self, principal: &Principal, id: &str) -> Result<SubscriptionView, ApiError> {
        let changed = self
            .change(principal, id, |known, now| {
                let secrets = rotate(&known.secrets, new_secret()?, now);
                Ok(StoredSubscription { secrets, updated_at: now, ..known.clone() })
            })
            .await?;
        tracing::info!(id, subject = principal.subject, "subscription.secret_rotated");
        Ok(SubscriptionView::of(&changed, self.clock.now()).with_secret(&changed))
    }

    /// Removes one with all that is owed to it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn delete(&self, principal: &Principal, id: &str) -> Result<(), ApiError> {
        self.find(principal, id).await?;
        if !self.subscriptions.delete_subscription(id).await? {
            return Err(ApiError::not_found());
        }
        tracing::info!(id, subject = principal.subject, "subscription.deleted");
        Ok(())
    }

    /// One that the caller may see.
    pub(super) async fn find(&self, principal: &Principal, id: &str) -> Result<StoredSubscription, ApiError> {
        let found = self.subscriptions.get_subscription(id).await?;
        // One of others is answered like one that is not there.
        let visible = found.filter(|found| may_see(principal, &found.filter.accounts));
        visible.ok_or_else(ApiError::not_found)
    }

    /// Reads, changes and writes, again when somebody else wrote between.
    pub(super) async fn change(
        &self,
        principal: &Principal,
        id: &str,
        change: impl Fn(&StoredSubscription, Timestamp) -> Result<StoredSubscription, ApiError>,
    ) -> Result<StoredSubscription, ApiError> {
        for _ in 0..RACES {
            let known = self.find(principal, id).await?;
            let changed = change(&known, self.clock.now())?;
            let changed = StoredSubscription { version: known.version + 1, ..changed };
            if self.subscriptions.replace_subscription(&changed).await? {
                return Ok(changed);
            }
        }
        Err(conflict("subscription-changed", "Others change the subscription at the same time."))
    }
}

fn new_subscription(
    id: String,
    draft: SubscriptionDraft,
    now: Timestamp,
) -> Result<StoredSubscription, Error> {
    Ok(StoredSubscription {
        id,
        version: 1,
        url: draft.url,
        description: draft.description,
        filter: draft.filter,
        ordered: draft.ordered,
        max_events: draft.max_events,
        linger_ms: draft.linger_ms,
        concurrency: draft.concurrency,
        rate_per_second: draft.rate_per_second,
        full_numbers: draft.full_numbers,
        headers: draft.headers,
        retry_schedule: draft.retry_schedule,
        status: draft.status,
        disabled_reason: None,
        untold: None,
        secrets: vec![new_secret()?],
        replay: None,
        created_at: now,
        updated_at: now,
    })
}

/// Whether the token covers every account of a subscription; an empty set is all accounts.
fn may_see(principal: &Principal, accounts: &BTreeSet<AccountId>) -> bool {
    match &principal.accounts {
        AccountGrant::All => true,
        AccountGrant::Some(_) => {
            !accounts.is_empty() && accounts.iter().all(|account| principal.covers(account))
        }
    }
}

/// Whether a change brings numbers in full to where they did not go before. To stop that, nobody needs to see them.
fn shows_more_numbers(known: &StoredSubscription, changed: &StoredSubscription) -> bool {
    changed.full_numbers
        && (!known.full_numbers
            || known.url != changed.url
            || known.headers != changed.headers
            || known.filter != changed.filter)
}

/// A state that forbids what was asked.
pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
    Error::new(ErrorClass::Conflict, code, message).into()
}
