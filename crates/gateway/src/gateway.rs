//! The composition root: builds every use case once, opens the ports, and stops them in order.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use outdial_core::{Clock, Error, ExposeSecret, SystemClock};
use outdial_store::{Store, StoreError, StoreErrorKind};

use crate::{
    account_watch::{self, AccountWatch},
    accounts::Accounts,
    auth::{REFRESH_INTERVAL, Verifier},
    config::Config,
    delivery::{self, Supervisor, sender::Sender},
    drift::{self, DriftKeeper},
    egress::{Egress, OwnAddresses, addresses_of_store},
    events::EventStreams,
    health::Health,
    housekeeping::{self, Housekeeping},
    http::{AdminService, Ports, PushService, Services, UploadService},
    push::{Admission, PushReceiver},
    query::{Cursors, RecordQueries},
    rosters::{Idempotency, RosterUploads},
    subscriptions::SubscriptionService,
    sync::Syncs,
    tasks::Tasks,
    telemetry::Metrics,
    upstream::{Tokens, Upstream, UpstreamParts, Wire},
};

/// Threads that exchange bytes with vendors.
const WIRE_THREADS: usize = 2;
/// Threads that exchange bytes with subscribers: apart, so that neither side waits for the other.
const DELIVERY_THREADS: usize = 2;
/// How often the store is asked how it is.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
/// How often rosters are looked for whose sender died.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(30);
/// How long background work may take to end.
const TASKS_LIMIT: Duration = Duration::from_secs(10);

/// Why a gateway could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The configuration, or what it names, is wrong: starting again will not help.
    Misconfigured(String),
    /// Something is not there now: starting again may help.
    Unavailable(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misconfigured(problem) | Self::Unavailable(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        let problem = format!("the store cannot be opened: {error}");
        match error.kind {
            StoreErrorKind::Invalid | StoreErrorKind::Corrupt | StoreErrorKind::Locked => {
                Self::Misconfigured(problem)
            }
            StoreErrorKind::Unavailable | StoreErrorKind::OutcomeUnknown => Self::Unavailable(problem),
        }
    }
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Unavailable(error.detail.unwrap_or(error.message))
    }
}

/// A running gateway.
pub struct Gateway {
    ports: Ports,
    tasks: Tasks,
    health: Arc<Health>,
    store: Arc<dyn Store>,
    drift: Arc<DriftKeeper>,
    drain: Duration,
}

impl Gateway {
    /// Opens the store and the ports. Has to be called on a tokio runtime, which then runs the background work.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with_clock(config, Arc::new(SystemClock)).await
    }

    /// The same by another clock: leases, cursors and tokens end when it says so.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_with_clock(config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        for note in &config.notes {
            tracing::warn!(note, "config.note");
        }
        let metrics = Arc::new(Metrics::new()?);
        for account in config.accounts.iter() {
            metrics.begin_account(account);
        }
        let store = outdial_store::open(config.store.settings(Arc::clone(&clock))).await?;
        let tasks = Tasks::new(tokio::runtime::Handle::current());
        let wire = Wire::start(WIRE_THREADS)
            .map_err(|error| StartError::Unavailable(format!("no threads for vendors: {error}")))?;
        let egress = Arc::new(Egress::new(&config.egress));
        let sender = Sender::start(DELIVERY_THREADS, Arc::clone(&egress), config.delivery.timeout)
            .map_err(|error| StartError::Unavailable(format!("no threads for subscribers: {error}")))?;
        let (wire, sender) = (Arc::new(wire), Arc::new(sender));
        let timeout = config.delivery.timeout;
        let parts = Parts { clock, metrics, store, tasks, wire, egress, sender, timeout };
        let (services, health, background) = parts.build(&config);
        health.refresh().await;
        let ports = Ports::open(&config, &services, &parts.tasks)
            .map_err(|error| StartError::Unavailable(error.to_string()))?;
        let Listening { api, push, admin } = Listening::of(&ports);
        let store = addresses_of_store(config.store.url.expose_secret()).await;
        parts.egress.keep_off(OwnAddresses { listening: vec![api, push, admin], store });
        background.begin(&parts.tasks);
        tracing::info!(%api, %push, %admin, accounts = config.accounts.iter().count(), "gateway.ready");
        Ok(Self {
            ports,
            tasks: parts.tasks,
            health,
            store: parts.store,
            drift: services.drift,
            drain: config.http.drain,
        })
    }

    /// Where the API listens.
    pub fn api_address(&self) -> SocketAddr {
        self.ports.api
    }

    /// Where pushes are taken.
    pub fn push_address(&self) -> SocketAddr {
        self.ports.push
    }

    /// Where probes and metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.ports.admin
    }

    /// Stops: fails readiness, waits for balancers to notice, ends streams, finishes open requests and background work.
    /// Answers whether all of it ended in time.
    pub async fn stop(self) -> bool {
        tracing::info!("gateway.draining");
        self.health.drain();
        tokio::time::sleep(self.drain).await;
        // Streams never end by themselves, and would hold the port open.
        self.tasks.stop_signal().cancel();
        self.ports.close().await;
        self.drift.flush().await;
        let ended = self.tasks.stop(TASKS_LIMIT).await;
        drop(self.store);
        tracing::info!(ended, "gateway.stopped");
        ended
    }
}

struct Listening {
    api: SocketAddr,
    push: SocketAddr,
    admin: SocketAddr,
}

impl Listening {
    fn of(ports: &Ports) -> Self {
        Self { api: ports.api, push: ports.push, admin: ports.admin }
    }
}

/// What everything is built of.
struct Parts {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    tasks: Tasks,
    wire: Arc<Wire>,
    egress: Arc<Egress>,
    sender: Arc<Sender>,
    /// Of one delivery.
    timeout: Duration,
}

/// Work that goes on by itself.
struct Background {
    supervisor: Arc<Supervisor>,
    syncs: Arc<Syncs>,
    health: Arc<Health>,
    verifier: Arc<Verifier>,
    uploads: Arc<RosterUploads>,
    housekeeping: Arc<Housekeeping>,
    watch: Arc<AccountWatch>,
    accounts: Accounts,
    drift: Arc<DriftKeeper>,
}

impl Parts {
    fn build(&self, config: &Config) -> (Services, Arc<Health>, Background) {
        let Self { clock, metrics, store, tasks, wire, egress, .. } = self;
        let accounts = config.accounts.clone();
        let owner = format!("gateway-{}", uuid::Uuid::new_v4().simple());
        let tokens = Tokens::new(
            accounts.iter(),
            Arc::clone(store),
            Arc::clone(wire),
            Arc::clone(clock),
            Arc::clone(metrics),
            tasks.clone(),
            owner.clone(),
        );
        let upstream = Arc::new(Upstream::new(&accounts, self.upstream(tokens, owner.clone())));
        let verifier = Arc::new(Verifier::new(
            config.issuers.clone(),
            Arc::clone(wire) as Arc<_>,
            Arc::clone(clock),
            Arc::clone(metrics),
        ));
        let uploads = Arc::new(RosterUploads::new(
            Arc::clone(store),
            Arc::clone(&upstream),
            Arc::clone(clock),
            Arc::clone(metrics),
            tasks.clone(),
            owner.clone(),
            config.rosters.max_async,
        ));
        let upload_service = UploadService::new(
            Arc::clone(&uploads),
            Idempotency::new(Arc::clone(store), tasks.clone(), owner.clone()),
            Arc::clone(clock),
            tasks.clone(),
            config.rosters,
            config.http,
        );
        let receiver = PushReceiver::new(
            Arc::clone(store),
            Arc::clone(clock),
            Arc::clone(metrics),
            tasks.clone(),
            &config.push,
            config.store.spool_class,
        );
        let queries = RecordQueries::new(
            Arc::clone(store),
            Arc::clone(&upstream),
            Arc::clone(clock),
            Arc::clone(metrics),
        );
        let streams = EventStreams::new(Arc::clone(store), tasks.clone(), Arc::clone(metrics), &config.http);
        let subscriptions = SubscriptionService::new(
            Arc::clone(store) as Arc<_>,
            Arc::clone(store) as Arc<_>,
            accounts.clone(),
            Arc::clone(egress),
            Arc::clone(&self.sender),
            Arc::clone(clock),
        );
        let health = Arc::new(Health::new(Arc::clone(store), Arc::clone(metrics)));
        let admin = AdminService {
            health: Arc::clone(&health),
            accounts: accounts.clone(),
            clock: Arc::clone(clock),
        };
        let background = Background {
            supervisor: Arc::new(self.supervisor(owner.clone())),
            syncs: Arc::new(self.syncs(Arc::clone(&upstream), config.store.retention, owner.clone())),
            health: Arc::clone(&health),
            verifier: Arc::clone(&verifier),
            uploads: Arc::clone(&uploads),
            housekeeping: self.housekeeping(config.store.retention, owner),
            watch: self.watch(&accounts, &upstream),
            accounts: accounts.clone(),
            drift: Arc::new(DriftKeeper::new(Arc::clone(store), Arc::clone(metrics))),
        };
        let services = Services {
            admission: Arc::new(Admission::new(accounts.clone(), &config.push)),
            accounts,
            store: Arc::clone(store),
            verifier,
            upstream,
            uploads: Arc::new(upload_service),
            queries: Arc::new(queries),
            cursors: Cursors::new(Arc::clone(store)),
            streams: Arc::new(streams),
            drift: Arc::clone(&background.drift),
            subscriptions: Arc::new(subscriptions),
            receiver: Arc::new(receiver),
            push: Arc::new(PushService { config: config.push, clock: Arc::clone(clock) }),
            admin: Arc::new(admin),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
        };
        (services, health, background)
    }
}

impl Parts {
    fn upstream(&self, tokens: Tokens, owner: String) -> UpstreamParts {
        UpstreamParts {
            wire: Arc::clone(&self.wire),
            tokens: Arc::new(tokens),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            tasks: self.tasks.clone(),
            owner,
        }
    }

    fn housekeeping(&self, retention: Duration, owner: String) -> Arc<Housekeeping> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Arc::new(Housekeeping::new(store, clock, Arc::clone(&self.metrics), retention, owner))
    }

    fn supervisor(&self, owner: String) -> Supervisor {
        let context = delivery::Context {
            store: Arc::clone(&self.store),
            sender: Arc::clone(&self.sender),
            egress: Arc::clone(&self.egress),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            tasks: self.tasks.clone(),
            timeout: self.timeout,
        };
        Supervisor::new(context, owner)
    }

    fn syncs(&self, upstream: Arc<Upstream>, retention: Duration, owner: String) -> Syncs {
        Syncs::new(
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            Arc::clone(&self.metrics),
            self.tasks.clone(),
            upstream,
            owner,
            retention,
        )
    }

    fn watch(&self, accounts: &Accounts, upstream: &Arc<Upstream>) -> Arc<AccountWatch> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Arc::new(AccountWatch::new(accounts.clone(), store, Arc::clone(upstream), clock))
    }
}

impl Background {
    fn begin(self, tasks: &Tasks) {
        let Self { supervisor, syncs, health, verifier, uploads, housekeeping, watch, accounts, drift } =
            self;
        syncs.begin(&accounts);
        tasks.repeat(delivery::INTERVAL, move || {
            let supervisor = Arc::clone(&supervisor);
            async move { supervisor.look().await }
        });
        tasks.repeat(HEALTH_INTERVAL, move || {
            let health = Arc::clone(&health);
            async move { health.refresh().await }
        });
        tasks.repeat(REFRESH_INTERVAL, move || {
            let verifier = Arc::clone(&verifier);
            async move { verifier.refresh().await }
        });
        tasks.repeat(RECOVERY_INTERVAL, move || {
            let (uploads, accounts) = (Arc::clone(&uploads), accounts.clone());
            async move {
                if let Err(failure) = uploads.recover(&accounts).await {
                    tracing::warn!(problem = %failure.error, "roster.recovery_store_away");
                }
            }
        });
        tasks.repeat(drift::INTERVAL, move || {
            let drift = Arc::clone(&drift);
            async move { drift.flush().await }
        });
        tasks.repeat(account_watch::INTERVAL, move || {
            let watch = Arc::clone(&watch);
            async move { watch.look().await }
        });
        tasks.repeat(housekeeping::INTERVAL, move || {
            let housekeeping = Arc::clone(&housekeeping);
            async move { housekeeping.run().await }
        });
    }
}
