//! The awc clients of one thread, each a pool of connections of its own.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_tls::connect::rustls_0_23::webpki_roots_cert_store;
use awc::{Client, Connector};
use rustls::ClientConfig;

use super::dial::Dial;

/// Longest time to reach a host, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of one pool. The limits of accounts and subscriptions are lower.
const POOL_LIMIT: usize = 1_000;
/// Pools of one thread. Beyond it the one goes that was idle longest.
const POOLS_LIMIT: usize = 2_048;

struct Pool {
    client: Client,
    used: Instant,
}

/// Every client of a thread.
pub(super) struct Pools {
    dial: Dial,
    tls: Arc<ClientConfig>,
    pools: RefCell<HashMap<(String, bool), Pool>>,
}

impl Pools {
    /// None yet.
    pub(super) fn new(dial: Dial, tls: Arc<ClientConfig>) -> Self {
        Self { dial, tls, pools: RefCell::default() }
    }

    /// The client of a pool; `fresh` ones open a connection for each exchange.
    pub(super) fn client(&self, pool: &str, fresh: bool) -> Client {
        let mut pools = self.pools.borrow_mut();
        let key = (pool.to_owned(), fresh);
        let now = Instant::now();
        if let Some(pool) = pools.get_mut(&key) {
            pool.used = now;
            return pool.client.clone();
        }
        if pools.len() >= POOLS_LIMIT {
            let oldest = pools.iter().min_by_key(|(_, pool)| pool.used).map(|(key, _)| key.clone());
            oldest.map(|key| pools.remove(&key));
        }
        let client = self.build(fresh);
        pools.insert(key, Pool { client: client.clone(), used: now });
        client
    }

    fn build(&self, fresh: bool) -> Client {
        let connector = Connector::new()
            .connector(self.dial.clone())
            .rustls_0_23(Arc::clone(&self.tls))
            .limit(POOL_LIMIT)
            .timeout(CONNECT_TIMEOUT)
            .handshake_timeout(CONNECT_TIMEOUT);
        let connector = if fresh { connector.conn_keep_alive(Duration::ZERO) } else { connector };
        // awc's own limit of five seconds would cover the upload; ours covers the whole exchange.
        Client::builder()
            .connector(connector)
            .disable_timeout()
            .disable_redirects()
            .no_default_headers()
            .finish()
    }
}

/// How connections are made safe: by the roots that browsers know, for HTTP/1.1.
pub(super) fn tls() -> Arc<ClientConfig> {
    let roots = webpki_roots_cert_store();
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(tls)
}
