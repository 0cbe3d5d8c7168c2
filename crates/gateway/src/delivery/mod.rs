//! Deliveries of events to subscribers, over webhooks.

pub mod sender;
pub mod signature;
pub mod target;
