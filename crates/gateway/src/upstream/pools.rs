//! The pools of connections of one thread: each account and each subscription has its own.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_tls::connect::rustls_0_23::webpki_roots_cert_store;
use awc::Connector;
use hashbrown::HashMap;
use rustls::ClientConfig;

use super::{dial::Dial, sender::Sender};

/// Longest time to reach a host, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of one pool. The limits of accounts and subscriptions are lower.
const POOL_LIMIT: usize = 1_000;
/// Pools of one thread, of each kind. Beyond it the one goes that was idle longest.
const POOLS_LIMIT: usize = 2_048;

/// How often unused pools are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// How long a pool may be unused. awc looks at the age of a connection only when it wants one, so without this a host that is
/// called no more would keep its connections, closed ones too.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

struct Pool {
    sender: Sender,
    used: Instant,
}

/// Every pool of a thread.
pub(super) struct Pools {
    dial: Dial,
    tls: Arc<ClientConfig>,
    /// By name: those whose connections serve again, and those with one for each exchange.
    pools: [RefCell<HashMap<String, Pool>>; 2],
    is_swept: Cell<bool>,
}

thread_local! {
    /// The pools of a thread that serves requests.
    static SERVING: RefCell<Weak<Pools>> = RefCell::default();
}

impl Pools {
    /// None yet.
    pub(super) fn new(dial: Dial, tls: Arc<ClientConfig>) -> Self {
        Self { dial, tls, pools: Default::default(), is_swept: Cell::new(false) }
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

    /// What sends over a pool; `fresh` ones open a connection for each exchange.
    pub(super) fn sender(&self, pool: &str, fresh: bool) -> Sender {
        let mut pools = self.pools[usize::from(fresh)].borrow_mut();
        let now = Instant::now();
        if let Some(pool) = pools.get_mut(pool) {
            pool.used = now;
            return pool.sender.clone();
        }
        if pools.len() >= POOLS_LIMIT {
            let oldest = pools.iter().min_by_key(|(_, pool)| pool.used).map(|(name, _)| name.clone());
            oldest.map(|name| pools.remove(&name));
        }
        let sender = self.build(fresh);
        pools.insert(pool.to_owned(), Pool { sender: sender.clone(), used: now });
        sender
    }

    /// Lets no exchange use the connections of a pool again.
    pub(super) fn forget(&self, pool: &str) {
        for pools in &self.pools {
            pools.borrow_mut().remove(pool);
        }
    }

    /// Closes what was not used for long, by the time that it is.
    pub(super) fn drop_idle(&self, now: Instant) {
        for pools in &self.pools {
            pools.borrow_mut().retain(|_, pool| now.saturating_duration_since(pool.used) < IDLE_LIMIT);
        }
    }

    fn build(&self, fresh: bool) -> Sender {
        let connector = Connector::new()
            .connector(self.dial.clone())
            .rustls_0_23(Arc::clone(&self.tls))
            .limit(POOL_LIMIT)
            .timeout(CONNECT_TIMEOUT)
            .handshake_timeout(CONNECT_TIMEOUT);
        Sender::new(if fresh { connector.conn_keep_alive(Duration::ZERO) } else { connector })
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
    use super::*;

    #[test]
    fn pools_are_bounded_and_do_not_outlive_their_use() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pools = Pools::new(Dial::anywhere(), tls());
        let count = || pools.pools[0].borrow().len();
        for n in 0..POOLS_LIMIT + 2 {
            pools.sender(&n.to_string(), false);
        }
        assert_eq!(count(), POOLS_LIMIT);
        assert!(pools.pools[0].borrow().keys().all(|name| name != "0" && name != "1"));
        pools.sender("2", false);
        pools.drop_idle(Instant::now());
        assert_eq!(count(), POOLS_LIMIT);
        pools.drop_idle(Instant::now() + IDLE_LIMIT);
        assert_eq!(count(), 0);
    }
}
