//! Everything that one simulator is, shared by its servers, its pushers and its control.

use std::sync::Arc;

use crate::{
    clock::Clock, config::SimulatorConfig, faults::FaultBoard, icsoc::Enterprise, wellcloud::Tenant,
};

/// Both vendors and what is wrong with them.
pub(crate) struct World {
    pub(crate) faults: Arc<FaultBoard>,
    pub(crate) wellcloud: Tenant,
    pub(crate) icsoc: Enterprise,
}

impl World {
    /// The world as `config` describes it, with the first calls seeded and, given a push URL, queued.
    pub(crate) fn new(config: SimulatorConfig) -> Self {
        let clock = config.fixed_time.map_or(Clock::Machine, Clock::Fixed);
        let faults = Arc::new(FaultBoard::default());
        Self {
            wellcloud: Tenant::new(config.wellcloud, config.seed, clock, faults.clone()),
            icsoc: Enterprise::new(config.icsoc, config.seed, clock, faults.clone()),
            faults,
        }
    }
}
