//! Faults on demand: what to spoil, for which vendor or path, and how often.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Rules held at once; further scopes are refused.
const MAX_RULES: usize = 32;
/// The largest answer that is given.
const MAX_HUGE_BYTES: u64 = 1024 * 1024 * 1024;
/// The longest delay that is kept to.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// WellCloud OCM.
    Wellcloud,
    /// ICSOC autocall.
    Icsoc,
}

impl Vendor {
    /// As in the ledger and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wellcloud => "wellcloud",
            Self::Icsoc => "icsoc",
        }
    }
}

/// What goes wrong. As JSON every member may be left out.
///
/// The *scope* is the pair of `vendor` and `path_prefix`. Faults replace earlier ones of the same scope and leave
/// other scopes alone; faults without a scope replace everything, so `Faults::default()` heals. Where several
/// scopes match, the one with the longest path prefix wins, then the one that names the vendor.
///
/// The *answer faults* are `status`, `code_nonzero`, `html_answer`, `huge_body_bytes`, `cut_body` and `hang_up`, in
/// this order of precedence. An upload answered with `status`, `html_answer` or `huge_body_bytes` is listed but not
/// taken; one whose answer is delayed, cut or missing was taken before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Only this vendor.
    pub vendor: Option<Vendor>,
    /// Only requests whose path begins so; the faults of pushes do not ask for it.
    pub path_prefix: Option<String>,
    /// Every answer comes this much later, at most 10 minutes.
    pub delay_ms: u64,
    /// Answered instead.
    pub status: Option<u16>,
    /// How many answers the answer faults spoil; 0: all of them.
    pub status_count: u32,
    /// ICSOC: this `code` inside an HTTP 200.
    pub code_nonzero: Option<i64>,
    /// The next call with a good token is answered as if it had expired; the token stays good.
    pub reject_token_once: bool,
    /// The search repeats the first mark it gives for ever.
    pub repeat_mark: bool,
    /// Every nth call is shown by the search as a text that is no record. 0: none.
    pub broken_results: u32,
    /// A page of HTML with status 200 instead of the answer.
    pub html_answer: bool,
    /// Status 200 and this many spaces instead of the answer, 1 GiB at most; 0: no.
    pub huge_body_bytes: u64,
    /// The answer's body ends halfway and the connection closes.
    pub cut_body: bool,
    /// The connection closes without an answer, after the request was dealt with.
    pub hang_up: bool,
    /// Each push is sent twice.
    pub duplicate_pushes: bool,
    /// What is pushed together is pushed in reverse.
    pub reorder_pushes: bool,
    /// ICSOC: so many of a hundred pushes are never sent, drawn by the seed.
    pub dropped_percent: u32,
    /// Every nth record pushed cannot be read: WellCloud an element that is no object, ICSOC a signed push without
    /// a call in it. 0: none.
    pub broken_rows: u32,
    /// ICSOC: pushes carry a sign made with another secret.
    pub wrong_sign: bool,
    /// ICSOC: pushes are signed as PHP writes by default but sent with unescaped slashes and characters.
    pub unescaped_bodies: bool,
}

impl Faults {
    fn is_unscoped(&self) -> bool {
        self.vendor.is_none() && self.path_prefix.is_none()
    }

    fn covers(&self, vendor: Vendor, path: &str) -> bool {
        self.vendor.is_none_or(|only| only == vendor)
            && self.path_prefix.as_deref().is_none_or(|prefix| path.starts_with(prefix))
    }

    fn weight(&self) -> (usize, bool) {
        (self.path_prefix.as_deref().map_or(0, str::len), self.vendor.is_some())
    }

    fn answer(&self) -> Option<AnswerFault> {
        if let Some(status) = self.status {
            return Some(AnswerFault::Status(status));
        }
        if let Some(code) = self.code_nonzero {
            return Some(AnswerFault::Code(code));
        }
        if self.html_answer {
            return Some(AnswerFault::Html);
        }
        if self.huge_body_bytes > 0 {
            return Some(AnswerFault::Huge(self.huge_body_bytes.min(MAX_HUGE_BYTES)));
        }
        if self.cut_body {
            return Some(AnswerFault::Cut);
        }
        self.hang_up.then_some(AnswerFault::HangUp)
    }
}

/// How one answer is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerFault {
    Status(u16),
    Code(i64),
    Html,
    Huge(u64),
    Cut,
    HangUp,
}

/// What happens to one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    pub(crate) answer: Option<AnswerFault>,
    pub(crate) repeat_mark: bool,
    pub(crate) broken_results: u32,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct FaultBoard {
    rules: Mutex<Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    faults: Faults,
    answers_spoilt: u32,
    token_rejected: bool,
}

impl FaultBoard {
    /// Puts `faults` in force; false if there are too many scopes already.
    pub(crate) fn set(&self, faults: Faults) -> bool {
        let mut rules = self.lock();
        if faults.is_unscoped() {
            rules.clear();
        } else {
            rules.retain(|rule| {
                rule.faults.vendor != faults.vendor || rule.faults.path_prefix != faults.path_prefix
            });
        }
        if rules.len() >= MAX_RULES {
            return false;
        }
        rules.push(Rule { faults, answers_spoilt: 0, token_rejected: false });
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.faults.weight()));
        true
    }

    /// What happens to a request, counted as spoilt if it is.
    pub(crate) fn judge(&self, vendor: Vendor, path: &str) -> Verdict {
        let mut rules = self.lock();
        let Some(rule) = rules.iter_mut().find(|rule| rule.faults.covers(vendor, path)) else {
            return Verdict::default();
        };
        let mut answer = rule.faults.answer();
        if answer.is_some() {
            if rule.faults.status_count > 0 && rule.answers_spoilt >= rule.faults.status_count {
                answer = None;
            } else {
                rule.answers_spoilt = rule.answers_spoilt.saturating_add(1);
            }
        }
        Verdict {
            delay: Duration::from_millis(rule.faults.delay_ms).min(MAX_DELAY),
            answer,
            repeat_mark: rule.faults.repeat_mark,
            broken_results: rule.faults.broken_results,
        }
    }

    /// Whether this call's good token is to be refused; true once per rule.
    pub(crate) fn rejects_token(&self, vendor: Vendor, path: &str) -> bool {
        let mut rules = self.lock();
        let Some(rule) = rules.iter_mut().find(|rule| rule.faults.covers(vendor, path)) else {
            return false;
        };
        let rejects = rule.faults.reject_token_once && !rule.token_rejected;
        rule.token_rejected |= rejects;
        rejects
    }

    /// The faults that pushes of `vendor` suffer.
    pub(crate) fn of_pushes(&self, vendor: Vendor) -> Faults {
        let rules = self.lock();
        let rule = rules.iter().find(|rule| {
            rule.faults.path_prefix.is_none() && rule.faults.vendor.is_none_or(|only| only == vendor)
        });
        rule.map(|rule| rule.faults.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Faults {
        Faults { status: Some(status), ..Faults::default() }
    }

    #[test]
    fn the_narrowest_scope_wins_and_no_scope_clears_all() {
        let board = FaultBoard::default();
        assert!(board.set(Faults { vendor: Some(Vendor::Icsoc), ..status(500) }));
        assert!(board.set(Faults { path_prefix: Some("/api".to_owned()), ..status(502) }));
        let judge = |vendor, path| board.judge(vendor, path).answer;
        assert_eq!(judge(Vendor::Icsoc, "/oauth2/token"), Some(AnswerFault::Status(500)));
        assert_eq!(judge(Vendor::Icsoc, "/api/v1"), Some(AnswerFault::Status(502)));
        assert_eq!(judge(Vendor::Wellcloud, "/ocm"), None);
        assert!(board.set(Faults::default()));
        assert_eq!(judge(Vendor::Icsoc, "/api/v1"), None);
    }

    #[test]
    fn only_so_many_answers_are_spoilt_and_only_one_token_is_rejected() {
        let board = FaultBoard::default();
        board.set(Faults { status_count: 2, reject_token_once: true, ..status(503) });
        let spoilt = (0..5).filter(|_| board.judge(Vendor::Icsoc, "/").answer.is_some()).count();
        assert_eq!(spoilt, 2);
        let rejected = (0..3).filter(|_| board.rejects_token(Vendor::Icsoc, "/")).count();
        assert_eq!(rejected, 1);
    }

    #[test]
    fn scopes_are_bounded() {
        let board = FaultBoard::default();
        let scoped = |number: usize| Faults { path_prefix: Some(number.to_string()), ..Faults::default() };
        assert!((0..MAX_RULES).all(|number| board.set(scoped(number))));
        assert!(!board.set(scoped(MAX_RULES)));
        assert!(board.set(scoped(0)), "a known scope may be replaced");
    }

    #[test]
    fn json_may_name_only_what_is_wanted_but_nothing_else() {
        let faults: Faults = serde_json::from_str(r#"{"vendor":"icsoc","broken_rows":3}"#).unwrap();
        assert_eq!(faults, Faults { vendor: Some(Vendor::Icsoc), broken_rows: 3, ..Faults::default() });
        assert!(serde_json::from_str::<Faults>(r#"{"broken_row":3}"#).is_err());
    }
}
