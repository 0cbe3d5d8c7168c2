//! What is to be told of a subscription as an event and was not yet: kept with what it is about, so that a crash forgets neither
//! and tells neither twice.

use outdial_core::{ExhaustedDelivery, Timestamp};
use serde::{Deserialize, Serialize};

/// That the gateway stopped a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabling {
    /// Why: a kebab-case code.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Since when every attempt had failed.
    pub failing_since: Option<Timestamp>,
}

/// Deliveries that were given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExhaustedNotice {
    /// The first of them; few, see [`outdial_core::DeliveriesExhausted::LISTED`].
    pub deliveries: Vec<ExhaustedDelivery>,
    /// How many there are.
    pub deliveries_total: u64,
    /// How many events they hold.
    pub events_total: u64,
    /// When the first was given up.
    pub since: Timestamp,
}

/// What is to be told of deliveries that were given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exhaustion {
    /// Grows with each delivery that is given up.
    pub gathered: Option<ExhaustedNotice>,
    /// Is being told, as it stands here and not otherwise.
    pub telling: Option<ExhaustedNotice>,
    /// When something was last told.
    pub told_at: Option<Timestamp>,
}

impl Exhaustion {
    /// Whether nothing was ever given up.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
