//! The connections of one pool. awc opens them, with its limits for that; they are kept here between exchanges, because awc
//! gives none of its own back to its pool but after an exchange of its own.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use actix_http::ServiceConfig;
use actix_service::Service;
use awc::{
    BoxedSocket, Connect, Connector,
    error::ConnectError,
    http::{Uri, uri::Authority},
};
use bytes::{Buf, BytesMut};
use futures_util::{FutureExt, future::LocalBoxFuture};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::{
    dial::{Dial, explain},
    wire::WireError,
};

/// How long a connection may wait for its next exchange.
const IDLE_LIMIT: Duration = Duration::from_secs(15);
/// Age from which a connection is used no more, so that a host can be moved.
const AGE_LIMIT: Duration = Duration::from_secs(75);
/// Connections of one pool that wait for their next exchange. Beyond it the one is closed that has waited longest.
pub(super) const WAITING_LIMIT: usize = 256;
/// How long the end of a connection may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);
/// Room for what comes, made where less than the first is left.
const ROOM: (usize, usize) = (1024, 8 * 1024);
/// Room that a waiting connection may keep, each way.
const KEPT_ROOM: usize = 16 * 1024;

type Open = Box<dyn Fn(Uri) -> LocalBoxFuture<'static, Result<BoxedSocket, ConnectError>>>;

/// The connections of one pool.
pub(super) struct Connections {
    open: Open,
    config: ServiceConfig,
    /// Those that wait, in the order in which they were used.
    #[expect(clippy::vec_box, reason = "each goes in and out for every exchange, and is large")]
    waiting: RefCell<Vec<Box<Connection>>>,
}

impl Connections {
    /// Those that this opens.
    pub(super) fn new(connector: Connector<Dial>, config: ServiceConfig) -> Self {
        let connector = connector.finish();
        let open: Open = Box::new(move |uri| {
            let opening = connector.call(Connect { uri, addr: None });
            async move { Ok(Box::new(opening.await?) as BoxedSocket) }.boxed_local()
        });
        Self { open, config, waiting: RefCell::default() }
    }

    /// One that served before and waits, to the host of this URL.
    pub(super) fn waiting(&self, uri: &Uri, now: Instant) -> Option<Box<Connection>> {
        loop {
            // The last one used is the likeliest to be open still, and the others can grow old.
            let connection = {
                let mut waiting = self.waiting.borrow_mut();
                let at = waiting.iter().rposition(|connection| connection.leads_to(uri))?;
                waiting.remove(at)
            };
            if connection.is_old(now) {
                connection.close();
            } else if let Some(connection) = connection.if_quiet() {
                return Some(connection);
            }
        }
    }

    /// A new one. One that is kept serves again after its exchange.
    ///
    /// # Errors
    /// `NotSent`: the host cannot be reached.
    pub(super) async fn open(
        self: &Rc<Self>,
        uri: &Uri,
        is_kept: bool,
    ) -> Result<Box<Connection>, WireError> {
        let socket = (self.open)(uri.clone()).await.map_err(|error| {
            let (why, detail) = explain(&error);
            WireError::NotSent(why, detail)
        })?;
        let opened = Instant::now();
        Ok(Box::new(Connection {
            socket,
            host: uri.authority().cloned(),
            is_safe: is_safe(uri),
            received: BytesMut::new(),
            to_send: BytesMut::new(),
            is_flushed: true,
            config: self.config.clone(),
            home: if is_kept { Rc::downgrade(self) } else { Weak::new() },
            opened,
            used: opened,
        }))
    }

    /// Closes what has waited for too long, by the time that it is.
    pub(super) fn close_old(&self, now: Instant) {
        let old =
            self.waiting.borrow_mut().extract_if(.., |connection| connection.is_old(now)).collect::<Vec<_>>();
        old.into_iter().for_each(|connection| connection.close());
    }

    fn keep(&self, connection: Box<Connection>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(connection);
        let oldest = (waiting.len() > WAITING_LIMIT).then(|| waiting.remove(0));
        drop(waiting);
        oldest.into_iter().for_each(|connection| connection.close());
    }
}

/// A connection to a host.
pub(super) struct Connection {
    socket: BoxedSocket,
    host: Option<Authority>,
    is_safe: bool,
    /// What came and is not read.
    pub(super) received: BytesMut,
    /// What is written and has not left.
    pub(super) to_send: BytesMut,
    is_flushed: bool,
    pub(super) config: ServiceConfig,
    /// Where it waits for its next exchange, if it may.
    home: Weak<Connections>,
    opened: Instant,
    used: Instant,
}

impl Connection {
    fn leads_to(&self, uri: &Uri) -> bool {
        self.host.as_ref() == uri.authority() && self.is_safe == is_safe(uri)
    }

    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) > IDLE_LIMIT
            || now.saturating_duration_since(self.opened) > AGE_LIMIT
    }

    /// The connection, unless the other side has ended it or said what nobody asked for.
    fn if_quiet(mut self: Box<Self>) -> Option<Box<Self>> {
        let mut byte = [0];
        let read = std::future::poll_fn(|context| {
            Pin::new(&mut self.socket).poll_read(context, &mut ReadBuf::new(&mut byte))
        });
        // Whoever has looked at many already would find every further one quiet.
        tokio::task::unconstrained(read).now_or_never().is_none().then_some(self)
    }

    /// Reads more of what comes. Nothing more is the end.
    pub(super) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.received.capacity() - self.received.len() < ROOM.0 {
            self.received.reserve(ROOM.1);
        }
        poll_read_buf(Pin::new(&mut self.socket), context, &mut self.received)
    }

    /// Sends what is written.
    pub(super) fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.to_send.is_empty() {
            self.is_flushed = false;
            let sent = ready!(Pin::new(&mut self.socket).poll_write(context, &self.to_send))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.to_send.advance(sent);
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Its exchange is over: it waits for the next one, if it may and nothing else has come on it.
    pub(super) fn end(mut self: Box<Self>, is_reusable: bool) {
        match self.home.upgrade() {
            Some(home) if is_reusable && self.received.is_empty() => {
                shrink(&mut self.to_send);
                shrink(&mut self.received);
                self.used = Instant::now();
                home.keep(self);
            }
            _ => self.close(),
        }
    }

    /// Tells the other side that nothing more comes.
    fn close(mut self: Box<Self>) {
        tokio::task::spawn_local(async move {
            // It ends either way.
            let _ = tokio::time::timeout(CLOSE_LIMIT, self.socket.shutdown()).await;
        });
    }
}

/// Gives back room that is too much to keep. Where some of it is in use by others, how much there is of it is not known.
fn shrink(room: &mut BytesMut) {
    if !room.try_reclaim(ROOM.0) || room.try_reclaim(KEPT_ROOM + 1) {
        *room = BytesMut::new();
    }
}

fn is_safe(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
        task::LocalSet,
    };

    use super::*;
    use crate::upstream::{dial::Unsent, pools::tls};

    /// A host, and its URL.
    async fn host() -> (TcpListener, Uri) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/x", listener.local_addr().unwrap()).parse().unwrap();
        (listener, uri)
    }

    async fn with_pool(test: impl AsyncFnOnce(Rc<Connections>)) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tested = LocalSet::new();
        let tested = tested.run_until(async {
            let connector = Connector::new().connector(Dial::anywhere()).rustls_0_23(tls());
            // Those that wait have their place among all of a pool.
            let connector = connector.limit(WAITING_LIMIT + 2);
            test(Rc::new(Connections::new(connector, ServiceConfig::default()))).await;
        });
        tokio::time::timeout(Duration::from_secs(30), tested).await.expect("something waits for ever");
    }

    /// A connection that waits, and the host's end of it.
    async fn waiting(pool: &Rc<Connections>, (listener, uri): &(TcpListener, Uri)) -> TcpStream {
        let connection = pool.open(uri, true).await.unwrap();
        connection.end(true);
        listener.accept().await.unwrap().0
    }

    #[tokio::test]
    async fn it_is_told_why_there_is_none() {
        with_pool(async |pool| {
            let (listener, uri) = host().await;
            let safe: Uri = uri.to_string().replace("http:", "https:").parse().unwrap();
            let plain = async {
                let mut stream = listener.accept().await.unwrap().0;
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
                stream
            };
            let (opened, _stream) = tokio::join!(pool.open(&safe, true), plain);
            assert!(matches!(opened.err(), Some(WireError::NotSent(Unsent::Tls, _))));
            drop(listener);
            let refused = pool.open(&uri, true).await.err();
            assert!(matches!(refused, Some(WireError::NotSent(Unsent::Refused, _))), "{refused:?}");
        })
        .await;
    }

    #[tokio::test]
    async fn the_one_that_was_used_last_serves_again() {
        with_pool(async |pool| {
            let host = host().await;
            let ends = [waiting(&pool, &host).await, waiting(&pool, &host).await];
            let now = Instant::now();
            let mut last = pool.waiting(&host.1, now).unwrap();
            last.to_send.extend_from_slice(b"x");
            std::future::poll_fn(|context| last.poll_send(context)).await.unwrap();
            let [_, mut end] = ends;
            assert_eq!(end.read_u8().await.unwrap(), b'x');
            assert!(pool.waiting(&host.1, now).is_some() && pool.waiting(&host.1, now).is_none());
        })
        .await;
    }

    #[tokio::test]
    async fn each_serves_its_own_host() {
        with_pool(async |pool| {
            let (one, other) = (host().await, host().await);
            let _end = waiting(&pool, &one).await;
            let now = Instant::now();
            let safe = one.1.to_string().replace("http:", "https:").parse().unwrap();
            assert!(pool.waiting(&other.1, now).is_none() && pool.waiting(&safe, now).is_none());
            assert!(pool.waiting(&one.1, now).is_some());
        })
        .await;
    }

    #[tokio::test]
    async fn who_was_ended_or_has_said_something_serves_no_more() {
        with_pool(async |pool| {
            let host = host().await;
            for has_said in [true, false] {
                let end = waiting(&pool, &host).await;
                if has_said {
                    end.try_write(b"x").unwrap();
                } else {
                    drop(end);
                }
                // It may take a moment until it is known here.
                while let Some(connection) = pool.waiting(&host.1, Instant::now()) {
                    connection.end(true);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            let mut end = waiting(&pool, &host).await;
            let mut connection = pool.waiting(&host.1, Instant::now()).unwrap();
            end.try_write(b"left over").unwrap();
            std::future::poll_fn(|context| connection.poll_receive(context)).await.unwrap();
            connection.end(true);
            assert!(pool.waiting(&host.1, Instant::now()).is_none(), "what is left over is nobody's answer");
            assert_eq!(end.read(&mut [0]).await.unwrap(), 0, "it was closed");
        })
        .await;
    }

    #[tokio::test]
    async fn of_many_that_were_ended_none_serves() {
        with_pool(async |pool| {
            let host = host().await;
            // More than a task may look at before it has to let others run.
            for _ in 0..WAITING_LIMIT {
                let mut connection = pool.open(&host.1, true).await.unwrap();
                drop(host.0.accept().await.unwrap());
                let read = std::future::poll_fn(|context| connection.poll_receive(context)).await;
                assert_eq!(read.unwrap(), 0);
                connection.end(true);
            }
            assert_eq!(pool.waiting.borrow().len(), WAITING_LIMIT);
            assert!(pool.waiting(&host.1, Instant::now()).is_none());
        })
        .await;
    }

    #[tokio::test]
    async fn those_that_wait_hold_little_memory() {
        with_pool(async |pool| {
            let host = host().await;
            let mut connection = pool.open(&host.1, true).await.unwrap();
            let mut end = host.0.accept().await.unwrap().0;
            for (size, is_kept) in [(KEPT_ROOM / 2, true), (KEPT_ROOM * 2, false)] {
                let mut bytes = vec![b'x'; size];
                connection.to_send.extend_from_slice(&bytes);
                std::future::poll_fn(|context| connection.poll_send(context)).await.unwrap();
                end.read_exact(&mut bytes).await.unwrap();
                end.write_all(&bytes).await.unwrap();
                while connection.received.len() < size {
                    std::future::poll_fn(|context| connection.poll_receive(context)).await.unwrap();
                }
                connection.received.advance(size);
                connection.end(true);
                connection = pool.waiting(&host.1, Instant::now()).unwrap();
                let Connection { to_send, received, .. } = &mut *connection;
                assert_eq!([to_send, received].map(|room| room.try_reclaim(1)), [is_kept; 2], "{size}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn old_ones_are_closed() {
        with_pool(async |pool| {
            let host = host().await;
            let mut ends = [waiting(&pool, &host).await, waiting(&pool, &host).await];
            let (now, later) = (Instant::now(), IDLE_LIMIT + Duration::from_secs(1));
            pool.close_old(now + IDLE_LIMIT / 2);
            assert_eq!(pool.waiting.borrow().len(), 2);
            pool.waiting.borrow_mut()[0].opened = now.checked_sub(AGE_LIMIT * 2).unwrap();
            pool.close_old(now);
            assert_eq!(pool.waiting.borrow().len(), 1);
            assert_eq!(ends[0].read(&mut [0]).await.unwrap(), 0);
            assert!(pool.waiting(&host.1, now + later).is_none());
            assert_eq!(ends[1].read(&mut [0]).await.unwrap(), 0);
        })
        .await;
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        with_pool(async |pool| {
            let host = host().await;
            let mut first = waiting(&pool, &host).await;
            let mut ends = Vec::new();
            for _ in 0..WAITING_LIMIT {
                ends.push(waiting(&pool, &host).await);
            }
            assert_eq!(pool.waiting.borrow().len(), WAITING_LIMIT);
            assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "the oldest was closed");
            let single = pool.open(&host.1, false).await.unwrap();
            let mut end = host.0.accept().await.unwrap().0;
            single.end(true);
            assert_eq!(end.read(&mut [0]).await.unwrap(), 0, "it was for one exchange");
        })
        .await;
    }
}
