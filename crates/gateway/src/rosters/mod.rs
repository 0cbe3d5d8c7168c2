//! Rosters: read in four forms, checked, encoded and sent at most once.

mod arena;
mod csv;
mod format;
mod heartbeat;
mod idempotency;
mod intake;
mod json;
mod reader;
mod recovery;
mod text;
mod upload;
mod view;

pub use self::{
    format::{Format, TYPES},
    idempotency::{Begin, Claim, Idempotency, SavedAnswer},
    intake::{Intake, OnDuplicate, OnInvalid, Options, Prepared},
    reader::{BodyError, Reader},
    upload::RosterUploads,
    view::RosterView,
};
