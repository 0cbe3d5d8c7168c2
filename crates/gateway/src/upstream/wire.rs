//! Moves the bytes of one HTTP exchange. awc's connections cannot leave their thread: a few threads own some, and everybody else
//! sends an exchange over a bounded queue. A thread that serves requests has its own, and makes small exchanges that may be
//! repeated itself. Every way in which an exchange can go wrong has its own name, because whether a byte may have reached the
//! vendor decides whether it may be sent again.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use awc::{
    body::{BoxBody, SizedStream},
    http::{Method, Uri},
};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
};

pub use super::dial::Unsent;
use super::{
    connections::Connections,
    dial::Dial,
    exchange::{Incoming, exchange},
    outgoing::{Outgoing, header, host},
    pools::{Pools, tls},
};
use crate::egress::{Egress, Lookup};

/// Exchanges waiting for one thread. The limits of the accounts keep them far below this.
const QUEUE: usize = 1_024;
/// Bytes of an answer that there is room for from the start, where it announces them.
const FIRST_READ: usize = 1024 * 1024;
/// Bytes of a request that are handed over at once.
const SLICE: usize = 64 * 1024;

/// Which connections an exchange may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reuse {
    /// One that served before. The host may close it just then, so this is for what may be repeated.
    Allowed,
    /// The same; where it turns out to be closed, the exchange is made once more on a new one. For what may arrive twice.
    Repeatable,
    /// A new one, so that a failure to reach the host is told from a failure after the first byte.
    Never,
}

/// One exchange.
pub struct Exchange {
    /// The pool of connections: one per account or subscription, so that a slow host takes nobody else's.
    pub pool: String,
    /// What is sent, ready.
    pub request: http::Request<Bytes>,
    /// From now to the last byte of the answer.
    pub timeout: Duration,
    /// Largest body of an answer.
    pub body_limit: usize,
    /// Which connections it may use.
    pub reuse: Reuse,
}

/// How an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// No byte of the request left: the request cannot be one, or the host cannot be reached.
    NotSent(Unsent, String),
    /// The time was up; bytes may have arrived.
    Timeout,
    /// The connection broke before an answer; bytes may have arrived.
    Broken(String),
}

/// An answer: its head, and its body or why that is not whole.
#[derive(Debug)]
pub struct Answer {
    /// The head, and the body as far as it came.
    pub response: Response<Bytes>,
    /// What is wrong with the body.
    pub body_problem: Option<&'static str>,
}

struct Job {
    exchange: Exchange,
    reply: oneshot::Sender<Result<Answer, WireError>>,
}

/// The threads that exchange bytes with vendors, or with subscribers.
pub struct Wire {
    threads: Vec<mpsc::Sender<Job>>,
    next: AtomicUsize,
    /// Whether a thread that serves requests may make an exchange by itself.
    serves_itself: bool,
}

impl Wire {
    /// Starts the threads that call hosts of the configuration. They end when the last handle is dropped.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let begun = Self::begin("upstream", threads, &Dial::anywhere())?;
        Ok(Self { serves_itself: true, ..begun })
    }

    /// Starts threads that call hosts that come from outside, at the addresses that may be called.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start_guarded(
        threads: usize,
        egress: Arc<Egress>,
        lookup: Arc<dyn Lookup>,
    ) -> std::io::Result<Self> {
        Self::begin("delivery", threads, &Dial::guarded(egress, lookup))
    }

    fn begin(name: &str, threads: usize, dial: &Dial) -> std::io::Result<Self> {
        // Two providers would be an error; the one that is there is as good as ours.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = tls();
        let mut senders = Vec::with_capacity(threads);
        for n in 0..threads.max(1) {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (dial, tls) = (dial.clone(), Arc::clone(&tls));
            thread::Builder::new()
                .name(format!("{name}-{n}"))
                .spawn(move || LocalSet::new().block_on(&runtime, serve(receiver, Pools::new(dial, tls))))?;
            senders.push(sender);
        }
        Ok(Self { threads: senders, next: AtomicUsize::new(0), serves_itself: false })
    }

    /// Does one exchange.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn exchange(&self, exchange: Exchange) -> Result<Answer, WireError> {
        let (reply, answer) = oneshot::channel();
        self.begin_exchange(Job { exchange, reply })?;
        answer.await.unwrap_or_else(|_| Err(WireError::Broken("the exchange was given up".to_owned())))
    }

    fn begin_exchange(&self, job: Job) -> Result<(), WireError> {
        // The hop to another thread and back costs more than a small exchange does.
        let is_small = self.serves_itself
            && job.exchange.reuse == Reuse::Allowed
            && job.exchange.request.body().len() <= SLICE;
        if let Some(pools) = is_small.then(Pools::of_serving_thread).flatten() {
            job.begin(pools);
            return Ok(());
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        let full = |_| WireError::NotSent(Unsent::Other, "the queue of exchanges is full".to_owned());
        self.threads[turn].try_send(job).map_err(full)
    }
}

async fn serve(mut jobs: mpsc::Receiver<Job>, pools: Pools) {
    let pools = Rc::new(pools);
    while let Some(job) = jobs.recv().await {
        job.begin(Rc::clone(&pools));
    }
}

impl Job {
    /// Makes the exchange in a task of this thread.
    fn begin(self, pools: Rc<Pools>) {
        let Self { exchange, reply } = self;
        pools.begin_sweep();
        tokio::task::spawn_local(async move {
            let done = tokio::time::timeout(exchange.timeout, carry_out(&pools, &exchange)).await;
            // Nobody may be waiting any more; the exchange has had its effect all the same.
            let _ = reply.send(done.unwrap_or(Err(WireError::Timeout)));
        });
    }
}

async fn carry_out(pools: &Pools, order: &Exchange) -> Result<Answer, WireError> {
    let now = Instant::now();
    let connections = pools.connections(&order.pool, now);
    let request = head(&order.request)?;
    let waiting = match order.reuse {
        Reuse::Allowed | Reuse::Repeatable => connections.waiting(request.uri(), now),
        Reuse::Never => None,
    };
    let Some(waiting) = waiting else {
        return send_anew(&connections, request, order, order.reuse != Reuse::Never).await;
    };
    match exchange(waiting, request, body(&order.request)).await {
        Ok(incoming) => Ok(read_answer(incoming, order.body_limit).await),
        Err(WireError::Broken(_)) if order.reuse == Reuse::Repeatable => {
            send_anew(&connections, head(&order.request)?, order, false).await
        }
        Err(error) => Err(error),
    }
}

/// Makes an exchange on a new connection, which is kept for others or closed.
async fn send_anew(
    connections: &Rc<Connections>,
    mut request: Outgoing,
    order: &Exchange,
    is_kept: bool,
) -> Result<Answer, WireError> {
    if !is_kept {
        request.close_connection();
    }
    let connection = connections.open(request.uri(), is_kept).await?;
    let incoming = exchange(connection, request, body(&order.request)).await?;
    Ok(read_answer(incoming, order.body_limit).await)
}

fn body(request: &http::Request<Bytes>) -> BoxBody {
    let body = request.body().clone();
    if body.len() <= SLICE { BoxBody::new(body) } else { BoxBody::new(in_slices(body)) }
}

/// The head of a request, as awc has it.
fn head(request: &http::Request<Bytes>) -> Result<Outgoing, WireError> {
    let unsent = |problem: String| WireError::NotSent(Unsent::Other, problem);
    let method = Method::from_bytes(request.method().as_str().as_bytes());
    let method = method.map_err(|error| unsent(error.to_string()))?;
    let uri = Uri::try_from(request.uri().to_string()).map_err(|error| unsent(error.to_string()))?;
    let host = host(&uri);
    let mut head = Outgoing::new(method, uri, host)?;
    for (name, value) in request.headers() {
        let unfit = || unsent(format!("the header {name} cannot be sent"));
        let (name, value) = header(name, value).ok_or_else(unfit)?;
        head.headers_mut().append(name, value);
    }
    Ok(head)
}

/// A body of known length, handed over in slices: as one piece, it would be copied whole before any of it is sent.
fn in_slices(body: Bytes) -> SizedStream<impl Stream<Item = Result<Bytes, Infallible>> + 'static> {
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let slices = futures_util::stream::unfold(body, |mut rest| async move {
        let slice = rest.split_to(rest.len().min(SLICE));
        (!slice.is_empty()).then(|| (Ok(slice), rest))
    });
    SizedStream::new(length, Box::pin(slices))
}

async fn read_answer(mut incoming: Incoming, limit: usize) -> Answer {
    let announced = incoming.announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let mut body = BytesMut::with_capacity(announced.unwrap_or_default().min(limit).min(FIRST_READ));
    let body_problem = if incoming.is_lost() {
        Some("the answer has no length")
    } else if announced.is_some_and(|length| length > limit) {
        Some("the answer is too large")
    } else {
        read_body(&mut incoming, limit, &mut body).await.err()
    };
    Answer { response: to_response(&incoming, body.freeze()), body_problem }
}

async fn read_body(incoming: &mut Incoming, limit: usize, body: &mut BytesMut) -> Result<(), &'static str> {
    while let Some(part) = poll_fn(|context| Pin::new(&mut incoming.body).poll_next(context)).await {
        let part = part.map_err(|_| "the answer was cut")?;
        if body.len() + part.len() > limit {
            return Err("the answer is too large");
        }
        body.extend_from_slice(&part);
    }
    Ok(())
}

fn to_response(head: &Incoming, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(head.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in head.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    async fn read_request(stream: &mut TcpStream) {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0);
        }
    }

    async fn answer(stream: &mut TcpStream) {
        read_request(stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    }

    /// What comes of a second exchange, whose connection the host ends as soon as it has read the request.
    async fn second(reuse: Reuse) -> Result<Bytes, WireError> {
        let wire = Wire::start(1).unwrap();
        let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", host.local_addr().unwrap());
        let exchange = async || {
            let request = http::Request::get(&url).body(Bytes::new()).unwrap();
            let (pool, timeout) = ("host".to_owned(), Duration::from_secs(20));
            let done = wire.exchange(Exchange { pool, request, timeout, body_limit: 10, reuse }).await;
            done.map(|answer| answer.response.into_body())
        };
        let serve = async {
            let mut used = host.accept().await.unwrap().0;
            answer(&mut used).await;
            read_request(&mut used).await;
            drop(used);
            answer(&mut host.accept().await.unwrap().0).await;
            std::future::pending().await
        };
        tokio::select! {
            done = async { exchange().await.and(exchange().await) } => done,
            never = serve => never,
        }
    }

    #[tokio::test]
    async fn only_what_may_arrive_twice_is_sent_again() {
        assert_eq!(second(Reuse::Repeatable).await.unwrap(), "ok");
        assert!(matches!(second(Reuse::Allowed).await, Err(WireError::Broken(_))));
    }
}
