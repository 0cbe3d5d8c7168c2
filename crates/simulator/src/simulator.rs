//! Starting and stopping: the listener, the pushers and the hour.

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, dev::Server, web};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::MissedTickBehavior,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::SimulatorConfig,
    control::Control,
    http,
    push::{Ledger, Sender},
    world::World,
};

/// Threads that serve; a simulator is not what is being measured.
const WORKERS: usize = 1;
/// Connections at once.
const MAX_CONNECTIONS: usize = 1_024;
/// How long a stop waits for requests under way.
const SHUTDOWN_SECONDS: u64 = 1;

/// Why a simulator did not start or run.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The ledger cannot be opened.
    #[error("cannot open the ledger {}", path.display())]
    Ledger {
        /// The file asked for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The pushers' HTTP client cannot be made.
    #[error("cannot make the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The signals that end [`run`] cannot be listened for.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// Both vendors, running. Dropping it stops it without waiting.
pub struct Simulator {
    address: SocketAddr,
    world: Arc<World>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Simulator {
    /// Starts both vendors on the running tokio runtime.
    ///
    /// # Errors
    /// When the address, the ledger or the HTTP client is not to be had.
    pub async fn start(config: SimulatorConfig) -> Result<Self, SimulatorError> {
        let ledger = match &config.ledger {
            Some(path) => Some(Arc::new(
                Ledger::open(path)
                    .await
                    .map_err(|source| SimulatorError::Ledger { path: path.clone(), source })?,
            )),
            None => None,
        };
        let sender = Sender::new().map_err(SimulatorError::Client)?;
        let (listen, hour) = (config.listen, config.wellcloud.hour);
        let world = Arc::new(World::new(config));
        let (address, server) = serve(listen, world.clone())
            .map_err(|source| SimulatorError::Listen { address: listen, source })?;

        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(run_server(server, cancel.clone()));
        for pusher in [&world.wellcloud.pusher, &world.icsoc.pusher] {
            tasks.spawn(pusher.clone().run(sender.clone(), ledger.clone(), cancel.clone()));
        }
        if !hour.is_zero() {
            tasks.spawn(cancel.clone().run_until_cancelled_owned(end_hours(world.clone(), hour)));
        }
        Ok(Self { address, world, cancel, tasks })
    }

    /// Where both vendors listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// WellCloud's base URL, `http://host:port/ocm`.
    pub fn wellcloud_base_url(&self) -> String {
        format!("http://{}/ocm", self.address)
    }

    /// Where WellCloud's tokens come from, without a query.
    pub fn wellcloud_token_url(&self) -> String {
        format!("http://{}/p/api/operation/operation/apply/token", self.address)
    }

    /// ICSOC's base URL, `http://host:port`.
    pub fn icsoc_base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where ICSOC's tokens come from.
    pub fn icsoc_token_url(&self) -> String {
        format!("http://{}/oauth2/token", self.address)
    }

    /// The hand on this simulator; outlives it, without effect then.
    pub fn control(&self) -> Control {
        Control::new(self.world.clone())
    }

    /// Stops listening and pushing; pushes that are not settled are abandoned.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Runs a simulator until Ctrl-C or SIGTERM. `on_ready` is called with the address once it is listened on.
///
/// # Errors
/// As [`Simulator::start`], and when signals cannot be listened for.
pub async fn run(config: SimulatorConfig, on_ready: impl FnOnce(SocketAddr)) -> Result<(), SimulatorError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SimulatorError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SimulatorError::Signals)?;
    let simulator = Simulator::start(config).await?;
    on_ready(simulator.address());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}

fn serve(listen: SocketAddr, world: Arc<World>) -> io::Result<(SocketAddr, Server)> {
    let world = web::Data::from(world);
    let server = HttpServer::new(move || App::new().app_data(world.clone()).configure(http::mount))
        .workers(WORKERS)
        .max_connections(MAX_CONNECTIONS)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .bind(listen)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    Ok((address, server.run()))
}

async fn run_server(server: Server, cancel: CancellationToken) {
    let handle = server.handle();
    let stop = async {
        cancel.cancelled().await;
        handle.stop(true).await;
    };
    let (served, ()) = tokio::join!(server, stop);
    if let Err(error) = served {
        tracing::error!(%error, "the listener failed");
    }
}

async fn end_hours(world: Arc<World>, hour: Duration) {
    let mut hours = tokio::time::interval(hour);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and nothing was dialled yet.
    hours.tick().await;
    loop {
        hours.tick().await;
        world.wellcloud.close_hour();
    }
}
