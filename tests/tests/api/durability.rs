//! What was acknowledged is there, whoever is killed: the vendors keep a ledger of the replies they read, and the store is
//! held against it.

use std::{collections::BTreeSet, sync::Arc};

use outdial_tests::{
    child::GatewayProcess,
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, Setup, World},
    waiting::{eventually, soon},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    pages::{record_events, stored},
    uploads::{CSV, csv, upload},
};

on_every_store!(gateways_may_be_killed_at_any_moment);

/// Names of acknowledged records, as the ledger has them.
fn acknowledged(ledger: &str) -> BTreeSet<String> {
    let lines = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ids = lines.flat_map(|line| line["ids"].as_array().unwrap().clone());
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// The name of a record in the ledger: its call, or what an entry that was never dialled is known by.
fn name(record: &Value) -> String {
    let text = |member: &Value| member.as_str().unwrap_or_default().to_owned();
    if record["disposition"] != "not_dialled" {
        return text(&record["call_id"]);
    }
    let (campaign, entry) = (text(&record["campaign_id"]), text(&record["roster_entry_id"]));
    format!("{campaign}/{entry}/{}/{}", record["round"], text(&record["vendor_codes"]["outcome"]))
}

/// Pushes that were sent, and those of WellCloud's whose reply was read.
fn pushes(world: &World) -> (u64, u64) {
    let stats = world.vendors.control().stats();
    let (wellcloud, icsoc) = (stats.wellcloud.push, stats.icsoc.push);
    (wellcloud.attempted + icsoc.attempted, wellcloud.acknowledged)
}

async fn start_child(world: &Arc<World>) -> GatewayProcess {
    let child = GatewayProcess::start(env!("CARGO_BIN_EXE_gateway_process"), world);
    child.connect_pushes(world);
    child
}

async fn gateways_may_be_killed_at_any_moment(store: Backend) {
    const KILLS: u64 = 8;
    let place = TempDir::new().unwrap();
    let ledger = place.path().join("ledger");
    let setup = Setup::new(store).vendors(|vendors| {
        vendors.ledger = Some(ledger.clone());
        vendors.icsoc.calls = 0;
    });
    let world = World::new(setup).await;
    let control = world.vendors.control();
    let mut child = start_child(&world).await;
    for kill in 0..KILLS {
        upload(&child.client(), "", CSV, csv(1_200)).await.expect(201);
        let (sent, read) = pushes(&world);
        control.seed_calls(60);
        control.flush_hour();
        // Now while bodies are on their way, now when some replies were read and others not.
        eventually("pushes are under way", async || {
            let (sent_now, read_now) = pushes(&world);
            let is_time = if kill % 2 == 0 { sent_now > sent } else { read_now > read };
            is_time.then_some(())
        })
        .await;
        child.kill();
        child = start_child(&world).await;
    }
    soon("ICSOC has repeated what was refused", control.settled()).await;
    drop(child);
    let gateway = TestGateway::start_in(world).await;
    let records = stored(&gateway).await;
    let known: BTreeSet<String> = records.iter().map(name).collect();
    let acknowledged = acknowledged(&std::fs::read_to_string(&ledger).unwrap());
    let lost: Vec<&String> = acknowledged.difference(&known).collect();
    assert!(
        lost.is_empty(),
        "{} of {} were acknowledged and are gone: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(acknowledged.len() > 2_000, "{} were acknowledged", acknowledged.len());
    let calls: BTreeSet<String> = gateway.control().call_ids().into_iter().collect();
    assert!(calls.is_subset(&known), "ICSOC repeats until it is told that all is well");

    let events = record_events(&gateway).await;
    let created = events.iter().filter(|event| event["type"] == "io.outdial.call-record.created").count();
    let ids: BTreeSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!((created, ids.len()), (records.len(), events.len()), "one event each, however often it came");
    gateway.finish().await;
}
