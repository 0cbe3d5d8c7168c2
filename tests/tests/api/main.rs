//! Whole gateways over real sockets, one binary: every answer is held to openapi.yaml by the client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod bodies;
mod coverage;
mod drift;
mod durability;
mod event_types;
mod events;
mod lifecycle;
mod pages;
mod public_keys;
mod push_refusals;
mod pushes;
mod quarantine;
mod raw_vendor;
mod records_of_store;
mod records_of_vendor;
mod relay;
mod relay_bodies;
mod relay_failures;
mod roster_async;
mod roster_entries;
mod roster_faults;
mod roster_forms;
mod roster_keys;
mod roster_kills;
mod roster_retries;
mod roster_rules;
mod routes;
mod spooling;
mod stopping;
mod subscription_changes;
mod subscription_deliveries;
mod subscription_trials;
mod subscriptions;
mod syncing;
mod syncing_faults;
mod tokens;
mod uploads;
mod upstream_bad_days;
mod upstream_limits;
mod upstream_tokens;
mod webhook_storms;
mod webhooks;
