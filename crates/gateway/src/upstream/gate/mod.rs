//! The gate before one account's vendor: calls pass one after the other as the limits of all replicas allow, none while the
//! vendor asks to be spared, and only a probe now and then while it only fails.

mod counted;
mod line;
mod turn;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use outdial_core::{AccountId, Error, ErrorClass, VendorId};
use outdial_store::{TurnAnswer, TurnLimits};

use self::line::Line;
pub use self::{
    counted::{AccountTurns, CountedTurns, Slot},
    turn::{CallTimes, Ending, Priority, Turn},
};
use crate::{
    accounts::UpstreamLimits,
    circuit::{Circuit, Permit},
    telemetry::Metrics,
};

/// How much longer than to its end a call may keep its slot: by then it has given it back, or its replica has ended.
const GRACE: Duration = Duration::from_secs(5);
/// How often a slot is asked for that another replica may give back: at first, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// Bounds of a pause that a vendor asks for. One that does not say how long gets the shortest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60 * 60));
/// How long whoever meets the probe of an open circuit is told to wait.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// How many periods a second has: short ones, so that a vendor sees no second's worth of calls at once.
const PERIODS: f64 = 4.0;
/// By how many thousandths a period is longer than it would have to be: calls that leave evenly do not arrive so.
const SPREAD: u32 = 20;
const STATES: [&str; 3] = ["closed", "open", "half_open"];

/// The gate before one account's vendor.
pub struct Gate {
    account: AccountId,
    vendor: String,
    turns: Arc<AccountTurns>,
    interactive: Line,
    background: Line,
    state: Mutex<State>,
    /// Whether the state can hold a call back, or has something to learn of a call that went well. As long as it does not, calls
    /// pass by without its lock.
    is_alert: AtomicBool,
    /// Whether the last call failed because the vendor could not be reached or was broken.
    is_failing: AtomicBool,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    circuit: Circuit,
    /// The state of the circuit that the metric shows.
    shown: Option<&'static str>,
    paused_until: Option<Instant>,
}

impl State {
    /// Whether nothing speaks against calls, nor would be forgotten with the next success.
    fn is_calm(&self, now: Instant) -> bool {
        self.circuit.is_calm() && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Whether it makes sense to wait, and until when the vendor is spared.
    fn check(&self, deadline: Instant, now: Instant) -> Result<Option<Instant>, Refusal> {
        permit(&self.circuit, now)?;
        self.pause(deadline, now)
    }

    /// Until when the vendor is spared because it asked for it, if that is before the deadline.
    fn pause(&self, deadline: Instant, now: Instant) -> Result<Option<Instant>, Refusal> {
        match self.paused_until.filter(|until| *until > now) {
            Some(until) if until >= deadline => Err(Refusal::Paused(until - now)),
            paused => Ok(paused),
        }
    }
}

impl Gate {
    /// The gate of an account at a vendor.
    pub fn new(
        account: AccountId,
        vendor: &VendorId,
        limits: &UpstreamLimits,
        turns: Arc<CountedTurns>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let turns = AccountTurns::new(turns, account.clone(), turn_limits(limits));
        let gate = Self {
            account,
            vendor: vendor.to_string(),
            turns: Arc::new(turns),
            interactive: Line::new(),
            background: Line::new(),
            state: Mutex::default(),
            is_alert: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            metrics,
        };
        gate.circuit_word();
        gate
    }

    /// Whether the last call failed because the vendor could not be reached or was broken.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// The state of the circuit: `closed`, `open` or `half_open`. Asking shows it as a metric.
    pub fn circuit_word(&self) -> &'static str {
        self.show_circuit(&mut self.state(), Instant::now())
    }

    /// Waits for a turn, at most until the call has to begin. The slot is free again a little after the call's end, whatever
    /// becomes of it.
    ///
    /// # Errors
    /// `RateLimited` when no turn came in time, or the vendor asks to be spared for longer; `Unavailable` while the circuit
    /// is open.
    pub async fn turn(self: &Arc<Self>, priority: Priority, times: CallTimes) -> Result<Turn, Error> {
        let turn = match self.turn_at_once(priority, times).transpose() {
            Some(turn) => turn,
            // Kept apart, so that the many calls that need not wait do not carry the state of a wait along.
            None => Box::pin(self.wait(priority, times)).await,
        };
        turn.map_err(|refusal| self.refuse(refusal))
    }

    /// Whether it makes sense to wait for a turn.
    ///
    /// # Errors
    /// `RateLimited` while the vendor asks to be spared beyond the deadline; `Unavailable` while the circuit is open.
    pub fn ensure_open(&self, deadline: Instant) -> Result<(), Error> {
        let checked = self.state().check(deadline, Instant::now());
        checked.map(|_| ()).map_err(|refusal| self.refuse(refusal))
    }

    fn refuse(&self, refusal: Refusal) -> Error {
        let labels = [self.account.as_str(), self.vendor.as_str(), refusal.reason()];
        self.metrics.upstream_held_back.with_label_values(&labels).inc();
        refusal.explain(&self.vendor)
    }

    /// A turn, if it makes sense to call, nobody waits who comes first, and nobody else has to be asked.
    fn turn_at_once(self: &Arc<Self>, priority: Priority, times: CallTimes) -> Result<Option<Turn>, Refusal> {
        let is_first =
            self.interactive.is_empty() && (priority == Priority::Interactive || self.background.is_empty());
        let now = Instant::now();
        let mut state = self.is_alert.load(Ordering::Acquire).then(|| self.state());
        let is_spared = match &state {
            Some(state) => state.check(times.begin_by, now)?.is_some(),
            None => false,
        };
        if is_spared || !is_first {
            return Ok(None);
        }
        let slot = self.turns.take_at_once(priority.share(), life(times, now)).and_then(Result::ok);
        Ok(slot.map(|slot| match &mut state {
            Some(state) => self.begin_now(state, now, slot, priority),
            None => Turn::new(Arc::clone(self), slot, priority, false),
        }))
    }

    async fn wait(self: &Arc<Self>, priority: Priority, times: CallTimes) -> Result<Turn, Refusal> {
        let slot = self.slot(priority, times, State::check).await?;
        self.begin(slot, priority)
    }

    /// Waits for a slot at the vendor, as long as `check` does not refuse. What it says is until when the vendor is spared.
    async fn slot(
        &self,
        priority: Priority,
        times: CallTimes,
        check: impl Fn(&State, Instant, Instant) -> Result<Option<Instant>, Refusal>,
    ) -> Result<Slot, Refusal> {
        let line = match priority {
            Priority::Interactive => &self.interactive,
            Priority::Background => &self.background,
        };
        let (share, deadline) = (priority.share(), times.begin_by);
        let _first = line.enter(deadline).await.ok_or(Refusal::Busy(PAUSE.0))?;
        let mut poll = POLL.0;
        loop {
            if priority == Priority::Background && !self.interactive.is_empty_before(deadline).await {
                return Err(Refusal::Busy(PAUSE.0));
            }
            let checked = check(&self.state(), deadline, Instant::now())?;
            if let Some(until) = checked {
                // What this replica was told may not have reached the store yet.
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
            // Listened for before it is asked, so that a slot that becomes free just then is noticed.
            let mut listener = self.turns.listen();
            let now = Instant::now();
            match self.turns.take(share, life(times, now)).await {
                Ok(slot) => return Ok(slot),
                Err(TurnAnswer::TooSoon(wait)) => {
                    if now + wait >= deadline {
                        return Err(Refusal::Busy(wait));
                    }
                    tokio::time::sleep(wait).await;
                }
                Err(TurnAnswer::Full | TurnAnswer::Granted { .. }) => {
                    let until = deadline.min(now + poll);
                    // Either way it is asked again.
                    let _ = tokio::time::timeout_at(until.into(), listener.freed()).await;
                    poll = (poll * 2).min(POLL.1);
                }
                Err(TurnAnswer::Paused(wait)) => self.note_pause(now + wait),
            }
            if Instant::now() >= deadline {
                return Err(Refusal::Busy(PAUSE.0));
            }
        }
    }

    /// Makes a turn of a slot, unless the circuit opened meanwhile or another call is its probe.
    fn begin(self: &Arc<Self>, slot: Slot, priority: Priority) -> Result<Turn, Refusal> {
        let (mut state, now) = (self.state(), Instant::now());
        permit(&state.circuit, now)?;
        Ok(self.begin_now(&mut state, now, slot, priority))
    }

    fn begin_now(self: &Arc<Self>, state: &mut State, now: Instant, slot: Slot, priority: Priority) -> Turn {
        let is_probe = state.circuit.begin();
        self.show_circuit(state, now);
        self.note_alert(state, now);
        Turn::new(Arc::clone(self), slot, priority, is_probe)
    }

    /// Takes note of how a call ended. What began before the circuit opened does not count against a probe.
    fn learn(&self, ending: Ending, is_probe: bool) {
        let has_failed = ending == Ending::Failed;
        if self.is_failing() != has_failed {
            self.is_failing.store(has_failed, Ordering::Relaxed);
        }
        if ending == Ending::Answered && !self.is_alert.load(Ordering::Acquire) {
            return;
        }
        let (mut state, now) = (self.state(), Instant::now());
        match ending {
            Ending::Failed => {
                if is_probe || state.circuit.word(now) == "closed" {
                    state.circuit.fail(now);
                    if self.show_circuit(&mut state, now) == "open" {
                        tracing::warn!(account = %self.account, "upstream.circuit_opened");
                    }
                }
            }
            Ending::Answered | Ending::Limited(_) => {
                if state.circuit.word(now) != "closed" {
                    tracing::info!(account = %self.account, "upstream.circuit_closed");
                }
                state.circuit.succeed();
                self.show_circuit(&mut state, now);
            }
        }
        self.note_alert(&state, now);
        if let Ending::Limited(asked) = ending {
            let pause = clamp_pause(asked);
            drop(state);
            self.note_pause(now + pause);
            tracing::warn!(account = %self.account, seconds = pause.as_secs(), "upstream.paused");
            self.turns.pause(pause);
        }
    }

    fn note_pause(&self, until: Instant) {
        let mut state = self.state();
        state.paused_until = state.paused_until.max(Some(until));
        self.note_alert(&state, Instant::now());
    }

    /// Says, with the state's lock held, whether calls have to look at it.
    fn note_alert(&self, state: &State, now: Instant) {
        self.is_alert.store(!state.is_calm(now), Ordering::Release);
    }

    fn abandon_probe(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        state.circuit.abandon_probe(now);
        self.show_circuit(&mut state, now);
    }

    fn show_circuit(&self, state: &mut State, now: Instant) -> &'static str {
        let shown = state.circuit.word(now);
        if state.shown.replace(shown) == Some(shown) {
            return shown;
        }
        for word in STATES {
            let labels = [self.account.as_str(), self.vendor.as_str(), word];
            self.metrics.upstream_circuit.with_label_values(&labels).set(i64::from(word == shown));
        }
        shown
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Why a call is not made, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Busy(Duration),
    Paused(Duration),
    CircuitOpen(Duration),
}

impl Refusal {
    const fn reason(self) -> &'static str {
        match self {
            Self::Busy(_) => "busy",
            Self::Paused(_) => "paused",
            Self::CircuitOpen(_) => "circuit_open",
        }
    }

    fn explain(self, vendor: &str) -> Error {
        match self {
            Self::Busy(wait) => {
                let message = "Too many calls to this vendor are waiting already.";
                Error::new(ErrorClass::RateLimited, "upstream-rate-limited", message)
                    .with_retry_after(clamp_pause(Some(wait)))
            }
            Self::Paused(wait) => {
                let message = format!("{vendor} asks us to slow down; nothing was sent.");
                Error::new(ErrorClass::RateLimited, "upstream-rate-limited", message)
                    .with_retry_after(clamp_pause(Some(wait)))
            }
            Self::CircuitOpen(wait) => {
                let message =
                    format!("{vendor} failed repeatedly and is spared for a while; nothing was sent.");
                Error::new(ErrorClass::Unavailable, "upstream-unavailable", message)
                    .with_retry_after(clamp_pause(Some(wait)))
            }
        }
    }
}

/// When a slot is free again whatever happens, from now on.
fn life(times: CallTimes, now: Instant) -> Duration {
    times.end_by.saturating_duration_since(now) + GRACE
}

fn permit(circuit: &Circuit, now: Instant) -> Result<(), Refusal> {
    match circuit.permit(now) {
        Permit::Yes => Ok(()),
        Permit::NotBefore(until) => Err(Refusal::CircuitOpen(until.saturating_duration_since(now))),
        Permit::AfterProbe => Err(Refusal::CircuitOpen(PROBE_WAIT)),
    }
}

/// How long a vendor is spared that asks for it.
pub fn clamp_pause(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(PAUSE.0).clamp(PAUSE.0, PAUSE.1)
}

/// A limit per second, as so many calls in a period.
fn turn_limits(limits: &UpstreamLimits) -> TurnLimits {
    let calls =
        (1..=TurnLimits::CALLS_LIMIT).rev().find(|calls| f64::from(*calls) <= limits.max_rps / PERIODS);
    let calls = calls.unwrap_or(1);
    // Configured limits are above 0; one call in three hours is as good as none.
    let period = Duration::from_secs_f64(f64::from(calls) / limits.max_rps.max(0.000_1));
    TurnLimits {
        calls,
        period: period * (1_000 + SPREAD) / 1_000,
        slots: u32::try_from(limits.max_concurrency).unwrap_or(u32::MAX).max(1),
    }
}

#[cfg(test)]
mod tests;
