//! WellCloud OCM: tokens, rosters up, results down.

mod dial;
mod outcome;
mod result;
mod roster;
mod tenant;
mod upload;

pub(crate) use tenant::Tenant;
pub use upload::{EntryDetails, Upload, UploadForm};
