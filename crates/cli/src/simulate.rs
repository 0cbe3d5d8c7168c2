//! `simulate`: runs both vendors' simulators until a signal.

use std::time::Duration;

use outdial_simulator::{IcsocSettings, SimulatorConfig, WellcloudSettings};

use crate::{arguments::SimulateOptions, failure::Failure};

/// Runs the simulators.
pub async fn run(options: &SimulateOptions) -> Result<(), Failure> {
    let config = SimulatorConfig {
        listen: options.listen,
        seed: options.seed,
        wellcloud: WellcloudSettings {
            push_url: options.wellcloud_push_url.clone(),
            hour: Duration::from_secs(options.hour),
            ..WellcloudSettings::default()
        },
        icsoc: IcsocSettings {
            push_url: options.icsoc_push_url.clone(),
            calls: options.calls,
            encrypt: options.encrypt,
            ..IcsocSettings::default()
        },
        ..SimulatorConfig::default()
    };
    let ready = |address| {
        println!("Both vendors listen on http://{address}; what they did is in http://{address}/_sim/stats.");
    };
    outdial_simulator::run(config, ready).await.map_err(Failure::new)
}
