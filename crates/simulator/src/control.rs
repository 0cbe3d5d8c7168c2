//! The hand on the simulator: faults, extra calls, the end of an hour, and what was seen.

use std::{fmt, sync::Arc};

use crate::{
    faults::Faults,
    stats::{SearchSeen, Stats, VendorStats},
    wellcloud::Upload,
    world::World,
};

/// Controls a running simulator; clones control the same one. The same over HTTP: `/_sim/*`.
#[derive(Clone)]
pub struct Control {
    world: Arc<World>,
}

impl Control {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        let World { wellcloud, icsoc, .. } = self.world.as_ref();
        Stats {
            wellcloud: VendorStats { push: wellcloud.pusher.stats(), ..wellcloud.stats() },
            icsoc: VendorStats { push: icsoc.pusher.stats(), ..icsoc.stats() },
        }
    }

    /// The roster uploads that came with a good token, oldest first, refused ones too.
    pub fn uploads(&self) -> Vec<Upload> {
        self.world.wellcloud.uploads()
    }

    /// The ids of all ICSOC calls, oldest first.
    pub fn call_ids(&self) -> Vec<String> {
        self.world.icsoc.call_ids()
    }

    /// ICSOC's searches that were understood, oldest first; the last 10,000.
    pub fn searches(&self) -> Vec<SearchSeen> {
        self.world.icsoc.searches()
    }

    /// Where pushes go from now on; `None`: nowhere. WellCloud's results are kept until there is an address; ICSOC
    /// calls seeded without one are pushed only by [`Control::push_icsoc_again`].
    pub fn set_push_urls(&self, wellcloud: Option<String>, icsoc: Option<String>) {
        self.world.wellcloud.pusher.set_url(wellcloud);
        self.world.icsoc.pusher.set_url(icsoc);
    }

    /// Adds `count` ICSOC calls and queues their pushes if there is a push URL. Returns the ids of the calls added:
    /// fewer than asked for when there are 200,000 calls.
    pub fn seed_calls(&self, count: usize) -> Vec<String> {
        self.world.icsoc.seed_calls(count)
    }

    /// Queues another push of a call; false if there is no such call or no push URL.
    pub fn push_icsoc_again(&self, call_id: &str) -> bool {
        self.world.icsoc.push_again(call_id)
    }

    /// Ends WellCloud's hour: queues everything dialled by now, in arrays of up to 1,000, and dials the entries
    /// that are due for another round. Returns the number of results queued: 0 without a push URL, and then they
    /// stay.
    pub fn flush_hour(&self) -> usize {
        self.world.wellcloud.close_hour()
    }

    /// Lets every token that was fetched expire now, refresh tokens not. The fetches stay counted.
    pub fn expire_tokens(&self) {
        self.world.wellcloud.expire_tokens();
        self.world.icsoc.expire_tokens();
    }

    /// Puts faults in force, see [`Faults`] for their scope. False if there are faults of 32 scopes already.
    pub fn set_faults(&self, faults: Faults) -> bool {
        self.world.faults.set(faults)
    }

    /// Returns when no push of either vendor is queued, under way or to be retried.
    pub async fn settled(&self) {
        self.world.wellcloud.pusher.settled().await;
        self.world.icsoc.pusher.settled().await;
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Control").finish_non_exhaustive()
    }
}
