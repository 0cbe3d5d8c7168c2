//! Moves the bytes of one HTTP exchange. awc's connections cannot leave their thread: a few threads own some, and everybody else
//! sends an exchange over a bounded queue. A thread that serves requests has its own, and makes small exchanges that may be
//! repeated itself. Every way in which an exchange can go wrong has its own name, because whether a byte may have reached the
//! vendor decides whether it may be sent again.

use std::{
    cell::Cell,
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use awc::{
    body::{BoxBody, SizedStream},
    error::{ConnectError, SendRequestError},
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
    dial::{Dial, STAGE, Stage, explain, stage},
    pools::{Pools, tls},
    sender::{Incoming, Outgoing, header, host},
    watched::watch,
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
    /// An interim status (RFC 9110, 15.2) came, and awc takes it for the answer, which is then never read; the request arrived.
    Interim(u16),
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
            let exchanged = STAGE.scope(Cell::new(Stage::Pooled), carry_out(&pools, &exchange));
            let done = tokio::time::timeout(exchange.timeout, exchanged).await;
            // Nobody may be waiting any more; the exchange has had its effect all the same.
            let _ = reply.send(done.unwrap_or(Err(WireError::Timeout)));
        });
    }
}

async fn carry_out(pools: &Pools, exchange: &Exchange) -> Result<Answer, WireError> {
    let answer = send(pools, exchange, exchange.reuse == Reuse::Never).await;
    let was_used = exchange.reuse == Reuse::Repeatable && stage() == Stage::Pooled;
    match answer {
        Err(WireError::Broken(_)) if was_used => send(pools, exchange, true).await,
        answer => answer,
    }
}

async fn send(pools: &Pools, exchange: &Exchange, fresh: bool) -> Result<Answer, WireError> {
    let request = &exchange.request;
    let mut head = head(request)?;
    if fresh {
        head.close_connection();
    }
    let body = request.body().clone();
    let body = if body.len() <= SLICE { BoxBody::new(body) } else { BoxBody::new(in_slices(body)) };
    let response = pools.sender(&exchange.pool, fresh).send(head, body).await.map_err(classify)?;
    if response.leaves_a_rest(false) {
        pools.forget(&exchange.pool);
    }
    if response.status().is_informational() {
        return Err(WireError::Interim(response.status().as_u16()));
    }
    Ok(read_answer(response, exchange.body_limit).await)
}

/// The head of a request, as awc has it.
fn head(request: &http::Request<Bytes>) -> Result<Outgoing, WireError> {
    let unsent = |problem: String| WireError::NotSent(Unsent::Other, problem);
    let method = Method::from_bytes(request.method().as_str().as_bytes());
    let method = method.map_err(|error| unsent(error.to_string()))?;
    let uri = Uri::try_from(request.uri().to_string()).map_err(|error| unsent(error.to_string()))?;
    let host = host(&uri);
    let mut head = Outgoing::new(method, uri, host).map_err(classify)?;
    for (name, value) in request.headers() {
        let unfit = || unsent(format!("the header {name} cannot be sent"));
        let (name, value) = header(name, value).ok_or_else(unfit)?;
        head.headers_mut().append(name, value);
    }
    Ok(head)
}

/// A body of known length, handed over in slices: as one piece, awc would copy it whole into its write buffer.
fn in_slices(body: Bytes) -> SizedStream<impl Stream<Item = Result<Bytes, Infallible>> + 'static> {
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let slices = futures_util::stream::unfold(body, |mut rest| async move {
        let slice = rest.split_to(rest.len().min(SLICE));
        (!slice.is_empty()).then(|| (Ok(slice), rest))
    });
    SizedStream::new(length, Box::pin(slices))
}

/// What awc calls `Connect(Disconnected)` is a connection that ended before the head of an answer, after the request was
/// written.
pub(super) fn classify(error: SendRequestError) -> WireError {
    match error {
        SendRequestError::Connect(ConnectError::Disconnected) => {
            WireError::Broken("the connection ended before an answer".to_owned())
        }
        SendRequestError::Connect(error) => {
            let (why, detail) = explain(&error);
            WireError::NotSent(why, detail)
        }
        SendRequestError::Url(error) => WireError::NotSent(Unsent::Other, error.to_string()),
        SendRequestError::Http(error) => WireError::NotSent(Unsent::Other, error.to_string()),
        SendRequestError::Timeout => WireError::Timeout,
        other => WireError::Broken(other.to_string()),
    }
}

async fn read_answer(mut response: Incoming, limit: usize) -> Answer {
    let announced = response.announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let status = response.status().as_u16();
    let mut problem = response.is_lost(false).then_some("the answer has no length");
    let mut body = BytesMut::with_capacity(announced.unwrap_or_default().min(limit).min(FIRST_READ));
    let mut has_ended = false;
    if announced.is_some_and(|length| length > limit) {
        problem = Some("the answer is too large");
    } else {
        while let Some(chunk) = poll_fn(|context| {
            let (polled, ended) = watch(|| Pin::new(&mut response.body).poll_next(context));
            has_ended |= ended;
            polled
        })
        .await
        {
            match chunk {
                Ok(chunk) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
                Ok(_) => {
                    problem = Some("the answer is too large");
                    break;
                }
                Err(_) => {
                    problem = Some("the answer was cut");
                    break;
                }
            }
        }
    }
    // awc ends a body that was cut short as if it were whole.
    let short = announced.map_or(has_ended && response.is_chunked, |length| length != body.len());
    if problem.is_none() && short {
        problem = Some("the answer was cut");
    }
    Answer { response: to_response(&response, status, body.freeze()), body_problem: problem }
}

fn to_response(head: &Incoming, status: u16, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in head.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
