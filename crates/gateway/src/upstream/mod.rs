//! Calls to vendors: tokens, limits, deadlines, and the bytes themselves.

mod caller;
mod connections;
mod dial;
mod exchange;
mod gate;
mod outgoing;
mod pools;
mod relay;
mod retries;
mod searches;
mod tokens;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use outdial_core::{AccountId, Clock, Error, ErrorClass, SearchRequest, UpstreamFailure};
use outdial_store::Store;

use self::{
    caller::{Access, Call, Caller, Operation, Ready, labels, unknown_outcome},
    gate::{CountedTurns, Gate},
    retries::RetryBudget,
    searches::{SearchKey, Searches},
};
pub use self::{
    gate::{CallTimes, Ending, Priority, Turn},
    relay::{
        CallerBody, Relay, RelayBounds, RelayCall, RelayFailure, Relayed, RelayedBody, UploadFault,
        check_path,
    },
    searches::Found,
    tokens::{TokenState, Tokens},
    wire::{Exchange, Reuse, Unsent, Wire, WireError},
};
use crate::{
    accounts::{Account, Accounts},
    auth::KeyFetcher,
    tasks::Tasks,
    telemetry::Metrics,
};

/// How long a document of public keys may take.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);

/// What a caller's request hands on to the vendor.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// W3C `traceparent`, as it came.
    pub traceparent: Option<String>,
}

/// The turn of one part at its vendor.
pub struct PartTurn {
    ready: Ready,
    started: Instant,
}

/// How the upload of one part failed.
#[derive(Debug)]
pub struct PartFailure {
    /// What the caller is told. Its class is `OutcomeUnknown` if any byte may have reached the vendor without an answer.
    pub error: Error,
    /// The vendor's status, where it answered.
    pub status: Option<u16>,
}

/// What calls are made of.
pub struct UpstreamParts {
    /// Moves the bytes.
    pub wire: Arc<Wire>,
    /// Tokens of all accounts.
    pub tokens: Arc<Tokens>,
    /// Counts the turns of all replicas.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where calls are counted.
    pub metrics: Arc<Metrics>,
    /// What is done beside the calls.
    pub tasks: Tasks,
    /// Names this replica.
    pub owner: String,
}

/// Calls to vendors.
pub struct Upstream {
    caller: Arc<Caller>,
    searches: Searches,
}

impl Upstream {
    /// Calls for these accounts.
    pub fn new(accounts: &Accounts, parts: UpstreamParts) -> Self {
        let UpstreamParts { wire, tokens, store, clock, metrics, tasks, owner } = parts;
        let turns = Arc::new(CountedTurns::new(store, tasks, owner));
        let accesses = accounts.iter().map(|account| {
            let (id, vendor) = (account.id.clone(), &account.vendor.descriptor().vendor);
            let gate = Gate::new(id, vendor, &account.limits, Arc::clone(&turns), Arc::clone(&metrics));
            let gate = Arc::new(gate);
            let retries = RetryBudget::new(account.limits.max_concurrency, Instant::now());
            (account.id.clone(), Access { gate, retries })
        });
        let accesses = accesses.collect();
        let caller = Arc::new(Caller { wire, tokens, accesses, clock, metrics });
        Self { caller, searches: Searches::default() }
    }

    /// The state of an account's token.
    ///
    /// # Errors
    /// `Unavailable` when the store is away.
    pub async fn token_state(&self, account: &Account) -> Result<TokenState, Error> {
        self.caller.tokens.state(account).await
    }

    /// Whether the last call of this replica failed because the vendor could not be reached or was broken.
    pub fn is_failing(&self, account: &AccountId) -> bool {
        self.caller.access(account).is_ok_and(|access| access.gate.is_failing())
    }

    /// The state of this replica's circuit for an account: `closed`, `open` or `half_open`. Asking shows it as a metric.
    pub fn circuit(&self, account: &AccountId) -> &'static str {
        self.caller.access(account).map_or("closed", |access| access.gate.circuit_word())
    }

    /// Makes sure that there is a token before a roster is stored and sent, so that wrong credentials cost nothing.
    ///
    /// # Errors
    /// Why there is none; `Timeout` after the account's time for a call.
    pub async fn ensure_token(&self, account: &Arc<Account>) -> Result<(), Error> {
        let deadline = Instant::now() + account.limits.timeout;
        self.caller.token_before(deadline, account, None).await.map(|_| ())
    }

    /// Sends one part of a roster, at most once. Answers the vendor's status.
    ///
    /// # Errors
    /// See [`PartFailure`].
    pub async fn send_part(
        &self,
        account: &Arc<Account>,
        turn: PartTurn,
        request: Request<Bytes>,
        trace: &Trace,
    ) -> Result<u16, PartFailure> {
        let PartTurn { ready, started } = turn;
        let sent = self.try_send_part(account, ready, request, trace).await;
        let outcome = sent.as_ref().map_err(|failure| failure.error.class);
        self.caller.count(account, Operation::Roster, outcome.err(), started);
        sent
    }

    /// Waits for the turn of a part. Until it has come the part is not begun, and who dies while they wait leaves nothing
    /// unknown.
    ///
    /// # Errors
    /// Why there was no turn or no token in time.
    pub async fn part_turn(&self, account: &Arc<Account>) -> Result<PartTurn, Error> {
        let started = Instant::now();
        match self.caller.ready(account, Priority::Interactive).await {
            Ok(ready) => Ok(PartTurn { ready, started }),
            Err(error) => {
                self.caller.count(account, Operation::Roster, Some(error.class), started);
                Err(error)
            }
        }
    }

    async fn try_send_part(
        &self,
        account: &Arc<Account>,
        ready: Ready,
        request: Request<Bytes>,
        trace: &Trace,
    ) -> Result<u16, PartFailure> {
        let unanswered = |error| PartFailure { error, status: None };
        let priority = Priority::Interactive;
        let call = Call { account, operation: Operation::Roster, request, trace, priority };
        let (answer, turn) = self.caller.make(call, ready).await.map_err(unanswered)?;
        let status = answer.response.status().as_u16();
        let read = account.vendor.parse_roster_reply(&answer.response);
        let read = read.map_err(|error| self.caller.with_delay(error, &answer));
        turn.end(read.as_ref().err().map_or(Ending::Answered, Ending::of));
        match read {
            Ok(()) => Ok(status),
            Err(_) if !shows_refusal(status) => {
                let failure = UpstreamFailure::from_status(answer.response.status());
                Err(PartFailure {
                    error: unknown_outcome(account).with_upstream(failure),
                    status: Some(status),
                })
            }
            Err(error) => Err(PartFailure { error, status: Some(status) }),
        }
    }

    /// Asks a vendor for one page of call records. What is asked for with background priority waits for all that is not. An
    /// identical search that is under way is not made twice: all who wait share its page.
    ///
    /// # Errors
    /// What the vendor said, mapped, or why it could not be asked.
    pub async fn search(
        &self,
        account: &Arc<Account>,
        search: &SearchRequest<'_>,
        trace: &Trace,
        priority: Priority,
    ) -> Found {
        let request = account.vendor.search_request(search)?;
        let key = SearchKey::new(&account.id, priority, &request);
        let (found, is_shared) = self.searches.join(key, || {
            let (caller, account, trace) = (Arc::clone(&self.caller), Arc::clone(account), trace.clone());
            async move {
                let operation = Operation::Search;
                let call = Call { account: &account, operation, request, trace: &trace, priority };
                let started = Instant::now();
                let found = make_search(&caller, call).await;
                let failure = found.as_ref().err().map(|error| error.class);
                caller.count(&account, operation, failure, started);
                found
            }
            .boxed()
        });
        if is_shared {
            self.caller.metrics.searches_shared.with_label_values(&labels(account)).inc();
        }
        found.await
    }
}

/// Whether a status other than the vendor's "taken" shows that the roster was not taken: what is wrong with the request, the
/// vendor's own failure, or that it is not there. Any other one, such as a proxy's 502, 504 or 524 or a 202, may stand for a
/// roster that was.
const fn shows_refusal(status: u16) -> bool {
    matches!(status, 400..=499 | 500 | 503)
}

async fn make_search(caller: &Caller, call: Call<'_>) -> Found {
    let account = call.account;
    let (answer, turn) = caller.call(call).await?;
    // A status that speaks for itself does so even if its body is broken.
    let found = match answer.body_problem.filter(|_| answer.response.status().is_success()) {
        None => account.vendor.parse_search(&answer.response),
        Some(problem) => {
            let message = "The vendor's answer is not whole.";
            Err(Error::new(ErrorClass::Protocol, "upstream-protocol", message).with_detail(problem))
        }
    };
    let found = found.map_err(|error| caller.with_delay(error, &answer));
    turn.end(found.as_ref().err().map_or(Ending::Answered, Ending::of));
    found.map(Arc::new)
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
