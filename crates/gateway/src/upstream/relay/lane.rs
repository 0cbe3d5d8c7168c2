//! The way of one thread's relayed calls to one account: what would otherwise be looked up or made anew for each of them.

use std::{
    cell::{OnceCell, RefCell},
    sync::Arc,
};

use awc::http::{
    Uri,
    header::{HeaderMap, HeaderName, HeaderValue},
    uri::{InvalidUriParts, Parts, PathAndQuery},
};
use bytes::Bytes;
use outdial_core::{Error, ErrorClass, ExposeSecret, SecretString};
use prometheus::{Histogram, IntCounter};

use super::super::{
    Upstream,
    caller::labels,
    gate::Gate,
    outgoing::{header, host},
};
use crate::{accounts::Account, telemetry::Metrics};

/// The label of relayed calls.
const OPERATION: &str = "passthrough";
/// The outcome of a call that went well.
pub(super) const OK: &str = "ok";

/// Longest path and query: the place of the question mark is kept in 16 bits.
const PATH_LIMIT: usize = 65_534;

/// The way to one account.
pub(super) struct Lane {
    /// Whose.
    pub(super) account: Arc<Account>,
    /// What stands before its vendor.
    pub(super) gate: Arc<Gate>,
    /// The vendor's name.
    pub(super) vendor: HeaderValue,
    base: Uri,
    /// What `Host` says of it.
    pub(super) host: HeaderValue,
    /// The headers that put the last token on.
    credentials: RefCell<Option<Credentials>>,
    metrics: Arc<Metrics>,
    went_well: OnceCell<(IntCounter, Histogram)>,
}

struct Credentials {
    token: SecretString,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Lane {
    pub(super) fn new(upstream: &Upstream, account: &Arc<Account>) -> Result<Self, Error> {
        let base: Result<Uri, _> = account.vendor.base_url().parse();
        let base = base.map_err(|_| internal("The vendor's URL is none."))?;
        let vendor = HeaderValue::from_str(account.vendor.descriptor().vendor.as_str());
        Ok(Self {
            account: Arc::clone(account),
            gate: Arc::clone(&upstream.caller.access(&account.id)?.gate),
            vendor: vendor.map_err(|_| internal("The vendor's name cannot stand in a header."))?,
            host: host(&base).ok_or_else(|| internal("The vendor's URL has no host."))?,
            base,
            credentials: RefCell::default(),
            metrics: Arc::clone(&upstream.caller.metrics),
            went_well: OnceCell::new(),
        })
    }

    /// Where a call goes: the vendor's base URL, a slash, and path and query as the caller wrote them.
    pub(super) fn uri(&self, target: &str) -> Result<Uri, InvalidUriParts> {
        let path = [self.base.path().trim_end_matches('/'), "/", target].concat();
        let mut parts = Parts::default();
        parts.scheme = self.base.scheme().cloned();
        parts.authority = self.base.authority().cloned();
        // What cannot be a path is left out, and the URL is none without it.
        let path = Some(path).filter(|path| path.len() <= PATH_LIMIT);
        parts.path_and_query = path.and_then(|path| PathAndQuery::from_maybe_shared(Bytes::from(path)).ok());
        Uri::from_parts(parts)
    }

    /// Puts the account's token on.
    ///
    /// # Errors
    /// When it cannot stand in a header.
    pub(super) fn authorize(&self, token: &SecretString, to: &mut HeaderMap) -> Result<(), Error> {
        let mut made = self.credentials.borrow_mut();
        let is_same = |made: &Credentials| made.token.expose_secret() == token.expose_secret();
        if !made.as_ref().is_some_and(is_same) {
            *made = Some(Credentials { token: token.clone(), headers: self.make_headers(token)? });
        }
        for (name, value) in made.iter().flat_map(|made| &made.headers) {
            to.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    /// The adapter's headers, as awc has them.
    fn make_headers(&self, token: &SecretString) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let mut headers = http::HeaderMap::new();
        self.account.vendor.authorize(&mut headers, token)?;
        let convert = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            let (name, mut value) = header(name, value)?;
            value.set_sensitive(true);
            Some((name, value))
        };
        let converted = headers.iter().map(convert).collect::<Option<_>>();
        converted.ok_or_else(|| internal("The vendor's token cannot stand in a header."))
    }

    /// Counts a call that ended so after so many seconds.
    pub(super) fn count(&self, outcome: &str, seconds: f64) {
        let looked_up;
        let (requests, duration) = if outcome == OK {
            self.went_well.get_or_init(|| self.counters(OK))
        } else {
            looked_up = self.counters(outcome);
            &looked_up
        };
        requests.inc();
        duration.observe(seconds);
    }

    fn counters(&self, outcome: &str) -> (IntCounter, Histogram) {
        let [id, vendor] = labels(&self.account);
        let requests = self.metrics.upstream_requests.with_label_values(&[id, vendor, OPERATION, outcome]);
        (requests, self.metrics.upstream_duration.with_label_values(&[id, vendor, OPERATION]))
    }
}

fn internal(message: &'static str) -> Error {
    Error::new(ErrorClass::Internal, "internal", message)
}
