//! Turns at a vendor.

use std::time::Duration;

use outdial_core::AccountId;
use outdial_store::{Holder, Store, TurnAnswer, TurnLimits, TurnRequest, TurnShare};

use crate::backend::{Backend, until};

const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(300);

fn account() -> AccountId {
    "ic-1".parse().unwrap()
}

fn holder(call: u64) -> Holder<'static> {
    Holder { replica: "a", call }
}

/// Asks for a turn of a minute.
async fn ask(store: &dyn Store, call: u64, share: TurnShare, limits: TurnLimits) -> TurnAnswer {
    ask_for(store, call, share, limits, MINUTE).await
}

async fn ask_for(
    store: &dyn Store,
    call: u64,
    share: TurnShare,
    limits: TurnLimits,
    life: Duration,
) -> TurnAnswer {
    let account = account();
    let request = TurnRequest { account: &account, holder: holder(call), limits, share, life };
    store.take_turn(&request).await.unwrap()
}

const GRANTED: TurnAnswer = TurnAnswer::Granted { replicas: 1 };

/// Limits of slots alone.
fn slots(slots: u32) -> TurnLimits {
    TurnLimits { calls: 1_000, period: Duration::from_millis(1), slots }
}

pub async fn so_many_calls_are_under_way(backend: &mut dyn Backend) {
    let store = backend.store();
    for call in [1, 2] {
        assert_eq!(ask(&*store, call, TurnShare::Whole, slots(2)).await, GRANTED);
    }
    assert_eq!(ask(&*store, 3, TurnShare::Whole, slots(2)).await, TurnAnswer::Full);
    store.give_turn_back(&account(), holder(99)).await.unwrap();
    assert_eq!(ask(&*store, 3, TurnShare::Whole, slots(2)).await, TurnAnswer::Full);
    store.give_turn_back(&account(), holder(1)).await.unwrap();
    store.give_turn_back(&account(), holder(1)).await.unwrap();
    assert_eq!(ask(&*store, 3, TurnShare::Whole, slots(2)).await, GRANTED);
    assert_eq!(ask(&*store, 4, TurnShare::Whole, slots(2)).await, TurnAnswer::Full);
    let (other, limits) = ("ic-2".parse().unwrap(), slots(2));
    let (holder, share) = (holder(5), TurnShare::Whole);
    let request = TurnRequest { account: &other, holder, limits, share, life: MINUTE };
    assert_eq!(store.take_turn(&request).await.unwrap(), GRANTED, "another account has its own");
}

pub async fn a_slot_that_nobody_gave_back_is_free_again(backend: &mut dyn Backend) {
    let store = backend.store();
    assert_eq!(ask_for(&*store, 1, TurnShare::Whole, slots(1), MOMENT).await, GRANTED);
    assert_eq!(ask(&*store, 2, TurnShare::Whole, slots(1)).await, TurnAnswer::Full);
    until("the slot is free again", async || ask(&*store, 2, TurnShare::Whole, slots(1)).await == GRANTED)
        .await;
}

pub async fn half_of_the_slots_are_left_to_others(backend: &mut dyn Backend) {
    let store = backend.store();
    for call in [1, 2] {
        assert_eq!(ask(&*store, call, TurnShare::Half, slots(5)).await, GRANTED);
    }
    assert_eq!(ask(&*store, 3, TurnShare::Half, slots(5)).await, TurnAnswer::Full);
    for call in [4, 5, 6] {
        assert_eq!(ask(&*store, call, TurnShare::Whole, slots(5)).await, GRANTED);
    }
    store.give_turn_back(&account(), holder(1)).await.unwrap();
    store.give_turn_back(&account(), holder(4)).await.unwrap();
    for call in [7, 8] {
        assert_eq!(ask(&*store, call, TurnShare::Whole, slots(5)).await, GRANTED);
    }
    store.give_turn_back(&account(), holder(2)).await.unwrap();
    assert_eq!(ask(&*store, 9, TurnShare::Half, slots(5)).await, GRANTED);
    assert_eq!(ask(&*store, 10, TurnShare::Half, slots(5)).await, TurnAnswer::Full, "all five are taken");
}

pub async fn one_slot_is_for_everybody(backend: &mut dyn Backend) {
    let store = backend.store();
    assert_eq!(ask(&*store, 1, TurnShare::Half, slots(1)).await, GRANTED);
    assert_eq!(ask(&*store, 2, TurnShare::Whole, slots(1)).await, TurnAnswer::Full);
}

pub async fn so_many_calls_begin_in_a_period(backend: &mut dyn Backend) {
    let store = backend.store();
    let limits = TurnLimits { calls: 4, period: MOMENT, slots: 1_000 };
    for round in (0..300).step_by(100) {
        for call in [round, round + 1] {
            until("half a period is free", async || {
                ask(&*store, call, TurnShare::Half, limits).await == GRANTED
            })
            .await;
        }
        let refused = ask(&*store, round + 2, TurnShare::Half, limits).await;
        assert!(matches!(refused, TurnAnswer::TooSoon(wait) if wait <= MOMENT), "{refused:?}");
        for call in [round + 3, round + 4] {
            assert_eq!(ask(&*store, call, TurnShare::Whole, limits).await, GRANTED);
        }
        let refused = ask(&*store, round + 2, TurnShare::Whole, limits).await;
        let TurnAnswer::TooSoon(wait) = refused else { panic!("{refused:?}") };
        assert!(wait <= MOMENT && !wait.is_zero(), "{wait:?}");
    }
}

pub async fn a_pause_holds_every_call_back(backend: &mut dyn Backend) {
    let store = backend.store();
    store.pause_turns(&account(), MOMENT).await.unwrap();
    store.pause_turns(&account(), MOMENT / 10).await.unwrap();
    let paused = ask(&*store, 1, TurnShare::Whole, slots(5)).await;
    assert!(matches!(paused, TurnAnswer::Paused(wait) if wait > MOMENT / 10 && wait <= MOMENT), "{paused:?}");
    until("the pause ends", async || ask(&*store, 1, TurnShare::Whole, slots(5)).await == GRANTED).await;
    store.pause_turns(&account(), MOMENT).await.unwrap();
    store.pause_turns(&account(), MINUTE).await.unwrap();
    let paused = ask(&*store, 2, TurnShare::Whole, slots(5)).await;
    assert!(matches!(paused, TurnAnswer::Paused(wait) if wait > MOMENT), "{paused:?}");
}
