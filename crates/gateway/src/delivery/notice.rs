//! What is told of deliveries that were given up: the first at once, and what follows at most once a minute together, so that
//! ten thousand of them are few events.

use outdial_core::{DeliveriesExhausted, EventDraft, ExhaustedDelivery, Timestamp};
use outdial_store::{ExhaustedNotice, Exhaustion, StoredDelivery, StoredSubscription};

use super::disable::accounts_of;

/// Least milliseconds between two events of one subscription.
pub const EVERY: i64 = 60_000;

/// Takes in a delivery that was given up. Events about the gateway's own work do not count: what tells of them could not be
/// delivered either, and so on. Answers whether there is something to tell.
pub fn gather(exhaustion: &mut Exhaustion, delivery: &StoredDelivery, now: Timestamp) -> bool {
    let mut counted = delivery.events.iter().filter(|event| !event.is_lifecycle);
    let Some(first) = counted.next() else { return false };
    let events = 1 + u64::try_from(counted.count()).unwrap_or(u64::MAX);
    let notice = exhaustion.gathered.get_or_insert_with(|| ExhaustedNotice {
        deliveries: Vec::new(),
        deliveries_total: 0,
        events_total: 0,
        since: now,
    });
    notice.deliveries_total += 1;
    notice.events_total += events;
    if notice.deliveries.len() < DeliveriesExhausted::LISTED {
        let last = delivery.last_attempts.last();
        notice.deliveries.push(ExhaustedDelivery {
            delivery_id: delivery.id.clone(),
            event_id: first.id.clone(),
            events,
            attempts: delivery.attempts,
            last_error: last.and_then(|attempt| attempt.error.clone()),
            last_status: last.and_then(|attempt| attempt.status),
            at: now,
        });
    }
    true
}

/// When what was gathered may be told; not while something else is.
pub fn due(exhaustion: &Exhaustion) -> Option<Timestamp> {
    let gathered = exhaustion.gathered.as_ref().filter(|_| exhaustion.telling.is_none())?;
    Some(exhaustion.told_at.map_or(gathered.since, |told| told.plus_millis(EVERY)))
}

/// The event.
pub fn event_of(notice: ExhaustedNotice, subscription: &StoredSubscription, now: Timestamp) -> EventDraft {
    let exhausted = DeliveriesExhausted {
        subscription_id: subscription.id.clone(),
        accounts: accounts_of(subscription),
        deliveries: notice.deliveries,
        deliveries_total: notice.deliveries_total,
        events_total: notice.events_total,
        since: notice.since,
    };
    exhausted.into_draft(now)
}

#[cfg(test)]
mod tests {
    use outdial_core::Position;
    use outdial_store::{DeliveredEvent, DeliveryAttempt, DeliveryStatus};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_248_000_000);

    /// One whose events are about calls (`c`) or about the gateway's own work (`l`).
    fn dead(n: u64, kinds: &str) -> StoredDelivery {
        let event = |kind: char| DeliveredEvent {
            id: format!("evt_{kind}{n}"),
            position: Position(n),
            subject: "s".into(),
            is_lifecycle: kind == 'l',
        };
        let attempt = |error: &str, status| DeliveryAttempt {
            at: NOW,
            millis: 1,
            status,
            error: Some(error.into()),
            detail: Some("no".into()),
        };
        StoredDelivery {
            id: format!("dlv_{n}"),
            status: DeliveryStatus::Dead,
            events: kinds.chars().map(event).collect(),
            attempts: 2,
            last_attempts: vec![attempt("timeout", None), attempt("status", Some(503))],
            next_attempt_at: None,
            created_at: NOW,
        }
    }

    #[test]
    fn what_is_about_the_gateway_itself_does_not_count() {
        let mut exhaustion = Exhaustion::default();
        assert!(!gather(&mut exhaustion, &dead(1, "ll"), NOW));
        assert_eq!((exhaustion.gathered.is_none(), due(&exhaustion)), (true, None));
        assert!(gather(&mut exhaustion, &dead(2, "lcc"), NOW));
        let notice = exhaustion.gathered.unwrap();
        assert_eq!((notice.deliveries_total, notice.events_total), (1, 2));
        let first = &notice.deliveries[0];
        assert_eq!((first.event_id.as_str(), first.events, first.attempts), ("evt_c2", 2, 2));
        assert_eq!((first.last_error.as_deref(), first.last_status), (Some("status"), Some(503)));
    }

    #[test]
    fn thousands_are_one_notice_that_lists_the_first() {
        let mut exhaustion = Exhaustion::default();
        for n in 0..5_000 {
            assert!(gather(&mut exhaustion, &dead(n, "c"), NOW.plus_millis(i64::try_from(n).unwrap())));
        }
        let notice = exhaustion.gathered.unwrap();
        assert_eq!((notice.deliveries_total, notice.events_total, notice.since), (5_000, 5_000, NOW));
        let listed: Vec<_> = notice.deliveries.into_iter().map(|one| one.delivery_id).collect();
        assert_eq!(listed, (0..10).map(|n| format!("dlv_{n}")).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_is_told_at_once_and_the_next_a_minute_later() {
        let mut exhaustion = Exhaustion::default();
        gather(&mut exhaustion, &dead(1, "c"), NOW);
        assert_eq!(due(&exhaustion), Some(NOW));
        exhaustion.told_at = Some(NOW);
        assert_eq!(due(&exhaustion), Some(NOW.plus_millis(60_000)));
        exhaustion.telling = exhaustion.gathered.clone();
        assert_eq!(due(&exhaustion), None, "one after the other");
    }
}
