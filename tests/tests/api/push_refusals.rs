//! Pushes that are refused: each with the reply that the contract's table promises, and nothing stored as an event.

use std::collections::BTreeSet;

use outdial_simulator::Faults;
use outdial_tests::{
    client::http_client,
    gateway::{PushReply, TestGateway},
    on_every_store,
    secrets::{PUSH_SECRET, WELLCLOUD_PUSH_TOKEN},
    setup::{Backend, ICSOC, Setup, WELLCLOUD},
    waiting::{eventually, soon},
};
use serde_json::{Value, json};

use crate::{
    bodies::{call, envelope, exchange, head, results, sign, stall},
    pages::{events, quarantined, stored},
};

on_every_store!(
    a_body_that_is_cut_is_kept_where_it_comes_only_once,
    a_wrong_sign_is_refused_and_kept_as_suspect
);

async fn start() -> TestGateway {
    TestGateway::start(Setup::new(Backend::Sqlite)).await
}

#[track_caller]
fn assert_reply(reply: &PushReply, status: u16, code: u32) {
    assert_eq!(
        (reply.status, reply.body["code"].as_u64()),
        (status, Some(u64::from(code))),
        "{:?}",
        reply.body
    );
    let content_type = reply.headers.get("content-type").and_then(|value| value.to_str().ok());
    assert_eq!(content_type, Some("application/json"));
    assert!(!reply.headers.contains_key("server"));
}

async fn a_body_that_is_cut_is_kept_where_it_comes_only_once(store: Backend) {
    let gateway = TestGateway::start(Setup::new(store)).await;
    let body = results(3);
    let half = &body[..body.len() / 2];
    let reply =
        exchange(gateway.push_port(), (head(&gateway.push_url(WELLCLOUD), body.len()) + half).as_bytes())
            .await;
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 400") && reply.contains("40001"), "{reply}");
    let items = eventually("the begin is kept", async || {
        Some(quarantined(&gateway).await).filter(|items| !items.is_empty())
    });
    let items = items.await;
    assert_eq!(items[0]["reason"]["code"], "truncated");
    let path = format!("/v1/quarantine/{}?include=raw", items[0]["id"].as_str().unwrap());
    let raw = gateway.client().read(&path).await["raw"].clone();
    assert_eq!(crate::quarantine::decode(&raw), half.as_bytes());

    let body = envelope("1", &call("6811535818021285888"));
    let half = &body[..body.len() / 2];
    exchange(gateway.push_port(), (head(&gateway.push_url(ICSOC), body.len()) + half).as_bytes()).await;
    let labels = ["account=\"ic-1\"", "result=\"truncated\""];
    eventually("the refusal is counted", async || {
        (gateway.metric("outdial_push_bodies_total", &labels).await > 0.0).then_some(())
    })
    .await;
    assert_eq!(quarantined(&gateway).await.len(), 1, "ICSOC comes again, so nothing of it is kept");
    assert_eq!((stored(&gateway).await, events(&gateway).await), (vec![], vec![]));
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite).set("PUSH__BODY_IDLE", "200ms")).await;
    for (account, kept) in [(WELLCLOUD, 1), (ICSOC, 1)] {
        let begin = head(&gateway.push_url(account), 1_000) + "[{";
        let reply = stall(gateway.push_port(), begin.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 408") && reply.contains("40800"), "{reply}");
        assert_eq!(quarantined(&gateway).await.len(), kept);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn compressed_bodies_are_not_taken() {
    let gateway = start().await;
    for account in [WELLCLOUD, ICSOC] {
        for encoding in ["gzip", "br", "zstd", "gzip, identity"] {
            let request = http_client().post(gateway.push_url(account)).header("content-encoding", encoding);
            let response = request.body(results(1)).send().await.unwrap();
            assert_eq!(response.status(), 415);
            assert_eq!(response.json::<Value>().await.unwrap()["code"], 41_500);
        }
    }
    let request = http_client().post(gateway.push_url(WELLCLOUD)).header("content-encoding", "identity");
    assert_eq!(request.body(results(1)).send().await.unwrap().status(), 200);
    gateway.finish().await;
}

#[tokio::test]
async fn bodies_are_bounded_with_and_without_an_announced_length() {
    let gateway = start().await;
    for (account, limit) in [(WELLCLOUD, 16 << 20), (ICSOC, 1 << 20)] {
        let announced = head(&gateway.push_url(account), limit + 1);
        let reply = stall(gateway.push_port(), announced.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 413") && reply.contains("41300"), "{reply}");
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
        let length = format!("content-length: {}", limit + 1);
        let mut chunked = announced.replace(&length, "transfer-encoding: chunked");
        chunked.extend(std::iter::repeat_n(chunk.as_str(), limit / (1 << 16) + 1));
        let reply = exchange(gateway.push_port(), chunked.as_bytes()).await;
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 413"), "{reply}");
        let labels = [format!("account=\"{account}\""), "result=\"too_large\"".to_owned()];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert_eq!(gateway.metric("outdial_push_bodies_total", &labels).await, 2.0);
    }
    // As much as the vendor may send is taken.
    let padded = results(1) + &" ".repeat((16 << 20) - results(1).len());
    assert_reply(&gateway.push(WELLCLOUD, padded).await, 200, 0);
    gateway.finish().await;
}

#[tokio::test]
async fn a_wrong_secret_is_answered_like_a_wrong_account() {
    let gateway = start().await;
    let base = format!("http://{}/push", gateway.push_port());
    let mut bodies = BTreeSet::new();
    for path in [
        "wc-1/wrong-secret-of-some-length".to_owned(),
        format!("nobody/{WELLCLOUD_PUSH_TOKEN}"),
        format!("ic-1/{WELLCLOUD_PUSH_TOKEN}"),
        format!("wc-1/{WELLCLOUD_PUSH_TOKEN}x"),
        format!("wc-1/{}", &WELLCLOUD_PUSH_TOKEN[1..]),
        "wc-1/%00".to_owned(),
        "wc-1/..%2f..".to_owned(),
    ] {
        let response = http_client().post(format!("{base}/{path}")).body(results(1)).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
        bodies.insert(response.bytes().await.unwrap());
    }
    assert_eq!(bodies.len(), 1, "the same words for all");
    for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"] {
        for path in [format!("wc-1/{WELLCLOUD_PUSH_TOKEN}"), "wc-1/wrong".to_owned()] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let response = http_client().request(method, format!("{base}/{path}")).send().await.unwrap();
            assert_eq!(response.status(), 405);
            assert_eq!(response.headers()["allow"], "POST");
        }
    }
    assert_eq!(gateway.push(WELLCLOUD, results(1)).await.body["stored"], 1);
    gateway.finish().await;
}

#[tokio::test]
async fn only_listed_senders_may_push() {
    let setup = Setup::new(Backend::Sqlite).set("ACCOUNTS__0__PUSH_ALLOW_CIDRS", "192.0.2.0/24");
    let gateway = TestGateway::start(setup).await;
    assert_eq!(gateway.push(WELLCLOUD, results(1)).await.status, 404);
    assert_eq!(gateway.push(ICSOC, envelope("1", &call("6811535818021285888"))).await.status, 200);
    assert_eq!(stored(&gateway).await.len(), 1);
    gateway.finish().await;
}

#[tokio::test]
async fn envelopes_with_two_readings_are_malformed_and_unsigned_ones_not_authentic() {
    let gateway = start().await;
    let data = call("6811535818021285888");
    let signature = sign(&data, PUSH_SECRET);
    let other = call("6811535818021285889");
    for body in [
        format!(r#"{{"type":1,"data":{data},"data":{other},"sign":"{signature}"}}"#),
        format!(r#"{{"type":1,"data":{data},"sign":"{signature}","sign":"{signature}"}}"#),
        format!(r#"{{"type":1,"data":{data},"\u0064ata":{other},"sign":"{signature}"}}"#),
        "not json".to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        assert_reply(&gateway.push(ICSOC, body).await, 400, 40_003);
    }
    let of_nothing = sign("", PUSH_SECRET);
    for body in [
        format!(r#"{{"type":1,"data":{data}}}"#),
        format!(r#"{{"type":1,"data":{data},"sign":null}}"#),
        format!(r#"{{"type":1,"data":{data},"sign":7}}"#),
        format!(r#"{{"type":1,"data":{data},"sign":"{}"}}"#, &signature[..31]),
        format!(r#"{{"type":1,"data":{data},"sign":"{signature}0"}}"#),
        format!(r#"{{"type":1,"data":{other},"sign":"{signature}"}}"#),
        format!(r#"{{"type":1,"data":"","sign":"{of_nothing}"}}"#),
        format!(r#"{{"type":1,"sign":"{of_nothing}"}}"#),
        format!(r#"{{"type":1,"data":false,"sign":"{of_nothing}"}}"#),
    ] {
        assert_reply(&gateway.push(ICSOC, body).await, 401, 40_101);
    }
    assert_eq!((stored(&gateway).await, events(&gateway).await), (vec![], vec![]));
    let upper = envelope("1", &data).replace(&signature, &signature.to_uppercase());
    assert_reply(&gateway.push(ICSOC, upper).await, 200, 0);
    assert_eq!(stored(&gateway).await.len(), 1);
    gateway.finish().await;
}

async fn a_wrong_sign_is_refused_and_kept_as_suspect(store: Backend) {
    let setup = Setup::new(store).vendors(|vendors| {
        vendors.icsoc.calls = 0;
        vendors.icsoc.retry_unit = std::time::Duration::ZERO;
    });
    // The wrong secret is ours.
    let setup = setup.set("ACCOUNTS__1__PUSH_SECRETS", "canary-other-secret-of-ours");
    let gateway = TestGateway::start(setup).await;
    gateway.connect_pushes();
    let calls = gateway.control().seed_calls(1);
    soon("the vendor gives up", gateway.control().settled()).await;
    let stats = gateway.control().stats().icsoc.push;
    assert_eq!((stats.acknowledged, stats.given_up), (0, 1));
    let refused = gateway.metric("outdial_push_bodies_total", &["result=\"not_authentic\""]).await;
    assert_eq!(refused, f64::from(u32::try_from(stats.refused).unwrap()));
    assert_eq!((stored(&gateway).await, events(&gateway).await), (vec![], vec![]));
    let items = quarantined(&gateway).await;
    assert!(
        !items.is_empty() && items.iter().all(|item| item["reason"]["code"] == "not_authentic"),
        "{items:?}"
    );

    let path = format!("/v1/quarantine/{}/replay", items[0]["id"].as_str().unwrap());
    let replayed = gateway.client().call("POST", &path).send().await.expect(200);
    assert_eq!(
        (&replayed["removed"], &replayed["stored"]),
        (&json!(false), &json!(0)),
        "the secret is still wrong"
    );
    let world = gateway.stop().await;
    world.set("ACCOUNTS__1__PUSH_SECRETS", PUSH_SECRET);
    let gateway = TestGateway::start_in(world).await;
    let replayed = gateway.client().call("POST", &path).send().await.expect(200);
    assert_eq!((&replayed["removed"], &replayed["stored"]), (&json!(true), &json!(1)));
    assert_eq!(stored(&gateway).await[0]["call_id"], calls[0]);
    assert_eq!(quarantined(&gateway).await.len(), items.len() - 1);
    gateway.finish().await;
}

#[tokio::test]
async fn the_vendors_wrong_sign_is_not_taken() {
    let setup = Setup::new(Backend::Sqlite).vendors(|vendors| {
        vendors.icsoc.calls = 0;
        vendors.icsoc.retry_unit = std::time::Duration::ZERO;
    });
    let gateway = TestGateway::start(setup).await;
    gateway.connect_pushes();
    gateway.control().set_faults(Faults { wrong_sign: true, ..Faults::default() });
    gateway.control().seed_calls(2);
    soon("the vendor gives up", gateway.control().settled()).await;
    assert_eq!(stored(&gateway).await.len(), 0);
    gateway.control().set_faults(Faults { unescaped_bodies: true, ..Faults::default() });
    gateway.control().seed_calls(2);
    soon("the calls are pushed", gateway.control().settled()).await;
    assert_eq!(stored(&gateway).await.len(), 2, "what PHP writes by other flags is verified all the same");
    gateway.finish().await;
}
