//! The Redis backend: one log shared by all replicas. A batch is joined here with what Redis has, and written by one script
//! that refuses it when that has changed meanwhile.

mod append;
mod deliveries;
mod endpoint;
mod failure;
mod inspection;
mod keys;
mod kv;
mod link;
mod log;
mod plan;
mod quarantine;
mod records;
mod roster_bodies;
mod rosters;
mod scripts;
mod subscriptions;
mod tail;
mod turns;

use std::{sync::Arc, time::Duration};

use outdial_core::{Clock, ExposeSecret, Position};
use redis::{ScriptInvocation, cmd};
use tokio::sync::watch;

use self::{
    endpoint::Endpoint,
    inspection::{Health, Inspection},
    keys::Keys,
    link::{Link, Session},
    scripts::Scripts,
    tail::Follower,
};
pub(crate) use self::{log::APPEND_BUDGET, plan::Submission};
use crate::{Durability, StoreError, StoreErrorKind, StoreSettings};

/// Longest wait for an answer, but for appends, which have a budget of their own.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Longest wait of an append for one answer; a batch from the spool may be large.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for replicas to acknowledge a write.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest life time that is sent; longer ones overflow the server's clock.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Most work of one call that removes what is old, and how much of it one script does: others wait for it.
const EXPIRE_LIMIT: u64 = 10_000;
const EXPIRE_STEP: u64 = 1_000;

/// The Redis backend.
pub(crate) struct Redis {
    keys: Keys,
    scripts: Scripts,
    /// For all that is answered at once.
    shared: Link,
    /// For writes that replicas have to acknowledge: `WAIT` keeps its connection waiting.
    writer: Link,
    inspection: Arc<Inspection>,
    tail: Arc<watch::Sender<Position>>,
    clock: Arc<dyn Clock>,
    retention: Duration,
    min_replicas: u32,
    _follower: Follower,
}

impl Redis {
    /// Opens the store. Whether a server that cannot be reached is a failure is the caller's to say: it is `Ok` with the
    /// failure beside it.
    ///
    /// # Errors
    /// `Invalid` for a URL or a prefix that cannot be used, and for a server whose settings would lose records.
    pub(crate) async fn open(settings: &StoreSettings) -> Result<(Self, Option<StoreError>), StoreError> {
        if !keys::is_valid_prefix(&settings.prefix) {
            let problem = "store.prefix is not 1 to 64 characters of A-Z, a-z, 0-9, '.', '-' and '_'";
            return Err(StoreError::new(StoreErrorKind::Invalid, problem));
        }
        let endpoint = Arc::new(Endpoint::parse(settings.url.expose_secret())?);
        let inspection = Arc::new(Inspection::new(settings.allow_relaxed));
        let link = |timeout| Link::new(Arc::clone(&endpoint), timeout, Arc::clone(&inspection));
        let (shared, writer) = (link(RESPONSE_TIMEOUT), link(APPEND_TIMEOUT));
        let keys = Keys::new(&settings.prefix);
        let absence = match shared.first_session().await {
            Ok(_) => None,
            Err(error) if error.kind == StoreErrorKind::Invalid => return Err(error),
            Err(error) => Some(error),
        };
        let last = match absence {
            None => tail::last_position(&shared, &keys).await.unwrap_or_default(),
            Some(_) => Position::default(),
        };
        let tail = Arc::new(watch::channel(last).0);
        let follower = Follower::start(link(tail::RESPONSE_TIMEOUT), keys.clone(), Arc::clone(&tail));
        let store = Self {
            keys,
            scripts: Scripts::new(),
            shared,
            writer,
            inspection,
            tail,
            clock: Arc::clone(&settings.clock),
            retention: settings.retention,
            min_replicas: settings.min_replicas,
            _follower: follower,
        };
        Ok((store, absence))
    }

    /// What is wrong with the server, if anything.
    pub(crate) async fn examine(&self) -> Health {
        let examined = async {
            let mut session = self.shared.session().await?;
            session.examine(&self.inspection).await
        };
        match examined.await {
            Ok(health) => health,
            Err(error) => Health { absent: Some(error.detail), losing: None },
        }
    }

    /// How far an append that Redis acknowledged is safe; `None` before it was reached.
    pub(crate) fn known_durability(&self) -> Option<Durability> {
        self.inspection.durability()
    }

    /// Writes durably: Redis has synced it, and as many replicas as demanded have it. For writes that may be repeated.
    async fn write_durably<T: redis::FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let mut session = self.writer.session().await?;
        let answer = session.ask(script).await?;
        self.wait_for_replicas(&mut session, true).await?;
        Ok(answer)
    }

    /// Writes durably what may be written once only, unless the script refuses and answers 0 or less. Nothing was written
    /// before the connection was tried, so one that is found cut is replaced.
    async fn write_or_refuse(&self, script: &ScriptInvocation<'_>) -> Result<i64, StoreError> {
        let mut session = self.writer.session().await?;
        let mut probe = cmd("EXISTS");
        probe.arg(self.keys.key("log"));
        if session.ask::<u64>(&probe).await.is_err() {
            session = self.writer.session().await?;
        }
        let answer = session.ask(script).await?;
        if answer > 0 {
            self.wait_for_replicas(&mut session, true).await?;
        }
        Ok(answer)
    }

    /// Waits until enough replicas have all that was written before. `WAIT` speaks of the last write of its connection, so
    /// where that may be another's (a duplicate is answered by what someone else wrote) this writes something itself.
    async fn wait_for_replicas(
        &self,
        session: &mut Session<'_>,
        has_written: bool,
    ) -> Result<(), StoreError> {
        if self.min_replicas == 0 {
            return Ok(());
        }
        if !has_written {
            let mut barrier = cmd("HINCRBY");
            barrier.arg(self.keys.key("log")).arg("barriers").arg(1);
            session.ask::<u64>(&barrier).await?;
        }
        let mut wait = cmd("WAIT");
        wait.arg(self.min_replicas).arg(to_millis(REPLICA_TIMEOUT));
        let reached: u32 = session.ask(&wait).await?;
        if reached >= self.min_replicas {
            return Ok(());
        }
        let detail =
            format!("redis: under-replicated, {reached} of {} replicas acknowledged", self.min_replicas);
        Err(StoreError::new(StoreErrorKind::OutcomeUnknown, detail))
    }

    /// Repeats a step of removing until it finds less than it was asked for, or the limit of one call is reached.
    async fn expire_in_steps(&self, script: &redis::Script, older_than: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        while removed < EXPIRE_LIMIT {
            let mut step = scripts::call(script, &self.keys);
            step.arg(older_than).arg(EXPIRE_STEP);
            let some: u64 = self.shared.ask(&step).await?;
            removed += some;
            if some < EXPIRE_STEP {
                break;
            }
        }
        Ok(removed)
    }
}

/// A life time in milliseconds, at least one.
fn to_millis(life: Duration) -> u64 {
    u64::try_from(life.min(LONGEST_LIFE).as_millis()).unwrap_or(u64::MAX).max(1)
}

/// A value that Redis has and that cannot be read.
fn unreadable(what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, format!("redis: {what} cannot be read"))
}
