//! Keeps a lease while a piece of work goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use outdial_store::{Lease, Store};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::tasks::Tasks;

/// How long a lease lasts without a beat.
pub const LEASE: Duration = Duration::from_secs(60);
/// A beat comes this often.
const BEAT: Duration = Duration::from_secs(20);

/// Renews a lease until it is dropped.
pub struct Heartbeat {
    lease: Lease,
    lost: Arc<AtomicBool>,
    _stop: DropGuard,
}

impl Heartbeat {
    /// Begins to renew.
    pub fn start(store: Arc<dyn Store>, lease: Lease, tasks: &Tasks) -> Self {
        let stop = CancellationToken::new();
        let lost = Arc::new(AtomicBool::new(false));
        let (renewed, noted, stopped) = (lease.clone(), Arc::clone(&lost), stop.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return,
                    () = tokio::time::sleep(BEAT) => {}
                }
                // A store that is away says nothing about the lease; what comes next is stored first, or not done.
                if let Ok(false) = store.renew_lease(&renewed, LEASE).await {
                    noted.store(true, Ordering::Release);
                    return;
                }
            }
        });
        Self { lease, lost, _stop: stop.drop_guard() }
    }

    /// Whether somebody else may hold the lease by now.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The lease.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }
}
