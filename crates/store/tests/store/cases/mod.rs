//! The cases of the suite, by role.

pub mod arrivals;
pub mod concurrency;
pub mod deliveries;
pub mod kv;
pub mod leases;
pub mod log;
pub mod quarantine;
pub mod records;
pub mod restart;
pub mod roster_bodies;
pub mod roster_entries;
pub mod rosters;
pub mod subscriptions;
pub mod summary;
pub mod turns;
