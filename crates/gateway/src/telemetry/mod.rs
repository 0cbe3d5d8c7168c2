//! Metrics and logs.

mod logs;
mod metrics;
mod sightings;

pub use logs::start_logging;
pub use metrics::Metrics;
pub use sightings::{Sighting, Sightings};
