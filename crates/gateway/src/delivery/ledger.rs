//! What one worker knows of its subscription and has not written yet. The cursor moves only over what is settled: delivered,
//! or owed as a delivery that the store keeps.

use std::collections::{BTreeMap, BTreeSet};

use outdial_core::{Position, Timestamp};
use outdial_store::{DeliveryCommit, DeliveryProgress, Exhaustion, ReplayProgress, StoredDelivery};

use super::notice;

/// Deliveries that may wait to be written; more, and nothing new is begun.
const UNSAVED_LIMIT: usize = 5_000;

/// Whether a delivery is of the log as it grows, or of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// The log.
    Log,
    /// The replay that was asked for.
    Replay,
}

/// How far one reading of the log got.
#[derive(Debug, Default)]
struct Reading {
    through: Position,
    /// The first positions of deliveries that are not settled.
    open: BTreeSet<Position>,
}

impl Reading {
    fn at(through: Position) -> Self {
        Self { through, open: BTreeSet::new() }
    }

    fn cursor(&self) -> Position {
        self.open.first().map_or(self.through, |first| Position(first.0.saturating_sub(1)))
    }
}

/// The ledger of one worker.
#[derive(Debug)]
pub struct Ledger {
    progress: DeliveryProgress,
    log: Reading,
    replay: Reading,
    unsaved: BTreeMap<String, StoredDelivery>,
    is_changed: bool,
}

impl Ledger {
    /// Goes on where the store says.
    pub fn new(progress: DeliveryProgress) -> Self {
        let replay = progress.replay.as_ref().map(|replay| replay.cursor).unwrap_or_default();
        Self {
            log: Reading::at(progress.cursor),
            replay: Reading::at(replay),
            progress,
            unsaved: BTreeMap::new(),
            is_changed: false,
        }
    }

    fn reading(&mut self, track: Track) -> &mut Reading {
        match track {
            Track::Log => &mut self.log,
            Track::Replay => &mut self.replay,
        }
    }

    /// Everything up to here was read.
    pub fn through(&self, track: Track) -> Position {
        match track {
            Track::Log => self.log.through,
            Track::Replay => self.replay.through,
        }
    }

    /// The log was read up to a position.
    pub fn read_through(&mut self, track: Track, position: Position) {
        self.reading(track).through = position;
        self.is_changed = true;
    }

    /// The log begins later than what was read: how much is gone nobody can say, but that something is.
    pub fn note_gap(&mut self, trimmed: Position) {
        self.log.through = trimmed;
        self.progress.missed += 1;
        self.is_changed = true;
    }

    /// Begins a replay, unless it is under way.
    pub fn begin_replay(&mut self, id: &str, after: Position) {
        if self.progress.replay.as_ref().is_some_and(|replay| replay.id == id) {
            return;
        }
        self.replay = Reading::at(after);
        self.progress.replay = Some(ReplayProgress { id: id.to_owned(), cursor: after, delivered: 0 });
        self.is_changed = true;
    }

    /// A delivery that begins with this position is to be made.
    pub fn open(&mut self, track: Track, first: Position) {
        self.reading(track).open.insert(first);
    }

    /// A delivery was taken, or is owed from now on. `opened` is where it came from, if it was not owed before.
    pub fn settle(&mut self, delivery: StoredDelivery, opened: Option<(Track, Position)>) {
        if let Some((track, first)) = opened {
            self.reading(track).open.remove(&first);
        }
        self.unsaved.insert(delivery.id.clone(), delivery);
        self.is_changed = true;
    }

    /// So many events were taken.
    pub fn note_success(&mut self, events: u64, track: Option<Track>, now: Timestamp) {
        self.progress.delivered += events;
        self.progress.last_success_at = Some(now);
        self.progress.failing_since = None;
        if let (Some(Track::Replay), Some(replay)) = (track, &mut self.progress.replay) {
            replay.delivered += events;
        }
    }

    /// An attempt failed. Answers since when all have.
    pub fn note_failure(&mut self, now: Timestamp) -> Timestamp {
        self.progress.failed_attempts += 1;
        self.is_changed = true;
        *self.progress.failing_since.get_or_insert(now)
    }

    /// Whether so much waits to be written that nothing new should begin.
    pub fn is_full(&self) -> bool {
        self.unsaved.len() >= UNSAVED_LIMIT
    }

    /// A delivery was given up.
    pub fn note_exhausted(&mut self, delivery: &StoredDelivery, now: Timestamp) {
        self.is_changed |= notice::gather(&mut self.progress.exhaustion, delivery, now);
    }

    /// What is to be told of deliveries that were given up.
    pub fn exhaustion(&self) -> &Exhaustion {
        &self.progress.exhaustion
    }

    /// Settles what is told next, if it is time, or time does not matter. It is told once it is written.
    pub fn begin_telling(&mut self, now: Option<Timestamp>) {
        let exhaustion = &mut self.progress.exhaustion;
        let is_due = notice::due(exhaustion).is_some_and(|due| now.is_none_or(|now| due <= now));
        if is_due {
            exhaustion.telling = exhaustion.gathered.take();
            self.is_changed = true;
        }
    }

    /// It was told.
    pub fn end_telling(&mut self, now: Timestamp) {
        let exhaustion = &mut self.progress.exhaustion;
        exhaustion.telling = None;
        exhaustion.told_at = Some(now);
        self.is_changed = true;
    }

    /// Deliveries that wait to be written.
    pub fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    /// Whether there is anything to write.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// What is to be written now.
    pub fn take_commit(&mut self) -> DeliveryCommit {
        self.is_changed = false;
        self.progress.cursor = self.log.cursor();
        let cursor = self.replay.cursor();
        if let Some(replay) = &mut self.progress.replay {
            replay.cursor = cursor;
        }
        let deliveries = std::mem::take(&mut self.unsaved).into_values().collect();
        DeliveryCommit { progress: self.progress.clone(), deliveries }
    }

    /// A commit was not written. What was learned since counts more.
    pub fn put_back(&mut self, commit: DeliveryCommit) {
        self.is_changed = true;
        for delivery in commit.deliveries {
            self.unsaved.entry(delivery.id.clone()).or_insert(delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use outdial_store::DeliveryStatus;

    use super::*;

    fn delivery(id: &str, status: DeliveryStatus) -> StoredDelivery {
        StoredDelivery {
            id: id.into(),
            status,
            events: Vec::new(),
            attempts: 1,
            last_attempts: Vec::new(),
            next_attempt_at: None,
            created_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn the_cursor_stops_before_the_first_open_delivery() {
        let mut ledger =
            Ledger::new(DeliveryProgress { cursor: Position(10), ..DeliveryProgress::default() });
        assert!(!ledger.is_changed());
        for position in [20, 30, 40] {
            ledger.open(Track::Log, Position(position));
        }
        ledger.read_through(Track::Log, Position(50));
        assert_eq!(ledger.take_commit().progress.cursor, Position(19));
        let mut settle = |id: &str, at: u64, status| {
            ledger.settle(delivery(id, status), Some((Track::Log, Position(at))));
            let commit = ledger.take_commit();
            (commit.progress.cursor.0, commit.deliveries.len())
        };
        assert_eq!(settle("b", 30, DeliveryStatus::Delivered), (19, 1));
        assert_eq!(settle("a", 20, DeliveryStatus::Pending), (39, 1), "what is owed is settled");
        assert_eq!(settle("c", 40, DeliveryStatus::Delivered), (50, 1));
    }

    #[test]
    fn a_commit_that_failed_is_written_later_and_does_not_hide_what_came_since() {
        let mut ledger = Ledger::new(DeliveryProgress::default());
        ledger.settle(delivery("a", DeliveryStatus::Pending), None);
        ledger.settle(delivery("b", DeliveryStatus::Pending), None);
        let commit = ledger.take_commit();
        ledger.settle(delivery("a", DeliveryStatus::Delivered), None);
        ledger.put_back(commit);
        assert!(ledger.is_changed());
        let states: Vec<_> =
            ledger.take_commit().deliveries.into_iter().map(|one| (one.id, one.status)).collect();
        assert_eq!(states, [("a".into(), DeliveryStatus::Delivered), ("b".into(), DeliveryStatus::Pending)]);
    }

    #[test]
    fn a_replay_has_a_cursor_of_its_own() {
        let mut ledger =
            Ledger::new(DeliveryProgress { cursor: Position(90), ..DeliveryProgress::default() });
        ledger.begin_replay("rpl_1", Position(10));
        ledger.open(Track::Replay, Position(20));
        ledger.read_through(Track::Replay, Position(30));
        ledger.note_success(2, Some(Track::Replay), Timestamp::from_millis(5));
        let progress = ledger.take_commit().progress;
        let replay = ReplayProgress { id: "rpl_1".into(), cursor: Position(19), delivered: 2 };
        assert_eq!((progress.cursor, progress.delivered, progress.replay), (Position(90), 2, Some(replay)));
        ledger.begin_replay("rpl_1", Position(10));
        assert_eq!(ledger.through(Track::Replay), Position(30), "it is under way");
    }

    #[test]
    fn one_success_ends_a_time_of_failures() {
        let mut ledger = Ledger::new(DeliveryProgress::default());
        let at = Timestamp::from_millis;
        assert_eq!(ledger.note_failure(at(3)), at(3));
        assert_eq!(ledger.note_failure(at(9)), at(3));
        ledger.note_success(1, None, at(10));
        assert_eq!(ledger.note_failure(at(11)), at(11));
    }
}
