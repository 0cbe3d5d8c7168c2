//! How far the sync of an account has got, and what is walked next. Pure: times come in as milliseconds since the epoch.

use std::collections::BTreeMap;

use outdial_core::{ErrorClass, Timestamp};
use outdial_store::HOUR_MILLIS;
use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::{
    account_sync::{SyncConfig, SyncSeen, SyncState, Trouble},
    marks::SeenMarks,
};

/// How far a sweep goes back, from a day after the last one on: an hour more than the time between two.
const SWEEP_MILLIS: i64 = 25 * HOUR_MILLIS;
/// From one sweep to the next.
const SWEEP_INTERVAL: i64 = 24 * HOUR_MILLIS;
/// Longest window of one walk. A longer gap is walked in several, so that what is kept of a walk stays small.
const WINDOW_MILLIS: i64 = 26 * HOUR_MILLIS;
/// Records this close to the end of the retention are not searched for, nor in its last quarter: they could expire on the way
/// and be taken for new.
const MARGIN_MILLIS: i64 = HOUR_MILLIS;
/// Longest wait after failures, unless the interval is longer.
const BACK_OFF_LIMIT: i64 = 10 * 60_000;
/// After so many refusals of a stored mark its walk begins anew: the vendor may have forgotten it.
const MARK_REFUSALS: u32 = 3;

/// What a plan has to keep to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) config: SyncConfig,
    /// How long the store keeps records, in milliseconds.
    pub(super) retention: i64,
}

/// How far the sync of an account has got, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The fence that it was written under.
    pub(super) fence: u64,
    /// Every call that was dialled before this has been searched for.
    pub(super) through: i64,
    /// Every hour before this has been walked whole when it was over for the lookback.
    pub(super) settled: i64,
    /// When the last daily sweep began.
    pub(super) swept_at: i64,
    /// When a walk last went through to its end.
    pub(super) completed_at: Option<i64>,
    /// Runs that failed since.
    pub(super) failures: u32,
    /// When the next run may begin.
    pub(super) next_at: i64,
    /// The walk that is under way.
    pub(super) walk: Option<Walk>,
}

/// One walk through a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Walk {
    /// The window, both ends included: when the calls were dialled.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) begun_at: i64,
    /// Whether it makes up for the daily sweep.
    pub(super) sweeps: bool,
    /// The vendor's mark of the page that is next.
    pub(super) mark: Option<String>,
    pub(super) seen: SeenMarks,
    /// How often the vendor has refused that mark.
    pub(super) refusals: u32,
    /// Records that could not be read.
    pub(super) unreadable: u64,
    /// What was found, by the hour since the epoch.
    pub(super) hours: BTreeMap<i64, Tally>,
}

impl Rules {
    /// How far back is searched at most.
    fn reach(&self) -> i64 {
        self.retention - MARGIN_MILLIS.min(self.retention / 4)
    }
}

impl Progress {
    /// The progress of an account that was never searched: what was dialled before is not asked for.
    pub(super) fn begin(now: i64, config: &SyncConfig) -> Self {
        Self {
            fence: 0,
            through: now,
            settled: hour_after(now - config.lookback_millis()),
            swept_at: now,
            completed_at: None,
            failures: 0,
            next_at: now,
            walk: None,
        }
    }

    /// What is to be walked now: from the end of the last window less the lookback, or earlier where an hour is over and
    /// was not walked whole yet, where a day has passed since the last sweep, or where there was trouble.
    pub(super) fn next_walk(&self, now: i64, rules: &Rules, trouble: Option<Trouble>) -> Walk {
        let lookback = rules.config.lookback_millis();
        let mut from = self.through.min(now) - lookback;
        if self.settled < hour_of(now - lookback) {
            from = from.min(self.settled);
        }
        if let Some(trouble) = trouble {
            from = from.min(trouble.since - lookback);
        }
        // One that lies ahead was noted by a clock that was set back since.
        let is_due = !(0..SWEEP_INTERVAL).contains(&(now - self.swept_at));
        if is_due {
            from = from.min(hour_of(now - SWEEP_MILLIS));
        }
        let from = from.max(now - rules.reach()).min(now);
        let to = now.min(from + WINDOW_MILLIS);
        Walk { from, to, begun_at: now, sweeps: is_due && to == now, ..Walk::default() }
    }

    /// Gives up a walk that was left for so long that some of its window is older than the retention.
    pub(super) fn drop_expired_walk(&mut self, now: i64, rules: &Rules) {
        self.walk.take_if(|walk| walk.from < now - rules.retention);
    }

    /// A walk went through to its end.
    pub(super) fn finish(&mut self, walk: &Walk, now: i64, config: &SyncConfig) {
        // What lies ahead of the walk's own time was noted by a clock that was set back since.
        self.through = self.through.min(walk.begun_at).max(walk.to);
        self.settled = self.settled.max(walk.settles_before(config));
        if walk.sweeps {
            self.swept_at = walk.begun_at;
        }
        self.completed_at = Some(now);
        self.failures = 0;
        // What is left of a long gap is not waited for.
        let is_caught_up = walk.to >= walk.begun_at;
        self.next_at = if is_caught_up { now.max(walk.begun_at + config.interval_millis()) } else { now };
        self.walk = None;
    }

    /// A run failed at the vendor.
    pub(super) fn fail(&mut self, class: ErrorClass, now: i64, config: &SyncConfig) {
        let interval = config.interval_millis();
        let doubled = interval.saturating_mul(1_i64.checked_shl(self.failures.min(20)).unwrap_or(1));
        self.failures = self.failures.saturating_add(1);
        self.next_at = now + doubled.min(interval.max(BACK_OFF_LIMIT));
        if let Some(walk) = self.walk.as_mut().filter(|walk| walk.mark.is_some() && !class.is_retryable()) {
            walk.refusals += 1;
            if walk.refusals >= MARK_REFUSALS {
                *walk = Walk {
                    from: walk.from,
                    to: walk.to,
                    begun_at: walk.begun_at,
                    sweeps: walk.sweeps,
                    ..Walk::default()
                };
            }
        }
    }

    /// How long until the next run, if it is not time yet. A clock that was set back does not stop the runs.
    pub(super) fn wait(&self, now: i64, config: &SyncConfig) -> Option<i64> {
        let longest = config.interval_millis().max(BACK_OFF_LIMIT);
        Some(self.next_at - now).filter(|wait| (1..=longest).contains(wait))
    }

    /// What people and metrics are shown.
    pub(super) fn seen(&self) -> SyncSeen {
        let state = match (self.failures, self.completed_at) {
            (0, None) => SyncState::Waiting,
            (0, Some(_)) => SyncState::Ok,
            _ => SyncState::Failing,
        };
        SyncSeen {
            state,
            through: Some(Timestamp::from_millis(self.through)),
            completed_at: self.completed_at.map(Timestamp::from_millis),
        }
    }
}

impl Walk {
    /// The hours that lie in the window whole.
    pub(super) fn whole_hours(&self) -> impl Iterator<Item = i64> {
        let first = hour_after(self.from) / HOUR_MILLIS;
        first..hour_of(self.to) / HOUR_MILLIS
    }

    /// Whether the walk tells all of an hour: it began when calls of the hour had had the lookback to end.
    pub(super) fn settles(&self, hour: i64, config: &SyncConfig) -> bool {
        (hour + 1) * HOUR_MILLIS <= self.settles_before(config)
    }

    fn settles_before(&self, config: &SyncConfig) -> i64 {
        hour_of(self.to).min(hour_of(self.begun_at - config.lookback_millis()))
    }

    /// What is left of a trouble after this walk: all of it where the walk begins later than it would have to. It was planned
    /// before the trouble was known of then.
    pub(super) fn relieve(&self, trouble: Trouble, rules: &Rules) -> Option<Trouble> {
        let since = trouble.since - rules.config.lookback_millis();
        if self.from > since.max(self.begun_at - rules.reach()) {
            return Some(trouble);
        }
        let is_over = trouble.until <= self.begun_at && self.to >= self.begun_at;
        let since = trouble.since.max(self.to).min(trouble.until);
        (!is_over).then_some(Trouble { since, until: trouble.until })
    }
}

/// The beginning of the hour that a moment lies in.
fn hour_of(millis: i64) -> i64 {
    millis.div_euclid(HOUR_MILLIS) * HOUR_MILLIS
}

/// The first beginning of an hour that is not before a moment.
fn hour_after(millis: i64) -> i64 {
    hour_of(millis + HOUR_MILLIS - 1)
}
