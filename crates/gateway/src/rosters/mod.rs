//! Rosters: read in four forms, checked, encoded and sent at most once.

mod arena;
mod bodies;
mod conclusion;
mod csv;
mod format;
mod heartbeat;
mod idempotency;
mod intake;
mod json;
mod outcomes;
mod reader;
mod recovery;
mod retry;
mod sending;
mod text;
mod upload;
mod view;

pub use self::{
    format::{Format, TYPES},
    idempotency::{Begin, Claim, Idempotency, SavedAnswer},
    intake::{Intake, OnDuplicate, OnInvalid, Options, Prepared},
    outcomes::count_outcomes,
    reader::{BodyError, Reader},
    upload::{Begun, RosterUploads},
    view::{EntriesView, RosterView},
};
