//! Turns of the embedded store, in memory: no other process shares it, and a turn is not worth a write.

use std::time::Duration;

use async_trait::async_trait;
use outdial_core::AccountId;

use super::Embedded;
use crate::{Holder, StoreError, TurnAnswer, TurnRequest, Turns};

#[async_trait]
impl Turns for Embedded {
    async fn take_turn(&self, request: &TurnRequest<'_>) -> Result<TurnAnswer, StoreError> {
        Ok(self.turns.take(request))
    }

    fn take_turn_at_once(&self, request: &TurnRequest<'_>) -> Option<TurnAnswer> {
        Some(self.turns.take(request))
    }

    async fn give_turn_back(&self, account: &AccountId, holder: Holder<'_>) -> Result<(), StoreError> {
        self.turns.give_back(account, holder.call);
        Ok(())
    }

    fn give_turn_back_at_once(&self, account: &AccountId, holder: Holder<'_>) -> bool {
        self.turns.give_back(account, holder.call);
        true
    }

    async fn pause_turns(&self, account: &AccountId, pause: Duration) -> Result<(), StoreError> {
        self.turns.pause(account, pause);
        Ok(())
    }
}
