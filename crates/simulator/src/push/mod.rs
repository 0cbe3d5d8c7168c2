//! Vendor → receiver: a bounded queue per vendor, retried on the vendor's schedule.

mod ledger;
mod pusher;
mod sender;

use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use ledger::Ledger;
pub(crate) use pusher::Pusher;
pub(crate) use sender::Sender;

/// What one push carries. The body is written at each attempt, because ICSOC's holds the time of the push.
pub(crate) trait Parcel: Send + Sync {
    /// The request's body.
    fn body(&self) -> String;
    /// The ids of the readable records in it, as the ledger names them.
    fn ids(&self) -> Vec<String>;
    /// How many records in it cannot be read.
    fn broken(&self) -> usize;
    /// What is remembered of these records.
    fn mark(&self) -> &Mark;
}

/// Whether some records were sent and acknowledged; shared by every push of the same records.
#[derive(Debug, Default)]
pub(crate) struct Mark {
    sent: AtomicBool,
    acknowledged: AtomicBool,
}

impl Mark {
    /// True for the first call only.
    pub(crate) fn set_sent(&self) -> bool {
        !self.sent.swap(true, Ordering::Relaxed)
    }

    /// True for the first call only.
    pub(crate) fn set_acknowledged(&self) -> bool {
        !self.acknowledged.swap(true, Ordering::Relaxed)
    }
}
