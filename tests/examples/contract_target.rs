//! A gateway between both simulated vendors, with something of everything in its store, for tools that judge it from
//! outside. Writes `{"api", "token"}` as one line when it is ready, and stops on SIGTERM.

use std::{error::Error, io::Write};

use outdial_tests::{
    gateway::TestGateway,
    secrets::number,
    setup::{Backend, Setup, WELLCLOUD},
    tokens::{ALL_SCOPES, token},
};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// The campaign of the contract's examples.
const CAMPAIGN: &str = "92b8e0f87d3411e9ad53005056955a13";
/// Entries that are uploaded, and calls that there are.
const COUNT: usize = 50;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite).set("EGRESS__ALLOW", "127.0.0.1")).await;
    let entry = |index| json!({ "entry_id": format!("e-{index}"), "number": number(index) });
    let roster = json!({ "entries": (0..COUNT).map(entry).collect::<Value>() }).to_string();
    let target = format!("/v1/accounts/{WELLCLOUD}/campaigns/{CAMPAIGN}/rosters");
    gateway.client().post(&target, "application/json", roster).send().await.expect(201);
    gateway.connect_pushes();
    gateway.control().flush_hour();
    gateway.control().seed_calls(COUNT);
    gateway.control().settled().await;
    gateway.push(WELLCLOUD, "[null]").await;
    let ready = json!({ "api": format!("http://{}", gateway.api()), "token": token(ALL_SCOPES, &["*"]) });
    let mut out = std::io::stdout();
    writeln!(out, "{ready}")?;
    out.flush()?;
    terminate.recv().await;
    gateway.stop().await;
    Ok(())
}
