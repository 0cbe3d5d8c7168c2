//! Turns that replicas share over one Redis.

use std::{sync::Arc, time::Duration};

use outdial_core::{AccountId, ManualClock};
use outdial_store::{Holder, Store, TurnAnswer, TurnLimits, TurnRequest, TurnShare, open};

use crate::{
    backend::{at, settings, until},
    proxy::Proxy,
    redis_server::RedisServer,
};

const MINUTE: Duration = Duration::from_secs(60);

async fn open_at(url: &str) -> Arc<dyn Store> {
    let clock = Arc::new(ManualClock::new(at(0)));
    open(settings(url, &clock)).await.unwrap()
}

fn a(call: u64) -> Holder<'static> {
    Holder { replica: "a", call }
}

fn b(call: u64) -> Holder<'static> {
    Holder { replica: "b", call }
}

fn c(call: u64) -> Holder<'static> {
    Holder { replica: "c", call }
}

async fn ask(store: &dyn Store, holder: Holder<'_>, share: TurnShare) -> TurnAnswer {
    let account: AccountId = "ic-1".parse().unwrap();
    let limits = TurnLimits { calls: 1_000, period: Duration::from_millis(1), slots: 2 };
    let request = TurnRequest { account: &account, holder, limits, share, life: MINUTE };
    store.take_turn(&request).await.unwrap()
}

async fn give_back(store: &dyn Store, holder: Holder<'_>) {
    store.give_turn_back(&"ic-1".parse().unwrap(), holder).await.unwrap();
}

#[tokio::test]
async fn replicas_take_turns_in_the_order_in_which_they_asked() {
    let server = RedisServer::start();
    let store = open_at(&server.url()).await;
    assert_eq!(ask(&*store, a(1), TurnShare::Whole).await, TurnAnswer::Granted { replicas: 1 });
    assert_eq!(ask(&*store, a(2), TurnShare::Whole).await, TurnAnswer::Granted { replicas: 1 });
    assert_eq!(ask(&*store, c(1), TurnShare::Half).await, TurnAnswer::Full);
    assert_eq!(ask(&*store, b(1), TurnShare::Whole).await, TurnAnswer::Full);
    assert_eq!(ask(&*store, a(3), TurnShare::Whole).await, TurnAnswer::Full);
    give_back(&*store, a(1)).await;
    // One slot is free, and b asked for it before a did.
    assert_eq!(ask(&*store, a(3), TurnShare::Whole).await, TurnAnswer::Full);
    assert_eq!(ask(&*store, c(1), TurnShare::Half).await, TurnAnswer::Full, "a whole share comes first");
    assert_eq!(ask(&*store, b(1), TurnShare::Whole).await, TurnAnswer::Granted { replicas: 3 });
    give_back(&*store, a(2)).await;
    assert_eq!(ask(&*store, b(2), TurnShare::Whole).await, TurnAnswer::Full);
    assert_eq!(ask(&*store, a(3), TurnShare::Whole).await, TurnAnswer::Granted { replicas: 3 });
    // Who does not ask again loses its place.
    give_back(&*store, a(3)).await;
    until("the place of b is free", async || {
        ask(&*store, c(2), TurnShare::Half).await == TurnAnswer::Granted { replicas: 3 }
    })
    .await;
}

#[tokio::test]
async fn a_turn_whose_answer_was_lost_is_taken_once() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.address()).await;
    let store = open_at(&proxy.url()).await;
    assert_eq!(ask(&*store, a(1), TurnShare::Whole).await, TurnAnswer::Granted { replicas: 1 });
    proxy.cut_after_next("EVALSHA");
    let account: AccountId = "ic-1".parse().unwrap();
    let limits = TurnLimits { calls: 1_000, period: Duration::from_millis(1), slots: 2 };
    let (holder, share) = (a(2), TurnShare::Whole);
    let request = TurnRequest { account: &account, holder, limits, share, life: MINUTE };
    // Told or not, the slot is taken; asked again, it is the same one.
    let _ = store.take_turn(&request).await;
    assert_eq!(store.take_turn(&request).await.unwrap(), TurnAnswer::Granted { replicas: 1 });
    assert_eq!(ask(&*store, a(3), TurnShare::Whole).await, TurnAnswer::Full);
    give_back(&*store, a(2)).await;
    assert_eq!(ask(&*store, a(3), TurnShare::Whole).await, TurnAnswer::Granted { replicas: 1 });
}
