//! The gateway: one REST API over the vendors' adapters, and the port that takes their pushes.
//!
//! Arrows inside point downwards: `http → {rosters, query, events, push, sync, subscriptions} → delivery → {upstream, egress, store
//! roles} → core`. actix-web lives in `http` alone, awc in `upstream` alone, and `vendors` alone names the vendor crates.

mod account_sync;
mod account_watch;
mod accounts;
mod api_error;
pub mod auth;
mod circuit;
pub mod config;
pub mod delivery;
mod drift;
pub mod egress;
mod events;
mod gateway;
mod health;
mod housekeeping;
pub mod http;
mod marks;
mod params;
mod push;
mod query;
mod retry_after;
pub mod rosters;
mod subscriptions;
mod sync;
mod tasks;
pub mod telemetry;
mod upstream;
mod vendors;

pub use accounts::{Account, Accounts};
pub use gateway::{Gateway, StartError};
pub use outdial_core::{encode_path_segment, encode_query_value};
