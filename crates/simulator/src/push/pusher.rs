//! The queue of one vendor's pushes and the loop that works it off.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Ledger, Parcel, Sender};
use crate::{
    faults::Vendor,
    stats::{PushCounters, PushStats},
};

/// Pushes queued or waiting for a retry; one more is dropped and counted.
const MAX_QUEUED: usize = 250_000;
/// Pushes under way at once.
const MAX_IN_FLIGHT: usize = 16;

/// One vendor's pusher.
pub(crate) struct Pusher {
    vendor: Vendor,
    /// How long after each failure the next attempt follows; after the last one the vendor gives up.
    retries: Vec<Duration>,
    /// Whether a reply means that the push was taken.
    accepts: fn(u16, &[u8]) -> bool,
    url: Mutex<Option<String>>,
    queue: Mutex<Queue>,
    wake: Notify,
    unsettled: watch::Sender<usize>,
    counters: PushCounters,
}

#[derive(Default)]
struct Queue {
    due: BTreeMap<(Instant, u64), Delivery>,
    next: u64,
}

struct Delivery {
    parcel: Arc<dyn Parcel>,
    failures: usize,
}

impl Pusher {
    /// An idle pusher.
    pub(crate) fn new(
        vendor: Vendor,
        url: Option<String>,
        retries: Vec<Duration>,
        accepts: fn(u16, &[u8]) -> bool,
    ) -> Self {
        Self {
            vendor,
            retries,
            accepts,
            url: Mutex::new(url),
            queue: Mutex::default(),
            wake: Notify::new(),
            unsettled: watch::Sender::new(0),
            counters: PushCounters::default(),
        }
    }

    /// Where pushes go from now on.
    pub(crate) fn set_url(&self, url: Option<String>) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    /// Whether there is somewhere to push to.
    pub(crate) fn has_url(&self) -> bool {
        self.url().is_some()
    }

    /// Queues a first attempt.
    pub(crate) fn push(&self, parcel: Arc<dyn Parcel>) {
        self.unsettled.send_modify(|unsettled| *unsettled += 1);
        self.enqueue(Delivery { parcel, failures: 0 }, Duration::ZERO);
    }

    /// Returns when no push is queued, under way or to be retried.
    pub(crate) async fn settled(&self) {
        let mut unsettled = self.unsettled.subscribe();
        // Fails only when the sender is gone, and that is in `self`.
        let _ = unsettled.wait_for(|unsettled| *unsettled == 0).await;
    }

    /// The counts so far.
    pub(crate) fn stats(&self) -> PushStats {
        self.counters.read(*self.unsettled.borrow())
    }

    /// Works the queue off until cancelled. What is under way then is abandoned.
    pub(crate) async fn run(
        self: Arc<Self>,
        sender: Sender,
        ledger: Option<Arc<Ledger>>,
        cancel: CancellationToken,
    ) {
        let slots = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let tracker = TaskTracker::new();
        let work = async {
            while let Ok(slot) = slots.clone().acquire_owned().await {
                let delivery = self.next_due().await;
                let (pusher, sender, ledger) = (self.clone(), sender.clone(), ledger.clone());
                let attempt = cancel.clone().run_until_cancelled_owned(async move {
                    pusher.attempt(delivery, &sender, ledger.as_deref()).await;
                    drop(slot);
                });
                tracker.spawn(attempt);
            }
        };
        cancel.run_until_cancelled(work).await;
        tracker.close();
        tracker.wait().await;
    }

    async fn attempt(&self, delivery: Delivery, sender: &Sender, ledger: Option<&Ledger>) {
        let parcel = &delivery.parcel;
        let reply = match self.url() {
            Some(url) => {
                self.counters.attempted.bump();
                if parcel.mark().set_sent() {
                    self.counters.records_sent.add(parcel.ids().len());
                    self.counters.broken_sent.add(parcel.broken());
                }
                sender.post(&url, parcel.body()).await
            }
            None => None,
        };
        if reply.is_some_and(|reply| (self.accepts)(reply.status, &reply.body)) {
            self.acknowledge(parcel.as_ref(), ledger).await;
        } else {
            self.counters.refused.bump();
            self.retry(delivery);
        }
    }

    async fn acknowledge(&self, parcel: &dyn Parcel, ledger: Option<&Ledger>) {
        let ids = parcel.ids();
        if let Some(ledger) = ledger
            && let Err(error) = ledger.append(self.vendor, &ids, parcel.broken()).await
        {
            tracing::error!(%error, "the ledger was not written");
            self.counters.ledger_failures.bump();
        }
        self.counters.acknowledged.bump();
        if parcel.mark().set_acknowledged() {
            self.counters.records_acknowledged.add(ids.len());
        }
        self.settle();
    }

    fn retry(&self, delivery: Delivery) {
        match self.retries.get(delivery.failures) {
            Some(delay) => {
                self.enqueue(Delivery { failures: delivery.failures + 1, ..delivery }, *delay);
            }
            None => {
                self.counters.given_up.bump();
                self.settle();
            }
        }
    }

    fn enqueue(&self, delivery: Delivery, delay: Duration) {
        let mut queue = self.lock();
        if queue.due.len() >= MAX_QUEUED {
            drop(queue);
            self.counters.dropped.bump();
            self.settle();
            return;
        }
        let number = queue.next;
        queue.next += 1;
        queue.due.insert((Instant::now() + delay, number), delivery);
        drop(queue);
        self.wake.notify_one();
    }

    async fn next_due(&self) -> Delivery {
        loop {
            let first_due = match self.take_due() {
                Ok(delivery) => return delivery,
                Err(first_due) => first_due,
            };
            match first_due {
                Some(instant) => {
                    // Either way the queue is looked at again.
                    let _ = tokio::time::timeout_at(instant, self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
    }

    /// The delivery whose turn it is, or when the first one's will be.
    fn take_due(&self) -> Result<Delivery, Option<Instant>> {
        let mut queue = self.lock();
        match queue.due.first_entry() {
            Some(first) if first.key().0 <= Instant::now() => Ok(first.remove()),
            Some(first) => Err(Some(first.key().0)),
            None => Err(None),
        }
    }

    fn settle(&self) {
        self.unsettled.send_modify(|unsettled| *unsettled = unsettled.saturating_sub(1));
    }

    fn url(&self) -> Option<String> {
        self.url.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
