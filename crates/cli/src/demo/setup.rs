//! Starts the simulated vendors and the gateway of the demo, on data that outlives it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use outdial_gateway::{
    Gateway,
    config::{Config, FixedEnvironment},
    telemetry::start_logging,
};
use outdial_simulator::{Control, IcsocSettings, Simulator, SimulatorConfig, WellcloudSettings};

use crate::{
    arguments::DemoOptions,
    failure::Failure,
    token::{Wanted, now, sign},
};

/// What signs and encrypts the simulated ICSOC's pushes.
const PUSH_SECRET: &str = "demo-push-secret-of-32-characters";
/// How long the demo's token lives.
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// The demo, running.
pub struct Running {
    gateway: Gateway,
    simulator: Simulator,
    /// A token for everything.
    pub token: String,
    /// Where WellCloud's results go.
    pub wellcloud_push_url: String,
    /// Where ICSOC's records go.
    pub icsoc_push_url: String,
}

impl Running {
    /// The API.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.gateway.api_address())
    }

    /// Probes and metrics.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.gateway.admin_address())
    }

    /// The simulated vendors.
    pub fn vendors_url(&self) -> String {
        format!("http://{}", self.simulator.address())
    }

    /// Control over the simulated vendors.
    pub fn control(&self) -> Control {
        self.simulator.control()
    }

    /// Stops everything.
    pub async fn stop(self) {
        self.simulator.stop().await;
        self.gateway.stop().await;
    }
}

/// Starts everything.
pub async fn start(options: &DemoOptions) -> Result<Running, Failure> {
    let secrets = Secrets::open(&options.data)?;
    let simulator = Simulator::start(simulator_config(options)).await.map_err(|error| {
        Failure::new(format!("{error}\n(the simulated vendors; choose another address with --vendors)"))
    })?;
    let text = configuration(options, &secrets, &simulator);
    let config = Config::parse(&text, &FixedEnvironment::default())?;
    start_logging(&config.log);
    let issuer = config.issuers.first().ok_or_else(|| Failure::new("the demo has no issuer"))?;
    let wanted = Wanted { scope: None, accounts: &[], subject: "demo", life: TOKEN_LIFE };
    let token = sign(issuer, &wanted)?;
    let gateway = Gateway::start(config).await.map_err(|error| {
        Failure::new(format!(
            "{error}\n(choose other addresses with --api, --push, --admin, or other data with --data)"
        ))
    })?;
    let push = gateway.push_address();
    Ok(Running {
        token,
        wellcloud_push_url: format!("http://{push}/push/wc-demo/{}", secrets.wellcloud_path),
        icsoc_push_url: format!("http://{push}/push/ic-demo/{}", secrets.icsoc_path),
        gateway,
        simulator,
    })
}

fn simulator_config(options: &DemoOptions) -> SimulatorConfig {
    SimulatorConfig {
        listen: options.vendors,
        // Every start brings calls of its own.
        seed: now().as_secs(),
        wellcloud: WellcloudSettings { hour: Duration::ZERO, ..WellcloudSettings::default() },
        icsoc: IcsocSettings {
            push_secret: PUSH_SECRET.to_owned(),
            encrypt: true,
            calls: 0,
            ..IcsocSettings::default()
        },
        ..SimulatorConfig::default()
    }
}

/// The secrets of one set of demo data: made once, so that a token of the first start is good at the second.
struct Secrets {
    signing: PathBuf,
    wellcloud_path: String,
    icsoc_path: String,
}

impl Secrets {
    fn open(data: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(format!("{}: {error}", data.display()));
        fs::create_dir_all(data).map_err(failed)?;
        let signing = data.join("signing-secret");
        read_or_make(&signing).map_err(failed)?;
        let wellcloud_path = read_or_make(&data.join("wellcloud-push-token")).map_err(failed)?;
        let icsoc_path = read_or_make(&data.join("icsoc-push-token")).map_err(failed)?;
        Ok(Self { signing, wellcloud_path, icsoc_path })
    }
}

fn read_or_make(path: &Path) -> io::Result<String> {
    if let Ok(text) = fs::read_to_string(path)
        && text.len() >= 32
    {
        return Ok(text);
    }
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    fs::write(path, &secret)?;
    Ok(secret)
}

/// TOML's basic strings are JSON's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn configuration(options: &DemoOptions, secrets: &Secrets, simulator: &Simulator) -> String {
    let store = quoted(&format!("sqlite:{}", options.data.join("outdial.db").display()));
    let signing = quoted(&format!("file:{}", secrets.signing.display()));
    let (wellcloud_path, icsoc_path) = (quoted(&secrets.wellcloud_path), quoted(&secrets.icsoc_path));
    let urls = [
        simulator.wellcloud_base_url(),
        simulator.wellcloud_token_url(),
        simulator.icsoc_base_url(),
        simulator.icsoc_token_url(),
    ];
    let [wellcloud_base, wellcloud_token, icsoc_base, icsoc_token] = urls.map(|url| quoted(&url));
    let (api, push, admin) = (options.api, options.push, options.admin);
    format!(
        r#"
[listen]
api = "{api}"
push = "{push}"
admin = "{admin}"

[http]
drain = "0s"
shutdown = "5s"

[push]
# WellCloud repeats nothing, so a slow machine gets its time.
deadline = "60s"

[store]
url = {store}

# What is tried out stays on this machine.
[egress]
allow = ["127.0.0.1"]

[log]
format = "text"
level = "error"

[[auth.issuers]]
issuer = "outdial-demo"
audience = "outdial"
hs256_secret = {signing}

[[accounts]]
id = "wc-demo"
vendor = "wellcloud"
base_url = {wellcloud_base}
token_url = {wellcloud_token}
app_id = "demo-app"
app_secret = "demo-app-secret"
push_token = {wellcloud_path}

[[accounts]]
id = "ic-demo"
vendor = "icsoc"
base_url = {icsoc_base}
token_url = {icsoc_token}
client_id = "demo-client"
client_secret = "demo-client-secret"
username = "demo|1001"
password = "demo-password"
push_token = {icsoc_path}
push_secrets = ["{PUSH_SECRET}"]
"#
    )
}
