//! Which store to open, and how.

use std::{path::PathBuf, sync::Arc, time::Duration};

use outdial_core::{Clock, SecretString};

/// Which store to open, and how.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `sqlite:PATH`, `redis://[user:password@]host[:port][/db]`, `redis+unix:///path`,
    /// `redis+sentinel://[user:password@]host:port,…/service[/db]` or `redis+cluster://[user:password@]host:port,…`; `rediss`
    /// instead of `redis` for TLS. Secret, because it may hold a password.
    pub url: SecretString,
    /// The part in braces of every Redis key; also the name of the hash tag.
    pub prefix: String,
    /// Where the spool is kept; without one, appends fail while Redis is away.
    pub spool_dir: Option<PathBuf>,
    /// Most bytes of the spool.
    pub spool_max_bytes: u64,
    /// How long events, records, rosters and quarantined items are kept; Redis markers live as long.
    pub retention: Duration,
    /// Replica acknowledgements that an append waits for, with Redis.
    pub min_replicas: u32,
    /// Whether a Redis that syncs its log once a second, not at each append, is accepted.
    pub allow_relaxed: bool,
    /// Where positions take their time from.
    pub clock: Arc<dyn Clock>,
}
