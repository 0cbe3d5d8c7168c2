//! `serve`: runs the gateway until a signal. A second signal ends it at once.

use outdial_gateway::{Gateway, telemetry::start_logging};

use crate::{arguments::ConfigOptions, configuration::load, failure::Failure, stop::Stop};

/// Runs the gateway.
pub async fn run(options: &ConfigOptions) -> Result<(), Failure> {
    let config = load(options)?;
    start_logging(&config.log);
    let mut stop = Stop::listen()?;
    let gateway = Gateway::start(config).await?;
    stop.wait().await;
    tokio::select! {
        ended = gateway.stop() => {
            if ended { Ok(()) } else { Err(Failure::new("some work did not end in time")) }
        }
        () = stop.wait() => Err(Failure::new("stopped at once by a second signal")),
    }
}
