//! What a relayed call leaves behind, however it ends: its turn given back, a count, and a time.

use std::{sync::Arc, time::Instant};

use outdial_core::ErrorClass;
use prometheus::{Histogram, IntCounter};

use super::super::{Ending, Turn, Upstream, caller::labels};
use crate::accounts::Account;

/// The label of relayed calls.
const OPERATION: &str = "passthrough";
/// The outcome of a call that went well.
const OK: &str = "ok";
/// The outcome of a call whose caller went away.
const ABANDONED: &str = "abandoned";

/// The account of one call.
pub(super) struct Tally {
    upstream: Arc<Upstream>,
    account: Arc<Account>,
    started: Instant,
    turn: Option<Turn>,
    ended: bool,
}

impl Tally {
    pub(super) fn begin(upstream: &Arc<Upstream>, account: &Arc<Account>) -> Self {
        let (upstream, account) = (Arc::clone(upstream), Arc::clone(account));
        Self { upstream, account, started: Instant::now(), turn: None, ended: false }
    }

    pub(super) fn hold(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// The call ended so, of which the class of error is the label.
    /// A call that was given up by its caller has no ending.
    pub(super) fn end(&mut self, class: Option<ErrorClass>, ending: Option<Ending>) {
        match (self.turn.take(), ending) {
            (Some(turn), Some(ending)) => turn.end(ending),
            (turn, _) => drop(turn),
        }
        self.count(class.map_or(OK, ErrorClass::as_str));
    }

    fn count(&mut self, outcome: &str) {
        self.ended = true;
        let seconds = self.started.elapsed().as_secs_f64();
        match self.upstream.caller.access(&self.account.id) {
            Ok(access) if outcome == OK => {
                let (requests, duration) = access.relayed.get_or_init(|| self.counters(OK));
                requests.inc();
                duration.observe(seconds);
            }
            _ => {
                let (requests, duration) = self.counters(outcome);
                requests.inc();
                duration.observe(seconds);
            }
        }
    }

    fn counters(&self, outcome: &str) -> (IntCounter, Histogram) {
        let metrics = &self.upstream.caller.metrics;
        let [id, vendor] = labels(&self.account);
        let requests = metrics.upstream_requests.with_label_values(&[id, vendor, OPERATION, outcome]);
        (requests, metrics.upstream_duration.with_label_values(&[id, vendor, OPERATION]))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.ended {
            self.count(ABANDONED);
        }
    }
}
