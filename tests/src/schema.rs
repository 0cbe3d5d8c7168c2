//! The schemas of the contract, compiled once each.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

use crate::repository;

/// The contract as a tree.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_saphyr::from_str(&repository::read("openapi.yaml")).expect("openapi.yaml is YAML")
});

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Follows `$ref` inside the document, if there is one.
///
/// # Panics
/// When it leads nowhere.
pub fn resolve(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("references stay inside the document");
            resolve(DOCUMENT.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")))
        }
        None => value,
    }
}

/// What is wrong with a value, by a schema of the document.
///
/// # Panics
/// When the schema itself is wrong.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let validator = compile(schema);
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Holds a value to one of `components.schemas`.
///
/// # Panics
/// When it does not fit.
pub fn assert_fits(name: &str, value: &Value) {
    let faults = faults(&json!({ "$ref": format!("#/components/schemas/{name}") }), value);
    assert!(faults.is_empty(), "{name} does not fit: {faults:#?}\n{value:#}");
}

fn compile(schema: &Value) -> Arc<Validator> {
    let key = schema.to_string();
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = validators.get(&key) {
        return Arc::clone(known);
    }
    // The schema refers to its neighbours by the way from the document's top, so they stand beside it.
    let whole = json!({ "allOf": [schema], "components": { "schemas": DOCUMENT["components"]["schemas"] } });
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    let validator = Arc::new(options.build(&whole).unwrap_or_else(|error| panic!("{key}: {error}")));
    validators.insert(key, Arc::clone(&validator));
    validator
}
