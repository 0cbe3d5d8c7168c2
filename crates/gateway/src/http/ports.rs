//! Three servers, each with threads of its own, so that a flood on one cannot starve another.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    middleware::from_fn,
    web,
};
use outdial_core::Clock;
use outdial_store::Store;

use super::{
    AdminService, PushService, UploadService, admin,
    around::{ThreadMetrics, around_api},
    push, routes,
};
use crate::{
    accounts::Accounts,
    auth::Verifier,
    config::{Config, HttpConfig, Listen, PushConfig},
    drift::DriftKeeper,
    events::EventStreams,
    push::{Admission, PushReceiver},
    query::{Cursors, RecordQueries},
    subscriptions::SubscriptionService,
    tasks::Tasks,
    telemetry::Metrics,
    upstream::{Relay, Upstream},
};

/// Heads of requests have to come within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are kept this long, a little longer than common balancers keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections of the API port, over all its threads.
const API_CONNECTIONS: usize = 4_096;
/// Connections of the admin port.
const ADMIN_CONNECTIONS: usize = 64;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// What the handlers work with. Each use case is its own.
#[derive(Clone)]
pub struct Services {
    pub accounts: Accounts,
    pub store: Arc<dyn Store>,
    pub verifier: Arc<Verifier>,
    pub upstream: Arc<Upstream>,
    pub uploads: Arc<UploadService>,
    pub queries: Arc<RecordQueries>,
    pub cursors: Cursors,
    pub streams: Arc<EventStreams>,
    pub drift: Arc<DriftKeeper>,
    pub subscriptions: Arc<SubscriptionService>,
    pub admission: Arc<Admission>,
    pub receiver: Arc<PushReceiver>,
    pub push: Arc<PushService>,
    pub admin: Arc<AdminService>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
}

/// The ports of a running gateway.
pub struct Ports {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where pushes are taken.
    pub push: SocketAddr,
    /// Where probes and metrics are.
    pub admin: SocketAddr,
    handles: [ServerHandle; 3],
}

/// A port that is ours, before anything is served on it.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    fn take(name: &str, address: SocketAddr) -> io::Result<Self> {
        let explain = |error: io::Error| {
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => "another program listens there",
                io::ErrorKind::PermissionDenied => "that needs more rights",
                io::ErrorKind::AddrNotAvailable => "this machine has no such address",
                _ => "it cannot be listened on",
            };
            io::Error::new(error.kind(), format!("listen.{name} {address}: {hint} ({error})"))
        };
        let listener = TcpListener::bind(address).map_err(explain)?;
        let address = listener.local_addr().map_err(explain)?;
        Ok(Self { listener, address })
    }
}

/// Takes all three ports, or says which are not to be had.
fn bind(listen: &Listen) -> io::Result<[Bound; 3]> {
    let wanted = [("api", listen.api), ("push", listen.push), ("admin", listen.admin)];
    let results = wanted.map(|(name, address)| Bound::take(name, address));
    let failures: Vec<String> =
        results.iter().filter_map(|result| result.as_ref().err()).map(ToString::to_string).collect();
    if !failures.is_empty() {
        return Err(io::Error::other(failures.join("; ")));
    }
    let mut bound = results.into_iter().flatten();
    match (bound.next(), bound.next(), bound.next()) {
        (Some(api), Some(push), Some(admin)) => Ok([api, push, admin]),
        _ => Err(io::Error::other("the ports could not be taken")),
    }
}

impl Ports {
    /// Serves all three ports.
    ///
    /// # Errors
    /// When a port cannot be listened on; the message names each.
    pub fn open(config: &Config, services: &Services, tasks: &Tasks) -> io::Result<Self> {
        let [api, push, admin] = bind(&config.listen)?;
        let addresses = [api.address, push.address, admin.address];
        let servers = [
            serve_api(api.listener, &config.http, services.clone())?,
            serve_push(push.listener, &config.http, &config.push, services.clone())?,
            serve_admin(admin.listener, services.clone())?,
        ];
        let handles = [servers[0].handle(), servers[1].handle(), servers[2].handle()];
        for server in servers {
            tasks.spawn(async move {
                if let Err(error) = server.await {
                    tracing::error!(problem = %error, "port.failed");
                }
            });
        }
        let [api, push, admin] = addresses;
        Ok(Self { api, push, admin, handles })
    }

    /// Stops taking connections and waits for open requests. The admin port goes last, so that probes see the end.
    pub async fn close(&self) {
        let [api, push, admin] = &self.handles;
        tokio::join!(api.stop(true), push.stop(true));
        admin.stop(false).await;
    }
}

fn serve_api(listener: TcpListener, http: &HttpConfig, services: Services) -> io::Result<Server> {
    let relay = http.relay;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(Relay::new(Arc::clone(&services.upstream), relay)))
            .app_data(ThreadMetrics::new(Arc::clone(&services.metrics)))
            .app_data(web::Data::new(services.accounts.clone()))
            .app_data(web::Data::new(services.cursors.clone()))
            .app_data(web::Data::from(Arc::clone(&services.store)))
            .app_data(web::Data::from(Arc::clone(&services.verifier)))
            .app_data(web::Data::from(Arc::clone(&services.upstream)))
            .app_data(web::Data::from(Arc::clone(&services.uploads)))
            .app_data(web::Data::from(Arc::clone(&services.queries)))
            .app_data(web::Data::from(Arc::clone(&services.streams)))
            .app_data(web::Data::from(Arc::clone(&services.drift)))
            .app_data(web::Data::from(Arc::clone(&services.subscriptions)))
            .app_data(web::Data::from(Arc::clone(&services.receiver)))
            .app_data(web::Data::from(Arc::clone(&services.metrics)))
            .app_data(web::Data::from(Arc::clone(&services.clock)))
            .configure(routes::configure)
            .default_service(web::to(routes::not_found))
            .wrap(from_fn(around_api))
    });
    let workers = http.workers;
    Ok(server
        .workers(workers)
        .max_connections((API_CONNECTIONS / workers).max(1))
        // A follower who hangs up gives its place back at once, not when two heartbeats could not be sent.
        .h1_allow_half_closed(false)
        .backlog(BACKLOG)
        .client_request_timeout(HEAD_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(http.shutdown.as_secs())
        .disable_signals()
        .listen(listener)?
        .run())
}

fn serve_push(
    listener: TcpListener,
    http: &HttpConfig,
    push: &PushConfig,
    services: Services,
) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&services.admission)))
            .app_data(web::Data::from(Arc::clone(&services.receiver)))
            .app_data(web::Data::from(Arc::clone(&services.push)))
            .app_data(web::Data::from(Arc::clone(&services.metrics)))
            .service(push::resource())
            .default_service(web::to(push::not_found))
    });
    Ok(server
        .workers(http.workers)
        .max_connections((push.max_connections / http.workers).max(1))
        .backlog(BACKLOG)
        .client_request_timeout(HEAD_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(http.shutdown.as_secs())
        .disable_signals()
        .listen(listener)?
        .run())
}

fn serve_admin(listener: TcpListener, services: Services) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&services.admin)))
            .app_data(web::Data::from(Arc::clone(&services.metrics)))
            .configure(admin::configure)
    });
    Ok(server
        .workers(1)
        .max_connections(ADMIN_CONNECTIONS)
        .client_request_timeout(HEAD_TIMEOUT)
        .disable_signals()
        .listen(listener)?
        .run())
}
