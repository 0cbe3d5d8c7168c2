//! Reads the log, and the part of it that a replay wants.

use std::{sync::Arc, time::Instant};

use futures_util::FutureExt;
use outdial_core::Position;
use outdial_store::{Store, StoreError};

use super::{OWED_LIMIT, Worker};
use crate::{
    circuit::Permit,
    delivery::{ledger::Track, outbox::Wanted, plan::Plan},
};

/// Events read of the log at once.
const READ: usize = 512;
/// Parcels that wait to be sent; with so many nothing more is read.
const READY_LIMIT: usize = 512;

/// What one reading of the log found.
pub(super) struct Found {
    track: Track,
    through: Position,
    wanted: Vec<Wanted>,
    is_all: bool,
    trimmed: Option<Position>,
}

impl Worker {
    /// Begins to read on when there is room for more, the log first, then a replay, in turns.
    pub(super) fn begin_reading(&mut self) {
        let has_room = self.outbox.ready() < READY_LIMIT
            && self.order.owed() < OWED_LIMIT
            && self.circuit.permit(Instant::now()) == Permit::Yes
            && !self.ledger.is_full();
        if self.reading.is_some() || !has_room || self.is_quiet() {
            return;
        }
        let replay = self.plan.subscription.replay.as_ref().filter(|_| !self.is_replayed);
        let track = match (self.is_all_read, replay) {
            (false, Some(_)) => self.turn,
            (false, None) => Track::Log,
            (true, Some(_)) => Track::Replay,
            (true, None) => return,
        };
        self.turn = if track == Track::Log { Track::Replay } else { Track::Log };
        let after = self.ledger.through(track);
        let until = replay.filter(|_| track == Track::Replay).map(|replay| replay.until);
        let (store, plan) = (Arc::clone(&self.context.store), Arc::clone(&self.plan));
        // Beside this task, so that what is under way is not kept waiting while events are masked.
        let work = self.context.tasks.spawn(read(store, plan, track, after, until));
        self.reading = Some(work.map(|done| done.unwrap_or_else(|_| Err(given_up()))).boxed());
    }

    pub(super) fn take_found(&mut self, found: Result<Found, StoreError>) {
        self.reading = None;
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.pause(&error),
        };
        if let Some(trimmed) = found.trimmed {
            tracing::error!(subscription = self.id(), "delivery.events_trimmed");
            self.context.metrics.deliveries_missed.inc();
            self.ledger.note_gap(trimmed);
        }
        match found.track {
            Track::Log => self.is_all_read = found.is_all,
            Track::Replay => self.is_replayed = found.is_all,
        }
        let (now, clock) = (Instant::now(), self.context.clock.now());
        for wanted in found.wanted {
            let position = wanted.position;
            if self.outbox.push(found.track, wanted, now, clock) {
                self.ledger.open(found.track, position);
            }
        }
        if found.through > self.ledger.through(found.track) {
            self.ledger.read_through(found.track, found.through);
        }
    }
}

fn given_up() -> StoreError {
    StoreError::new(outdial_store::StoreErrorKind::Unavailable, "the reading of the log was given up")
}

async fn read(
    store: Arc<dyn Store>,
    plan: Arc<Plan>,
    track: Track,
    after: Position,
    until: Option<Position>,
) -> Result<Found, StoreError> {
    let bounds = store.bounds().await?;
    let trimmed = (after < bounds.trimmed && after > Position(0)).then_some(bounds.trimmed);
    let after = after.max(bounds.trimmed);
    let events = store.read(after, READ).await?;
    let end = until.unwrap_or(Position(u64::MAX));
    let is_all = events.len() < READ || events.last().is_some_and(|event| event.position >= end);
    let through = match until {
        Some(until) if is_all => until,
        _ => events.last().map_or(after, |event| event.position.min(end)),
    };
    let narrower = plan.replay_filter.as_ref().filter(|_| track == Track::Replay);
    let wanted = events.iter().take_while(|event| event.position <= end).filter_map(|event| {
        if narrower.is_some_and(|filter| filter.show(event).is_none()) {
            return None;
        }
        Some(Wanted { position: event.position, shown: plan.filter.show(event)? })
    });
    Ok(Found {
        track,
        through,
        wanted: wanted.collect(),
        is_all,
        trimmed: trimmed.filter(|_| track == Track::Log),
    })
}
