//! Streams of events (server-sent events): each follows the log by itself, from a position, without a hole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use outdial_core::Position;
use outdial_store::{Store, StoreError};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout},
};

use super::EventFilter;
use crate::{config::HttpConfig, tasks::Tasks, telemetry::Metrics};

/// Events read of the log at once, and so most events of one frame.
const READ: usize = 128;
/// Bytes of a frame from which on it takes no more events.
const FRAME: usize = 512 * 1024;
/// Frames that wait for a reader, beside the one that is on its way: together 256 events or 1 MiB, or one event that is larger.
const WAITING: usize = 1;
/// A comment comes this often, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait before the store is asked again after a failure.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// Behind this position.
    After(Position),
}

/// Open streams, bounded.
pub struct EventStreams {
    store: Arc<dyn Store>,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    stall: Duration,
}

/// The frames of one stream, in order.
pub struct Frames {
    frames: mpsc::Receiver<Bytes>,
    lagged: Arc<AtomicBool>,
}

impl Frames {
    /// The next frame; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Bytes> {
        match self.frames.recv().await {
            Some(frame) => Some(frame),
            None if self.lagged.swap(false, Ordering::AcqRel) => {
                Some(Bytes::from_static(b"event: lagged\ndata: {\"reason\":\"too slow\"}\n\n"))
            }
            None => None,
        }
    }
}

impl EventStreams {
    /// Streams over this store, as many as the configuration lets be.
    pub fn new(store: Arc<dyn Store>, tasks: Tasks, metrics: Arc<Metrics>, config: &HttpConfig) -> Self {
        let places = Arc::new(Semaphore::new(config.sse_streams));
        Self { store, tasks, metrics, places, stall: config.sse_stall }
    }

    /// Opens a stream; `None` when there are too many.
    pub fn open(&self, filter: EventFilter, start: Start) -> Option<Frames> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (sender, frames) = mpsc::channel(WAITING);
        let lagged = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            store: Arc::clone(&self.store),
            filter,
            sender,
            lagged: Arc::clone(&lagged),
            stall: self.stall,
            _place: place,
        };
        let (metrics, stop) = (Arc::clone(&self.metrics), self.tasks.stop_signal());
        self.tasks.spawn(async move {
            metrics.event_streams.inc();
            tokio::select! {
                () = stop.cancelled() => {}
                _ = follower.run(start) => {}
            }
            metrics.event_streams.dec();
        });
        Some(Frames { frames, lagged })
    }
}

struct Follower {
    store: Arc<dyn Store>,
    filter: EventFilter,
    sender: mpsc::Sender<Bytes>,
    lagged: Arc<AtomicBool>,
    /// A reader who takes nothing for so long is dropped.
    stall: Duration,
    _place: OwnedSemaphorePermit,
}

/// The reader has gone, or takes nothing.
struct Gone;

impl Follower {
    async fn run(self, start: Start) -> Result<(), Gone> {
        let mut tail = self.store.tail();
        let mut position = self.begin(start).await?;
        // Who has read this misses nothing that comes from now on.
        self.send("retry: 3000\n\n".to_owned()).await?;
        let mut last_sent = Instant::now();
        loop {
            tail.mark_unchanged();
            match self.store.read(position, READ).await {
                Ok(events) if events.is_empty() => {}
                Ok(events) => {
                    let mut frame = String::new();
                    for event in &events {
                        position = event.position;
                        if let Some(shown) = self.filter.show(event) {
                            let (name, json) = (&shown.event_type, &shown.json);
                            frame.push_str(&format!("id: {position}\nevent: {name}\ndata: {json}\n\n"));
                        }
                        if frame.len() >= FRAME {
                            self.send(std::mem::take(&mut frame)).await?;
                            last_sent = Instant::now();
                        }
                    }
                    if !frame.is_empty() {
                        self.send(frame).await?;
                        last_sent = Instant::now();
                    }
                    continue;
                }
                Err(error) => self.wait_out(&error).await?,
            }
            // Whatever was appended since the read has changed the tail; a heartbeat also asks the store anew.
            let silent_until = last_sent + HEARTBEAT;
            tokio::select! {
                changed = tail.changed() => changed.map_err(|_| Gone)?,
                () = tokio::time::sleep_until(silent_until) => {
                    self.send(": heartbeat\n\n".to_owned()).await?;
                    last_sent = Instant::now();
                }
                () = self.sender.closed() => return Err(Gone),
            }
        }
    }

    /// Where to begin. A position that the log does not reach back to, or has not reached, is told and corrected.
    async fn begin(&self, start: Start) -> Result<Position, Gone> {
        let bounds = loop {
            match self.store.bounds().await {
                Ok(bounds) => break bounds,
                Err(error) => self.wait_out(&error).await?,
            }
        };
        let Start::After(wanted) = start else { return Ok(bounds.last) };
        if wanted < bounds.trimmed && wanted != Position(0) {
            return self.reset("trimmed", bounds.trimmed, bounds.trimmed).await;
        }
        if wanted > bounds.last {
            return self.reset("ahead", bounds.trimmed, bounds.last).await;
        }
        Ok(wanted.max(bounds.trimmed))
    }

    async fn reset(&self, reason: &str, oldest: Position, next: Position) -> Result<Position, Gone> {
        let data = json!({ "reason": reason, "oldest": oldest.to_string() });
        self.send(format!("event: reset\ndata: {data}\n\n")).await?;
        Ok(next)
    }

    async fn wait_out(&self, error: &StoreError) -> Result<(), Gone> {
        tracing::warn!(problem = %error, "events.store_away");
        tokio::select! {
            () = tokio::time::sleep(STORE_RETRY) => Ok(()),
            () = self.sender.closed() => Err(Gone),
        }
    }

    async fn send(&self, frame: String) -> Result<(), Gone> {
        match timeout(self.stall, self.sender.send(Bytes::from(frame))).await {
            Ok(sent) => sent.map_err(|_| Gone),
            Err(_) => {
                self.lagged.store(true, Ordering::Release);
                Err(Gone)
            }
        }
    }
}
