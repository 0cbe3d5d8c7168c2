//! A real gateway in this process, on ports of its own, with both vendors behind it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use outdial_core::{Clock, SystemClock, Timestamp};
use outdial_gateway::Gateway;
use outdial_simulator::Control;
use reqwest::{Body, header::HeaderMap};
use serde_json::Value;

use crate::{
    client::{Client, http_client},
    logs,
    secrets::{ICSOC_PUSH_TOKEN, WELLCLOUD_PUSH_TOKEN},
    setup::{ICSOC, Setup, WELLCLOUD, World},
    tokens::{ALL_SCOPES, token},
    waiting::{eventually, soon},
};

/// A clock that is ahead by so many milliseconds.
#[derive(Debug)]
pub struct AheadClock(pub i64);

impl Clock for AheadClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().millis() + self.0)
    }
}

/// A running gateway and the world around it.
pub struct TestGateway {
    gateway: Gateway,
    /// The vendors and the store.
    pub world: Arc<World>,
}

/// The reply to a push.
#[derive(Clone, Debug)]
pub struct PushReply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
}

/// Where a vendor pushes for an account, at a push port.
pub fn push_url(port: SocketAddr, account: &str) -> String {
    let secret = if account == ICSOC { ICSOC_PUSH_TOKEN } else { WELLCLOUD_PUSH_TOKEN };
    format!("http://{port}/push/{account}/{secret}")
}

/// Pushes a body as a vendor would.
///
/// # Panics
/// When there is no whole reply.
pub async fn push(url: &str, body: impl Into<Body>) -> PushReply {
    let request = http_client().post(url).header("content-type", "application/json");
    let response = request.body(body).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    PushReply { status, headers, body: response.json().await.unwrap() }
}

impl TestGateway {
    /// Starts one in a new world.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(setup: Setup) -> Self {
        Self::start_in(World::new(setup).await).await
    }

    /// Starts one in a world that is there.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_in(world: Arc<World>) -> Self {
        Self::start_later(world, Duration::ZERO).await
    }

    /// Starts one in a world that is there, so much later by its clock.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_later(world: Arc<World>, later: Duration) -> Self {
        Self::start_by(world, Arc::new(AheadClock(i64::try_from(later.as_millis()).unwrap()))).await
    }

    /// Starts one in a world that is there, by a clock of the test's.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_by(world: Arc<World>, clock: Arc<dyn Clock>) -> Self {
        logs::keep();
        // The threads of a gateway that was stopped before in this process may hold its store a moment longer.
        let gateway = eventually("the gateway starts", async || {
            match Gateway::start_with_clock(world.config(), Arc::clone(&clock)).await {
                Ok(gateway) => Some(gateway),
                Err(error) if error.to_string().contains("is locked by") => None,
                Err(error) => panic!("{error}"),
            }
        });
        Self { gateway: gateway.await, world }
    }

    /// Stops it as a signal would, and leaves its world.
    ///
    /// # Panics
    /// When something did not end in time.
    pub async fn stop(self) -> Arc<World> {
        let Self { gateway, world } = self;
        world.vendors.control().set_push_urls(None, None);
        assert!(soon("the gateway stops", gateway.stop()).await, "background work did not end in time");
        world
    }

    /// Stops it and starts another on the same store.
    ///
    /// # Panics
    /// When one of the two fails.
    pub async fn restart(self) -> Self {
        let world = self.stop().await;
        Self::start_in(world).await
    }

    /// Stops it for good, and searches its log.
    ///
    /// # Panics
    /// When it did not stop in time, or the log holds what it must not.
    pub async fn finish(self) {
        self.stop().await;
        logs::assert_clean();
    }

    /// The gateway itself, to be stopped by the test.
    pub fn into_parts(self) -> (Gateway, Arc<World>) {
        (self.gateway, self.world)
    }

    /// Where the API is.
    pub fn api(&self) -> SocketAddr {
        self.gateway.api_address()
    }

    /// Where pushes go.
    pub fn push_port(&self) -> SocketAddr {
        self.gateway.push_address()
    }

    /// Where probes and metrics are.
    pub fn admin(&self) -> SocketAddr {
        self.gateway.admin_address()
    }

    /// The hand on the vendors.
    pub fn control(&self) -> Control {
        self.world.vendors.control()
    }

    /// A caller with every scope for every account.
    pub fn client(&self) -> Client {
        self.client_with(ALL_SCOPES, &["*"])
    }

    /// A caller with these scopes for these accounts.
    pub fn client_with(&self, scopes: &str, accounts: &[&str]) -> Client {
        self.client_holding(Some(token(scopes, accounts)))
    }

    /// A caller with this token, or none.
    pub fn client_holding(&self, token: Option<String>) -> Client {
        Client::new(format!("http://{}", self.api()), token)
    }

    /// Where a vendor pushes for an account.
    pub fn push_url(&self, account: &str) -> String {
        push_url(self.push_port(), account)
    }

    /// Lets both vendors push from now on.
    pub fn connect_pushes(&self) {
        self.control().set_push_urls(Some(self.push_url(WELLCLOUD)), Some(self.push_url(ICSOC)));
    }

    /// Pushes a body as a vendor would.
    ///
    /// # Panics
    /// When there is no whole reply.
    pub async fn push(&self, account: &str, body: impl Into<Body>) -> PushReply {
        push(&self.push_url(account), body).await
    }

    /// Asks the admin port: status and text.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask_admin(&self, path: &str) -> (u16, String) {
        let response = http_client().get(format!("http://{}{path}", self.admin())).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The sum of a metric over all series that have these labels, written as in the text: `result="stored"`.
    ///
    /// # Panics
    /// When there are no metrics.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (status, text) = self.ask_admin("/metrics").await;
        assert_eq!(status, 200);
        logs::assert_clean_text(&text);
        let lines = text.lines().filter(|line| {
            let series = line.split(' ').next().unwrap_or_default();
            series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label))
        });
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        lines.filter_map(value).sum()
    }
}
