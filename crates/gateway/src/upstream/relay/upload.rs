//! The caller's body on its way up: taken as fast as the vendor takes it, counted and timed.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How a caller's body failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFault {
    /// It ended too early, or its chunks cannot be read.
    Broken,
    /// Nothing came for too long.
    TooSlow,
    /// It is larger than a relayed body may be.
    TooLarge,
}

impl fmt::Display for UploadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the caller's body failed")
    }
}

impl std::error::Error for UploadFault {}

/// How far a body got, for the one who waits for the answer.
pub(super) struct Progress {
    /// When the vendor last took, or asked for, a part of it.
    pub(super) moved: Cell<Instant>,
    pub(super) fault: Cell<Option<UploadFault>>,
}

impl Progress {
    pub(super) fn begin(now: Instant) -> Rc<Self> {
        Rc::new(Self { moved: Cell::new(now), fault: Cell::new(None) })
    }
}

/// A caller's body.
pub(super) struct Upload<S> {
    chunks: S,
    left: u64,
    idle: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    progress: Rc<Progress>,
}

impl<S> Upload<S> {
    pub(super) fn new(chunks: S, limit: u64, idle: Duration, progress: Rc<Progress>) -> Self {
        Self { chunks, left: limit, idle, waiting: None, progress }
    }

    fn fail(&self, fault: UploadFault) -> Poll<Option<Result<Bytes, UploadFault>>> {
        self.progress.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }
}

impl<S, E> Stream for Upload<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, UploadFault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let upload = &mut *self;
        // The vendor is ready for more: whoever is slow now, it is not the vendor.
        upload.progress.moved.set(Instant::now());
        match Pin::new(&mut upload.chunks).poll_next(context) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(_))) => upload.fail(UploadFault::Broken),
            Poll::Ready(Some(Ok(chunk))) => {
                upload.waiting = None;
                let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                match upload.left.checked_sub(length) {
                    Some(left) => upload.left = left,
                    None => return upload.fail(UploadFault::TooLarge),
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Pending => {
                let limit = upload.idle;
                let waiting =
                    upload.waiting.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
                match waiting.as_mut().poll(context) {
                    Poll::Ready(()) => upload.fail(UploadFault::TooSlow),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}
