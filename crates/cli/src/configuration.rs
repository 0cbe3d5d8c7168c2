//! Reads a configuration, and `check-config`.

use outdial_gateway::config::{Config, ProcessEnvironment};

use crate::{arguments::ConfigOptions, failure::Failure};

/// Reads the configuration that the options name.
pub fn load(options: &ConfigOptions) -> Result<Config, Failure> {
    Ok(Config::load(&options.config, &ProcessEnvironment)?)
}

/// Says whether a configuration is good; every mistake is told at once.
pub fn check(options: &ConfigOptions) -> Result<(), Failure> {
    let config = load(options)?;
    for note in &config.notes {
        println!("note: {note}");
    }
    for account in config.accounts.iter() {
        let descriptor = account.vendor.descriptor();
        println!("account {} at {}", account.id, descriptor.vendor);
    }
    println!("{} is good.", options.config.display());
    Ok(())
}
