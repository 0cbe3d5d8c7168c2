//! Whether this replica can take pushes durably.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use outdial_store::{Durability, Store, StoreMode, StoreStatus};

use crate::telemetry::Metrics;

const MODES: [&str; 4] = ["embedded", "redis", "spool", "down"];
const LEVELS: [&str; 2] = ["durable", "relaxed"];

/// The last known state of the store, and whether the gateway is stopping.
pub struct Health {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    status: RwLock<Option<Arc<StoreStatus>>>,
    draining: AtomicBool,
}

impl Health {
    /// The health of a gateway with this store. Not ready until [`Health::refresh`] was called.
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, status: RwLock::default(), draining: AtomicBool::new(false) }
    }

    /// Asks the store how it is.
    pub async fn refresh(&self) {
        let status = self.store.status().await;
        let mode = match status.mode {
            StoreMode::Embedded => MODES[0],
            StoreMode::Redis => MODES[1],
            StoreMode::Spool => MODES[2],
            StoreMode::Down => MODES[3],
        };
        let level = match status.durability {
            Durability::Durable => LEVELS[0],
            Durability::Relaxed => LEVELS[1],
        };
        Metrics::show_word(&self.metrics.store_mode, &MODES, mode);
        Metrics::show_word(&self.metrics.durability_level, &LEVELS, level);
        self.metrics.spool_records.set(i64::try_from(status.spooled).unwrap_or(i64::MAX));
        let before = self.status();
        if before.as_ref().is_some_and(|before| before.mode != status.mode) {
            tracing::warn!(mode, problem = status.problem, "store.mode_changed");
        }
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(status));
    }

    /// From now on not ready: balancers are to look elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The last known state of the store.
    pub fn status(&self) -> Option<Arc<StoreStatus>> {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether pushes can be taken durably, or why not.
    pub fn verdict(&self) -> Result<(), &'static str> {
        if self.draining.load(Ordering::Acquire) {
            return Err("stopping");
        }
        match self.status().map(|status| status.mode) {
            None => Err("starting"),
            Some(StoreMode::Down) => Err("neither store nor spool takes appends"),
            Some(StoreMode::Embedded | StoreMode::Redis | StoreMode::Spool) => Ok(()),
        }
    }
}
