//! A gateway and nothing else, for tests that kill it: reads the configuration named on the command line, with a clock that is
//! ahead by the milliseconds that may be named there too, writes its addresses as one line of JSON, and stops on SIGTERM.

use std::{error::Error, io::Write, path::Path, sync::Arc};

use outdial_gateway::{
    Gateway,
    config::{Config, ProcessEnvironment},
};
use outdial_tests::gateway::AheadClock;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("the path of a configuration is missing")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let ahead = std::env::args().nth(2).map_or(Ok(0), |text| text.parse())?;
    let config = Config::load(Path::new(&path), &ProcessEnvironment)?;
    let gateway = Gateway::start_with_clock(config, Arc::new(AheadClock(ahead))).await?;
    let (api, push) = (gateway.api_address(), gateway.push_address());
    let mut out = std::io::stdout();
    writeln!(out, r#"{{"api":"{api}","push":"{push}","admin":"{}"}}"#, gateway.admin_address())?;
    out.flush()?;
    terminate.recv().await;
    gateway.stop().await;
    Ok(())
}
