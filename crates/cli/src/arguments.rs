//! The arguments of every command.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The gateway between your services and your outbound-call vendors.
///
/// Start with `outdial demo`: it runs the whole way on this machine and shows each step.
#[derive(Debug, Parser)]
#[command(name = "outdial", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: gateway, simulated vendors, a sample roster; then stay up.
    Demo(DemoOptions),
    /// Run the gateway.
    Serve(ConfigOptions),
    /// Run both vendors' simulators.
    Simulate(SimulateOptions),
    /// Check a configuration and say every mistake.
    CheckConfig(ConfigOptions),
    /// Print the API's contract.
    Openapi,
    /// Sign a token for development, with the shared secret of a configured issuer.
    Token(TokenOptions),
    /// Check or upload a roster.
    #[command(subcommand)]
    Roster(RosterCommand),
    /// Print call records.
    Records(RecordsOptions),
    /// Follow the events.
    Tail(TailOptions),
    /// List, read, replay or delete what is in quarantine.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
}

#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Where the demo keeps its store; a second start goes on with it.
    #[arg(long, default_value = "outdial-demo-data")]
    pub data: PathBuf,
    /// Where the API listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub api: SocketAddr,
    /// Where the vendors push to.
    #[arg(long, default_value = "127.0.0.1:8081")]
    pub push: SocketAddr,
    /// Where probes and metrics are.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,
    /// Where the simulated vendors listen.
    #[arg(long, default_value = "127.0.0.1:8099")]
    pub vendors: SocketAddr,
    /// Entries of the sample roster.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub entries: u32,
    /// Stop after the summary.
    #[arg(long)]
    pub exit: bool,
}

#[derive(Debug, Args)]
pub struct ConfigOptions {
    /// The configuration, as TOML. Environment variables OUTDIAL__SECTION__KEY go over it.
    #[arg(short, long, env = "OUTDIAL_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub struct SimulateOptions {
    /// Where both vendors listen.
    #[arg(long, default_value = "127.0.0.1:8099")]
    pub listen: SocketAddr,
    /// What all chance comes from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where WellCloud's results are pushed to (http).
    #[arg(long, env = "OUTDIAL_WELLCLOUD_PUSH_URL", hide_env_values = true)]
    pub wellcloud_push_url: Option<String>,
    /// Where ICSOC's records are pushed to (http).
    #[arg(long, env = "OUTDIAL_ICSOC_PUSH_URL", hide_env_values = true)]
    pub icsoc_push_url: Option<String>,
    /// How many seconds WellCloud's hour takes.
    #[arg(long, default_value_t = 5)]
    pub hour: u64,
    /// ICSOC calls that there are from the start.
    #[arg(long, default_value_t = 100)]
    pub calls: usize,
    /// Encrypt ICSOC's pushes.
    #[arg(long)]
    pub encrypt: bool,
}

#[derive(Debug, Args)]
pub struct TokenOptions {
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Scopes, separated by spaces; all by default.
    #[arg(long)]
    pub scope: Option<String>,
    /// An account that the token covers; may be repeated. All by default.
    #[arg(long = "account")]
    pub accounts: Vec<String>,
    /// Who the token is for.
    #[arg(long, default_value = "developer")]
    pub subject: String,
    /// How many minutes the token lives.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    pub minutes: u32,
}

/// How a running gateway is reached.
#[derive(Clone, Debug, Args)]
pub struct GatewayOptions {
    /// The gateway's API (http).
    #[arg(long, env = "OUTDIAL_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The bearer token.
    #[arg(long, env = "OUTDIAL_TOKEN", hide_env_values = true)]
    pub token: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnInvalid {
    Reject,
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnDuplicate {
    Reject,
    Skip,
    Allow,
}

#[derive(Debug, Args)]
pub struct RosterOptions {
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// The file: .csv, .ndjson, .json, or .txt with WellCloud's own columns.
    pub file: PathBuf,
    /// Which account it is for.
    #[arg(long)]
    pub account: String,
    /// Which campaign it is for.
    #[arg(long)]
    pub campaign: String,
    /// The charset of the file: utf-8, gbk, gb2312 or gb18030.
    #[arg(long, default_value = "utf-8")]
    pub charset: String,
    /// Whether a .csv has no header row, but WellCloud's own columns.
    #[arg(long)]
    pub header_absent: bool,
    /// What wrong entries mean for the others.
    #[arg(long, value_enum, default_value_t = OnInvalid::Reject)]
    pub on_invalid: OnInvalid,
    /// What an entry id that stands twice means.
    #[arg(long, value_enum, default_value_t = OnDuplicate::Reject)]
    pub on_duplicate: OnDuplicate,
    /// Repeats the answer of an upload with the same key instead of uploading twice. A new one by default.
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// Do not wait for the vendor, only until the gateway has stored the roster.
    #[arg(long = "async")]
    pub responds_async: bool,
}

#[derive(Debug, Subcommand)]
pub enum RosterCommand {
    /// Check a roster by the rules of the account's vendor; nothing is sent to the vendor.
    Check(RosterOptions),
    /// Upload a roster: people will be called.
    Upload(RosterOptions),
    /// Send what of a roster was refused or never went out; never what the vendor took or may have taken.
    Retry(RetryOptions),
}

#[derive(Debug, Args)]
pub struct RetryOptions {
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// The roster's id, such as ros_01939f7a6c1e700080003f2a9d1b5c77.
    pub id: String,
    /// Do not wait for the vendor.
    #[arg(long = "async")]
    pub responds_async: bool,
    /// Repeats a retry safely.
    #[arg(long)]
    pub idempotency_key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One JSON object a line.
    Json,
    /// CSV with a header row.
    Csv,
    /// For people.
    Table,
}

#[derive(Debug, Args)]
pub struct RecordsOptions {
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// Only of this account; may be repeated.
    #[arg(long = "account")]
    pub accounts: Vec<String>,
    /// A filter of GET /v1/call-records, such as outcome=busy or started_from=2026-01-01T00:00:00Z; may be repeated.
    #[arg(long = "filter", value_name = "NAME=VALUE")]
    pub filters: Vec<String>,
    /// Where to look: vendor or store.
    #[arg(long)]
    pub source: Option<String>,
    /// With the vendor's own JSON.
    #[arg(long)]
    pub raw: bool,
    /// How records are printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct TailOptions {
    #[command(flatten)]
    pub gateway: GatewayOptions,
    /// Only of this account; may be repeated.
    #[arg(long = "account")]
    pub accounts: Vec<String>,
    /// Only of this type; may be repeated.
    #[arg(long = "type")]
    pub types: Vec<String>,
    /// Begin behind this position instead of now; 0 is the oldest event.
    #[arg(long)]
    pub after: Option<u64>,
    /// Stop after so many events.
    #[arg(long)]
    pub count: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List what is in quarantine, newest first.
    List {
        #[command(flatten)]
        gateway: GatewayOptions,
        /// Only of this account; may be repeated.
        #[arg(long = "account")]
        accounts: Vec<String>,
    },
    /// Print the bytes of an item as they came.
    Show {
        #[command(flatten)]
        gateway: GatewayOptions,
        id: String,
    },
    /// Take an item once more, with the secrets and the code of today.
    Replay {
        #[command(flatten)]
        gateway: GatewayOptions,
        id: String,
    },
    /// Take items once more, oldest first, and print the sums.
    ReplayAll {
        #[command(flatten)]
        gateway: GatewayOptions,
        /// Only of this account; may be repeated.
        #[arg(long = "account")]
        accounts: Vec<String>,
        /// Only with this reason code.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Remove an item for good.
    Delete {
        #[command(flatten)]
        gateway: GatewayOptions,
        id: String,
    },
}
