//! Subscriptions to events: what their owners decide, and what they are told.

mod deliveries;
mod draft;
mod filter;
mod headers;
mod members;
mod replay;
mod secrets;
mod service;
#[cfg(test)]
mod tests;
mod trial;
mod view;

pub use self::{
    service::SubscriptionService,
    view::{DeliveryView, SubscriptionView},
};
