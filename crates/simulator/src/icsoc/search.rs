//! `GET` or `POST /api/v1/cdr/search` (ICSOC contract 1): the filters, and the pages.

use actix_web::http::Method;
use serde::Deserialize;

use super::cdr::Cdr;
use crate::{clock::read_beijing, config::Ending, http::Call, json::Json, stats::SearchSeen};

/// Records on a page when none are asked for; not documented.
const DEFAULT_PER_PAGE: usize = 20;
/// Records on a page at most; not documented.
const MAX_PER_PAGE: usize = 1_000;

/// What is searched for. An empty text is no filter.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Search {
    search_after: Option<String>,
    call_id: Option<String>,
    project_id: Option<String>,
    task_id: Option<String>,
    caller: Option<String>,
    called: Option<String>,
    callresult: Option<String>,
    endresult: Option<String>,
    per_page: Option<i64>,
    start_time: Option<Range>,
}

/// Both bounds count; either may stand alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Range {
    gte: Option<String>,
    lte: Option<String>,
}

/// A search that was understood.
#[derive(Debug)]
pub(crate) struct Query {
    search: Search,
    per_page: usize,
    started_from: i64,
    started_to: i64,
}

/// A page: the records, and the mark of the next one.
pub(crate) type Page<'a> = (Vec<&'a Cdr>, Json);

impl Search {
    /// Reads the parameters where the method has them. Types are as strict as the contract's table.
    pub(crate) fn read(call: &Call) -> Option<Query> {
        let search = if call.method == Method::GET {
            Self::read_query(call)?
        } else if call.body.is_empty() {
            Self::default()
        } else if call.is_of_type("application/json") {
            serde_json::from_slice(&call.body).ok()?
        } else {
            return None;
        };
        let range = search.start_time.as_ref();
        let bound = |text: Option<&String>, otherwise| match text {
            Some(text) => read_beijing(text),
            None => Some(otherwise),
        };
        let per_page = match search.per_page {
            Some(number) => usize::try_from(number).ok().filter(|number| *number > 0)?,
            None => DEFAULT_PER_PAGE,
        };
        Some(Query {
            per_page: per_page.min(MAX_PER_PAGE),
            started_from: bound(range.and_then(|range| range.gte.as_ref()), i64::MIN)?,
            started_to: bound(range.and_then(|range| range.lte.as_ref()), i64::MAX)?,
            search,
        })
    }

    fn read_query(call: &Call) -> Option<Self> {
        let text = |name| call.parameter(name).map(str::to_owned);
        let number = |text: &str| text.parse::<i64>().ok();
        let range = |text: &str| serde_json::from_str::<Range>(text).ok();
        Some(Self {
            search_after: text("searchAfter"),
            call_id: text("callId"),
            project_id: text("projectId"),
            task_id: text("taskId"),
            caller: text("caller"),
            called: text("called"),
            callresult: text("callresult"),
            endresult: text("endresult"),
            per_page: call.parameter("perPage").map(number).map_or(Some(None), |read| read.map(Some))?,
            start_time: call.parameter("startTime").map(range).map_or(Some(None), |read| read.map(Some))?,
        })
    }
}

impl Query {
    /// What is remembered of it, with the number of records that it was answered.
    pub(crate) fn seen(&self, found: usize) -> SearchSeen {
        let bound = |of: i64| (![i64::MIN, i64::MAX].contains(&of)).then_some(of);
        SearchSeen {
            after: self.search.search_after.clone().filter(|mark| !mark.is_empty()),
            started_from: bound(self.started_from),
            started_to: bound(self.started_to),
            found,
        }
    }

    /// The page of `calls`, which stand in the order the vendor keeps them in; `None` for a mark that is no call.
    pub(crate) fn page<'a>(
        &self,
        calls: &'a [impl AsRef<Cdr>],
        ending: Ending,
        repeat_mark: bool,
    ) -> Option<Page<'a>> {
        let mark = self.search.search_after.as_deref().filter(|mark| !mark.is_empty());
        let first = match mark {
            Some(mark) => calls.iter().position(|call| call.as_ref().call_id == mark)? + 1,
            None => 0,
        };
        let mut matching = calls.iter().skip(first).map(AsRef::as_ref).filter(|call| self.matches(call));
        let page: Vec<&Cdr> = matching.by_ref().take(self.per_page).collect();
        let is_last = matching.next().is_none();
        let next = match (page.last(), ending) {
            (Some(last), _) if repeat_mark => Json::text(mark.unwrap_or(&last.call_id).to_owned()),
            (None, _) if repeat_mark => mark.map_or(Json::Null, |mark| Json::text(mark.to_owned())),
            (None, Ending::EmptyResults) => mark.map_or(Json::Null, |mark| Json::text(mark.to_owned())),
            (None, Ending::EmptyText) => Json::text(""),
            (None, Ending::LastCallId | Ending::Null) => Json::Null,
            (Some(_), Ending::Null) if is_last => Json::Null,
            (Some(_), Ending::EmptyText) if is_last => Json::text(""),
            (Some(last), _) => Json::text(last.call_id.clone()),
        };
        Some((page, next))
    }

    fn matches(&self, call: &Cdr) -> bool {
        let Search { call_id, project_id, task_id, caller, called, callresult, endresult, .. } = &self.search;
        let is = |wanted: &Option<String>, actual: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == actual)
        };
        is(call_id, &call.call_id)
            && is(project_id, &call.project)
            && is(task_id, &call.task)
            && is(caller, &call.caller)
            && is(called, &call.called)
            && is(callresult, &call.result.to_string())
            && is(endresult, &call.end.to_string())
            && (self.started_from..=self.started_to).contains(&call.customer.started)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn calls() -> Vec<Arc<Cdr>> {
        let projects = ["10008".to_owned(), "10195".to_owned()];
        (0..50).map(|index| Arc::new(Cdr::draw(1, index, 1_616_491_488, &projects, true))).collect()
    }

    fn query(method: Method, query: &[(&str, &str)], body: &str) -> Option<Query> {
        Search::read(&Call {
            method,
            path: "/api/v1/cdr/search".to_owned(),
            tail: String::new(),
            query: query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            content_type: Some("application/json".to_owned()),
            authorization: None,
            body: body.as_bytes().to_vec().into(),
            too_large: false,
        })
    }

    fn found(text: &str) -> Vec<Cdr> {
        let all = calls();
        let query = query(Method::POST, &[], text).unwrap();
        query.page(&all, Ending::Null, false).unwrap().0.into_iter().cloned().collect()
    }

    /// What a filter compares.
    type Fact = fn(&Cdr) -> String;

    #[test]
    fn every_filter_filters_by_its_own_fact() {
        let all = calls();
        let one = &all[7];
        let filters: [(&str, &str, Fact); 7] = [
            ("callId", &one.call_id, |call| call.call_id.clone()),
            ("projectId", &one.project, |call| call.project.clone()),
            ("taskId", &one.task, |call| call.task.clone()),
            ("caller", &one.caller, |call| call.caller.clone()),
            ("called", &one.called, |call| call.called.clone()),
            ("callresult", "2", |call| call.result.to_string()),
            ("endresult", "11", |call| call.end.to_string()),
        ];
        for (name, value, fact) in filters {
            let expected: Vec<&Cdr> =
                all.iter().map(AsRef::as_ref).filter(|call| fact(call) == value).collect();
            assert!(!expected.is_empty() && expected.len() < all.len(), "{name}");
            let body = format!(r#"{{"{name}":"{value}","perPage":1000}}"#);
            assert_eq!(found(&body).iter().collect::<Vec<_>>(), expected, "{name}");
            let by_get = query(Method::GET, &[(name, value), ("perPage", "1000")], "").unwrap();
            assert_eq!(by_get.page(&all, Ending::Null, false).unwrap().0, expected, "{name}");
        }
    }

    #[test]
    fn the_range_of_the_start_includes_both_bounds() {
        let all = calls();
        let started = all[3].customer.started;
        let text = crate::clock::write_beijing(started * 1_000);
        for (range, expected) in [
            (format!(r#"{{"gte":"{text}"}}"#), all.iter().filter(|c| c.customer.started >= started).count()),
            (format!(r#"{{"lte":"{text}"}}"#), all.iter().filter(|c| c.customer.started <= started).count()),
            (
                format!(r#"{{"gte":"{text}","lte":"{text}"}}"#),
                all.iter().filter(|c| c.customer.started == started).count(),
            ),
        ] {
            assert!(expected > 0);
            assert_eq!(found(&format!(r#"{{"perPage":1000,"startTime":{range}}}"#)).len(), expected);
            let by_get = query(Method::GET, &[("startTime", &range), ("perPage", "1000")], "").unwrap();
            assert_eq!(by_get.page(&all, Ending::Null, false).unwrap().0.len(), expected);
        }
    }

    #[test]
    fn wrong_types_are_not_understood() {
        for body in [
            r#"{"perPage":"x"}"#,
            r#"{"perPage":0}"#,
            r#"{"callresult":0}"#,
            r#"{"startTime":"2021-03-23 17:24:35"}"#,
            r#"{"startTime":{"gte":"2021-03-23"}}"#,
            "[1]",
            "{",
        ] {
            assert!(query(Method::POST, &[], body).is_none(), "{body}");
        }
        assert!(query(Method::GET, &[("perPage", "ten")], "").is_none());
    }

    /// Walks to the end and gives every mark.
    fn walk(ending: Ending) -> (Vec<String>, Vec<Json>) {
        let (all, mut ids, mut marks) = (calls(), Vec::new(), Vec::new());
        let mut after = String::new();
        loop {
            let body = format!(r#"{{"perPage":20,"searchAfter":"{after}"}}"#);
            let query = query(Method::POST, &[], &body).unwrap();
            let (page, mark) = query.page(&all, ending, false).unwrap();
            ids.extend(page.iter().map(|call| call.call_id.clone()));
            marks.push(mark.clone());
            match mark {
                Json::Text(mark) if !mark.is_empty() && !page.is_empty() => after = mark.into_owned(),
                _ => return (ids, marks),
            }
        }
    }

    #[test]
    fn every_ending_ends_after_every_call() {
        let ids: Vec<String> = calls().iter().map(|call| call.call_id.clone()).collect();
        let mark = |index: usize| Json::text(ids[index].clone());
        let (second, last) = (mark(39), mark(49));
        for (ending, marks) in [
            (Ending::LastCallId, vec![mark(19), second.clone(), last.clone(), Json::Null]),
            (Ending::EmptyResults, vec![mark(19), second.clone(), last.clone(), last]),
            (Ending::Null, vec![mark(19), second.clone(), Json::Null]),
            (Ending::EmptyText, vec![mark(19), second, Json::text("")]),
        ] {
            assert_eq!(walk(ending), (ids.clone(), marks), "{ending:?}");
        }
    }

    #[test]
    fn a_repeated_mark_is_the_first_one_for_ever_and_an_unknown_one_is_refused() {
        let all = calls();
        let page = |after: &str| {
            let query =
                query(Method::POST, &[], &format!(r#"{{"perPage":20,"searchAfter":"{after}"}}"#)).unwrap();
            query.page(&all, Ending::Null, true).map(|(_, mark)| mark)
        };
        let first = all[19].call_id.clone();
        assert_eq!(page(""), Some(Json::text(first.clone())));
        assert_eq!(page(&first), Some(Json::text(first.clone())));
        assert_eq!(page("6780001242530852864"), None);
    }
}
