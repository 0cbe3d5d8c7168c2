//! What a subscription asks for, ready to be used for each delivery.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use outdial_core::Timestamp;
use outdial_store::{StoredEvent, StoredSubscription, SubscriptionFilter};

use super::{outbox::form_of, schedule::Schedule, sender::Form, signature::SigningKey, target::Target};
use crate::{
    egress::Egress,
    events::{EventFilter, ShownEvent},
};

/// What a subscription asks for.
pub struct Plan {
    /// As it is kept.
    pub subscription: Arc<StoredSubscription>,
    /// Which events, and how they are shown.
    pub filter: EventFilter,
    /// What a replay wants besides.
    pub replay_filter: Option<EventFilter>,
    /// Waits between attempts.
    pub schedule: Schedule,
    /// One event or lists.
    pub form: Form,
    /// Where to; or why nowhere.
    pub target: Result<Target, String>,
    /// What signs, the present one first, and when the others stop.
    keys: Vec<SigningKey>,
    ends: Vec<Timestamp>,
    /// Most deliveries under way.
    pub concurrency: usize,
}

impl Plan {
    /// The plan of a subscription.
    pub fn new(subscription: Arc<StoredSubscription>, egress: &Egress) -> Self {
        let full = subscription.full_numbers;
        let target = Target::new(egress, &subscription.id, &subscription.url, &subscription.headers);
        let parsed = subscription.secrets.iter().filter_map(|secret| {
            let ends_at = secret.ends_at.unwrap_or(Timestamp::from_millis(i64::MAX));
            Some((SigningKey::parse(&secret.text).ok()?, ends_at))
        });
        let (keys, ends) = parsed.unzip();
        let of = |filter: &SubscriptionFilter| EventFilter::of_subscription(filter, full);
        Self {
            filter: of(&subscription.filter),
            replay_filter: subscription.replay.as_ref().map(|replay| of(&replay.filter)),
            schedule: Schedule::new(&subscription.retry_schedule),
            form: form_of(&subscription),
            target: target.map_err(|error| error.to_string()),
            keys,
            ends,
            concurrency: usize::try_from(subscription.concurrency).unwrap_or(1).max(1),
            subscription,
        }
    }

    /// What signs now.
    pub fn keys(&self, now: Timestamp) -> &[SigningKey] {
        let alive = self.ends.iter().take_while(|ends| **ends > now).count();
        &self.keys[..alive]
    }

    /// An event as the subscriber may see it, whether it is wanted or not.
    pub fn shown(&self, stored: &StoredEvent) -> Option<ShownEvent> {
        EventFilter { full_numbers: self.subscription.full_numbers, ..EventFilter::default() }.show(stored)
    }
}

/// Spaces deliveries so that no more begin per second than the subscription allows.
#[derive(Debug, Default)]
pub struct Pace {
    gap: Option<Duration>,
    next: Option<Instant>,
}

impl Pace {
    /// So many per second.
    pub fn new(per_second: Option<u32>) -> Self {
        let gap = per_second.map(|rate| Duration::from_secs(1) / rate.max(1));
        Self { gap, next: None }
    }

    /// When the next one may begin, if that is not now.
    pub fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// One begins.
    pub fn begin(&mut self, now: Instant) {
        if let Some(gap) = self.gap {
            self.next = Some(self.next.map_or(now, |next| next.max(now)) + gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_delays_and_never_bursts() {
        let now = Instant::now();
        let mut pace = Pace::new(Some(10));
        let mut at = now;
        for _ in 0..10 {
            if let Some(until) = pace.wait_until(at) {
                at = until;
            }
            pace.begin(at);
        }
        assert_eq!(at - now, Duration::from_millis(900));
        // A pause gives no right to more at once.
        let later = at + Duration::from_secs(10);
        pace.begin(later);
        assert_eq!(pace.wait_until(later), Some(later + Duration::from_millis(100)));
        assert_eq!(Pace::new(None).wait_until(now), None);
    }
}
