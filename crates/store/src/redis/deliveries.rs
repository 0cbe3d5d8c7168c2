//! Deliveries as Redis keeps them: `{status} {attempts} {due or -}`, a line's end, and JSON.

use outdial_core::Timestamp;
use redis::ScriptInvocation;

use super::{subscriptions::to_json, unreadable};
use crate::{DeliveryStatus, StoreError, StoredDelivery};

/// Deliveries as the script takes them, by state.
#[derive(Default)]
pub(super) struct Encoded {
    pending: Vec<Row>,
    delivered: Vec<Row>,
    dead: Vec<Row>,
}

struct Row {
    id: String,
    value: String,
    place: String,
}

impl Encoded {
    pub(super) fn of(deliveries: Vec<StoredDelivery>) -> Result<Self, StoreError> {
        let mut encoded = Self::default();
        for delivery in deliveries {
            let due = delivery.next_attempt_at.map(Timestamp::millis);
            let head = match due {
                Some(due) => format!("{} {} {due}", delivery.status.as_str(), delivery.attempts),
                None => format!("{} {} -", delivery.status.as_str(), delivery.attempts),
            };
            let value = format!("{head}\n{}", to_json(&delivery)?);
            let (rows, place) = match delivery.status {
                // One without a time is due at once.
                DeliveryStatus::Pending => {
                    (&mut encoded.pending, due.map_or_else(|| "-inf".to_owned(), |due| due.to_string()))
                }
                DeliveryStatus::Delivered => {
                    (&mut encoded.delivered, delivery.created_at.millis().to_string())
                }
                DeliveryStatus::Dead => (&mut encoded.dead, delivery.created_at.millis().to_string()),
            };
            rows.push(Row { id: delivery.id, value, place });
        }
        Ok(encoded)
    }

    /// The arguments of the script: how many of each state, and all.
    pub(super) fn add_to(&self, call: &mut ScriptInvocation<'_>) {
        let states = [&self.pending, &self.delivered, &self.dead];
        for rows in states {
            call.arg(rows.len());
        }
        for row in states.into_iter().flatten() {
            call.arg(&row.id).arg(&row.value).arg(&row.place);
        }
    }
}

/// What stands before the JSON counts: a redrive changes it there.
pub(super) fn parse(value: &str) -> Result<StoredDelivery, StoreError> {
    try_parse(value).ok_or_else(|| unreadable("a delivery"))
}

fn try_parse(value: &str) -> Option<StoredDelivery> {
    let (head, json) = value.split_once('\n')?;
    let mut words = head.split(' ');
    let status = DeliveryStatus::parse(words.next()?)?;
    let attempts = words.next()?.parse().ok()?;
    let next_attempt_at = match words.next()? {
        "-" => None,
        due => Some(Timestamp::from_millis(due.parse().ok()?)),
    };
    let delivery: StoredDelivery = serde_json::from_str(json).ok()?;
    Some(StoredDelivery { status, attempts, next_attempt_at, ..delivery })
}
