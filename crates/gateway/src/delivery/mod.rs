//! Webhooks: each subscription has a reader of the log of its own, which sends, tries again, and writes down how far it got.
//! A subscriber that hangs or fails costs nobody else anything.

mod attempt;
mod disable;
mod ledger;
mod notice;
mod order;
mod outbox;
mod plan;
mod schedule;
pub mod sender;
pub mod signature;
mod supervisor;
pub mod target;
mod worker;

pub use disable::accounts_of;
pub use supervisor::{INTERVAL, Supervisor};
pub use worker::Context;

#[cfg(test)]
mod tests;
