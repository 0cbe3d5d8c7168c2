//! What was and is to be delivered to a subscription: read, and dead deliveries set going again.

use outdial_store::{DeliveryStatus, StoredDelivery};
use serde::Serialize;

use super::{
    service::{SubscriptionService, conflict},
    view::DeliveryView,
};
use crate::{api_error::ApiError, auth::Principal};

/// Every state, for a list that names none.
const STATES: [DeliveryStatus; 3] =
    [DeliveryStatus::Pending, DeliveryStatus::Delivered, DeliveryStatus::Dead];
/// Behind every id of a delivery, whose last parts are hex digits.
const BEHIND_ALL: &str = "dlv_g";

/// A page of deliveries.
pub struct DeliveryPage {
    /// Newest first.
    pub data: Vec<DeliveryView>,
    /// The id to go on before, if more follow.
    pub last: Option<String>,
}

/// How many deliveries are tried again.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Retried {
    retried: u64,
}

impl SubscriptionService {
    /// Deliveries in one state or all, before an id.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn list_deliveries(
        &self,
        principal: &Principal,
        id: &str,
        status: Option<DeliveryStatus>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<DeliveryPage, ApiError> {
        self.find(principal, id).await?;
        let wanted = STATES.into_iter().filter(|one| status.is_none_or(|status| status == *one));
        let before = before.unwrap_or(BEHIND_ALL);
        let mut found: Vec<StoredDelivery> = Vec::new();
        for status in wanted {
            // One more than asked shows whether another page follows.
            found.extend(self.subscriptions.list_deliveries(id, status, Some(before), limit + 1).await?);
        }
        found.sort_by(|a, b| b.id.cmp(&a.id));
        // One that changed its state between two reads is in both.
        found.dedup_by(|a, b| a.id == b.id);
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|delivery| delivery.id.clone()).filter(|_| more);
        Ok(DeliveryPage { data: found.into_iter().map(DeliveryView::from).collect(), last })
    }

    /// Tries a dead delivery again.
    ///
    /// # Errors
    /// `not-found`, `delivery-not-dead`.
    pub async fn retry_delivery(
        &self,
        principal: &Principal,
        id: &str,
        delivery: &str,
    ) -> Result<Retried, ApiError> {
        self.find(principal, id).await?;
        let now = self.clock.now();
        let retried = self.subscriptions.redrive_deliveries(id, Some(delivery), now).await?;
        if retried == 0 {
            let found = self.subscriptions.get_delivery(id, delivery).await?;
            found.ok_or_else(ApiError::not_found)?;
            return Err(conflict("delivery-not-dead", "The delivery is not dead."));
        }
        tracing::info!(id, delivery, subject = principal.subject, "delivery.retried");
        Ok(Retried { retried })
    }

    /// Tries every dead delivery again.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn retry_deliveries(&self, principal: &Principal, id: &str) -> Result<Retried, ApiError> {
        self.find(principal, id).await?;
        let retried = self.subscriptions.redrive_deliveries(id, None, self.clock.now()).await?;
        tracing::info!(id, retried, subject = principal.subject, "deliveries.retried");
        Ok(Retried { retried })
    }
}
