//! Turns at a vendor: how many calls an account may begin in a period and have under way at once, over all replicas. Times
//! are the store's own, so that replicas whose clocks differ agree.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use outdial_core::AccountId;

use crate::StoreError;

/// How much of a vendor one account may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnLimits {
    /// Calls that may begin in any one period; at least 1, at most [`TurnLimits::CALLS_LIMIT`].
    pub calls: u32,
    /// The period.
    pub period: Duration,
    /// Calls under way at once; at least 1.
    pub slots: u32,
}

impl TurnLimits {
    /// Most calls of a period: the start of each is remembered.
    pub const CALLS_LIMIT: u32 = 1_000;

    /// A part of the limits, for one of so many replicas that cannot ask each other.
    #[must_use]
    pub fn divided(self, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        let calls = (self.calls / replicas).max(1);
        // What rounding takes off or adds, the period gives back.
        let period = self.period.saturating_mul(replicas).saturating_mul(calls) / self.calls.max(1);
        Self { calls, period, slots: (self.slots / replicas).max(1) }
    }

    /// What calls of this share may use: calls of a period, and slots.
    pub(crate) fn allowed(self, share: TurnShare) -> (u32, u32) {
        match share {
            TurnShare::Whole => (self.calls, self.slots),
            TurnShare::Half => ((self.calls / 2).max(1), (self.slots / 2).max(1)),
        }
    }
}

/// How much of the limits a call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnShare {
    /// All of it.
    Whole,
    /// It begins only while half of the period's calls are left, and half of the slots at most are for its like.
    Half,
}

/// Names a call, among all calls of all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder<'a> {
    /// Names the replica.
    pub replica: &'a str,
    /// Counts the replica's calls.
    pub call: u64,
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.replica, self.call)
    }
}

/// A turn that is asked for.
#[derive(Clone, Debug)]
pub struct TurnRequest<'a> {
    /// Whose limits.
    pub account: &'a AccountId,
    /// Whose call.
    pub holder: Holder<'a>,
    /// The limits, the same from every replica.
    pub limits: TurnLimits,
    /// How much of them.
    pub share: TurnShare,
    /// When the slot is free again though nobody gave it back.
    pub life: Duration,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnAnswer {
    /// The call may begin. So many replicas asked for turns lately.
    Granted {
        /// The one that asks included.
        replicas: u32,
    },
    /// So many calls began lately that the next one has to wait so long, at least.
    TooSoon(Duration),
    /// As many calls as may be are under way, or others come first.
    Full,
    /// The vendor asked to be spared for so long.
    Paused(Duration),
}

/// Turns.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Takes a turn, or says why there is none now. Who asks again soon keeps its place before replicas that asked later.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`: then the slot may be taken until its life ends.
    async fn take_turn(&self, request: &TurnRequest<'_>) -> Result<TurnAnswer, StoreError>;

    /// Does the same without waiting, where no other process has to be asked; `None` where one has to be.
    fn take_turn_at_once(&self, _request: &TurnRequest<'_>) -> Option<TurnAnswer> {
        None
    }

    /// Gives the slot of a call back.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn give_turn_back(&self, account: &AccountId, holder: Holder<'_>) -> Result<(), StoreError>;

    /// Does the same without waiting, where no other process has to be told. Answers whether that was so.
    fn give_turn_back_at_once(&self, _account: &AccountId, _holder: Holder<'_>) -> bool {
        false
    }

    /// Gives no turn for so long; a longer pause that is there already stays.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn pause_turns(&self, account: &AccountId, pause: Duration) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_limits_keeps_the_rate() {
        let limits = TurnLimits { calls: 10, period: Duration::from_secs(1), slots: 3 };
        let third = limits.divided(3);
        assert_eq!((third.calls, third.slots), (3, 1));
        assert_eq!(
            third.period,
            Duration::from_millis(900),
            "ten a second are three in 0.9 s, of three replicas"
        );
        let slow = TurnLimits { calls: 1, period: Duration::from_secs(2), slots: 1 }.divided(5);
        assert_eq!((slow.calls, slow.slots, slow.period), (1, 1, Duration::from_secs(10)));
        assert_eq!(limits.divided(0), limits);
    }
}
