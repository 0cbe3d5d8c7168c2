//! Configuration: the compiled-in defaults, one TOML file, then the environment; every mistake is told at once.

mod accounts;
mod environment;
mod issuers;
mod report;
mod section;
mod values;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use outdial_core::{Clock, SecretString, SettingsSource};
use outdial_store::StoreSettings;
use toml::{Table, Value};

pub(crate) use self::values::{format_duration, parse_duration};
pub use self::{
    environment::{Environment, FixedEnvironment, ProcessEnvironment},
    issuers::{Issuer, KeySource},
    report::{ConfigError, Mistake},
};
use self::{
    report::Report,
    section::{Reading, Section},
};
use crate::{
    accounts::Accounts,
    egress::{AllowEntry, Egress, EgressConfig},
    upstream::RelayBounds,
};

/// The shipped defaults, as TOML.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// Largest configuration file.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// Largest body that may be passed on to a vendor, or back, at most: it is never held whole.
const MAX_RELAYED: u64 = 1024 * 1024 * 1024 * 1024;

/// Most entries of `egress.allow`.
const EGRESS_ENTRIES: usize = 1_000;

/// Where the three ports listen.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each field is the port it is named after")]
pub struct Listen {
    pub api: SocketAddr,
    pub push: SocketAddr,
    pub admin: SocketAddr,
}

/// How the ports behave.
#[derive(Clone, Copy, Debug)]
pub struct HttpConfig {
    /// Threads of the API port, and of the push port.
    pub workers: usize,
    /// Longest time to read a request body on the API port.
    pub request_timeout: Duration,
    /// How long `/readyz` fails before the ports close.
    pub drain: Duration,
    /// How long open requests get after that.
    pub shutdown: Duration,
    /// Followers of `/v1/events` at once.
    pub sse_streams: usize,
    /// A follower that takes nothing for so long is dropped.
    pub sse_stall: Duration,
    /// The bounds of calls that pass on to a vendor as they are.
    pub relay: RelayBounds,
}

/// Whether the spool outlives the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolClass {
    /// It does: what is spooled is safe.
    Volume,
    /// It does not: vendors that repeat are asked to.
    Pod,
}

/// The store, and what its spool is worth.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `sqlite:PATH`, `redis://…` and kin.
    pub url: SecretString,
    /// The part in braces of every Redis key.
    pub prefix: String,
    /// How long things are kept.
    pub retention: Duration,
    /// Where the spool is, if there is one.
    pub spool_dir: Option<PathBuf>,
    /// Most bytes of the spool.
    pub spool_max: u64,
    /// Whether the spool outlives the pod.
    pub spool_class: SpoolClass,
    /// Replica acknowledgements that an append waits for.
    pub min_replicas: u32,
    /// Whether a Redis that syncs once a second is accepted.
    pub allow_relaxed: bool,
}

impl StoreConfig {
    /// What the store crate needs of it.
    pub fn settings(&self, clock: Arc<dyn Clock>) -> StoreSettings {
        StoreSettings {
            url: self.url.clone(),
            prefix: self.prefix.clone(),
            spool_dir: self.spool_dir.clone(),
            spool_max_bytes: self.spool_max,
            retention: self.retention,
            min_replicas: self.min_replicas,
            allow_relaxed: self.allow_relaxed,
            clock,
        }
    }
}

/// The bounds of the push port.
#[derive(Clone, Copy, Debug)]
pub struct PushConfig {
    /// From the complete body to the reply.
    pub deadline: Duration,
    /// Longest silence inside a body.
    pub body_idle: Duration,
    /// Longest time for a whole body.
    pub body_total: Duration,
    /// Bytes of bodies in memory at once.
    pub max_inflight: u64,
    /// Bodies being stored at once.
    pub max_writes: usize,
    /// Longest wait for a place.
    pub max_wait: Duration,
    /// Connections at once.
    pub max_connections: usize,
}

/// The bounds of rosters.
#[derive(Clone, Copy, Debug)]
pub struct RosterConfig {
    /// Largest request.
    pub max_bytes: u64,
    /// Most entries in one request.
    pub max_entries: usize,
    /// Rosters that one replica sends at once while nobody waits.
    pub max_async: usize,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Deliveries to subscribers.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryConfig {
    /// How long one attempt may take, its answer's body included. A subscription stays with a replica that has died for twice
    /// as long, and for five seconds more than it at least.
    pub timeout: Duration,
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged, as a tracing filter.
    pub level: String,
}

/// The whole configuration, checked.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is the section it is named after")]
pub struct Config {
    pub listen: Listen,
    pub http: HttpConfig,
    pub store: StoreConfig,
    pub issuers: Vec<Issuer>,
    pub push: PushConfig,
    pub rosters: RosterConfig,
    pub log: LogConfig,
    pub accounts: Accounts,
    pub egress: EgressConfig,
    pub delivery: DeliveryConfig,
    /// What is no mistake, but should be known at the start.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads a file and the environment.
    ///
    /// # Errors
    /// Every mistake of the two.
    pub fn load(path: &Path, environment: &dyn Environment) -> Result<Self, ConfigError> {
        let refuse =
            |problem: String| ConfigError(vec![Mistake { place: path.display().to_string(), problem }]);
        let size = std::fs::metadata(path).map_err(|error| refuse(format!("cannot be read: {error}")))?.len();
        if size > FILE_LIMIT {
            return Err(refuse(format!("is larger than {FILE_LIMIT} bytes")));
        }
        let text =
            std::fs::read_to_string(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        Self::parse(&text, environment).map_err(|mut error| {
            for mistake in &mut error.0 {
                if mistake.place.is_empty() {
                    mistake.place = path.display().to_string();
                }
            }
            error
        })
    }

    /// Reads TOML text and the environment.
    ///
    /// # Errors
    /// Every mistake of the two.
    pub fn parse(text: &str, environment: &dyn Environment) -> Result<Self, ConfigError> {
        let given: Table = text.parse().map_err(|error| ConfigError(vec![syntax_mistake(text, &error)]))?;
        let mut settings: Table = DEFAULTS.parse().map_err(|error: toml::de::Error| {
            ConfigError(vec![Mistake {
                place: "config.default.toml".into(),
                problem: error.message().into(),
            }])
        })?;
        lay_over(&mut settings, given);
        let mut unknown = Vec::new();
        let origins = environment::overlay(&mut settings, environment, &mut unknown);
        let reading = Reading { report: Report::new(origins), environment };
        for Mistake { place, problem } in unknown {
            reading.report.reject(&place, problem);
        }
        let read = Self::read(Section::new("", settings, &reading));
        reading.report.finish()?;
        let incomplete = || Mistake { place: "configuration".into(), problem: "lacks a value".into() };
        let config = read.ok_or_else(|| ConfigError(vec![incomplete()]))?;
        let notes = Egress::new(&config.egress).loopback_notice().into_iter().collect();
        Ok(Self { notes, ..config })
    }

    fn read(mut root: Section<'_>) -> Option<Self> {
        let listen = read_listen(root.section("listen"));
        let http = read_http(root.section("http"));
        let store = read_store(root.section("store"));
        let push = read_push(root.section("push"));
        let rosters = read_rosters(root.section("rosters"));
        let log = read_log(root.section("log"));
        let issuers = issuers::read(root.section("auth"));
        let accounts = accounts::read(&mut root);
        let egress = read_egress(root.section("egress"));
        let delivery = read_delivery(root.section("delivery"));
        root.finish();
        Some(Self {
            listen: listen?,
            http: http?,
            store: store?,
            issuers,
            push: push?,
            rosters: rosters?,
            log: log?,
            accounts,
            egress,
            delivery: delivery?,
            notes: Vec::new(),
        })
    }
}

/// Where the text is no TOML. The line is named, its content is not: it may be a secret.
fn syntax_mistake(text: &str, error: &toml::de::Error) -> Mistake {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place = line.map_or_else(String::new, |line| format!("line {line}"));
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    Mistake { place, problem: format!("is not TOML: {message}") }
}

/// Sections are joined key by key; everything else is replaced.
fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn read_listen(mut section: Section<'_>) -> Option<Listen> {
    let (api, push, admin) = (section.address("api"), section.address("push"), section.address("admin"));
    section.finish();
    Some(Listen { api: api?, push: push?, admin: admin? })
}

fn read_http(mut section: Section<'_>) -> Option<HttpConfig> {
    let workers = section.count("workers", 1..=64);
    let request_timeout = section.duration("request_timeout", seconds(1)..=seconds(3600));
    let drain = section.duration("drain", Duration::ZERO..=seconds(300));
    let shutdown = section.duration("shutdown", seconds(1)..=seconds(300));
    let sse_streams = section.count("sse_streams", 1..=10_000);
    let sse_stall = section.duration("sse_stall", seconds(1)..=seconds(300));
    let max_request = section.size("passthrough_max_request", 1..=MAX_RELAYED);
    let max_response = section.size("passthrough_max_response", 1..=MAX_RELAYED);
    let timeout = section.duration("passthrough_timeout", seconds(1)..=seconds(3600));
    let idle = section.duration("passthrough_idle", Duration::from_millis(100)..=seconds(600));
    section.finish();
    Some(HttpConfig {
        workers: workers?,
        request_timeout: request_timeout?,
        drain: drain?,
        shutdown: shutdown?,
        sse_streams: sse_streams?,
        sse_stall: sse_stall?,
        relay: RelayBounds {
            max_request: max_request?,
            max_response: max_response?,
            timeout: timeout?,
            idle: idle?,
        },
    })
}

fn read_store(mut section: Section<'_>) -> Option<StoreConfig> {
    let url = section.secret("url");
    let prefix = section.text("prefix").filter(|prefix| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        let valid = prefix.len() <= 100 && prefix.bytes().all(plain);
        if !valid {
            section.refuse(
                "prefix",
                "holds something besides letters, digits and '-', '_', '.', ':', or is too long",
            );
        }
        valid
    });
    let retention = section.duration("retention", seconds(60)..=seconds(400 * 86_400));
    let spool_dir = section.text("spool_dir").map(PathBuf::from);
    let spool_max = section.size("spool_max", 1 << 20..=1 << 40);
    let spool_class =
        section.word("spool_class", &[("volume", SpoolClass::Volume), ("pod", SpoolClass::Pod)]);
    let min_replicas = section.integer("min_replicas", 0..=16).and_then(|count| u32::try_from(count).ok());
    let allow_relaxed = section.word("durability", &[("strict", false), ("relaxed", true)]);
    section.finish();
    Some(StoreConfig {
        url: url?,
        prefix: prefix?,
        retention: retention?,
        spool_dir,
        spool_max: spool_max?,
        spool_class: spool_class?,
        min_replicas: min_replicas?,
        allow_relaxed: allow_relaxed?,
    })
}

fn read_push(mut section: Section<'_>) -> Option<PushConfig> {
    let deadline = section.duration("deadline", Duration::from_millis(100)..=seconds(60));
    let body_idle = section.duration("body_idle", Duration::from_millis(100)..=seconds(300));
    let body_total = section.duration("body_total", Duration::from_millis(100)..=seconds(3600));
    let max_inflight = section.size("max_inflight", 16 << 20..=1 << 34);
    let max_writes = section.count("max_writes", 1..=1024);
    let max_wait = section.duration("max_wait", Duration::ZERO..=seconds(10));
    let max_connections = section.count("max_connections", 1..=65_536);
    section.finish();
    Some(PushConfig {
        deadline: deadline?,
        body_idle: body_idle?,
        body_total: body_total?,
        max_inflight: max_inflight?,
        max_writes: max_writes?,
        max_wait: max_wait?,
        max_connections: max_connections?,
    })
}

fn read_rosters(mut section: Section<'_>) -> Option<RosterConfig> {
    let max_bytes = section.size("max_bytes", 1 << 10..=1 << 30);
    let max_entries = section.count("max_entries", 1..=5_000_000);
    let max_async = section.count("max_async", 1..=256);
    section.finish();
    Some(RosterConfig { max_bytes: max_bytes?, max_entries: max_entries?, max_async: max_async? })
}

fn read_egress(mut section: Section<'_>) -> EgressConfig {
    let mut allow = Vec::new();
    for text in section.texts("allow") {
        match AllowEntry::parse(&text) {
            Ok(entry) => allow.push(entry),
            Err(problem) => section.refuse("allow", format!("holds {text:?}, which {problem}")),
        }
    }
    if allow.len() > EGRESS_ENTRIES {
        section.refuse("allow", format!("holds more than {EGRESS_ENTRIES} entries"));
    }
    section.finish();
    EgressConfig { allow }
}

fn read_delivery(mut section: Section<'_>) -> Option<DeliveryConfig> {
    let timeout = section.duration("timeout", seconds(1)..=seconds(60));
    section.finish();
    Some(DeliveryConfig { timeout: timeout? })
}

fn read_log(mut section: Section<'_>) -> Option<LogConfig> {
    let format = section.word("format", &[("json", LogFormat::Json), ("text", LogFormat::Text)]);
    let level = section.text("level").filter(|level| {
        let valid = level.parse::<tracing_subscriber::EnvFilter>().is_ok();
        if !valid {
            section.refuse("level", "is not a filter such as \"info\" or \"info,outdial_gateway=debug\"");
        }
        valid
    });
    section.finish();
    Some(LogConfig { format: format?, level: level? })
}
