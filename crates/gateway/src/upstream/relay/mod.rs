//! The relay: calls of services that pass on to a vendor as they are, with the account's token put on. Bodies stream both
//! ways, no faster than the slower side takes them. What was begun is never sent again.
//!
//! There is one per thread of the API port, because awc's connections cannot leave theirs, and a hop between threads would cost
//! more than the rest of the way.

mod download;
mod fields;
mod lane;
mod overdue;
mod tally;
mod target;
mod upload;
mod verdict;

use std::{
    cell::RefCell,
    error::Error as StdError,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant as StdInstant},
};

use awc::body::{BodyStream, BoxBody, SizedStream};
pub use awc::http::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use bytes::Bytes;
use futures_util::Stream;
use hashbrown::HashMap;
use outdial_core::{AccountId, Error, ErrorClass, SecretString};
use tokio::time::Instant;

pub use self::{download::Chunks, target::check_path, upload::UploadFault};
use self::{
    download::{AtOnce, Bounds, Download},
    lane::Lane,
    overdue::Overdue,
    tally::Tally,
    upload::{Progress, Upload},
    verdict::{explain, is_rejection, judge, protocol, unusable},
};
use super::{
    CallTimes, Ending, Priority, Upstream,
    exchange::{Incoming, exchange},
    outgoing::Outgoing,
    pools::Pools,
    wire::{Unsent, WireError},
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
    /// Whose it is.
    pub vendor: HeaderValue,
    /// The vendor's, whatever it is.
    pub status: u16,
    /// Those that pass.
    pub headers: HeaderMap,
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
    /// One for each account that was called.
    lanes: RefCell<HashMap<AccountId, Rc<Lane>>>,
    overdue: Rc<Overdue>,
    bounds: RelayBounds,
}

impl Relay {
    /// A relay for the thread that it is made on.
    pub fn new(upstream: Arc<Upstream>, bounds: RelayBounds) -> Self {
        let pools = Pools::for_serving_thread();
        Self { upstream, pools, lanes: RefCell::default(), overdue: Rc::default(), bounds }
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
        let (lane, begun) = (self.lane(account)?, Instant::now());
        let mut tally = Tally::begin(Rc::clone(&lane), begun.into_std());
        let passed = match self.send(&lane, call, &mut tally, begun).await {
            Ok(sent) => answer(&lane, sent, self.bounds, begun + self.bounds.timeout, tally).await,
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

    fn lane(&self, account: &Arc<Account>) -> Result<Rc<Lane>, Error> {
        let mut lanes = self.lanes.borrow_mut();
        if let Some(lane) = lanes.get(&account.id) {
            return Ok(Rc::clone(lane));
        }
        let lane = Rc::new(Lane::new(&self.upstream, account)?);
        lanes.insert(account.id.clone(), Rc::clone(&lane));
        Ok(lane)
    }

    async fn send<S, E>(
        &self,
        lane: &Lane,
        call: RelayCall<'_, S>,
        tally: &mut Tally,
        begun: Instant,
    ) -> Result<Sent, RelayFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + 'static,
    {
        let (account, deadline) = (&lane.account, begun + self.bounds.timeout);
        let patience = begun.into_std() + account.limits.timeout.min(self.bounds.timeout);
        let token = self.token(lane, patience).await?;
        let times = CallTimes { begin_by: patience, end_by: deadline.into_std() };
        tally.hold(lane.gate.turn(Priority::Interactive, times).await?);
        let is_safe = call.method.is_safe();
        let uri = lane.uri(call.target).map_err(|error| {
            explain(account, is_safe, WireError::NotSent(Unsent::Other, error.to_string()))
        })?;
        self.pools.begin_sweep();
        let mut request = Outgoing::new(call.method, uri, Some(lane.host.clone()))
            .map_err(|error| explain(account, is_safe, error))?;
        fields::pass_up(call.headers, call.request_id, request.headers_mut());
        lane.authorize(&token, request.headers_mut())?;
        let progress = Progress::begin(Instant::now());
        let exchanged = self.exchange(account, request, self.upload(call.body, &progress), &progress);
        let answered = self.wait(pin!(exchanged), &progress, account.limits.timeout, deadline).await;
        if let Some(fault) = progress.fault.get() {
            return Err(RelayFailure::Upload(fault));
        }
        let response = answered.unwrap_or(Err(WireError::Timeout));
        let response = response.map_err(|error| explain(account, is_safe, error))?;
        let caller = &self.upstream.caller;
        if is_rejection(account, &response) {
            caller.tokens.note_rejected(&account.id, &token);
        }
        let (class, ending) = judge(&response, &*caller.clock);
        Ok(Sent { response, class, ending })
    }

    /// Makes the exchange, on a connection that waits or on a new one.
    async fn exchange(
        &self,
        account: &Account,
        request: Outgoing,
        body: BoxBody,
        progress: &Progress,
    ) -> Result<Incoming, WireError> {
        let now = progress.moved.get().into_std();
        let connections = self.pools.connections(account.id.as_str(), now);
        let connection = match connections.waiting(request.uri(), now) {
            Some(waiting) => waiting,
            None => connections.open(request.uri(), true).await?,
        };
        exchange(connection, request, body).await
    }

    /// The account's token. Who waits for it has no turn yet, and so takes no slot.
    async fn token(&self, lane: &Lane, patience: StdInstant) -> Result<SecretString, Error> {
        let caller = &self.upstream.caller;
        if let Some(token) = caller.tokens.at_hand(&lane.account, None) {
            return Ok(token);
        }
        lane.gate.ensure_open(patience)?;
        caller.token_before(patience, &lane.account, None).await
    }

    fn upload<S, E>(&self, body: CallerBody<S>, progress: &Rc<Progress>) -> BoxBody
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + 'static,
    {
        let RelayBounds { max_request, idle, .. } = self.bounds;
        let upload = |chunks| Upload::new(chunks, max_request, idle, Rc::clone(progress));
        match body {
            CallerBody::None => BoxBody::new(()),
            CallerBody::Sized(length, chunks) => BoxBody::new(SizedStream::new(length, upload(chunks))),
            CallerBody::Chunked(chunks) => BoxBody::new(BodyStream::new(upload(chunks))),
        }
    }

    /// Waits for the head of the answer, until the vendor has been silent for too long: neither taken anything of the body, nor
    /// answered. `None` when the time is up.
    async fn wait<T>(
        &self,
        mut sending: impl Future<Output = T> + Unpin,
        progress: &Progress,
        silence: Duration,
        deadline: Instant,
    ) -> Option<T> {
        loop {
            let until = (progress.moved.get() + silence).min(deadline);
            if let Some(done) = self.overdue.within(until, &mut sending).await {
                return Some(done);
            }
            let now = Instant::now();
            if now >= deadline || now >= progress.moved.get() + silence {
                return None;
            }
        }
    }
}

struct Sent {
    response: Incoming,
    class: Option<ErrorClass>,
    ending: Ending,
}

/// Makes an answer of the vendor's head and what is there of its body.
async fn answer(
    lane: &Lane,
    sent: Sent,
    bounds: RelayBounds,
    deadline: Instant,
    mut tally: Tally,
) -> Result<Relayed, (RelayFailure, Tally)> {
    let Sent { response, class, ending } = sent;
    let (account, vendor) = (&*lane.account, lane.vendor.clone());
    let status = response.status().as_u16();
    let announced = response.announced;
    if let Some(problem) = unusable(&response, bounds.max_response) {
        return Err((protocol(account, status, problem).into(), tally));
    }
    if response.is_bodiless() {
        tally.end(class, Some(ending));
        let body = RelayedBody::None(announced.filter(|_| response.is_head()));
        let headers = fields::downwards(response.into_parts().0);
        return Ok(Relayed { vendor, status, headers, body });
    }
    let bounds = Bounds { limit: bounds.max_response, idle: bounds.idle, deadline };
    let (headers, body) = response.into_parts();
    let mut download = Download::new(body, bounds);
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
    Ok(Relayed { vendor, status, headers: fields::downwards(headers), body })
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
