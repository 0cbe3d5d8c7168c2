//! From events of the log to what goes to a subscriber in one request.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use outdial_core::{Position, Timestamp, event_type};
use outdial_store::{DeliveredEvent, DeliveryStatus, StoredDelivery, StoredSubscription};
use sha2::{Digest, Sha256};

use super::{ledger::Track, sender::Form};
use crate::events::ShownEvent;

/// Bytes of a body from which on no more events are added.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// An event that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its place.
    pub position: Position,
    /// As the subscriber may see it.
    pub shown: ShownEvent,
}

/// One request to be.
#[derive(Debug)]
pub struct Parcel {
    /// What is kept of it.
    pub delivery: StoredDelivery,
    /// Its body.
    pub body: Bytes,
    /// Where it came from; `None` for one that was owed.
    pub opened: Option<(Track, Position)>,
}

impl Parcel {
    /// The id that the subscriber sees, the same on every attempt: the event's, or of several the delivery's.
    pub fn message_id(&self, form: Form) -> &str {
        match (form, self.delivery.events.first()) {
            (Form::Event, Some(event)) => &event.id,
            _ => &self.delivery.id,
        }
    }

    /// What it is about.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.delivery.events.iter().map(|event| event.subject.as_str())
    }
}

/// Whether a subscriber gets single events, or lists, even of one.
pub fn form_of(subscription: &StoredSubscription) -> Form {
    if subscription.max_events > 1 { Form::Batch } else { Form::Event }
}

/// The body of these events.
pub fn body_of(form: Form, events: &[String]) -> Bytes {
    match (form, events) {
        (Form::Event, [event]) => Bytes::copy_from_slice(event.as_bytes()),
        _ => Bytes::from(["[", &events.join(","), "]"].concat()),
    }
}

/// Joins events to parcels.
#[derive(Debug)]
pub struct Outbox {
    form: Form,
    max_events: usize,
    linger: Duration,
    gathered: Vec<Wanted>,
    bytes: usize,
    track: Track,
    since: Option<Instant>,
    ready: VecDeque<Parcel>,
    replay: Option<String>,
}

impl Outbox {
    /// An empty one, as the subscription asks for.
    pub fn new(subscription: &StoredSubscription) -> Self {
        Self {
            form: form_of(subscription),
            max_events: usize::try_from(subscription.max_events).unwrap_or(1).max(1),
            linger: Duration::from_millis(u64::from(subscription.linger_ms)),
            gathered: Vec::new(),
            bytes: 0,
            track: Track::Log,
            since: None,
            ready: VecDeque::new(),
            replay: subscription.replay.as_ref().map(|replay| replay.id.clone()),
        }
    }

    /// Takes an event. Answers whether it begins a parcel.
    pub fn push(&mut self, track: Track, wanted: Wanted, now: Instant, clock: Timestamp) -> bool {
        if track != self.track {
            self.close(clock);
            self.track = track;
        }
        let begins = self.gathered.is_empty();
        self.since = self.since.or(Some(now));
        self.bytes += wanted.shown.json.len();
        self.gathered.push(wanted);
        if self.gathered.len() >= self.max_events || self.bytes >= BODY_LIMIT {
            self.close(clock);
        }
        begins
    }

    /// Closes the parcel that waits for more events, if it has waited long enough.
    pub fn close_due(&mut self, now: Instant, clock: Timestamp) {
        if self.due().is_some_and(|due| due <= now) {
            self.close(clock);
        }
    }

    /// When the parcel that waits for more events has waited long enough.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.linger)
    }

    fn close(&mut self, clock: Timestamp) {
        self.since = None;
        self.bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        let Some(first) = gathered.first().map(|wanted| wanted.position) else { return };
        let mut events = Vec::with_capacity(gathered.len());
        let mut texts = Vec::with_capacity(gathered.len());
        for Wanted { position, shown } in gathered {
            let is_lifecycle = event_type::is_lifecycle(&shown.event_type);
            events.push(DeliveredEvent { id: shown.id, position, subject: shown.subject, is_lifecycle });
            texts.push(shown.json);
        }
        let body = body_of(self.form, &texts);
        let delivery = StoredDelivery {
            id: delivery_id(first, self.replay.as_deref().filter(|_| self.track == Track::Replay)),
            status: DeliveryStatus::Pending,
            events,
            attempts: 0,
            last_attempts: Vec::new(),
            next_attempt_at: None,
            created_at: clock,
        };
        self.ready.push_back(Parcel { delivery, body, opened: Some((self.track, first)) });
    }

    /// Parcels that may go.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The first parcel that `judge` does not want to wait, and what it says of it.
    pub fn next(&mut self, mut judge: impl FnMut(&Parcel) -> Verdict) -> Option<(Parcel, Verdict)> {
        let mut judged = self.ready.iter().take(LOOKED_AT).map(&mut judge).enumerate();
        let (at, verdict) = judged.find(|(_, verdict)| *verdict != Verdict::Wait)?;
        self.ready.remove(at).map(|parcel| (parcel, verdict))
    }
}

/// Most parcels that are looked at for one that may go.
const LOOKED_AT: usize = 256;

/// What may be done with a parcel now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go.
    Go,
    /// It has to wait for one that is owed, and so is owed itself.
    Owe,
    /// It has to wait for one that is under way.
    Wait,
}

/// `dlv_`, the position in hex, and of a replay what tells it from others: the same delivery has the same id also after a
/// crash, and the same event replayed is another delivery.
fn delivery_id(first: Position, replay: Option<&str>) -> String {
    let tag = replay.map_or([0; 4], |id| {
        let digest = Sha256::digest(id);
        [digest[0], digest[1], digest[2], digest[3]]
    });
    format!("dlv_{:016x}{:08x}", first.0, u32::from_be_bytes(tag))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use outdial_store::{Replay, SubscriptionFilter, SubscriptionStatus};

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(5);

    fn outbox(max_events: u32, linger_ms: u32) -> Outbox {
        let replay = Replay {
            id: "rpl_1".into(),
            after: Position(0),
            until: Position(9),
            filter: SubscriptionFilter::default(),
            total: 1,
            requested_at: AT,
        };
        Outbox::new(&StoredSubscription {
            id: "sub_1".into(),
            version: 1,
            url: "https://hooks.example.net".into(),
            description: None,
            filter: SubscriptionFilter::default(),
            ordered: false,
            max_events,
            linger_ms,
            concurrency: 8,
            rate_per_second: None,
            full_numbers: false,
            headers: BTreeMap::new(),
            retry_schedule: Vec::new(),
            status: SubscriptionStatus::Active,
            disabled_reason: None,
            untold: None,
            secrets: Vec::new(),
            replay: Some(replay),
            created_at: AT,
            updated_at: AT,
        })
    }

    fn wanted(n: u64) -> Wanted {
        let shown = ShownEvent {
            id: format!("evt_{n}"),
            event_type: "t".into(),
            subject: format!("call-{n}"),
            json: format!("{{\"n\":{n}}}"),
        };
        Wanted { position: Position(n), shown }
    }

    fn take(outbox: &mut Outbox) -> Option<Parcel> {
        outbox.next(|_| Verdict::Go).map(|(parcel, _)| parcel)
    }

    #[test]
    fn a_single_event_goes_as_it_is() {
        let mut outbox = outbox(1, 0);
        assert!(outbox.push(Track::Log, wanted(7), Instant::now(), AT));
        let parcel = take(&mut outbox).unwrap();
        assert_eq!(
            (parcel.body.as_ref(), parcel.message_id(Form::Event)),
            (br#"{"n":7}"#.as_slice(), "evt_7")
        );
        assert_eq!(parcel.delivery.id, "dlv_000000000000000700000000");
        assert_eq!(parcel.opened, Some((Track::Log, Position(7))));
        assert_eq!(
            body_of(Form::Event, &[r#"{"n":7}"#.to_owned()]),
            parcel.body,
            "as it is when it is tried again"
        );
    }

    #[test]
    fn a_list_closes_when_it_is_full_or_has_waited() {
        let (mut outbox, now) = (outbox(3, 100), Instant::now());
        let begun: Vec<bool> = (1..5).map(|n| outbox.push(Track::Log, wanted(n), now, AT)).collect();
        assert_eq!(begun, [true, false, false, true]);
        let full = take(&mut outbox).unwrap();
        assert_eq!(full.body.as_ref(), br#"[{"n":1},{"n":2},{"n":3}]"#);
        assert_eq!(full.message_id(Form::Batch), full.delivery.id);
        assert_eq!(outbox.due(), Some(now + Duration::from_millis(100)));
        outbox.close_due(now + Duration::from_millis(99), AT);
        assert!(take(&mut outbox).is_none());
        outbox.close_due(now + Duration::from_millis(100), AT);
        assert_eq!(take(&mut outbox).unwrap().body.as_ref(), br#"[{"n":4}]"#);
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn a_replay_makes_deliveries_of_its_own() {
        let (mut outbox, now) = (outbox(2, 100), Instant::now());
        outbox.push(Track::Log, wanted(7), now, AT);
        assert!(outbox.push(Track::Replay, wanted(7), now, AT), "nothing of a replay joins what is new");
        outbox.push(Track::Replay, wanted(8), now, AT);
        let (new, again) = (take(&mut outbox).unwrap(), take(&mut outbox).unwrap());
        assert_eq!(
            (new.opened, again.opened),
            (Some((Track::Log, Position(7))), Some((Track::Replay, Position(7))))
        );
        assert_ne!(new.delivery.id, again.delivery.id);
    }

    #[test]
    fn who_has_to_wait_is_passed_over() {
        let mut outbox = outbox(1, 0);
        for n in 1..4 {
            outbox.push(Track::Log, wanted(n), Instant::now(), AT);
        }
        let waits = |parcel: &Parcel| parcel.delivery.events[0].position == Position(1);
        let judge = |parcel: &Parcel| if waits(parcel) { Verdict::Wait } else { Verdict::Owe };
        let (parcel, verdict) = outbox.next(judge).unwrap();
        assert_eq!((parcel.delivery.events[0].position, verdict), (Position(2), Verdict::Owe));
        assert_eq!(outbox.ready(), 2);
        assert_eq!(take(&mut outbox).unwrap().delivery.events[0].position, Position(1));
    }
}
