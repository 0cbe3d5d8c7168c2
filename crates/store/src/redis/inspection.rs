//! Whether a Redis server keeps what it acknowledges: looked at when a connection is made, and when someone asks for the
//! state of the store.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use redis::{FromRedisValue, Value, cmd, from_redis_value};

use super::endpoint::Connection;
use crate::{Durability, StoreError, StoreErrorKind};

/// What is demanded of a server, and what was found last.
pub(super) struct Inspection {
    allow_relaxed: bool,
    found: Mutex<Option<Durability>>,
    admitted_at: Mutex<Option<Instant>>,
}

impl Inspection {
    pub(super) fn new(allow_relaxed: bool) -> Self {
        Self { allow_relaxed, found: Mutex::default(), admitted_at: Mutex::default() }
    }

    /// How far an acknowledged append is safe, by what was found last.
    pub(super) fn durability(&self) -> Option<Durability> {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a server was admitted after that.
    pub(super) fn has_admitted_since(&self, time: Instant) -> bool {
        self.admitted_at.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at > time)
    }

    /// Admits a server that keeps what it acknowledges.
    ///
    /// # Errors
    /// `Invalid`, naming the setting, when it would lose records; else as Redis answers.
    pub(super) async fn admit(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let infos = read_infos(connection).await?;
        let durability = read_durability(connection).await;
        if let Some(problem) = infos.iter().find_map(|info| find_losing_setting(info)) {
            return Err(refused(&problem));
        }
        if let Some(problem) = infos.iter().find_map(|info| find_absence(info)) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, format!("redis: {problem}")));
        }
        let durability = match durability {
            Ok(()) => Durability::Durable,
            Err(Some(setting)) if !self.allow_relaxed => return Err(refused(&setting)),
            Err(_) => Durability::Relaxed,
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(durability);
        *self.admitted_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    /// What is wrong with a server that was admitted, if anything: whether it takes writes now, and whether someone has turned
    /// its durability off since.
    pub(super) async fn examine(&self, connection: &mut Connection) -> Result<Health, StoreError> {
        let ping: Result<String, _> = cmd("PING").query_async(connection).await;
        let infos = read_infos(connection).await?;
        let losing = infos.iter().find_map(|info| find_losing_setting(info));
        if losing.is_some() {
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(Durability::Relaxed);
        }
        let absent = infos.iter().find_map(|info| find_absence(info).or_else(|| find_refusal(info)));
        let absent = absent.or_else(|| ping.err().map(|error| super::failure::of_request(&error).detail));
        Ok(Health { absent, losing })
    }
}

/// The state of a server.
pub(crate) struct Health {
    /// Why it takes no writes.
    pub(crate) absent: Option<String>,
    /// Which setting would lose records.
    pub(crate) losing: Option<String>,
}

fn refused(problem: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, format!("store.url: this Redis would lose records: {problem}"))
}

/// `INFO` of the node, or of each node of a cluster.
async fn read_infos(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let answer: Value = cmd("INFO")
        .query_async(connection)
        .await
        .map_err(|error| super::failure::of_read(super::failure::of_request(&error)))?;
    let texts = match answer {
        Value::Map(nodes) => nodes.into_iter().map(|(_, info)| from_redis_value::<String>(info)).collect(),
        info => String::from_redis_value(info).map(|info| vec![info]),
    };
    texts.map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "redis: INFO cannot be read"))
}

/// Whether each write is synced to disk before it is answered. `Err` with what is not so, `Err(None)` where the server does
/// not let us ask.
async fn read_durability(connection: &mut Connection) -> Result<(), Option<String>> {
    let sync = read_setting(connection, "appendfsync").await.ok_or(None)?;
    if sync != "always" {
        return Err(Some(format!(
            "appendfsync is {sync}, not always (and store.durability does not allow it)"
        )));
    }
    match read_setting(connection, "no-appendfsync-on-rewrite").await {
        Some(value) if value == "yes" => Err(Some("no-appendfsync-on-rewrite is yes".to_owned())),
        _ => Ok(()),
    }
}

async fn read_setting(connection: &mut Connection, name: &str) -> Option<String> {
    let pair: Vec<String> = cmd("CONFIG").arg("GET").arg(name).query_async(connection).await.ok()?;
    pair.into_iter().nth(1)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// A setting under which acknowledged records are lost.
fn find_losing_setting(info: &str) -> Option<String> {
    if field(info, "aof_enabled") == Some("0") {
        return Some("appendonly is no (aof_enabled:0)".to_owned());
    }
    match field(info, "maxmemory_policy") {
        Some("noeviction") | None => None,
        Some(policy) => Some(format!("maxmemory-policy is {policy}, not noeviction")),
    }
}

/// Why a server cannot be the store now.
fn find_absence(info: &str) -> Option<String> {
    if field(info, "loading") == Some("1") {
        return Some("LOADING: it is reading its data".to_owned());
    }
    (field(info, "role") == Some("slave")).then(|| "READONLY: it is a replica".to_owned())
}

/// Why a server that is there takes no writes.
fn find_refusal(info: &str) -> Option<String> {
    if field(info, "aof_last_write_status").is_some_and(|status| status != "ok") {
        return Some("redis: MISCONF the last write of its append-only file failed".to_owned());
    }
    let number = |name: &str| field(info, name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (used, limit) = (number("used_memory"), number("maxmemory"));
    (limit > 0 && used >= limit).then(|| "redis: OOM its memory is full".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "# Persistence\r\nloading:0\r\naof_enabled:1\r\naof_last_write_status:ok\r\nused_memory:10\r\n\
        maxmemory:0\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n";

    fn with(from: &str, to: &str) -> String {
        assert!(SOUND.contains(from));
        SOUND.replace(from, to)
    }

    #[test]
    fn a_sound_server_is_admitted() {
        assert_eq!(find_losing_setting(SOUND), None);
        assert_eq!(find_absence(SOUND), None);
        assert_eq!(find_refusal(SOUND), None);
    }

    #[test]
    fn each_unsound_setting_is_named() {
        let losing = |info: String| find_losing_setting(&info).unwrap();
        assert!(losing(with("aof_enabled:1", "aof_enabled:0")).contains("appendonly"));
        assert!(losing(with("noeviction", "allkeys-lru")).contains("maxmemory-policy is allkeys-lru"));
        assert!(find_absence(&with("loading:0", "loading:1")).unwrap().contains("LOADING"));
        assert!(find_absence(&with("role:master", "role:slave")).unwrap().contains("READONLY"));
        assert!(find_refusal(&with("status:ok", "status:err")).unwrap().contains("MISCONF"));
        assert!(find_refusal(&with("maxmemory:0", "maxmemory:10")).unwrap().contains("OOM"));
        assert_eq!(find_refusal(&with("maxmemory:0", "maxmemory:11")), None);
    }
}
