//! One call to a vendor: its turn, its token, its deadline, what may be repeated, and what its failure means.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request};
use outdial_core::{AccountId, Clock, Error, ErrorClass, SecretString};

use super::{
    Trace,
    gate::{CallTimes, Ending, Gate, Priority, Turn, clamp_pause},
    retries::{RetryBudget, RetryReason},
    tokens::Tokens,
    wire::{Answer, Exchange, Reuse, Unsent, Wire, WireError},
};
use crate::{accounts::Account, retry_after::read_retry_after, telemetry::Metrics};

/// Largest page of a vendor's search: a thousand records of four kilobytes, four times over.
const SEARCH_BODY_LIMIT: usize = 16 * 1024 * 1024;
/// A vendor's reply to a roster is its status; the body is read for the connection's sake.
const ROSTER_BODY_LIMIT: usize = 64 * 1024;
/// How long after a refused connection the next one is tried.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// What kind of call it is, as a metric label, and what its failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The upload of a part of a roster: at most once.
    Roster,
    /// A search, which changes nothing.
    Search,
}

impl Operation {
    /// As a metric label.
    pub const fn label(self) -> &'static str {
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

/// What stands between an account's calls and its vendor, in this replica.
pub struct Access {
    /// Turns and the circuit.
    pub gate: Arc<Gate>,
    /// What may be repeated.
    pub retries: RetryBudget,
}

/// A call to be made.
pub struct Call<'a> {
    /// Whose.
    pub account: &'a Arc<Account>,
    /// Of what kind.
    pub operation: Operation,
    /// The request, without a token.
    pub request: Request<Bytes>,
    /// What the caller's request hands on.
    pub trace: &'a Trace,
    /// Who waits.
    pub priority: Priority,
}

/// What a call needs that may be made now.
pub struct Ready {
    turn: Turn,
    token: SecretString,
    deadline: Instant,
}

/// Makes calls.
pub struct Caller {
    /// Moves the bytes.
    pub wire: Arc<Wire>,
    /// Tokens of all accounts.
    pub tokens: Arc<Tokens>,
    /// What stands before each account's vendor.
    pub accesses: BTreeMap<AccountId, Access>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where calls are counted.
    pub metrics: Arc<Metrics>,
}

impl Caller {
    /// What stands before an account's vendor.
    ///
    /// # Errors
    /// `Internal` for an account that was not configured.
    pub fn access(&self, account: &AccountId) -> Result<&Access, Error> {
        let access = self.accesses.get(account);
        access.ok_or_else(|| Error::new(ErrorClass::Internal, "internal", "Something went wrong here."))
    }

    /// Makes a call, and answers what the vendor did, with the turn that is to be told how that ended.
    ///
    /// # Errors
    /// Why there was no turn, no token, or no answer.
    pub async fn call(&self, call: Call<'_>) -> Result<(Answer, Turn), Error> {
        let ready = self.ready(call.account, call.priority).await?;
        self.make(call, ready).await
    }

    /// Waits until a call may be made.
    ///
    /// # Errors
    /// Why there was no turn or no token.
    pub async fn ready(&self, account: &Arc<Account>, priority: Priority) -> Result<Ready, Error> {
        let access = self.access(&account.id)?;
        let deadline = Instant::now() + account.limits.timeout;
        let times = times_of(account, deadline);
        access.gate.ensure_open(times.begin_by)?;
        // Who waits for a token takes no slot, and a call leaves when its turn has come; what it leaves with is the token of
        // that moment, not one that was refused while it waited.
        self.token_before(deadline, account, None).await?;
        let turn = access.gate.turn(priority, times).await?;
        let token = self.token_before(deadline, account, None).await?;
        Ok(Ready { turn, token, deadline })
    }

    /// Makes a call whose turn has come.
    ///
    /// # Errors
    /// Why there was no fresh token, or no answer.
    pub async fn make(&self, call: Call<'_>, ready: Ready) -> Result<(Answer, Turn), Error> {
        let account = call.account;
        let access = self.access(&account.id)?;
        let Ready { mut turn, token, deadline } = ready;
        let begun = Instant::now();
        if begun >= deadline {
            let message = "What comes before the call took all of its time; nothing was sent.";
            return Err(Error::new(ErrorClass::Timeout, "upstream-timeout", message));
        }
        access.retries.note_first(begun);
        match self.attempt(&call, access, &mut turn, token, deadline).await {
            Ok(Ok(answer)) => Ok((answer, turn)),
            // The vendor did answer, with a refusal of the token that there was.
            Err(no_token) => {
                turn.end(Ending::Answered);
                Err(no_token)
            }
            Ok(Err(error)) => {
                let had = deadline.saturating_duration_since(begun);
                if is_vendors_fault(&error, account.limits.timeout, had) {
                    turn.end(Ending::Failed);
                }
                Err(explain(account, call.operation, error))
            }
        }
    }

    /// Sends, and once more where that is safe, worth it and within the budget. Beyond the budget the first failure stands.
    /// The outer error is why there is no token in place of one that was refused.
    async fn attempt(
        &self,
        call: &Call<'_>,
        access: &Access,
        turn: &mut Turn,
        token: SecretString,
        deadline: Instant,
    ) -> Result<Result<Answer, WireError>, Error> {
        let account = call.account;
        let first = self.send(call, &token, deadline).await;
        let reason = match &first {
            Ok(answer)
                if account.vendor.rejects_token(answer.response.status())
                    && account.vendor.fixed_token().is_none() =>
            {
                RetryReason::Token
            }
            // No byte of the request left.
            Err(WireError::NotSent(Unsent::Refused | Unsent::Dns, _)) => RetryReason::Connect,
            // A search changes nothing, and the host may have closed a used connection just then.
            Err(WireError::Broken(_)) if call.operation == Operation::Search => RetryReason::Broken,
            _ => return Ok(first),
        };
        // A token that is taken no longer is replaced either way, so that the calls after this one have a good one.
        let fresh = match reason {
            RetryReason::Token => self.token_before(deadline, account, Some(token)).await?,
            RetryReason::Connect | RetryReason::Broken => token,
        };
        let is_allowed = access.retries.take(reason, Instant::now());
        if is_allowed && reason == RetryReason::Connect {
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        // The vendor sees one more call, so it has a turn of its own.
        let is_made = is_allowed && turn.renew(times_of(account, deadline)).await;
        let outcome = if is_made { "made" } else { "withheld" };
        let [id, vendor] = labels(account);
        self.metrics.upstream_retries.with_label_values(&[id, vendor, reason.as_str(), outcome]).inc();
        if !is_made {
            return Ok(first);
        }
        Ok(self.send(call, &fresh, deadline).await)
    }

    /// A token, unless the deadline passes before there is one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn token_before(
        &self,
        deadline: Instant,
        account: &Arc<Account>,
        rejected: Option<SecretString>,
    ) -> Result<SecretString, Error> {
        if let Some(token) = self.tokens.at_hand(account, rejected.as_ref()) {
            return Ok(token);
        }
        let token = Box::pin(self.tokens.get(account, rejected));
        tokio::time::timeout_at(deadline.into(), token).await.unwrap_or_else(|_| {
            let message = "No token of the vendor came in time; nothing was sent.";
            Err(Error::new(ErrorClass::Timeout, "upstream-timeout", message))
        })
    }

    async fn send(
        &self,
        call: &Call<'_>,
        token: &SecretString,
        deadline: Instant,
    ) -> Result<Answer, WireError> {
        let not_sent = |problem: String| WireError::NotSent(Unsent::Other, problem);
        let (account, operation) = (call.account, call.operation);
        let mut request = call.request.clone();
        let headers = request.headers_mut();
        account.vendor.authorize(headers, token).map_err(|error| not_sent(error.to_string()))?;
        let traceparent = call.trace.traceparent.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
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

    /// Adds how long the vendor asks to be spared, where it says so, within bounds.
    pub fn with_delay(&self, error: Error, answer: &Answer) -> Error {
        if !matches!(answer.response.status().as_u16(), 429 | 503) {
            return error;
        }
        let asked = read_retry_after(answer.response.headers(), self.clock.now());
        match (asked, error.class) {
            (None, ErrorClass::RateLimited) => error.with_retry_after(clamp_pause(None)),
            (None, _) => error,
            (Some(_), _) => error.with_retry_after(clamp_pause(asked)),
        }
    }

    /// Counts a call and its time.
    pub fn count(
        &self,
        account: &Account,
        operation: Operation,
        failure: Option<ErrorClass>,
        started: Instant,
    ) {
        let outcome = failure.map_or("ok", ErrorClass::as_str);
        let [id, vendor] = labels(account);
        let operation = operation.label();
        self.metrics.upstream_requests.with_label_values(&[id, vendor, operation, outcome]).inc();
        let seconds = started.elapsed().as_secs_f64();
        self.metrics.upstream_duration.with_label_values(&[id, vendor, operation]).observe(seconds);
    }
}

/// Names of an account and its vendor, for metrics.
pub fn labels(account: &Account) -> [&str; 2] {
    [account.id.as_str(), account.vendor.descriptor().vendor.as_str()]
}

/// A call that has less than a tenth of its time left when its turn comes is not begun: it would only time out, and of a
/// roster nobody would know what became.
fn times_of(account: &Account, deadline: Instant) -> CallTimes {
    let begin_by = deadline.checked_sub(account.limits.timeout / 10).unwrap_or(deadline);
    CallTimes { begin_by, end_by: deadline }
}

/// Whether a failed exchange speaks against the vendor. One that had no time to speak of, after a long wait for its turn, does
/// not; nor what never left for reasons of ours.
fn is_vendors_fault(error: &WireError, timeout: Duration, had: Duration) -> bool {
    match error {
        WireError::NotSent(Unsent::Other | Unsent::Blocked, _) => false,
        WireError::NotSent(Unsent::Dns | Unsent::Refused | Unsent::Tls | Unsent::Timeout, _)
        | WireError::Broken(_) => true,
        WireError::Timeout => had >= timeout / 2,
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

/// The failure of an upload that may have been taken.
pub fn unknown_outcome(account: &Account) -> Error {
    let message = format!(
        "{} gave no answer to the roster; it may or may not have been taken, and is not sent again.",
        account.vendor.descriptor().vendor
    );
    Error::new(ErrorClass::OutcomeUnknown, "upstream-outcome-unknown", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_no_time_or_never_left_does_not_speak_against_the_vendor() {
        let timeout = Duration::from_secs(10);
        let is_fault = |error: &WireError, had| is_vendors_fault(error, timeout, Duration::from_secs(had));
        assert!(is_fault(&WireError::Timeout, 10) && is_fault(&WireError::Timeout, 5));
        assert!(!is_fault(&WireError::Timeout, 4), "it waited most of its time for a turn");
        assert!(is_fault(&WireError::Broken(String::new()), 1));
        let not_sent = |why| WireError::NotSent(why, String::new());
        assert!(is_fault(&not_sent(Unsent::Refused), 1) && is_fault(&not_sent(Unsent::Tls), 1));
        assert!(!is_fault(&not_sent(Unsent::Other), 10), "no place in a queue of ours");
    }
}
