//! `GET /v1/accounts/{account}/coverage`: its hours, its bounds, and what it says where there is no search.

use outdial_tests::{
    gateway::TestGateway,
    on_every_store,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
};
use serde_json::{Value, json};

use crate::{bodies::results, uploads::CAMPAIGN};

on_every_store!(pushes_are_counted_where_there_is_no_search);

async fn pushes_are_counted_where_there_is_no_search(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    gateway.push(WELLCLOUD, results(25)).await;
    let path = format!("/v1/accounts/{WELLCLOUD}/coverage");
    let range = "from=2019-05-29T10:59:59Z&to=2019-05-29T19:00:01%2B08:00";
    let coverage = gateway.client().read(&format!("{path}?{range}&campaign_id={CAMPAIGN}")).await;
    let numbers = |by_push: usize| {
        json!({
            "by_push": by_push, "only_by_search": 0, "differing": 0, "at_vendor": null, "missing": null, "complete": null,
        })
    };
    let hour = |hour: &str, by_push: usize| {
        let mut shown = numbers(by_push);
        (shown["hour"], shown["walked_at"]) = (json!(hour), Value::Null);
        shown
    };
    let expected = json!({
        "account": WELLCLOUD, "vendor": "wellcloud", "campaign_id": CAMPAIGN,
        "from": "2019-05-29T10:00:00.000Z", "to": "2019-05-29T12:00:00.000Z",
        "totals": numbers(25),
        "hours": [hour("2019-05-29T10:00:00.000Z", 25), hour("2019-05-29T11:00:00.000Z", 0)],
    });
    assert_eq!(coverage, expected);
    let other = gateway.client().read(&format!("{path}?{range}&campaign_id=other")).await;
    assert_eq!(other["totals"], numbers(0));
    let today = gateway.client().read(&path).await;
    assert!((24..=25).contains(&today["hours"].as_array().unwrap().len()), "{today:#}");
    gateway.finish().await;
}

#[tokio::test]
async fn what_was_not_searched_is_not_complete() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let coverage = gateway.client().read(&format!("/v1/accounts/{ICSOC}/coverage")).await;
    assert_eq!(
        (&coverage["totals"]["complete"], &coverage["totals"]["missing"]),
        (&json!(false), &Value::Null)
    );
    gateway.finish().await;
}

#[tokio::test]
async fn a_range_has_bounds() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let client = gateway.client();
    let most = "from=2026-10-01T00:30:00Z&to=2026-11-01T00:30:00Z";
    let coverage = client.read(&format!("/v1/accounts/{ICSOC}/coverage?{most}")).await;
    assert_eq!(coverage["hours"].as_array().unwrap().len(), 745);
    for (query, code) in [
        ("from=2026-10-01T00:30:00Z&to=2026-11-01T00:30:01Z", "too-far"),
        ("from=2026-10-01T00:00:00Z&to=2026-10-01T00:00:00Z", "before-start"),
        ("from=1969-12-31T00:00:00Z&to=1970-01-02T00:00:00Z", "not-valid"),
        ("from=yesterday", "not-valid"),
        ("limit=10", "unknown"),
        ("campaign_id=", "empty"),
    ] {
        let answer = client.get(&format!("/v1/accounts/{ICSOC}/coverage?{query}")).send().await;
        let problem = answer.expect_problem(400, "invalid-parameter");
        assert_eq!(problem["errors"][0]["code"], code, "{query}");
    }
    gateway.finish().await;
}
