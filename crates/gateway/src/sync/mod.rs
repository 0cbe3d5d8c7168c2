//! Call records that no push brought: searched for at the vendor on a timer, and appended to the same log.
//!
//! A run walks one window of the time in which calls were dialled, page by page. How far it has got is stored after each
//! page was appended, under the lease of the replica that walks, so that the next one goes on there.

mod coverage;
mod journal;
mod progress;
mod runner;
mod tally;
mod walker;

#[cfg(test)]
mod tests;

pub use self::{
    coverage::{Coverage, CoverageRequest},
    runner::Syncs,
};
