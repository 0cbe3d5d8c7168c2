//! The vendor's body on its way down: taken as fast as the caller takes it, counted and timed, and never ended as if it were
//! whole when it was cut.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use outdial_core::ErrorClass;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until, timeout},
};

use super::{
    super::{Ending, exchange::Body},
    tally::Tally,
};

/// A body of which so much is there at once is handed over as one.
const WHOLE_LIMIT: usize = 64 * 1024;
/// Parts of a body between vendor and caller, besides those in the sockets' buffers.
const PARTS: usize = 2;

/// How a vendor's body failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The connection ended before the body did.
    Early,
    /// It is larger than a relayed body may be.
    TooLarge,
    /// Nothing came for too long, or the time for the whole is up.
    TooSlow,
}

impl Cut {
    pub(super) const fn class(self) -> ErrorClass {
        match self {
            Self::Early | Self::TooLarge => ErrorClass::Protocol,
            Self::TooSlow => ErrorClass::Timeout,
        }
    }

    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Early => "the vendor's answer was cut",
            Self::TooLarge => "the vendor's answer is too large",
            Self::TooSlow => "the vendor's answer came too slowly",
        }
    }
}

/// The bounds of a body.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) limit: u64,
    pub(super) idle: Duration,
    pub(super) deadline: Instant,
}

/// A vendor's body.
pub(super) struct Download {
    body: Body,
    read: u64,
    bounds: Bounds,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Download {
    pub(super) const fn new(body: Body, bounds: Bounds) -> Self {
        Self { body, read: 0, bounds, waiting: None }
    }

    /// The next part; `None` at an end that is one.
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        match Pin::new(&mut self.body).poll_next(context) {
            Poll::Ready(Some(Ok(part))) => {
                self.waiting = None;
                self.read += u64::try_from(part.len()).unwrap_or(u64::MAX);
                let fits = self.read <= self.bounds.limit;
                Poll::Ready(Some(if fits { Ok(part) } else { Err(Cut::TooLarge) }))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Cut::Early))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let Bounds { idle, deadline, .. } = self.bounds;
                let until = (Instant::now() + idle).min(deadline);
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(until)));
                ready!(waiting.as_mut().poll(context));
                Poll::Ready(Some(Err(Cut::TooSlow)))
            }
        }
    }

    async fn part(&mut self) -> Option<Result<Bytes, Cut>> {
        std::future::poll_fn(|context| self.poll_part(context)).await
    }

    /// What is there already: all of it, or the parts so far.
    ///
    /// # Errors
    /// When it is known already that the rest will not come.
    pub(super) fn at_once(&mut self, context: &mut Context<'_>) -> Result<AtOnce, Cut> {
        // Nearly always there is one part.
        let (mut first, mut rest, mut size) = (Bytes::new(), Vec::new(), 0);
        while size <= WHOLE_LIMIT {
            match self.poll_part(context) {
                Poll::Pending => break,
                Poll::Ready(None) => return Ok(AtOnce::Whole(join(first, &rest, size))),
                Poll::Ready(Some(part)) => {
                    let part = part?;
                    size += part.len();
                    if first.is_empty() {
                        first = part;
                    } else {
                        rest.push(part);
                    }
                }
            }
        }
        if !first.is_empty() {
            rest.insert(0, first);
        }
        Ok(AtOnce::Some(rest))
    }
}

/// What of a body is there at once.
pub(super) enum AtOnce {
    Whole(Bytes),
    Some(Vec<Bytes>),
}

fn join(first: Bytes, rest: &[Bytes], size: usize) -> Bytes {
    if rest.is_empty() {
        return first;
    }
    let mut whole = BytesMut::with_capacity(size);
    std::iter::once(&first).chain(rest).for_each(|part| whole.extend_from_slice(part));
    whole.freeze()
}

enum Part {
    Bytes(Bytes),
    End,
}

/// A body that is still coming. It ends with an error where the vendor's did not come to its end.
#[derive(Debug)]
pub struct Chunks {
    parts: mpsc::Receiver<Part>,
    ended: bool,
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let part = ready!(self.parts.poll_recv(context));
        self.ended = !matches!(part, Some(Part::Bytes(_)));
        Poll::Ready(match part {
            Some(Part::Bytes(bytes)) => Some(Ok(bytes)),
            Some(Part::End) => None,
            None => Some(Err(io::Error::other("the vendor's answer did not come to its end"))),
        })
    }
}

/// Hands the rest of a body over in a task of its own: a caller who takes nothing must not hold the vendor's connection, and
/// a server does not ask for more while its own buffer is full. It ends with the caller's interest.
pub(super) fn hand_over(
    first: Vec<Bytes>,
    mut download: Download,
    mut tally: Tally,
    class: Option<ErrorClass>,
    ending: Ending,
) -> Chunks {
    let (sender, parts) = mpsc::channel(PARTS);
    tokio::task::spawn_local(async move {
        let idle = download.bounds.idle;
        let send = async |part| matches!(timeout(idle, sender.send(part)).await, Ok(Ok(())));
        for part in first {
            if !send(Part::Bytes(part)).await {
                return;
            }
        }
        loop {
            let part = tokio::select! {
                () = sender.closed() => return,
                part = download.part() => part,
            };
            match part {
                Some(Ok(bytes)) => {
                    if !send(Part::Bytes(bytes)).await {
                        return;
                    }
                }
                Some(Err(cut)) => {
                    tracing::warn!(problem = cut.detail(), "relay.cut");
                    return tally.end(Some(cut.class()), Some(Ending::Failed));
                }
                None => {
                    tally.end(class, Some(ending));
                    send(Part::End).await;
                    return;
                }
            }
        }
    });
    Chunks { parts, ended: false }
}
