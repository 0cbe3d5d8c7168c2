//! The catalogue of events: complete, and true of the events that there are.

use jsonschema::Draft;
use outdial_core::event_type;
use outdial_tests::{
    gateway::TestGateway,
    schema::{DOCUMENT, assert_fits},
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
};
use serde_json::{Value, json};

use crate::{
    bodies::{call, envelope, results},
    pages::events,
    uploads::{CSV, csv, upload},
};

/// What is wrong with a value, by a schema that is complete in itself.
fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    let validator = options.build(schema).unwrap_or_else(|error| panic!("{error}: {schema}"));
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[tokio::test]
async fn every_type_has_a_schema_of_its_own_and_an_example_that_fits() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let catalogue = gateway.client_with("events:read", &[]).read("/v1/event-types").await;
    assert_eq!(catalogue["next_cursor"], Value::Null);
    let described = catalogue["data"].as_array().unwrap();
    let types: Vec<&str> = described.iter().filter_map(|one| one["type"].as_str()).collect();
    assert_eq!(types, event_type::ALL);
    let in_contract = DOCUMENT["x-event-types"].as_object().unwrap();
    assert_eq!(in_contract.len(), types.len(), "the contract describes a type that there is not");
    let named = DOCUMENT["components"]["schemas"]["EventType"]["enum"].as_array().unwrap();
    assert!(types.iter().all(|one| named.contains(&json!(one))) && named.len() == types.len());
    for one in described {
        let example = &one["example"];
        assert_eq!(example["type"], one["type"]);
        assert_fits("Event", example);
        let found = faults(&one["schema"], &example["data"]);
        assert!(found.is_empty(), "{}: {found:?}", one["type"]);
        assert!(!faults(&one["schema"], &json!({})).is_empty(), "the schema takes anything");
        let id = format!("urn:outdial:event-data:{}", one["dataschema"].as_str().unwrap().replace('/', ":"));
        assert_eq!(one["schema"]["$id"], id);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn events_are_as_the_catalogue_says() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    gateway.push(WELLCLOUD, results(20)).await;
    gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await;
    upload(&gateway.client(), "", CSV, csv(3)).await.expect(201);
    let catalogue = gateway.client().read("/v1/event-types").await;
    let described = catalogue["data"].as_array().unwrap();
    let all = events(&gateway).await;
    assert!(all.len() >= 22);
    for event in &all {
        let one = described.iter().find(|one| one["type"] == event["type"]).unwrap();
        let found = faults(&one["schema"], &event["data"]);
        assert!(found.is_empty(), "{found:?}\n{event:#}");
    }
    gateway.finish().await;
}
