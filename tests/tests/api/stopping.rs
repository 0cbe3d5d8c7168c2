//! A stop: announced, complete, and on time.

use std::time::{Duration, Instant};

use outdial_simulator::{Faults, Vendor};
use outdial_tests::{
    child::GatewayProcess,
    client::http_client,
    gateway::TestGateway,
    logs,
    setup::{Backend, Setup, WELLCLOUD, World},
    sse::EventStream,
    waiting::{eventually, soon},
};

use crate::{
    bodies::results,
    pages::stored,
    uploads::{CSV, csv, kept, upload, upload_count},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_do_not_hold_it_up() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let call = gateway.client().get("/v1/events").accept("text/event-stream");
    let mut stream = EventStream::new(call.open().await).begun().await;
    let (gateway, _world) = gateway.into_parts();
    let begun = Instant::now();
    let (ended, last) = tokio::join!(soon("the stop", gateway.stop()), stream.next());
    assert!(ended && last.is_none());
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_announced_before_the_ports_close() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite).set("HTTP__DRAIN", "2s")).await;
    let (api, admin) = (gateway.api(), gateway.admin());
    let (client, push_url) = (gateway.client(), gateway.push_url(WELLCLOUD));
    assert_eq!(gateway.ask_admin("/readyz").await.0, 200);
    let (gateway, world) = gateway.into_parts();
    let during = async {
        eventually("it is not ready", async || {
            let response = http_client().get(format!("http://{admin}/readyz")).send().await.ok()?;
            (response.status() == 503).then_some(())
        })
        .await;
        let live = http_client().get(format!("http://{admin}/livez")).send().await.unwrap();
        assert_eq!(live.status(), 200);
        assert_eq!(client.get("/v1/accounts").send().await.status, 200, "who has not noticed is served");
        let pushed = http_client().post(push_url).body(results(3)).send().await.unwrap();
        assert_eq!(pushed.status(), 200);
    };
    let (ended, ()) = tokio::join!(soon("the stop", gateway.stop()), during);
    assert!(ended);
    for port in [api, admin] {
        assert!(tokio::net::TcpStream::connect(port).await.is_err(), "{port} still takes connections");
    }
    let gateway = TestGateway::start_in(world).await;
    assert_eq!(stored(&gateway).await.len(), 3);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_is_finished() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let slow = Faults { vendor: Some(Vendor::Wellcloud), delay_ms: 1_000, ..Faults::default() };
    gateway.control().set_faults(slow);
    let client = gateway.client();
    let uploading = upload(&client, "", CSV, csv(2));
    let stopping = async {
        eventually("the vendor has the roster", async || (upload_count(&gateway) == 1).then_some(())).await;
        gateway.stop().await
    };
    let (answer, world) = tokio::join!(uploading, stopping);
    let roster = answer.expect(201);
    let gateway = TestGateway::start_in(world).await;
    assert_eq!(kept(&gateway.client(), &roster).await, roster);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_the_process_well_and_a_kill_loses_nothing() {
    let world = World::new(Setup::new(Backend::Sqlite)).await;
    let program = env!("CARGO_BIN_EXE_gateway_process");
    let child = GatewayProcess::start(program, &world);
    upload(&child.client(), "", CSV, csv(2)).await.expect(201);
    assert!(child.terminate().await, "it did not end with status 0");
    let child = GatewayProcess::start(program, &world);
    let rosters = child.client().read("/v1/rosters").await;
    assert_eq!(rosters["data"][0]["accepted"], 2);
    upload(&child.client(), "", CSV, csv(3)).await.expect(201);
    child.kill();
    let gateway = TestGateway::start_in(world).await;
    assert_eq!(gateway.client().read("/v1/rosters").await["data"].as_array().unwrap().len(), 2);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_do_not_share_a_file() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    let second = outdial_gateway::Gateway::start(gateway.world.config()).await;
    let error = second.err().expect("the file is taken").to_string();
    assert!(error.contains("locked by pid"), "{error}");
    gateway.finish().await;
}

#[tokio::test]
async fn the_log_is_kept_and_searched() {
    let gateway = TestGateway::start(Setup::new(Backend::Sqlite)).await;
    gateway.client_holding(None).get("/v1/accounts").send().await.expect_problem(401, "unauthenticated");
    let kept = logs::kept();
    for line in ["gateway.ready", "api.refused"] {
        assert!(kept.contains(line), "{line} is not in the log");
    }
    gateway.finish().await;
}

#[test]
fn what_must_not_be_logged_is_found() {
    use outdial_tests::secrets::{HS256_SECRET, find_number, find_secret, number};
    assert_eq!(find_secret(&format!("x {HS256_SECRET} y")), Some(HS256_SECRET));
    assert_eq!(find_number(&format!("\"called\":\"{}\"", number(12))), Some("13977000012"));
    assert_eq!(find_number("139****0012 and ros_13977000012345678"), None);
}
