//! Who has to wait for whom: in an ordered subscription, deliveries about one subject go one after the other.

use std::collections::{BTreeSet, HashMap, HashSet};

use outdial_core::Timestamp;
use outdial_store::StoredDelivery;

use super::outbox::{Parcel, Verdict};

/// Deliveries that failed and are owed, and what is under way, by subject.
#[derive(Debug, Default)]
pub struct Order {
    is_ordered: bool,
    owed: BTreeSet<(Timestamp, String)>,
    deliveries: HashMap<String, StoredDelivery>,
    subjects: HashMap<String, BTreeSet<String>>,
    sending: HashSet<String>,
}

impl Order {
    /// Nothing owed yet.
    pub fn new(is_ordered: bool) -> Self {
        Self { is_ordered, ..Self::default() }
    }

    /// How many are owed.
    pub fn owed(&self) -> usize {
        self.deliveries.len()
    }

    /// Forgets what is owed: it is read anew.
    pub fn forget_owed(&mut self) {
        self.owed.clear();
        self.deliveries.clear();
        self.subjects.clear();
    }

    /// Owes a delivery until it is due.
    pub fn owe(&mut self, delivery: StoredDelivery) {
        let due = delivery.next_attempt_at.unwrap_or(delivery.created_at);
        if self.is_ordered {
            for event in &delivery.events {
                self.subjects.entry(event.subject.clone()).or_default().insert(delivery.id.clone());
            }
        }
        self.owed.insert((due, delivery.id.clone()));
        self.deliveries.insert(delivery.id.clone(), delivery);
    }

    /// When the first one is due.
    pub fn first_due(&self) -> Option<Timestamp> {
        self.owed.first().map(|(due, _)| *due)
    }

    /// One that is due and waits for nobody. Those that have to wait are due a little later.
    pub fn take_due(&mut self, now: Timestamp) -> Option<StoredDelivery> {
        let mut later = Vec::new();
        let mut found = None;
        while let Some((due, id)) = self.owed.pop_first() {
            if due > now {
                self.owed.insert((due, id));
                break;
            }
            if self.deliveries.get(&id).is_some_and(|delivery| self.waits(delivery)) {
                later.push((now.plus_millis(WAIT_MILLIS), id));
                continue;
            }
            found = self.deliveries.remove(&id);
            break;
        }
        self.owed.extend(later);
        if let Some(delivery) = &found {
            self.forget_subjects(delivery);
        }
        found
    }

    fn waits(&self, delivery: &StoredDelivery) -> bool {
        let behind = |subject: &str| {
            let first = self.subjects.get(subject).and_then(BTreeSet::first);
            self.sending.contains(subject) || first.is_some_and(|first| *first < delivery.id)
        };
        self.is_ordered && delivery.events.iter().any(|event| behind(&event.subject))
    }

    fn forget_subjects(&mut self, delivery: &StoredDelivery) {
        for event in &delivery.events {
            if let Some(ids) = self.subjects.get_mut(&event.subject) {
                ids.remove(&delivery.id);
                if ids.is_empty() {
                    self.subjects.remove(&event.subject);
                }
            }
        }
    }

    /// Judges parcels in their order: `passed` collects the subjects of those that have to wait, so that none overtakes.
    pub fn judge(&self, parcel: &Parcel, passed: &mut HashSet<String>) -> Verdict {
        if !self.is_ordered {
            return Verdict::Go;
        }
        if parcel.subjects().any(|subject| self.sending.contains(subject) || passed.contains(subject)) {
            passed.extend(parcel.subjects().map(str::to_owned));
            return Verdict::Wait;
        }
        if parcel.subjects().any(|subject| self.subjects.contains_key(subject)) {
            return Verdict::Owe;
        }
        Verdict::Go
    }

    /// A delivery begins.
    pub fn begin(&mut self, delivery: &StoredDelivery) {
        if self.is_ordered {
            self.sending.extend(delivery.events.iter().map(|event| event.subject.clone()));
        }
    }

    /// A delivery has ended, one way or the other.
    pub fn end(&mut self, delivery: &StoredDelivery) {
        for event in &delivery.events {
            self.sending.remove(&event.subject);
        }
    }
}

/// How much later one is looked at that has to wait for another.
const WAIT_MILLIS: i64 = 50;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use outdial_core::Position;
    use outdial_store::{DeliveredEvent, DeliveryStatus};

    use super::*;

    fn delivery(n: u64, subject: &str, due: i64) -> StoredDelivery {
        StoredDelivery {
            id: format!("dlv_{n}"),
            status: DeliveryStatus::Pending,
            events: vec![DeliveredEvent {
                id: format!("evt_{n}"),
                position: Position(n),
                subject: subject.into(),
                is_lifecycle: false,
            }],
            attempts: 1,
            last_attempts: Vec::new(),
            next_attempt_at: Some(Timestamp::from_millis(due)),
            created_at: Timestamp::from_millis(0),
        }
    }

    fn parcel(n: u64, subject: &str) -> Parcel {
        Parcel { delivery: delivery(n, subject, 0), body: Bytes::new(), opened: None }
    }

    fn take(order: &mut Order, at: i64) -> Option<String> {
        order.take_due(Timestamp::from_millis(at)).map(|delivery| delivery.id)
    }

    #[test]
    fn what_is_owed_comes_when_it_is_due() {
        let mut order = Order::new(false);
        order.owe(delivery(1, "a", 200));
        order.owe(delivery(2, "a", 100));
        assert_eq!(take(&mut order, 99), None);
        assert_eq!(take(&mut order, 150).as_deref(), Some("dlv_2"));
        assert_eq!(take(&mut order, 150), None);
        assert_eq!(order.first_due(), Some(Timestamp::from_millis(200)));
        assert_eq!((take(&mut order, 200).as_deref(), order.owed()), (Some("dlv_1"), 0));
    }

    #[test]
    fn the_later_one_of_a_subject_waits_for_the_earlier() {
        let mut order = Order::new(true);
        order.owe(delivery(1, "a", 200));
        order.owe(delivery(2, "a", 100));
        order.owe(delivery(3, "b", 100));
        assert_eq!(take(&mut order, 100).as_deref(), Some("dlv_3"));
        assert_eq!(take(&mut order, 100), None, "the second of a is due, and waits for the first");
        let first = order.take_due(Timestamp::from_millis(200)).unwrap();
        assert_eq!(first.id, "dlv_1");
        order.begin(&first);
        assert_eq!(take(&mut order, 1_000), None, "the first is under way");
        order.end(&first);
        assert_eq!(take(&mut order, 2_000).as_deref(), Some("dlv_2"));
    }

    #[test]
    fn nobody_overtakes_in_an_ordered_subscription() {
        let mut order = Order::new(true);
        let judge = |order: &Order, parcels: &[Parcel]| {
            let mut passed = HashSet::new();
            parcels.iter().map(|parcel| order.judge(parcel, &mut passed)).collect::<Vec<_>>()
        };
        let parcels = [parcel(1, "a"), parcel(2, "b"), parcel(3, "a")];
        assert_eq!(judge(&order, &parcels), [Verdict::Go; 3]);
        order.begin(&delivery(0, "a", 0));
        assert_eq!(judge(&order, &parcels), [Verdict::Wait, Verdict::Go, Verdict::Wait]);
        order.end(&delivery(0, "a", 0));
        order.owe(delivery(0, "a", 900));
        assert_eq!(judge(&order, &parcels), [Verdict::Owe, Verdict::Go, Verdict::Owe]);
        assert_eq!(judge(&Order::new(false), &parcels), [Verdict::Go; 3]);
    }
}
