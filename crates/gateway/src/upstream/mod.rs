//! Calls to vendors: tokens, limits, deadlines, and the bytes themselves.

mod dial;
mod limits;
mod pools;
mod tokens;
mod turn;
mod wire;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request};
use outdial_core::{AccountId, Error, ErrorClass, SearchPage, SearchRequest, SecretString, UpstreamFailure};

use self::{limits::Limiter, wire::Answer};
pub use self::{
    tokens::{TokenState, Tokens},
    turn::{Ending, Priority, Turn},
    wire::{Exchange, Reuse, Unsent, Wire, WireError},
};
use crate::{
    accounts::{Account, Accounts},
    auth::KeyFetcher,
    telemetry::Metrics,
};

/// Largest page of a vendor's search: a thousand records of four kilobytes, four times over.
const SEARCH_BODY_LIMIT: usize = 16 * 1024 * 1024;
/// A vendor's reply to a roster is its status; the body is read for the connection's sake.
const ROSTER_BODY_LIMIT: usize = 64 * 1024;
/// How long a document of public keys may take.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);

/// What a caller's request hands on to the vendor.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// W3C `traceparent`, as it came.
    pub traceparent: Option<String>,
}

/// How the upload of one part failed.
#[derive(Debug)]
pub struct PartFailure {
    /// What the caller is told. Its class is `OutcomeUnknown` if any byte may have reached the vendor without an answer.
    pub error: Error,
    /// The vendor's status, where it answered.
    pub status: Option<u16>,
}

/// Calls to vendors.
pub struct Upstream {
    wire: Arc<Wire>,
    tokens: Arc<Tokens>,
    limiters: BTreeMap<AccountId, Limiter>,
    metrics: Arc<Metrics>,
}

/// What kind of call it is, as a metric label, and what its failure means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Roster,
    Search,
}

impl Operation {
    const fn label(self) -> &'static str {
        match self {
            Self::Roster => "roster",
            Self::Search => "search",
        }
    }

    const fn reuse(self) -> Reuse {
        match self {
            Self::Roster => Reuse::Never,
            Self::Search => Reuse::Allowed,
        }
    }

    const fn body_limit(self) -> usize {
        match self {
            Self::Roster => ROSTER_BODY_LIMIT,
            Self::Search => SEARCH_BODY_LIMIT,
        }
    }
}

impl Upstream {
    /// Calls over these threads with these tokens.
    pub fn new(accounts: &Accounts, wire: Arc<Wire>, tokens: Arc<Tokens>, metrics: Arc<Metrics>) -> Self {
        let limiters =
            accounts.iter().map(|account| (account.id.clone(), Limiter::new(&account.limits))).collect();
        Self { wire, tokens, limiters, metrics }
    }

    /// The state of an account's token.
    ///
    /// # Errors
    /// `Unavailable` when the store is away.
    pub async fn token_state(&self, account: &Account) -> Result<TokenState, Error> {
        self.tokens.state(account).await
    }

    /// Whether the last call of this replica failed because the vendor could not be reached or was broken.
    pub fn is_failing(&self, account: &AccountId) -> bool {
        self.limiters.get(account).is_some_and(Limiter::is_failing)
    }

    /// Makes sure that there is a token before a roster is stored and sent, so that wrong credentials cost nothing.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ensure_token(&self, account: &Arc<Account>) -> Result<(), Error> {
        self.tokens.get(account, None).await.map(|_| ())
    }

    /// Sends one part of a roster, at most once. Answers the vendor's status.
    ///
    /// # Errors
    /// See [`PartFailure`].
    pub async fn send_part(
        &self,
        account: &Arc<Account>,
        request: Request<Bytes>,
        trace: &Trace,
    ) -> Result<u16, PartFailure> {
        let started = Instant::now();
        let sent = self.try_send_part(account, request, trace).await;
        let outcome = sent.as_ref().map_err(|failure| failure.error.class);
        self.count(account, Operation::Roster, outcome.err(), started);
        sent
    }

    async fn try_send_part(
        &self,
        account: &Arc<Account>,
        request: Request<Bytes>,
        trace: &Trace,
    ) -> Result<u16, PartFailure> {
        let unanswered = |error| PartFailure { error, status: None };
        let call = self.call(account, Operation::Roster, request, trace, Priority::Interactive);
        let (answer, turn) = call.await.map_err(unanswered)?;
        let status = answer.response.status().as_u16();
        let read = account.vendor.parse_roster_reply(&answer.response);
        turn.end(read.as_ref().err().map_or(Ending::Answered, Ending::of));
        match read {
            Ok(()) => Ok(status),
            // A gateway on the way gave up waiting: what is behind it may have taken the roster.
            Err(_) if matches!(status, 502 | 504) => {
                let failure = UpstreamFailure::from_status(answer.response.status());
                Err(PartFailure {
                    error: unknown_outcome(account).with_upstream(failure),
                    status: Some(status),
                })
            }
            Err(error) => Err(PartFailure { error, status: Some(status) }),
        }
    }

    /// Asks a vendor for one page of call records. What is asked for with background priority waits for all that is not.
    ///
    /// # Errors
    /// What the vendor said, mapped, or why it could not be asked.
    pub async fn search(
        &self,
        account: &Arc<Account>,
        search: &SearchRequest<'_>,
        trace: &Trace,
        now: outdial_core::Timestamp,
        priority: Priority,
    ) -> Result<SearchPage, Error> {
        let started = Instant::now();
        let found = self.try_search(account, search, trace, now, priority).await;
        self.count(account, Operation::Search, found.as_ref().err().map(|error| error.class), started);
        found
    }

    async fn try_search(
        &self,
        account: &Arc<Account>,
        search: &SearchRequest<'_>,
        trace: &Trace,
        now: outdial_core::Timestamp,
        priority: Priority,
    ) -> Result<SearchPage, Error> {
        let request = account.vendor.search_request(search)?;
        let (answer, turn) = self.call(account, Operation::Search, request, trace, priority).await?;
        // A status that speaks for itself does so even if its body is broken.
        let found = match answer.body_problem.filter(|_| answer.response.status().is_success()) {
            None => account.vendor.parse_search(&answer.response, now),
            Some(problem) => {
                let message = "The vendor's answer is not whole.";
                Err(Error::new(ErrorClass::Protocol, "upstream-protocol", message).with_detail(problem))
            }
        };
        turn.end(found.as_ref().err().map_or(Ending::Answered, Ending::of));
        found
    }

    /// Waits for the right to make one call, at most until the deadline. Whoever has it says how the call ended.
    ///
    /// # Errors
    /// `RateLimited` when no turn came in time.
    pub async fn turn(
        &self,
        account: &Account,
        priority: Priority,
        deadline: Instant,
    ) -> Result<Turn, Error> {
        let limiter = self.limiters.get(&account.id);
        let limiter = limiter
            .ok_or_else(|| Error::new(ErrorClass::Internal, "internal", "Something went wrong here."))?;
        limiter.turn(priority, deadline).await
    }

    /// The account's token. `rejected` is one that the vendor no longer takes.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn token(
        &self,
        account: &Arc<Account>,
        rejected: Option<SecretString>,
    ) -> Result<SecretString, Error> {
        self.tokens.get(account, rejected).await
    }

    /// One call with its turn, its token, and one more try with a fresh token where the vendor takes the first no longer.
    async fn call(
        &self,
        account: &Arc<Account>,
        operation: Operation,
        request: Request<Bytes>,
        trace: &Trace,
        priority: Priority,
    ) -> Result<(Answer, Turn), Error> {
        let deadline = Instant::now() + account.limits.timeout;
        let turn = self.turn(account, priority, deadline).await?;
        let token = self.tokens.get(account, None).await?;
        let mut answer = self.send(account, operation, &request, &token, trace, deadline).await;
        if let Ok(first) = &answer
            && account.vendor.rejects_token(first.response.status())
            && account.vendor.fixed_token().is_none()
        {
            let fresh = self.tokens.get(account, Some(token)).await?;
            answer = self.send(account, operation, &request, &fresh, trace, deadline).await;
        } else if operation == Operation::Search && matches!(answer, Err(WireError::Broken(_))) {
            // A search changes nothing, and the host may have closed a used connection just then.
            answer = self.send(account, operation, &request, &token, trace, deadline).await;
        }
        match answer {
            Ok(answer) => Ok((answer, turn)),
            Err(error) => {
                turn.end(Ending::Failed);
                Err(explain(account, operation, error))
            }
        }
    }

    async fn send(
        &self,
        account: &Account,
        operation: Operation,
        request: &Request<Bytes>,
        token: &SecretString,
        trace: &Trace,
        deadline: Instant,
    ) -> Result<Answer, WireError> {
        let not_sent = |problem: String| WireError::NotSent(Unsent::Other, problem);
        let mut request = request.clone();
        let headers = request.headers_mut();
        account.vendor.authorize(headers, token).map_err(|error| not_sent(error.to_string()))?;
        let traceparent = trace.traceparent.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        if let Some(traceparent) = traceparent {
            headers.insert("traceparent", traceparent);
        }
        let timeout = deadline.saturating_duration_since(Instant::now());
        if timeout.is_zero() {
            return Err(not_sent("no time was left for the call".to_owned()));
        }
        let exchange = Exchange {
            pool: account.id.to_string(),
            request,
            timeout,
            body_limit: operation.body_limit(),
            reuse: operation.reuse(),
        };
        self.wire.exchange(exchange).await
    }

    fn count(&self, account: &Account, operation: Operation, failure: Option<ErrorClass>, started: Instant) {
        let outcome = failure.map_or("ok", ErrorClass::as_str);
        let vendor = account.vendor.descriptor().vendor.as_str();
        let labels = [account.id.as_str(), vendor, operation.label()];
        let [id, vendor, operation] = labels;
        self.metrics.upstream_requests.with_label_values(&[id, vendor, operation, outcome]).inc();
        let seconds = started.elapsed().as_secs_f64();
        self.metrics.upstream_duration.with_label_values(&labels).observe(seconds);
    }
}

/// What a broken exchange means to the caller. Of a roster it is unknown whether it was taken once a byte may have left.
fn explain(account: &Account, operation: Operation, error: WireError) -> Error {
    let vendor = &account.vendor.descriptor().vendor;
    match (error, operation) {
        (WireError::NotSent(_, detail), _) => {
            let message = format!("{vendor} cannot be reached; nothing was sent.");
            Error::new(ErrorClass::Unavailable, "upstream-unavailable", message).with_detail(detail)
        }
        (WireError::Timeout, Operation::Roster) => unknown_outcome(account),
        (WireError::Broken(detail), Operation::Roster) => unknown_outcome(account).with_detail(detail),
        (WireError::Timeout, Operation::Search) => {
            Error::new(ErrorClass::Timeout, "upstream-timeout", format!("{vendor} did not answer in time."))
        }
        (WireError::Broken(detail), Operation::Search) => {
            let message = format!("{vendor} broke the connection off.");
            Error::new(ErrorClass::Unavailable, "upstream-unavailable", message).with_detail(detail)
        }
    }
}

fn unknown_outcome(account: &Account) -> Error {
    let message = format!(
        "{} gave no answer to the roster; it may or may not have been taken, and is not sent again.",
        account.vendor.descriptor().vendor
    );
    Error::new(ErrorClass::OutcomeUnknown, "upstream-outcome-unknown", message)
}

#[async_trait]
impl KeyFetcher for Wire {
    async fn fetch(&self, url: &str, limit: usize) -> Result<Bytes, String> {
        let request = Request::get(url).header("accept", "application/json").body(Bytes::new());
        let exchange = Exchange {
            pool: "public keys".to_owned(),
            request: request.map_err(|error| error.to_string())?,
            timeout: KEYS_TIMEOUT,
            body_limit: limit,
            reuse: Reuse::Never,
        };
        let answer = self.exchange(exchange).await.map_err(|error| format!("{error:?}"))?;
        match answer.body_problem {
            Some(problem) => Err(problem.to_owned()),
            None if answer.response.status() == http::StatusCode::OK => Ok(answer.response.into_body()),
            None => Err(format!("status {}", answer.response.status().as_u16())),
        }
    }
}
