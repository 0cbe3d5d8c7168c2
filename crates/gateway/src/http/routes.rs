//! The routes of the API, in one table: what is served, and so what the contract has to say.

use actix_web::{
    HttpRequest, HttpResponse, Route, Scope,
    guard::{GuardContext, fn_guard},
    http::Method,
    web,
};

use super::{
    accounts, coverage, deliveries, docs, drift, event_types, events, met::Met, passthrough,
    problem::Failure, quarantine, records, roster_uploads, rosters, subscriptions,
};

/// One route.
struct Served {
    method: &'static str,
    pattern: &'static str,
    route: fn() -> Route,
}

const fn get(pattern: &'static str, route: fn() -> Route) -> Served {
    Served { method: "GET", pattern, route }
}

const fn post(pattern: &'static str, route: fn() -> Route) -> Served {
    Served { method: "POST", pattern, route }
}

const fn patch(pattern: &'static str, route: fn() -> Route) -> Served {
    Served { method: "PATCH", pattern, route }
}

const fn delete(pattern: &'static str, route: fn() -> Route) -> Served {
    Served { method: "DELETE", pattern, route }
}

/// Everything behind this path is the vendor's.
const RELAYED: &str = "/v1/accounts/{account}/vendor/{path}";

const fn relayed(method: &'static str, route: fn() -> Route) -> Served {
    Served { method, pattern: RELAYED, route }
}

/// The pattern as the router reads it: the vendor's part of a path has slashes of its own.
fn router_pattern(pattern: &str) -> String {
    if pattern == RELAYED { pattern.replace("{path}", "{path:.+}") } else { pattern.to_owned() }
}

/// Relayed calls, told by hand: they are called most, and to try a pattern is dear beside the rest of their way. What is not
/// plainly one of them, such as a path with escapes or another method, is left to the pattern.
fn plainly_relayed() -> Scope {
    let is_one = |context: &GuardContext<'_>| {
        let head = context.head();
        let is_served =
            SERVED.iter().any(|served| served.pattern == RELAYED && served.method == head.method.as_str());
        is_served && passthrough::is_plain(head.uri.path())
    };
    web::scope("/v1/accounts")
        .guard(fn_guard(is_one))
        .app_data(Met::new(RELAYED))
        .default_service(web::to(passthrough::pass))
}

/// Routes of one pattern stand together. They are tried in this order, so those that are called most stand first.
#[rustfmt::skip]
const SERVED: &[Served] = &[
    relayed("GET", || web::get().to(passthrough::pass)),
    relayed("POST", || web::post().to(passthrough::pass)),
    relayed("PUT", || web::put().to(passthrough::pass)),
    relayed("PATCH", || web::patch().to(passthrough::pass)),
    relayed("DELETE", || web::delete().to(passthrough::pass)),
    relayed("HEAD", || web::head().to(passthrough::pass)),
    relayed("OPTIONS", || web::method(Method::OPTIONS).to(passthrough::pass)),
    get("/v1/call-records", || web::get().to(records::list)),
    get("/v1/accounts", || web::get().to(accounts::list)),
    get("/v1/accounts/{account}", || web::get().to(accounts::get)),
    post("/v1/accounts/{account}/campaigns/{campaign_id}/rosters", || web::post().to(roster_uploads::upload)),
    get("/v1/accounts/{account}/campaigns/{campaign_id}/summary", || web::get().to(records::summary)),
    get("/v1/accounts/{account}/coverage", || web::get().to(coverage::get)),
    get("/v1/accounts/{account}/drift", || web::get().to(drift::list)),
    get("/v1/rosters", || web::get().to(rosters::list)),
    get("/v1/rosters/{id}", || web::get().to(rosters::get)),
    post("/v1/rosters/{id}/retry", || web::post().to(roster_uploads::retry)),
    get("/v1/call-records/{account}/{call_id}", || web::get().to(records::get)),
    get("/v1/events", || web::get().to(events::read)),
    get("/v1/event-types", || web::get().to(event_types::list)),
    get("/v1/subscriptions", || web::get().to(subscriptions::list)),
    post("/v1/subscriptions", || web::post().to(subscriptions::create)),
    get("/v1/subscriptions/{id}", || web::get().to(subscriptions::get)),
    patch("/v1/subscriptions/{id}", || web::patch().to(subscriptions::patch)),
    delete("/v1/subscriptions/{id}", || web::delete().to(subscriptions::delete)),
    post("/v1/subscriptions/{id}/rotate-secret", || web::post().to(subscriptions::rotate_secret)),
    post("/v1/subscriptions/{id}/test", || web::post().to(deliveries::test)),
    post("/v1/subscriptions/{id}/replay", || web::post().to(deliveries::replay)),
    get("/v1/subscriptions/{id}/deliveries", || web::get().to(deliveries::list)),
    post("/v1/subscriptions/{id}/deliveries/retry", || web::post().to(deliveries::retry_all)),
    post("/v1/subscriptions/{id}/deliveries/{delivery}/retry", || web::post().to(deliveries::retry)),
    get("/v1/quarantine", || web::get().to(quarantine::list)),
    post("/v1/quarantine/replay", || web::post().to(quarantine::replay_all)),
    get("/v1/quarantine/{id}", || web::get().to(quarantine::get)),
    delete("/v1/quarantine/{id}", || web::delete().to(quarantine::delete)),
    post("/v1/quarantine/{id}/replay", || web::post().to(quarantine::replay)),
    get("/v1/openapi.yaml", || web::get().to(docs::openapi_yaml)),
    get("/docs", || web::get().to(docs::page)),
    get("/docs/docs.css", || web::get().to(docs::style)),
    get("/docs/docs.js", || web::get().to(docs::script)),
    get("/docs/openapi.json", || web::get().to(docs::openapi_json)),
    get("/problems/{code}", || web::get().to(docs::problem_page)),
];

/// Method and pattern of every route that is served.
pub fn served_routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    SERVED.iter().map(|served| (served.method, served.pattern))
}

/// Registers every route.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(plainly_relayed());
    for routes in SERVED.chunk_by(|a, b| a.pattern == b.pattern) {
        let allowed: Vec<&str> = routes.iter().map(|served| served.method).collect();
        let allow = allowed.join(", ");
        let pattern = routes[0].pattern;
        let mut resource = web::resource(router_pattern(pattern)).app_data(Met::new(pattern));
        for served in routes {
            resource = resource.route((served.route)());
        }
        let refuse = move || {
            let allow = allow.clone();
            async move {
                let detail = format!("This path takes {allow}.");
                Err::<HttpResponse, _>(Failure {
                    allow: Some(allow),
                    ..Failure::new("method-not-allowed", detail)
                })
            }
        };
        config.service(resource.default_service(web::to(refuse)));
    }
}

/// The answer to a path that is none of them.
pub async fn not_found(_: HttpRequest) -> Result<HttpResponse, Failure> {
    Err(crate::api_error::ApiError::not_found().into())
}
