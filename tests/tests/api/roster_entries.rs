//! What a roster says of its entries.

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, Setup, WELLCLOUD},
};
use serde_json::{Value, json};

use crate::{
    bodies::result,
    uploads::{upload_entries, with_agents},
};

on_every_store!(results_are_joined_to_the_roster_they_came_of);

async fn entries(gateway: &TestGateway, roster: &Value) -> Value {
    let path = format!("/v1/rosters/{}", roster["id"].as_str().unwrap());
    gateway.client().read(&path).await["entries"].clone()
}

fn outcome(index: usize, round: u64, state: i64, call: Option<&str>) -> Value {
    let mut result = result(index);
    (result["round"], result["state"], result["msg"]) = (json!(round), json!(state), json!(state));
    match call {
        Some(call) => result["callId"] = json!(call),
        None => drop(result.as_object_mut().unwrap().remove("callId")),
    }
    result
}

async fn results_are_joined_to_the_roster_they_came_of(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store).set("ACCOUNTS__0__JSON_ENTRIES_MAX", "2")).await;
    let client = gateway.client();
    let roster = upload_entries(&client, "", with_agents(0..5)).await.expect(201);
    assert_eq!(roster.get("entries"), None, "of a roster that was just sent there is nothing to say");
    let none = json!({ "waiting": 5, "dialled": 0, "not_dialled": 0, "by": [] });
    assert_eq!(entries(&gateway, &roster).await, none);
    let pushed = json!([
        outcome(0, 1, 1, Some("call-1")),
        outcome(0, 2, 0, Some("call-2")),
        outcome(1, 1, 1, Some("call-3")),
        outcome(2, 1, -10, None),
        outcome(9, 1, 0, Some("call-4")),
    ]);
    assert_eq!(gateway.push(WELLCLOUD, pushed.to_string()).await.status, 200);
    let some = json!({
        "waiting": 2, "dialled": 2, "not_dialled": 1,
        "by": [
            { "outcome": "busy", "round": 1, "records": 2 },
            { "outcome": "expired", "round": 1, "records": 1 },
            { "outcome": "answered", "round": 2, "records": 1 },
        ],
    });
    assert_eq!(entries(&gateway, &roster).await, some);
    let page = client.read("/v1/rosters").await;
    assert_eq!(page["data"][0].get("entries"), None, "a list does not count");

    // Entries that are uploaded again belong to the last roster, for results name no roster.
    let second = upload_entries(&client, "", with_agents(4..6)).await.expect(201);
    assert_eq!(entries(&gateway, &roster).await["waiting"], 1);
    assert_eq!(entries(&gateway, &second).await["waiting"], 2);

    // Of what the vendor refused nothing is awaited.
    gateway.control().set_faults(Faults {
        vendor: Some(Vendor::Wellcloud),
        path_prefix: Some("/ocm".to_owned()),
        status: Some(500),
        ..Faults::default()
    });
    let failed =
        upload_entries(&client, "", with_agents(20..22)).await.expect_problem(503, "upstream-unavailable");
    assert_eq!(entries(&gateway, &failed["roster"]).await["waiting"], 0);
    gateway.finish().await;
}
