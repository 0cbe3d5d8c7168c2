//! The relay: calls of services that pass on to a vendor as they are, with the account's token put on. Bodies stream both
//! ways, no faster than the slower side takes them. What was begun is never sent again.
//!
//! There is one per thread of the API port, because awc's clients cannot leave theirs, and a hop between threads would cost
//! more than the rest of the way.

mod credentials;
mod download;
mod fields;
mod tally;
mod target;
mod upload;
mod verdict;

use std::{
    cell::Cell,
    error::Error as StdError,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant as StdInstant},
};

pub use awc::http::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use awc::{
    ClientRequest, ClientResponse, SendClientRequest,
    body::{BodyStream, SizedStream},
    error::SendRequestError,
};
use bytes::Bytes;
use futures_util::Stream;
use outdial_core::{Error, ErrorClass};
use tokio::time::{Instant, timeout_at};

use self::{
    credentials::Credentials,
    download::{AtOnce, Bounds, Download},
    tally::Tally,
    upload::{Progress, Upload},
    verdict::{announced_length, explain, is_rejection, judge, protocol, unusable},
};
pub use self::{download::Chunks, target::check_path, upload::UploadFault};
use super::{
    CallTimes, Ending, Priority, Upstream,
    dial::{STAGE, Stage},
    pools::Pools,
    wire::classify,
};
use crate::accounts::Account;

/// The bounds of relayed calls.
#[derive(Clone, Copy, Debug)]
pub struct RelayBounds {
    /// Largest body of a request.
    pub max_request: u64,
    /// Largest body of an answer.
    pub max_response: u64,
    /// From the head of the request to the last byte of the answer.
    pub timeout: Duration,
    /// Longest silence inside a body.
    pub idle: Duration,
}

/// A caller's body.
pub enum CallerBody<S> {
    /// There is none.
    None,
    /// Of so many bytes.
    Sized(u64, S),
    /// Of unknown length.
    Chunked(S),
}

/// A caller's call.
pub struct RelayCall<'a, S> {
    /// How.
    pub method: Method,
    /// Path and query behind the vendor's base URL, without the slash between; its path has passed [`check_path`].
    pub target: &'a str,
    /// As the caller sent them.
    pub headers: &'a HeaderMap,
    /// Ours.
    pub request_id: Option<HeaderValue>,
    /// As it comes.
    pub body: CallerBody<S>,
}

/// A vendor's answer.
#[derive(Debug)]
pub struct Relayed {
    /// The vendor's, whatever it is.
    pub status: u16,
    /// Those that pass, in their order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// As it comes.
    pub body: RelayedBody,
}

/// A vendor's body.
#[derive(Debug)]
pub enum RelayedBody {
    /// There is none; of `HEAD`, the length that it would have.
    None(Option<u64>),
    /// It was there at once.
    Whole(Bytes),
    /// It is coming, with its length where the vendor announced it.
    Coming(Option<u64>, Chunks),
}

/// Why there is no answer of the vendor.
#[derive(Debug)]
pub enum RelayFailure {
    /// The vendor's side failed.
    Vendor(Error),
    /// The caller's body failed on its way up.
    Upload(UploadFault),
}

impl From<Error> for RelayFailure {
    fn from(error: Error) -> Self {
        Self::Vendor(error)
    }
}

/// The relay of one thread.
pub struct Relay {
    upstream: Arc<Upstream>,
    pools: Rc<Pools>,
    credentials: Credentials,
    bounds: RelayBounds,
}

impl Relay {
    /// A relay for the thread that it is made on.
    pub fn new(upstream: Arc<Upstream>, bounds: RelayBounds) -> Self {
        let pools = Pools::for_serving_thread();
        Self { upstream, pools, credentials: Credentials::default(), bounds }
    }

    /// Largest body of a request.
    pub fn max_request(&self) -> u64 {
        self.bounds.max_request
    }

    /// Passes a call on, once. The vendor's answer is an answer whatever its status says.
    ///
    /// # Errors
    /// What came before the vendor's head: see [`RelayFailure`]. `OutcomeUnknown` where the call may have had an effect.
    pub async fn pass<S, E>(
        &self,
        account: &Arc<Account>,
        call: RelayCall<'_, S>,
    ) -> Result<Relayed, RelayFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + 'static,
    {
        let mut tally = Tally::begin(&self.upstream, account);
        let deadline = Instant::now() + self.bounds.timeout;
        let passed = match self.send(account, call, &mut tally, deadline).await {
            Ok(sent) => answer(account, sent, self.bounds, deadline, tally).await,
            Err(failure) => Err((failure, tally)),
        };
        passed.map_err(|(failure, mut tally)| {
            match &failure {
                RelayFailure::Vendor(error) => tally.end(Some(error.class), Some(Ending::of(error))),
                RelayFailure::Upload(_) => tally.end(Some(ErrorClass::InvalidInput), None),
            }
            failure
        })
    }

    async fn send<S, E>(
        &self,
        account: &Arc<Account>,
        call: RelayCall<'_, S>,
        tally: &mut Tally,
        deadline: Instant,
    ) -> Result<Sent, RelayFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + 'static,
    {
        let patience = StdInstant::now() + account.limits.timeout.min(self.bounds.timeout);
        let caller = &self.upstream.caller;
        caller.access(&account.id)?.gate.ensure_open(patience)?;
        // Before the turn: who waits for a token takes no slot.
        let token = caller.token_before(patience, account, None).await?;
        let times = CallTimes { begin_by: patience, end_by: deadline.into_std() };
        tally.hold(self.upstream.turn(account, Priority::Interactive, times).await?);
        let mut request = self.request(account, &call);
        self.credentials.put_on(account, &token, request.headers_mut())?;
        let (is_head, is_safe) = (call.method == Method::HEAD, call.method.is_safe());
        let progress = Progress::begin();
        let sending = self.begin(request, call.body, &progress);
        let sent = STAGE.scope(Cell::new(Stage::Pooled), async {
            let answered = wait(sending, &progress, account.limits.timeout, deadline).await;
            answered.unwrap_or(Err(SendRequestError::Timeout)).map_err(classify)
        });
        let sent = sent.await;
        if let Some(fault) = progress.fault.get() {
            return Err(RelayFailure::Upload(fault));
        }
        let response = sent.map_err(|error| explain(account, is_safe, error))?;
        if response.status().is_informational() {
            // The answer is still to come on this connection: the next call would take it for its own.
            self.pools.forget(account.id.as_str());
        }
        if is_rejection(account, &response) {
            caller.tokens.note_rejected(&account.id, &token);
        }
        let (class, ending) = judge(&response, &*caller.clock);
        Ok(Sent { response, is_head, class, ending })
    }

    fn request<S>(&self, account: &Account, call: &RelayCall<'_, S>) -> ClientRequest {
        self.pools.begin_sweep();
        let client = self.pools.client(account.id.as_str(), false);
        let url = [account.vendor.base_url(), "/", call.target].concat();
        let mut request = client.request(call.method.clone(), url).no_decompress();
        fields::pass_up(call.headers, call.request_id.clone(), request.headers_mut());
        request
    }

    fn begin<S, E>(
        &self,
        request: ClientRequest,
        body: CallerBody<S>,
        progress: &Rc<Progress>,
    ) -> SendClientRequest
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + 'static,
    {
        let RelayBounds { max_request, idle, .. } = self.bounds;
        let upload = |chunks| Upload::new(chunks, max_request, idle, Rc::clone(progress));
        match body {
            CallerBody::None => request.send(),
            CallerBody::Sized(length, chunks) => request.send_body(SizedStream::new(length, upload(chunks))),
            CallerBody::Chunked(chunks) => request.send_body(BodyStream::new(upload(chunks))),
        }
    }
}

struct Sent {
    response: ClientResponse,
    is_head: bool,
    class: Option<ErrorClass>,
    ending: Ending,
}

/// Waits for the head of the answer, until the vendor has been silent for too long: neither taken anything of the body, nor
/// answered. `None` when the time is up.
async fn wait<T>(
    sending: impl Future<Output = T>,
    progress: &Progress,
    silence: Duration,
    deadline: Instant,
) -> Option<T> {
    let mut sending = std::pin::pin!(sending);
    loop {
        let until = (progress.moved.get() + silence).min(deadline);
        if let Ok(done) = timeout_at(until, sending.as_mut()).await {
            return Some(done);
        }
        let now = Instant::now();
        if now >= deadline || now >= progress.moved.get() + silence {
            return None;
        }
    }
}

/// Makes an answer of the vendor's head and what is there of its body.
async fn answer(
    account: &Account,
    sent: Sent,
    bounds: RelayBounds,
    deadline: Instant,
    mut tally: Tally,
) -> Result<Relayed, (RelayFailure, Tally)> {
    let Sent { response, is_head, class, ending } = sent;
    let status = response.status().as_u16();
    let announced = announced_length(&response);
    let headers = fields::downwards(response.headers());
    let bodiless = is_head || matches!(status, 204 | 304);
    if let Some(problem) = unusable(&response, announced, bodiless, bounds.max_response) {
        return Err((protocol(account, status, problem).into(), tally));
    }
    if bodiless {
        tally.end(class, Some(ending));
        return Ok(Relayed { status, headers, body: RelayedBody::None(announced.filter(|_| is_head)) });
    }
    let bounds = Bounds { limit: bounds.max_response, idle: bounds.idle, deadline };
    let mut download = Download::new(response, announced, bounds);
    let at_once = std::future::poll_fn(|context| Poll::Ready(download.at_once(context)));
    let body = match at_once.await {
        Ok(AtOnce::Whole(body)) => {
            tally.end(class, Some(ending));
            RelayedBody::Whole(body)
        }
        Ok(AtOnce::Some(first)) => {
            let chunks = download::hand_over(first, download, tally, class, ending);
            RelayedBody::Coming(announced, chunks)
        }
        Err(cut) => return Err((protocol(account, status, cut.detail()).into(), tally)),
    };
    Ok(Relayed { status, headers, body })
}

impl StdError for RelayFailure {}

impl std::fmt::Display for RelayFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vendor(error) => error.fmt(f),
            Self::Upload(fault) => fault.fmt(f),
        }
    }
}
