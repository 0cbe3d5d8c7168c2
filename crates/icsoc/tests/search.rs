//! Searches, as the contract describes them.

mod support;

use bytes::Bytes;
use http::Response;
use outdial_core::{
    DecodedRecord, ErrorClass, FoundRecord, QuarantineReason, RecordQuery, SearchPage, SearchRequest,
    Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{adapter, fixture, golden, now};

fn page(status: u16, body: impl Into<Bytes>) -> Result<SearchPage, outdial_core::Error> {
    let response = Response::builder().status(status).body(body.into()).unwrap();
    adapter(&[("token", "t")]).parse_search(&response)
}

fn page_of(data: Value) -> SearchPage {
    page(200, json!({"code": 0, "data": data}).to_string()).unwrap()
}

fn found(page: &SearchPage, at: usize) -> Result<DecodedRecord<'_>, QuarantineReason> {
    adapter(&[("token", "t")]).read_found(&page.records[at], now())
}

fn body_of(query: &RecordQuery, mark: Option<&str>, limit: u32) -> Value {
    let request = adapter(&[("token", "t")]).search_request(&SearchRequest { query, mark, limit }).unwrap();
    assert_eq!(request.uri(), "https://autocall.icsoc.net/api/v1/cdr/search");
    assert_eq!(
        (request.method().as_str(), &request.headers()["content-type"]),
        ("POST", &"application/json".parse().unwrap())
    );
    serde_json::from_slice(request.body()).unwrap()
}

#[test]
fn the_request_of_the_contract() {
    let query = RecordQuery {
        call_id: Some("6780056666542059520".into()),
        campaign_id: Some("10008".into()),
        task_id: Some("13".into()),
        caller: Some("010xxxx4343".into()),
        called: Some("185xxxx2456".into()),
        outcome: Some("no_answer".parse().unwrap()),
        ended_by: Some("system".parse().unwrap()),
        started_from: Timestamp::parse("2021-03-23T09:24:35Z"),
        started_to: Timestamp::parse("2021-03-23T09:24:36Z"),
        ..RecordQuery::default()
    };
    let sample: Value = serde_json::from_slice(&fixture("icsoc-search-request.sample.json")).unwrap();
    assert_eq!(body_of(&query, Some("6780001242530852864"), 1), sample);
    assert_eq!(body_of(&RecordQuery::default(), None, 50), json!({"perPage": 50}));
}

#[test]
fn bounds_between_seconds_are_rounded_outwards() {
    let query = RecordQuery {
        started_from: Timestamp::parse("2021-03-23T09:24:35.900Z"),
        started_to: Timestamp::parse("2021-03-23T09:24:36.100Z"),
        ..RecordQuery::default()
    };
    let range = json!({"gte": "2021-03-23 17:24:35", "lte": "2021-03-23 17:24:37"});
    assert_eq!(body_of(&query, None, 1)["startTime"], range);
    let open = RecordQuery { started_to: None, ..query };
    assert_eq!(body_of(&open, None, 1)["startTime"], json!({"gte": "2021-03-23 17:24:35"}));
}

#[test]
fn the_response_of_the_contract() {
    let body = fixture("icsoc-search-response.sample.json");
    let sample: Value = serde_json::from_slice(&body).unwrap();
    let page = page(200, body).unwrap();
    let mut record = found(&page, 0).unwrap().record;
    record.attach_raw(page.records[0].json());
    let mut expected = golden("search-response.json");
    expected["raw"] = sample["data"]["results"][0].clone();
    assert_eq!(serde_json::to_value(&record).unwrap(), expected);
    assert_eq!(page.next_mark.as_deref(), Some("6780056666542059520"));
}

#[test]
fn a_walk_ends_at_a_null_mark_an_empty_mark_and_an_empty_page() {
    let one = json!([{"callId": "1"}]);
    assert_eq!(page_of(json!({"results": one, "searchAfter": null})).next_mark, None);
    assert_eq!(page_of(json!({"results": one, "searchAfter": ""})).next_mark, None);
    assert_eq!(page_of(json!({"results": one})).next_mark, None);
    for empty in [json!([]), json!(null), json!({})] {
        assert_eq!(page_of(json!({"results": empty, "searchAfter": "1"})).next_mark, None);
    }
    let number =
        page(200, r#"{"code":0,"data":{"results":[{"callId":"1"}],"searchAfter":6780056666542059521}}"#);
    assert_eq!(number.unwrap().next_mark.as_deref(), Some("6780056666542059521"));
}

#[test]
fn both_names_of_the_answer_time_and_strings_for_numbers() {
    for name in ["answerTime", "ansTime"] {
        let page =
            page_of(json!({"results": [{"callId": 7, name: "1616491480", "callresult": 1, "ansSecs": "8"}]}));
        let record = found(&page, 0).unwrap().record;
        assert_eq!(record.answered_at.unwrap().to_string(), "2021-03-23T09:24:40Z", "{name}");
        assert_eq!(
            (&*record.call_id, record.answered_seconds, record.outcome.as_str()),
            ("7", Some(8), "answered")
        );
    }
}

#[test]
fn a_broken_record_costs_none_of_its_neighbours() {
    let page = page_of(
        json!({"results": [{"callId": "1"}, null, {"caller": "x"}, {"callId": "2"}], "searchAfter": "2"}),
    );
    let good: Vec<bool> = (0..4).map(|at| found(&page, at).is_ok()).collect();
    assert_eq!(good, [true, false, false, true]);
}

#[test]
fn bytes_that_are_no_text_cost_only_the_record_that_holds_them() {
    let body = b"{\"code\":0,\"\xff\":1,\"data\":{\"\xfe\":[],\"results\":[{\"callId\":\"1\"},{\"callId\":\"\xff\"}],\"searchAfter\":\"1\"}}";
    let page = page(200, body.as_slice()).unwrap();
    assert_eq!(found(&page, 0).unwrap().record.call_id, "1");
    assert_eq!(found(&page, 1).unwrap_err().code, "not_utf8");
    assert_eq!((page.records.len(), page.next_mark.as_deref()), (2, Some("1")));
}

#[test]
fn failures_are_told_apart() {
    let class = |status, body: &'static str| page(status, body).unwrap_err().class;
    assert_eq!(class(401, r#"{"error":"invalid_token"}"#), ErrorClass::Unauthenticated);
    assert_eq!(class(500, ""), ErrorClass::Unavailable);
    assert_eq!(class(429, ""), ErrorClass::RateLimited);
    for nonsense in [
        "",
        "<html>down</html>",
        "[]",
        "{}",
        r#"{"code":0}"#,
        r#"{"code":0,"data":{}}"#,
        r#"{"code":0,"data":{"results":7}}"#,
    ] {
        assert_eq!(class(200, nonsense), ErrorClass::Protocol, "{nonsense}");
    }
    let error = page(200, r#"{"code":"1002","message":"参数错误","request_id":"d335"}"#).unwrap_err();
    assert_eq!(error.code, "upstream-rejected");
    let said = error.upstream.unwrap();
    assert_eq!(
        (said.code.as_deref(), said.message.as_deref(), said.request_id.as_deref()),
        (Some("1002"), Some("参数错误"), Some("d335"))
    );
    let empty = Response::builder()
        .status(200)
        .body(Bytes::from_static(b"{\"code\":0,\"data\":{\"results\":["))
        .unwrap();
    assert_eq!(adapter(&[("token", "t")]).parse_search(&empty).unwrap_err().class, ErrorClass::Protocol);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = adapter(&[("token", "t")]).read_found(&FoundRecord::other(body.clone().into()), now());
        let _ = page(200, body);
    }

    #[test]
    fn no_results_make_it_panic(results in r#"[\[\]{}",:\\0-9a-e \-]{0,100}"#) {
        if let Ok(page) = page(200, format!(r#"{{"code":0,"data":{{"results":{results},"searchAfter":null}}}}"#)) {
            (0..page.records.len()).for_each(|at| drop(found(&page, at)));
        }
    }
}
