//! The catalogue of events: each type with the schema of its data and an example, as the contract has them.

use std::collections::BTreeSet;

use outdial_core::event_type;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// How references to schemas begin in the contract, and in a schema that is complete in itself.
const IN_CONTRACT: &str = "#/components/schemas/";
const IN_SCHEMA: &str = "#/$defs/";
/// Deepest chain of references in an example.
const DEPTH: usize = 8;

/// A type of events; openapi.yaml describes each field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DescribedType {
    #[serde(rename = "type")]
    pub event_type: &'static str,
    pub description: String,
    pub dataschema: String,
    pub schema: Value,
    pub example: Value,
}

/// Every type that the contract describes, in the order of the catalogue.
pub fn read_catalogue(contract: &Value) -> Vec<DescribedType> {
    event_type::ALL.iter().filter_map(|event_type| describe(contract, event_type)).collect()
}

fn describe(contract: &Value, event_type: &'static str) -> Option<DescribedType> {
    let entry = contract.get("x-event-types")?.get(event_type)?;
    let text = |name: &str| entry.get(name)?.as_str().map(str::to_owned);
    let dataschema = text("dataschema")?;
    let schema = entry.get("schema")?.get("$ref")?.as_str()?.strip_prefix(IN_CONTRACT)?;
    Some(DescribedType {
        event_type,
        description: text("description")?,
        schema: complete(contract, schema, &dataschema),
        dataschema,
        example: resolved(contract, entry.get("example")?, DEPTH),
    })
}

/// A schema of the contract together with all that it refers to.
fn complete(contract: &Value, name: &str, dataschema: &str) -> Value {
    let (mut wanted, mut known) = (vec![name.to_owned()], BTreeSet::new());
    let mut definitions = Map::new();
    while let Some(name) = wanted.pop() {
        if !known.insert(name.clone()) {
            continue;
        }
        let schema = contract.pointer(&format!("/components/schemas/{name}"));
        let mut schema = schema.cloned().unwrap_or(Value::Bool(true));
        move_references(&mut schema, &mut wanted);
        definitions.insert(name, schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:outdial:event-data:{}", dataschema.replace('/', ":")),
        "$ref": format!("{IN_SCHEMA}{name}"),
        "$defs": definitions,
    })
}

/// Lets references stay inside the schema, and notes where they lead.
fn move_references(schema: &mut Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            let name = members.get("$ref").and_then(Value::as_str);
            if let Some(name) = name.and_then(|name| name.strip_prefix(IN_CONTRACT)).map(str::to_owned) {
                members.insert("$ref".to_owned(), json!(format!("{IN_SCHEMA}{name}")));
                found.push(name);
            }
            members.values_mut().for_each(|member| move_references(member, found));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, found)),
        _ => {}
    }
}

/// An example with what it refers to in its place.
fn resolved(contract: &Value, example: &Value, depth: usize) -> Value {
    let Some(members) = example.as_object() else { return example.clone() };
    let pointer = members.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
    match pointer.and_then(|pointer| contract.pointer(pointer)) {
        Some(target) if depth > 0 => resolved(contract, target, depth - 1),
        _ => {
            let inside = members.iter().map(|(name, value)| (name.clone(), resolved(contract, value, depth)));
            Value::Object(inside.collect())
        }
    }
}
