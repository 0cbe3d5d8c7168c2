//! What a simulator is started with.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Configuration of [`Simulator::start`](crate::Simulator::start) and [`run`](crate::run).
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// Where both vendors listen; port 0 lets the system choose. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// What all chance comes from. Default 1.
    pub seed: u64,
    /// The WellCloud tenant.
    pub wellcloud: WellcloudSettings,
    /// The ICSOC enterprise.
    pub icsoc: IcsocSettings,
    /// A file of acknowledged pushes: a JSON line `{"vendor","ids","broken"}` is appended and fsynced after the
    /// receiver's full success reply was read, and before the push counts as acknowledged. `ids` are call ids; a
    /// WellCloud result without one has `{activityId}/{entry id}/{round}/{state}` instead.
    pub ledger: Option<PathBuf>,
    /// Stops the simulator's clock at this many milliseconds since the epoch, so that bodies repeat to the byte.
    /// Default: the machine's clock.
    pub fixed_time: Option<i64>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            wellcloud: WellcloudSettings::default(),
            icsoc: IcsocSettings::default(),
            ledger: None,
            fixed_time: None,
        }
    }
}

/// Which generation of WellCloud's documents the result push follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Generation {
    /// The contract: `prdType`, `failMsg`.
    #[default]
    Old,
    /// The public documents: `prdId`, `result`, `number`, `uui`.
    New,
}

/// One WellCloud tenant.
#[derive(Clone)]
pub struct WellcloudSettings {
    /// Default `demo-app`.
    pub app_id: String,
    /// Default `demo-app-secret`.
    pub app_secret: String,
    /// A token that is always good, beside those of the token address. Default none.
    pub fixed_token: Option<String>,
    /// Where results go; without it they are kept until there is one. `http` only.
    pub push_url: Option<String>,
    /// How long the vendor's hour takes. Default 5 s; zero: an hour ends only by
    /// [`Control::flush_hour`](crate::Control::flush_hour).
    pub hour: Duration,
    /// Default [`Generation::Old`].
    pub generation: Generation,
    /// The share, from 0 to 1, of uploaded entries that are worked on; the rest stays waiting. Default 0.9.
    pub dialled_share: f64,
    /// A roster file of more bytes is refused. Default 10,000,000: the strict reading of the documents' 10 MB.
    pub max_file_bytes: usize,
    /// Result fields that the tenant has not ticked in the console. Default none.
    pub omitted_fields: Vec<String>,
}

impl Default for WellcloudSettings {
    fn default() -> Self {
        Self {
            app_id: "demo-app".to_owned(),
            app_secret: "demo-app-secret".to_owned(),
            fixed_token: None,
            push_url: None,
            hour: Duration::from_secs(5),
            generation: Generation::default(),
            dialled_share: 0.9,
            max_file_bytes: 10_000_000,
            omitted_fields: Vec::new(),
        }
    }
}

impl fmt::Debug for WellcloudSettings {
    /// Without the secrets, and without the push URL, whose path is one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WellcloudSettings")
            .field("app_id", &self.app_id)
            .field("hour", &self.hour)
            .field("generation", &self.generation)
            .field("dialled_share", &self.dialled_share)
            .field("max_file_bytes", &self.max_file_bytes)
            .field("omitted_fields", &self.omitted_fields)
            .finish_non_exhaustive()
    }
}

/// How ICSOC's search says that there is no more. The contract does not tell, so all readings are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// Every page carries its last call id as the mark, the last page too; the page after it is empty, mark null.
    #[default]
    LastCallId,
    /// The last page's mark is null.
    Null,
    /// The last page's mark is an empty string.
    EmptyText,
    /// As [`Ending::LastCallId`], but the empty page repeats the mark it was asked with.
    EmptyResults,
}

/// One ICSOC enterprise.
#[derive(Clone)]
pub struct IcsocSettings {
    /// Default `demo-client`.
    pub client_id: String,
    /// Default `demo-client-secret`.
    pub client_secret: String,
    /// `{enterprise code}|{agent no.}`. Default `demo|1001`.
    pub username: String,
    /// Default `demo-password`.
    pub password: String,
    /// Where call records are pushed; without it none are. `http` only.
    pub push_url: Option<String>,
    /// Signs and encrypts the pushes. Default `0123456789abcdef0123456789abcdef`.
    pub push_secret: String,
    /// Whether `data` is encrypted. Default false.
    pub encrypt: bool,
    /// How long one second of the vendor's retry schedule takes. Default 1 s.
    pub retry_unit: Duration,
    /// Calls there are from the start; they are pushed when there is a `push_url`. Default 100.
    pub calls: usize,
    /// How the search ends. Default [`Ending::LastCallId`].
    pub ending: Ending,
    /// The project ids that calls are spread over; empty: `10008`. Default `10008` and `10195`.
    pub projects: Vec<String>,
    /// Whether numbers arrive sometimes as JSON numbers and sometimes as strings. Default true; when false, search
    /// results hold the types of the contract's example and pushes hold strings.
    pub mixed_types: bool,
}

impl Default for IcsocSettings {
    fn default() -> Self {
        Self {
            client_id: "demo-client".to_owned(),
            client_secret: "demo-client-secret".to_owned(),
            username: "demo|1001".to_owned(),
            password: "demo-password".to_owned(),
            push_url: None,
            push_secret: "0123456789abcdef0123456789abcdef".to_owned(),
            encrypt: false,
            retry_unit: Duration::from_secs(1),
            calls: 100,
            ending: Ending::default(),
            projects: vec!["10008".to_owned(), "10195".to_owned()],
            mixed_types: true,
        }
    }
}

impl fmt::Debug for IcsocSettings {
    /// Without the secrets, and without the push URL, whose path is one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IcsocSettings")
            .field("client_id", &self.client_id)
            .field("encrypt", &self.encrypt)
            .field("retry_unit", &self.retry_unit)
            .field("calls", &self.calls)
            .field("ending", &self.ending)
            .field("projects", &self.projects)
            .field("mixed_types", &self.mixed_types)
            .finish_non_exhaustive()
    }
}
