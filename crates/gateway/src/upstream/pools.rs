//! The pools of connections of one thread: each account and each subscription has its own.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_http::ServiceConfig;
use actix_tls::connect::rustls_0_23::webpki_roots_cert_store;
use awc::Connector;
use hashbrown::HashMap;
use rustls::ClientConfig;

use super::{
    connections::{Connections, WAITING_LIMIT},
    dial::Dial,
};

/// Longest time to reach a host, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of one pool that are in use. The limits of accounts and subscriptions are not above it.
const POOL_LIMIT: usize = 1_000;
/// Pools of one thread. Beyond it the one goes that was idle longest.
const POOLS_LIMIT: usize = 2_048;

/// How often unused pools, and connections that have grown old, are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// How long a pool may be unused.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

struct Pool {
    connections: Rc<Connections>,
    used: Instant,
}

/// Every pool of a thread.
pub(super) struct Pools {
    dial: Dial,
    tls: Arc<ClientConfig>,
    /// By name.
    pools: RefCell<HashMap<String, Pool>>,
    /// What exchanges share. It brings a task of the thread along, and so is made with the first of them.
    config: OnceCell<ServiceConfig>,
    is_swept: Cell<bool>,
}

thread_local! {
    /// The pools of a thread that serves requests.
    static SERVING: RefCell<Weak<Pools>> = RefCell::default();
}

impl Pools {
    /// None yet.
    pub(super) fn new(dial: Dial, tls: Arc<ClientConfig>) -> Self {
        Self { dial, tls, pools: RefCell::default(), config: OnceCell::new(), is_swept: Cell::new(false) }
    }

    /// The pools of a thread that serves requests: as long as they are held, such a thread calls vendors by itself.
    pub(super) fn for_serving_thread() -> Rc<Self> {
        let pools = Rc::new(Self::new(Dial::anywhere(), tls()));
        SERVING.with(|serving| *serving.borrow_mut() = Rc::downgrade(&pools));
        pools
    }

    /// Those of this thread, if it serves requests.
    pub(super) fn of_serving_thread() -> Option<Rc<Self>> {
        SERVING.with(|serving| serving.borrow().upgrade())
    }

    /// Has unused pools closed from now on, as long as these are held. Only a thread that runs can be asked to.
    pub(super) fn begin_sweep(self: &Rc<Self>) {
        if self.is_swept.replace(true) {
            return;
        }
        let held = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            let mut ticks = tokio::time::interval(SWEEP);
            loop {
                ticks.tick().await;
                match held.upgrade() {
                    Some(pools) => pools.drop_idle(Instant::now()),
                    None => return,
                }
            }
        });
    }

    /// The connections of a pool, which is used now.
    pub(super) fn connections(&self, pool: &str, now: Instant) -> Rc<Connections> {
        let mut pools = self.pools.borrow_mut();
        if let Some(pool) = pools.get_mut(pool) {
            pool.used = now;
            return Rc::clone(&pool.connections);
        }
        if pools.len() >= POOLS_LIMIT {
            let oldest = pools.iter().min_by_key(|(_, pool)| pool.used).map(|(name, _)| name.clone());
            oldest.map(|name| pools.remove(&name));
        }
        let connections = Rc::new(self.build());
        pools.insert(pool.to_owned(), Pool { connections: Rc::clone(&connections), used: now });
        connections
    }

    /// Closes what was not used for long, by the time that it is.
    pub(super) fn drop_idle(&self, now: Instant) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.connections.close_old(now);
            now.saturating_duration_since(pool.used) < IDLE_LIMIT
        });
    }

    fn build(&self) -> Connections {
        let connector = Connector::new()
            .connector(self.dial.clone())
            .rustls_0_23(Arc::clone(&self.tls))
            .limit(POOL_LIMIT + WAITING_LIMIT)
            .timeout(CONNECT_TIMEOUT)
            .handshake_timeout(CONNECT_TIMEOUT);
        Connections::new(connector, self.config.get_or_init(ServiceConfig::default).clone())
    }
}

/// How connections are made safe: by the roots that browsers know, for HTTP/1.1.
pub(super) fn tls() -> Arc<ClientConfig> {
    let roots = webpki_roots_cert_store();
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(tls)
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener, task::LocalSet};

    use super::*;

    #[tokio::test]
    async fn pools_are_bounded_and_do_not_outlive_their_use() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pools = Pools::new(Dial::anywhere(), tls());
        let (count, now) = (|| pools.pools.borrow().len(), Instant::now());
        let use_some = async {
            for n in 0..POOLS_LIMIT + 2 {
                pools.connections(&n.to_string(), now + Duration::from_nanos(n as u64));
            }
        };
        LocalSet::new().run_until(use_some).await;
        assert_eq!(count(), POOLS_LIMIT);
        assert!(pools.pools.borrow().keys().all(|name| name != "0" && name != "1"));
        let later = now + Duration::from_secs(1);
        pools.connections("2", later);
        pools.drop_idle(now + IDLE_LIMIT + Duration::from_millis(1));
        assert!(pools.pools.borrow().keys().eq(["2"]), "it was used later than the others");
        pools.drop_idle(later + IDLE_LIMIT);
        assert_eq!(count(), 0);
    }

    #[tokio::test]
    async fn a_pool_that_is_used_keeps_no_old_connection() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", host.local_addr().unwrap()).parse().unwrap();
        let swept = async {
            let pools = Pools::new(Dial::anywhere(), tls());
            let later = Instant::now() + IDLE_LIMIT;
            pools.connections("a", Instant::now()).open(&uri, true).await.unwrap().end(true);
            pools.connections("a", later);
            pools.drop_idle(later);
            assert_eq!(pools.pools.borrow().len(), 1);
            assert_eq!(host.accept().await.unwrap().0.read(&mut [0]).await.unwrap(), 0);
        };
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, LocalSet::new().run_until(swept)).await.expect("it stays open");
    }
}
