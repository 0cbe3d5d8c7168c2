//! Turns at a vendor.

use std::time::Duration;

use outdial_core::AccountId;
use outdial_store::{Store, TurnAnswer, TurnLimits, TurnRequest, TurnShare};

use crate::backend::{Backend, until};

const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(300);

fn account() -> AccountId {
    "ic-1".parse().unwrap()
}

/// Asks for a turn of a minute.
async fn ask(store: &dyn Store, holder: &str, share: TurnShare, limits: TurnLimits) -> TurnAnswer {
    ask_for(store, holder, share, limits, MINUTE).await
}

async fn ask_for(
    store: &dyn Store,
    holder: &str,
    share: TurnShare,
    limits: TurnLimits,
    life: Duration,
) -> TurnAnswer {
    let account = account();
    let request = TurnRequest { account: &account, holder, replica: "a", limits, share, life };
    store.take_turn(&request).await.unwrap()
}

const GRANTED: TurnAnswer = TurnAnswer::Granted { replicas: 1 };

/// Limits of slots alone.
fn slots(slots: u32) -> TurnLimits {
    TurnLimits { calls: 1_000, period: Duration::from_millis(1), slots }
}

pub async fn so_many_calls_are_under_way(backend: &mut dyn Backend) {
    let store = backend.store();
    for holder in ["1", "2"] {
        assert_eq!(ask(&*store, holder, TurnShare::Whole, slots(2)).await, GRANTED);
    }
    assert_eq!(ask(&*store, "3", TurnShare::Whole, slots(2)).await, TurnAnswer::Full);
    store.give_turn_back(&account(), "nobody").await.unwrap();
    assert_eq!(ask(&*store, "3", TurnShare::Whole, slots(2)).await, TurnAnswer::Full);
    store.give_turn_back(&account(), "1").await.unwrap();
    store.give_turn_back(&account(), "1").await.unwrap();
    assert_eq!(ask(&*store, "3", TurnShare::Whole, slots(2)).await, GRANTED);
    assert_eq!(ask(&*store, "4", TurnShare::Whole, slots(2)).await, TurnAnswer::Full);
    let (other, limits) = ("ic-2".parse().unwrap(), slots(2));
    let (holder, replica, share) = ("5", "a", TurnShare::Whole);
    let request = TurnRequest { account: &other, holder, replica, limits, share, life: MINUTE };
    assert_eq!(store.take_turn(&request).await.unwrap(), GRANTED, "another account has its own");
}

pub async fn a_slot_that_nobody_gave_back_is_free_again(backend: &mut dyn Backend) {
    let store = backend.store();
    assert_eq!(ask_for(&*store, "dead", TurnShare::Whole, slots(1), MOMENT).await, GRANTED);
    assert_eq!(ask(&*store, "next", TurnShare::Whole, slots(1)).await, TurnAnswer::Full);
    until("the slot is free again", async || {
        ask(&*store, "next", TurnShare::Whole, slots(1)).await == GRANTED
    })
    .await;
}

pub async fn half_of_the_slots_are_left_to_others(backend: &mut dyn Backend) {
    let store = backend.store();
    for holder in ["1", "2"] {
        assert_eq!(ask(&*store, holder, TurnShare::Half, slots(5)).await, GRANTED);
    }
    assert_eq!(ask(&*store, "3", TurnShare::Half, slots(5)).await, TurnAnswer::Full);
    for holder in ["4", "5", "6"] {
        assert_eq!(ask(&*store, holder, TurnShare::Whole, slots(5)).await, GRANTED);
    }
    store.give_turn_back(&account(), "1").await.unwrap();
    store.give_turn_back(&account(), "4").await.unwrap();
    for holder in ["7", "8"] {
        assert_eq!(ask(&*store, holder, TurnShare::Whole, slots(5)).await, GRANTED);
    }
    store.give_turn_back(&account(), "2").await.unwrap();
    assert_eq!(ask(&*store, "9", TurnShare::Half, slots(5)).await, GRANTED);
    assert_eq!(ask(&*store, "10", TurnShare::Half, slots(5)).await, TurnAnswer::Full, "all five are taken");
}

pub async fn one_slot_is_for_everybody(backend: &mut dyn Backend) {
    let store = backend.store();
    assert_eq!(ask(&*store, "1", TurnShare::Half, slots(1)).await, GRANTED);
    assert_eq!(ask(&*store, "2", TurnShare::Whole, slots(1)).await, TurnAnswer::Full);
}

pub async fn so_many_calls_begin_in_a_period(backend: &mut dyn Backend) {
    let store = backend.store();
    let limits = TurnLimits { calls: 4, period: MOMENT, slots: 1_000 };
    for round in 0..3 {
        for call in 0..2 {
            let holder = format!("half {round} {call}");
            until("half a period is free", async || {
                ask(&*store, &holder, TurnShare::Half, limits).await == GRANTED
            })
            .await;
        }
        let refused = ask(&*store, &format!("no {round}"), TurnShare::Half, limits).await;
        assert!(matches!(refused, TurnAnswer::TooSoon(wait) if wait <= MOMENT), "{refused:?}");
        for call in 0..2 {
            let holder = format!("whole {round} {call}");
            assert_eq!(ask(&*store, &holder, TurnShare::Whole, limits).await, GRANTED);
        }
        let refused = ask(&*store, &format!("no {round}"), TurnShare::Whole, limits).await;
        let TurnAnswer::TooSoon(wait) = refused else { panic!("{refused:?}") };
        assert!(wait <= MOMENT && !wait.is_zero(), "{wait:?}");
    }
}

pub async fn a_pause_holds_every_call_back(backend: &mut dyn Backend) {
    let store = backend.store();
    store.pause_turns(&account(), MOMENT).await.unwrap();
    store.pause_turns(&account(), MOMENT / 10).await.unwrap();
    let paused = ask(&*store, "1", TurnShare::Whole, slots(5)).await;
    assert!(matches!(paused, TurnAnswer::Paused(wait) if wait > MOMENT / 10 && wait <= MOMENT), "{paused:?}");
    until("the pause ends", async || ask(&*store, "1", TurnShare::Whole, slots(5)).await == GRANTED).await;
    store.pause_turns(&account(), MOMENT).await.unwrap();
    store.pause_turns(&account(), MINUTE).await.unwrap();
    let paused = ask(&*store, "2", TurnShare::Whole, slots(5)).await;
    assert!(matches!(paused, TurnAnswer::Paused(wait) if wait > MOMENT), "{paused:?}");
}
