//! The enterprise: what its addresses answer, its calls, and their pushes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    cdr::Cdr,
    envelope::Seal,
    oauth::TokenDesk,
    records::{write_broken_push, write_push, write_result},
    search::Search,
};
use crate::{
    clock::{Clock, write_beijing},
    config::IcsocSettings,
    dice::Dice,
    faults::{FaultBoard, Vendor, Verdict},
    http::{Call, Reply},
    json::{Json, Spelling},
    push::{Mark, Parcel, Pusher},
    stats::{SearchSeen, ServerCounters, VendorStats},
};

/// Calls kept; no more are seeded.
const MAX_CALLS: usize = 200_000;
/// Searches remembered.
const MAX_SEARCHES: usize = 10_000;
/// Seconds between the calls there are from the start, the last of which has just ended.
const CALL_DISTANCE: i64 = 30;
/// Seconds after each failed push until it is tried again (ICSOC contract 2.3).
const RETRY_SECONDS: [u32; 9] = [15, 15, 30, 180, 1_800, 1_800, 1_800, 1_800, 3_600];
/// The contract gives no failure codes; these tell a caller's mistakes apart.
const CODE_PARAMETERS: i64 = 40_001;
const CODE_MARK: i64 = 40_002;

/// One ICSOC enterprise.
pub(crate) struct Enterprise {
    pub(crate) pusher: Arc<Pusher>,
    settings: Arc<IcsocSettings>,
    seed: u64,
    clock: Clock,
    faults: Arc<FaultBoard>,
    desk: TokenDesk,
    counters: ServerCounters,
    calls: Mutex<Calls>,
    searches: Mutex<VecDeque<SearchSeen>>,
}

#[derive(Default)]
struct Calls {
    all: Vec<Made>,
    /// Records queued for a push, counted for the faults.
    queued: u32,
}

/// A call and what is remembered of its pushes.
struct Made {
    call: Arc<Cdr>,
    mark: Arc<Mark>,
}

impl AsRef<Cdr> for Made {
    fn as_ref(&self) -> &Cdr {
        &self.call
    }
}

impl Enterprise {
    /// An enterprise that has made its first calls; given a push URL, they are queued.
    pub(crate) fn new(settings: IcsocSettings, seed: u64, clock: Clock, faults: Arc<FaultBoard>) -> Self {
        let retries = RETRY_SECONDS.iter().map(|seconds| settings.retry_unit.saturating_mul(*seconds));
        let retries: Vec<Duration> = retries.collect();
        let url = settings.push_url.clone();
        let first_calls = settings.calls;
        let enterprise = Self {
            pusher: Arc::new(Pusher::new(Vendor::Icsoc, url, retries, is_taken)),
            settings: Arc::new(settings),
            seed,
            clock,
            faults,
            desk: TokenDesk::default(),
            counters: ServerCounters::default(),
            calls: Mutex::default(),
            searches: Mutex::default(),
        };
        enterprise.make_calls(first_calls, CALL_DISTANCE);
        enterprise
    }

    /// Everything but the pushes.
    pub(crate) fn stats(&self) -> VendorStats {
        let records = u64::try_from(self.lock().all.len()).unwrap_or(u64::MAX);
        VendorStats { records, ..self.counters.read() }
    }

    /// The ids of all calls, oldest first.
    pub(crate) fn call_ids(&self) -> Vec<String> {
        self.lock().all.iter().map(|made| made.call.call_id.clone()).collect()
    }

    /// The searches that were understood, oldest first, at most the last [`MAX_SEARCHES`].
    pub(crate) fn searches(&self) -> Vec<SearchSeen> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn note_search(&self, seen: SearchSeen) {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        if searches.len() >= MAX_SEARCHES {
            searches.pop_front();
        }
        searches.push_back(seen);
    }

    /// Lets the access tokens expire.
    pub(crate) fn expire_tokens(&self) {
        self.desk.expire_tokens();
    }

    /// Makes `count` calls that have just ended; given a push URL, they are queued.
    pub(crate) fn seed_calls(&self, count: usize) -> Vec<String> {
        self.make_calls(count, 0)
    }

    /// Queues another push of a call.
    pub(crate) fn push_again(&self, call_id: &str) -> bool {
        let mut calls = self.lock();
        let found = calls.all.iter().find(|made| made.call.call_id == call_id);
        match found.map(|made| (made.call.clone(), made.mark.clone())) {
            Some((call, mark)) if self.pusher.has_url() => {
                self.queue(&mut calls, call, mark);
                true
            }
            _ => false,
        }
    }

    /// Makes calls, the last of which has just ended and the others `distance` seconds apart before it.
    fn make_calls(&self, count: usize, distance: i64) -> Vec<String> {
        let mut calls = self.lock();
        let first = calls.all.len();
        let count = count.min(MAX_CALLS.saturating_sub(first));
        let now = self.clock.now_ms() / 1_000;
        let IcsocSettings { projects, mixed_types, .. } = self.settings.as_ref();
        for index in first..first + count {
            let later = i64::try_from(first + count - 1 - index).unwrap_or_default();
            let call = Cdr::draw(self.seed, index, now - later * distance, projects, *mixed_types);
            calls.all.push(Made { call: Arc::new(call), mark: Arc::default() });
        }
        let made = calls.all.iter().skip(first);
        let mut made: Vec<(Arc<Cdr>, Arc<Mark>)> =
            made.map(|made| (made.call.clone(), made.mark.clone())).collect();
        let ids = made.iter().map(|(call, _)| call.call_id.clone()).collect();
        if self.pusher.has_url() {
            if self.faults.of_pushes(Vendor::Icsoc).reorder_pushes {
                made.reverse();
            }
            for (call, mark) in made {
                self.queue(&mut calls, call, mark);
            }
        }
        ids
    }

    fn queue(&self, calls: &mut Calls, call: Arc<Cdr>, mark: Arc<Mark>) {
        let faults = self.faults.of_pushes(Vendor::Icsoc);
        calls.queued = calls.queued.wrapping_add(1);
        let mut dice = Dice::new(self.seed, &["dropped", &call.call_id, &calls.queued.to_string()]);
        if dice.below(100) < faults.dropped_percent {
            return;
        }
        let is_broken = faults.broken_rows > 0 && calls.queued.is_multiple_of(faults.broken_rows);
        let parcel = Arc::new(CallPush {
            call,
            // A broken push says nothing of the call, so it is no push of it.
            mark: if is_broken { Arc::default() } else { mark },
            is_broken,
            settings: self.settings.clone(),
            clock: self.clock,
            faults: self.faults.clone(),
        });
        self.pusher.push(parcel.clone());
        if faults.duplicate_pushes {
            self.pusher.push(parcel);
        }
    }

    /// `POST /oauth2/token`.
    pub(crate) fn answer_token(&self, call: &Call, instead: Option<Reply>) -> Reply {
        self.counters.token_fetches.bump();
        let reply = match instead {
            Some(reply) => Err(reply),
            None => self.desk.answer(call, &self.settings, self.seed, self.clock.now_ms()),
        };
        reply.unwrap_or_else(|refusal| {
            self.counters.token_refusals.bump();
            refusal
        })
    }

    /// `GET` or `POST /api/v1/cdr/search`.
    pub(crate) fn answer_search(&self, call: &Call, instead: Option<Reply>, verdict: &Verdict) -> Reply {
        let token = call.authorization.as_deref().and_then(|header| header.strip_prefix("Bearer "));
        let is_good = token.is_some_and(|token| self.desk.is_good(token, self.clock.now_ms()));
        if !is_good || self.faults.rejects_token(Vendor::Icsoc, &call.path) {
            self.counters.unauthenticated.bump();
            let body = json!({
                "error": "invalid_token",
                "error_description": "The access token is missing, invalid or expired",
            });
            return Reply::value(401, &body);
        }
        self.counters.searches.bump();
        if let Some(reply) = instead {
            return reply;
        }
        if call.method != Method::GET && call.method != Method::POST {
            return Reply::text(405, "GET or POST expected");
        }
        let Some(query) = Search::read(call).filter(|_| !call.too_large) else {
            return self.envelope(CODE_PARAMETERS, "参数错误", Json::Null);
        };
        let calls = self.lock();
        match query.page(&calls.all, self.settings.ending, verdict.repeat_mark) {
            Some((page, mark)) => {
                self.note_search(query.seen(page.len()));
                let write = |call: &Cdr| {
                    if call.is_nth(verdict.broken_results) {
                        Json::text("broken")
                    } else {
                        write_result(call)
                    }
                };
                let results = Json::List(page.into_iter().map(write).collect());
                let data = Json::Object(vec![("results".into(), results), ("searchAfter".into(), mark)]);
                self.envelope(0, "操作成功", data)
            }
            None => self.envelope(CODE_MARK, "searchAfter 无效", Json::Null),
        }
    }

    /// The vendor's envelope; a failure stands in it with HTTP 200 (ICSOC contract 0.2).
    fn envelope(&self, code: i64, message: &'static str, data: Json) -> Reply {
        let number = self.counters.searches.get().to_string();
        let request_id = Dice::new(self.seed, &["request", &number]).hex(32);
        let envelope = Json::Object(vec![
            ("code".into(), Json::Int(code)),
            ("message".into(), Json::text(message)),
            ("request_id".into(), Json::text(request_id)),
            ("data".into(), data),
        ]);
        Reply::json(200, envelope.encode(Spelling::PhpUnescaped))
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// HTTP 200 and a JSON object whose `code` is the number 0 (ICSOC contract 2.3).
fn is_taken(status: u16, body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        code: i64,
    }
    status == 200 && serde_json::from_slice::<Answer>(body).is_ok_and(|answer| answer.code == 0)
}

/// The push of one call.
struct CallPush {
    call: Arc<Cdr>,
    mark: Arc<Mark>,
    is_broken: bool,
    settings: Arc<IcsocSettings>,
    clock: Clock,
    faults: Arc<FaultBoard>,
}

impl Parcel for CallPush {
    fn body(&self) -> String {
        let faults = self.faults.of_pushes(Vendor::Icsoc);
        let secret = self.settings.push_secret.as_str();
        let wrong_secret = format!("not {secret}");
        let seal = Seal {
            secret,
            sign_secret: if faults.wrong_sign { &wrong_secret } else { secret },
            encrypt: self.settings.encrypt,
            spelling: if faults.unescaped_bodies { Spelling::PhpUnescaped } else { Spelling::Php },
        };
        let data = if self.is_broken { write_broken_push(&self.call) } else { write_push(&self.call) };
        seal.close(&data, write_beijing(self.clock.now_ms()))
    }

    fn ids(&self) -> Vec<String> {
        if self.is_broken { Vec::new() } else { vec![self.call.call_id.clone()] }
    }

    fn broken(&self) -> usize {
        usize::from(self.is_broken)
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_two_hundred_with_the_number_zero_counts_as_taken() {
        assert!(is_taken(200, br#"{"code":0,"message":"ok"}"#));
        for (status, body) in [
            (201, &br#"{"code":0}"#[..]),
            (200, br#"{"code":"0"}"#),
            (200, br#"{"code":1}"#),
            (200, br#"{"data":{"code":0}}"#),
            (200, b"ok"),
            (200, b""),
        ] {
            assert!(!is_taken(status, body), "{status} {}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_schedule_is_the_contracts() {
        assert_eq!(RETRY_SECONDS.iter().sum::<u32>(), 11_040);
    }
}
