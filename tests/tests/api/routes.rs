//! The routes: those of the contract and no others, each behind its scope and its accounts.

use std::collections::BTreeSet;

use outdial_gateway::http::served_routes;
use outdial_tests::{
    client::http_client,
    contract::{operations, pattern_of, required_scope},
    gateway::TestGateway,
    repository,
    schema::DOCUMENT,
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    tokens::ALL_SCOPES,
};
use serde_json::Value;

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Everything behind this is the vendor's: query and media types too.
const RELAYED: &str = "/v1/accounts/{account}/vendor/{path}";

/// A path of a pattern: with an account that exists, and ids that may or may not.
fn example_path(pattern: &str, account: &str) -> String {
    pattern.replace("{account}", account).replace("{code}", "not-found").replace(['{', '}'], "")
}

/// The operations whose answers have bodies.
fn told_operations() -> impl Iterator<Item = (String, String)> {
    operations().into_iter().filter(|(method, _)| method != "HEAD")
}

/// The operations whose parameters and media types are ours.
fn own_operations() -> impl Iterator<Item = (String, String)> {
    operations().into_iter().filter(|(_, pattern)| pattern != RELAYED)
}

/// Every scope but one.
fn scopes_without(scope: &str) -> String {
    ALL_SCOPES.split(' ').filter(|other| *other != scope).collect::<Vec<_>>().join(" ")
}

async fn start() -> TestGateway {
    TestGateway::start(Setup::new(Backend::Sqlite)).await
}

#[test]
fn the_routes_are_those_of_the_contract() {
    let served: BTreeSet<(String, String)> =
        served_routes().map(|(method, pattern)| (method.to_owned(), pattern.to_owned())).collect();
    assert_eq!(served, operations().into_iter().collect());
}

#[tokio::test]
async fn a_path_names_the_methods_it_takes_to_all_others() {
    let gateway = start().await;
    for client in [gateway.client(), gateway.client_holding(None)] {
        for pattern in operations().into_iter().map(|(_, pattern)| pattern).collect::<BTreeSet<_>>() {
            let taken: BTreeSet<String> = operations()
                .into_iter()
                .filter(|(_, other)| *other == pattern)
                .map(|(method, _)| method)
                .collect();
            for method in METHODS.iter().filter(|method| !taken.contains(**method)) {
                let answer = client.call(method, &example_path(&pattern, WELLCLOUD)).send().await;
                answer.expect_problem(405, "method-not-allowed");
                let allow = answer.header("allow").unwrap().split(", ").map(str::to_owned);
                assert_eq!(allow.collect::<BTreeSet<_>>(), taken, "{method} {pattern}");
            }
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn every_route_with_a_scope_demands_a_token_and_that_scope() {
    let gateway = start().await;
    let (anybody, mut demanding) = (gateway.client_holding(None), 0);
    for (method, pattern) in told_operations() {
        let path = example_path(&pattern, WELLCLOUD);
        let Some(scope) = required_scope(&method, &pattern) else {
            assert_eq!(anybody.call(&method, &path).send().await.status, 200, "{pattern}");
            continue;
        };
        demanding += 1;
        let answer = anybody.call(&method, &path).send().await;
        answer.expect_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));

        let almost = gateway.client_with(&scopes_without(scope), &["*"]);
        let answer = almost.call(&method, &path).send().await;
        answer.expect_problem(403, "insufficient-scope");
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{method} {pattern}");

        // The scope by itself opens the route: what is answered then is about the thing, not about the caller.
        let enough = gateway.client_with(scope, &["*"]);
        let status = enough.call(&method, &path).send().await.status.as_u16();
        assert!(![401, 403].contains(&status), "{method} {pattern} → {status}");
    }
    assert!(demanding >= 13, "the contract lost its scopes");
    gateway.finish().await;
}

#[tokio::test]
async fn an_account_outside_the_token_is_not_there() {
    let gateway = start().await;
    let narrow = gateway.client_with(ALL_SCOPES, &[WELLCLOUD]);
    let none = gateway.client_with(ALL_SCOPES, &[]);
    for (method, pattern) in told_operations().filter(|(_, pattern)| pattern.contains("{account}")) {
        let ask = async |client: &outdial_tests::client::Client, account: &str| {
            let call = client.call(&method, &example_path(&pattern, account)).header("x-request-id", "same");
            let answer = call.send().await;
            answer.expect_problem(404, "not-found");
            answer.body
        };
        let unknown = ask(&gateway.client(), "nobody").await;
        assert_eq!(ask(&narrow, ICSOC).await, unknown, "{method} {pattern}");
        assert_eq!(ask(&none, WELLCLOUD).await, unknown, "{method} {pattern}");
    }
    for list in ["/v1/rosters", "/v1/call-records", "/v1/events", "/v1/quarantine"] {
        let target = format!("{list}?account={WELLCLOUD}&account={ICSOC}");
        narrow.get(&target).send().await.expect_problem(404, "not-found");
        let page = none.read(list).await;
        assert_eq!((&page["data"], &page["next_cursor"]), (&Value::Array(vec![]), &Value::Null), "{list}");
    }
    let accounts = narrow.read("/v1/accounts").await;
    assert_eq!(accounts["data"].as_array().unwrap().len(), 1);
    assert_eq!(accounts["data"][0]["id"], WELLCLOUD);
    gateway.finish().await;
}

#[tokio::test]
async fn parameters_are_known_and_given_once() {
    let gateway = start().await;
    let client = gateway.client();
    for (method, pattern) in own_operations() {
        let path = example_path(&pattern, WELLCLOUD);
        // An upload looks at its body first only when its query is good.
        let problem = client.call(&method, &format!("{path}?surprise=1")).send().await;
        let problem = problem.expect_problem(400, "invalid-parameter");
        assert_eq!(problem["errors"][0]["pointer"], "?surprise", "{method} {pattern}");
        assert_eq!(problem["errors"][0]["code"], "unknown");
    }
    let bad = [
        "/v1/rosters?limit=0",
        "/v1/rosters?limit=1001",
        "/v1/rosters?limit=ten",
        "/v1/rosters?limit=5&limit=5",
        "/v1/rosters?status=done",
        "/v1/rosters?account=Not%20One",
        "/v1/rosters?campaign_id=",
        "/v1/events?after=-1",
        "/v1/events?after=18446744073709551616",
        "/v1/events?type=io.outdial.call-record.deleted",
        "/v1/call-records?outcome=great",
        "/v1/call-records?disposition=maybe",
        "/v1/call-records?ended_by=nobody",
        "/v1/call-records?source=memory",
        "/v1/call-records?include=everything",
        "/v1/call-records?started_from=yesterday",
        "/v1/call-records?started_from=2026-01-02T00:00:00Z&started_to=2026-01-01T00:00:00Z",
        "/v1/call-records?called=%00",
    ];
    for target in bad {
        client.get(target).send().await.expect_problem(400, "invalid-parameter");
    }
    let problem = client.get("/v1/call-records?limit=0&source=x&nonsense=1").send().await;
    let problem = problem.expect_problem(400, "invalid-parameter");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "every mistake at once: {problem:#}");
    gateway.finish().await;
}

#[tokio::test]
async fn what_is_not_acceptable_is_said() {
    let gateway = start().await;
    let client = gateway.client();
    for (method, pattern) in own_operations().filter(|(method, _)| method != "DELETE") {
        let answer =
            client.call(&method, &example_path(&pattern, WELLCLOUD)).accept("image/png").send().await;
        answer.expect_problem(406, "not-acceptable");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn request_ids_are_taken_over_or_made() {
    let gateway = start().await;
    let client = gateway.client();
    let long = "a".repeat(128);
    for id in ["order-1.2_3", long.as_str()] {
        let answer = client.get("/v1/accounts").header("x-request-id", id).send().await;
        assert_eq!(answer.header("x-request-id"), Some(id));
    }
    let too_long = "a".repeat(129);
    for id in ["", "a b", "<script>", "ä", too_long.as_str()] {
        let answer = client.get("/v1/accounts").header("x-request-id", id).send().await;
        let made = answer.header("x-request-id").unwrap();
        assert!(made.len() == 36 && made.as_bytes()[14] == b'7', "{made} is no UUIDv7");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn each_port_serves_its_own_paths_alone() {
    let gateway = start().await;
    let http = http_client();
    let status = async |port: std::net::SocketAddr, path: &str| {
        http.get(format!("http://{port}{path}")).send().await.unwrap().status().as_u16()
    };
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/v1",
        "/v1/",
        "/push/wc-1/x",
        "/v1/accounts/",
        "//v1/accounts",
    ] {
        assert_eq!(status(gateway.api(), path).await, 404, "api {path}");
    }
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/v1/accounts",
        "/docs",
        "/v1/openapi.yaml",
        "/push",
        "/push/wc-1",
    ] {
        assert_eq!(status(gateway.push_port(), path).await, 404, "push {path}");
    }
    for path in ["/", "/v1/accounts", "/docs", "/push/wc-1/x"] {
        assert_eq!(status(gateway.admin(), path).await, 404, "admin {path}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(status(gateway.admin(), path).await, 200, "admin {path}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_documentation_is_served_to_everybody() {
    let gateway = start().await;
    let client = gateway.client_holding(None);
    let yaml = client.get("/v1/openapi.yaml").send().await;
    assert_eq!(yaml.text(), repository::read("openapi.yaml"));
    assert_eq!(client.read("/docs/openapi.json").await, *DOCUMENT);
    let page = client.get("/docs").send().await;
    for file in ["docs.css", "docs.js"] {
        assert!(page.text().contains(file), "the page does not name {file}");
        assert_eq!(client.get(&format!("/docs/{file}")).send().await.status, 200);
    }
    let codes = DOCUMENT["components"]["schemas"]["ProblemCode"]["enum"].as_array().unwrap();
    for code in codes.iter().filter_map(Value::as_str) {
        let page = client.get(&format!("/problems/{code}")).send().await;
        assert!(page.status == 200 && page.text().contains(code), "{code} has no page");
    }
    client.get("/problems/no-such-thing").send().await.expect_problem(404, "not-found");
    client.get("/v1/nothing").send().await.expect_problem(404, "not-found");
    gateway.finish().await;
}

#[test]
fn patterns_with_more_fixed_words_win() {
    assert_eq!(pattern_of("/docs/openapi.json"), Some("/docs/openapi.json"));
    assert_eq!(pattern_of("/v1/rosters/ros_1"), Some("/v1/rosters/{id}"));
    assert_eq!(pattern_of("/v1/rosters/"), None);
}
