//! The command line program.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to a person")]

mod api;
mod arguments;
mod configuration;
mod demo;
mod events;
mod failure;
mod output;
mod quarantine;
mod records;
mod rosters;
mod serve;
mod simulate;
mod stop;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use failure::Failure;

/// Threads for what goes on beside the ports, which have threads of their own.
const THREADS: usize = 2;

fn main() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        let help = Arguments::command().render_long_help();
        println!("{help}");
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("outdial: no threads can be started: {error}");
                return ExitCode::FAILURE;
            }
        };
    let outcome = runtime.block_on(run(arguments.command));
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("outdial: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(options) => demo::run(options).await,
        Command::Serve(options) => serve::run(&options).await,
        Command::Simulate(options) => simulate::run(&options).await,
        Command::CheckConfig(options) => configuration::check(&options),
        Command::Openapi => output::bytes(outdial_gateway::http::OPENAPI_YAML.as_bytes()),
        Command::Token(options) => token::run(&options),
        Command::Roster(command) => rosters::run(command).await,
        Command::Records(options) => records::run(&options).await,
        Command::Tail(options) => events::run(&options).await,
        Command::Quarantine(command) => quarantine::run(command).await,
    }
}
