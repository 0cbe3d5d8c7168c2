//! The three ports. The only place with actix types.

mod accept;
mod accounts;
mod admin;
mod around;
mod body;
mod caller;
mod coverage;
mod deliveries;
mod docs;
mod drift;
mod event_types;
mod events;
mod met;
mod passthrough;
mod ports;
mod problem;
mod push;
mod quarantine;
mod records;
mod roster_body;
mod roster_uploads;
mod rosters;
mod routes;
mod subscriptions;

pub(crate) use self::{
    admin::AdminService, ports::Services, push::PushService, roster_uploads::UploadService,
};
pub use self::{docs::OPENAPI_YAML, ports::Ports, routes::served_routes};
