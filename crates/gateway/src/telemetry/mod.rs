//! Metrics and logs.

mod logs;
mod metrics;

pub use logs::start_logging;
pub use metrics::Metrics;
