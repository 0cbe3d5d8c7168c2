//! What a test starts with: both vendors, one account at each, a store, and a configuration that puts them together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use outdial_gateway::config::{Config, FixedEnvironment};
use outdial_simulator::{Simulator, SimulatorConfig};
use tempfile::TempDir;

use crate::{
    redis_server::RedisServer,
    secrets::{
        APP_ID, APP_SECRET, CLIENT_ID, CLIENT_SECRET, HS256_SECRET, ICSOC_PUSH_TOKEN, PASSWORD, PUSH_SECRET,
        USERNAME, WELLCLOUD_PUSH_TOKEN,
    },
    tokens::{AUDIENCE, ISSUER},
};

/// The account at WellCloud; the first of the configuration.
pub const WELLCLOUD: &str = "wc-1";
/// The account at ICSOC; the second.
pub const ICSOC: &str = "ic-1";

/// Where a gateway keeps what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file of its own.
    Sqlite,
    /// A Redis of its own.
    Redis,
}

/// How a test wants its world.
#[derive(Clone)]
pub struct Setup {
    backend: Backend,
    simulator: SimulatorConfig,
    issuer_keys: String,
    variables: BTreeMap<String, String>,
}

impl Setup {
    /// The usual: no hour that ends by itself, no pushes until the test connects them, tokens by shared secret.
    pub fn new(backend: Backend) -> Self {
        let mut simulator = SimulatorConfig::default();
        simulator.wellcloud.hour = Duration::ZERO;
        simulator.wellcloud.app_id = APP_ID.to_owned();
        simulator.wellcloud.app_secret = APP_SECRET.to_owned();
        simulator.icsoc.client_id = CLIENT_ID.to_owned();
        simulator.icsoc.client_secret = CLIENT_SECRET.to_owned();
        simulator.icsoc.username = USERNAME.to_owned();
        simulator.icsoc.password = PASSWORD.to_owned();
        simulator.icsoc.push_secret = PUSH_SECRET.to_owned();
        simulator.icsoc.retry_unit = Duration::from_millis(2);
        let issuer_keys = format!("hs256_secret = \"{HS256_SECRET}\"");
        // Subscriptions of tests that deliver nothing may name any host.
        let variables = BTreeMap::from([("OUTDIAL__EGRESS__ALLOW".to_owned(), "*".to_owned())]);
        Self { backend, simulator, issuer_keys, variables }
    }

    /// Other vendors than the usual.
    #[must_use]
    pub fn vendors(mut self, change: impl FnOnce(&mut SimulatorConfig)) -> Self {
        change(&mut self.simulator);
        self
    }

    /// Where the issuer's keys are, as a line of TOML.
    #[must_use]
    pub fn issuer_keys(mut self, line: String) -> Self {
        self.issuer_keys = line;
        self
    }

    /// One more setting, by its environment variable without the prefix: `("HTTP__SSE_STREAMS", "2")`.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.variables.insert(format!("OUTDIAL__{key}"), value.to_owned());
        self
    }
}

/// What outlives a gateway: the vendors and the store.
pub struct World {
    /// Both vendors.
    pub vendors: Simulator,
    setup: Setup,
    variables: Mutex<BTreeMap<String, String>>,
    directory: TempDir,
    redis: Option<RedisServer>,
}

impl World {
    /// Starts what a gateway needs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn new(setup: Setup) -> Arc<Self> {
        let vendors = Simulator::start(setup.simulator.clone()).await.unwrap();
        let redis = match setup.backend {
            Backend::Sqlite => None,
            Backend::Redis => Some(RedisServer::start().await),
        };
        let variables = Mutex::new(setup.variables.clone());
        Arc::new(Self { vendors, setup, variables, directory: TempDir::new().unwrap(), redis })
    }

    /// The Redis, of a world that has one.
    ///
    /// # Panics
    /// When it has none.
    pub fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("the world keeps its store in a file")
    }

    /// A path in a directory that goes with the world.
    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// The configuration.
    ///
    /// # Panics
    /// When the gateway does not take it.
    pub fn config(&self) -> Config {
        let environment = FixedEnvironment(self.variables());
        Config::parse(&self.toml(), &environment).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The environment variables that go with [`World::toml`].
    pub fn variables(&self) -> BTreeMap<String, String> {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes a setting for the gateways that start from now on; see [`Setup::set`].
    pub fn set(&self, key: &str, value: &str) {
        let mut variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        variables.insert(format!("OUTDIAL__{key}"), value.to_owned());
    }

    /// The configuration as text.
    pub fn toml(&self) -> String {
        let sqlite = format!("sqlite:{}", self.path("outdial.db"));
        let store = self.redis.as_ref().map_or(sqlite, RedisServer::url);
        let issuer_keys = &self.setup.issuer_keys;
        let (wellcloud, wellcloud_token) =
            (self.vendors.wellcloud_base_url(), self.vendors.wellcloud_token_url());
        let (icsoc, icsoc_token) = (self.vendors.icsoc_base_url(), self.vendors.icsoc_token_url());
        format!(
            r#"
            [listen]
            api = "127.0.0.1:0"
            push = "127.0.0.1:0"
            admin = "127.0.0.1:0"
            [http]
            workers = 1
            drain = "0s"
            shutdown = "5s"
            [store]
            url = "{store}"
            [[auth.issuers]]
            issuer = "{ISSUER}"
            audience = "{AUDIENCE}"
            {issuer_keys}
            [[accounts]]
            id = "{WELLCLOUD}"
            vendor = "wellcloud"
            base_url = "{wellcloud}"
            token_url = "{wellcloud_token}"
            app_id = "{APP_ID}"
            app_secret = "{APP_SECRET}"
            push_token = "{WELLCLOUD_PUSH_TOKEN}"
            default_product_type = "S"
            max_rps = 1000
            [[accounts]]
            id = "{ICSOC}"
            vendor = "icsoc"
            base_url = "{icsoc}"
            token_url = "{icsoc_token}"
            client_id = "{CLIENT_ID}"
            client_secret = "{CLIENT_SECRET}"
            username = "{USERNAME}"
            password = "{PASSWORD}"
            push_token = "{ICSOC_PUSH_TOKEN}"
            push_secrets = ["{PUSH_SECRET}"]
            max_rps = 1000
            # What a test counts at the vendor is its own; tests of the sync switch it on.
            sync = {{ enabled = false }}
            "#
        )
    }
}
