//! Keeps a lease while a piece of work goes on.

use std::{sync::Arc, time::Duration};

use outdial_store::{Lease, Store, StoreError};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::tasks::Tasks;

/// How long a lease lasts without a beat.
pub const LEASE: Duration = Duration::from_secs(60);
/// A beat comes this often.
const BEAT: Duration = Duration::from_secs(20);

/// Renews a lease until it is dropped.
pub struct Heartbeat {
    store: Arc<dyn Store>,
    lease: Lease,
    _stop: DropGuard,
}

impl Heartbeat {
    /// Begins to renew.
    pub fn start(store: Arc<dyn Store>, lease: Lease, tasks: &Tasks) -> Self {
        let stop = CancellationToken::new();
        let (beating, renewed, stopped) = (Arc::clone(&store), lease.clone(), stop.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return,
                    () = tokio::time::sleep(BEAT) => {}
                }
                // A store that is away says nothing about the lease.
                if let Ok(false) = beating.renew_lease(&renewed, LEASE).await {
                    return;
                }
            }
        });
        Self { store, lease, _stop: stop.drop_guard() }
    }

    /// Renews the lease now. Answers whether it was still held: a process that stood still for a while learns only so that
    /// somebody else has it.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn beat(&self) -> Result<bool, StoreError> {
        self.store.renew_lease(&self.lease, LEASE).await
    }

    /// The lease.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }
}
