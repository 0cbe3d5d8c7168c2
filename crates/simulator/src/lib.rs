//! Both vendors in one process: the servers that Outdial calls and the pushers that call Outdial.
//!
//! Written from the vendors' documents alone, and on purpose without any other crate of this workspace: were the
//! wire types shared with the adapters, a misspelt field would go round green.
//!
//! ```no_run
//! # async fn example() -> Result<(), outdial_simulator::SimulatorError> {
//! use outdial_simulator::{Simulator, SimulatorConfig};
//!
//! let simulator = Simulator::start(SimulatorConfig::default()).await?;
//! simulator.control().set_push_urls(Some("http://127.0.0.1:8081/push/wellcloud-demo/…".to_owned()), None);
//! // … upload a roster to simulator.wellcloud_base_url() …
//! simulator.control().flush_hour();
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! The same control stands on the same port under `/_sim/`, for whole-process tests and for people with curl.
//! Everything that happens is a function of the seed, the uploads and the order of the calls; only the times come
//! from the machine's clock, unless [`SimulatorConfig::fixed_time`] stops it.

mod clock;
mod config;
mod control;
mod dice;
mod faults;
mod http;
mod icsoc;
mod json;
mod push;
mod simulator;
mod stats;
mod tokens;
mod wellcloud;
mod world;

pub use config::{Ending, Generation, IcsocSettings, SimulatorConfig, WellcloudSettings};
pub use control::Control;
pub use faults::{Faults, Vendor};
pub use simulator::{Simulator, SimulatorError, run};
pub use stats::{PushStats, SearchSeen, Stats, VendorStats};
pub use wellcloud::{EntryDetails, Upload, UploadForm};
