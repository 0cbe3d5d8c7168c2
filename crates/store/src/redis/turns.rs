//! Turns in Redis: one script a turn, on the server's clock.

use std::time::Duration;

use async_trait::async_trait;
use outdial_core::AccountId;

use super::{Redis, scripts, to_millis, unreadable};
use crate::{Holder, StoreError, TurnAnswer, TurnRequest, TurnShare, Turns};

/// How long a replica that asked for a turn counts as one that may ask for more.
const REPLICA_LIFE: Duration = Duration::from_secs(10 * 60);
/// How long beyond the wait it was told a replica keeps its place.
const PLACE_LIFE: Duration = Duration::from_millis(250);

#[async_trait]
impl Turns for Redis {
    async fn take_turn(&self, request: &TurnRequest<'_>) -> Result<TurnAnswer, StoreError> {
        let TurnRequest { account, holder, limits, share, life } = request;
        let (calls, slots) = limits.allowed(*share);
        let period = u64::try_from(limits.period.as_micros()).unwrap_or(u64::MAX);
        let mut call = scripts::call(&self.scripts.take_turn, &self.keys);
        call.arg(account.as_str())
            .arg(holder.to_string())
            .arg(holder.replica)
            .arg(u8::from(*share == TurnShare::Half));
        call.arg(calls).arg(limits.calls).arg(period.max(1)).arg(slots).arg(limits.slots);
        call.arg(to_millis(*life)).arg(to_millis(REPLICA_LIFE)).arg(to_millis(PLACE_LIFE));
        // A holder that has its slot already is told so again.
        let (answer, number): (u8, u64) = self.shared.ask_again(&call).await?;
        match answer {
            0 => Ok(TurnAnswer::Granted { replicas: u32::try_from(number).unwrap_or(u32::MAX) }),
            1 => Ok(TurnAnswer::TooSoon(Duration::from_micros(number))),
            2 => Ok(TurnAnswer::Full),
            3 => Ok(TurnAnswer::Paused(Duration::from_millis(number))),
            _ => Err(unreadable("the answer to a turn")),
        }
    }

    async fn give_turn_back(&self, account: &AccountId, holder: Holder<'_>) -> Result<(), StoreError> {
        let (holder, mut remove) = (holder.to_string(), redis::pipe());
        for kind in ["turn-slots", "turn-half-slots"] {
            remove.cmd("ZREM").arg(self.keys.of(kind, account)).arg(&holder).ignore();
        }
        self.shared.ask_again(&remove).await
    }

    async fn pause_turns(&self, account: &AccountId, pause: Duration) -> Result<(), StoreError> {
        let key = self.keys.of("turn-pause", account);
        // The first says how long where there was none, the second prolongs one that is shorter.
        let mut set = redis::pipe();
        set.cmd("SET").arg(&key).arg(1).arg("PX").arg(to_millis(pause)).arg("NX").ignore();
        set.cmd("PEXPIRE").arg(&key).arg(to_millis(pause)).arg("GT").ignore();
        self.shared.ask_again(&set).await
    }
}
