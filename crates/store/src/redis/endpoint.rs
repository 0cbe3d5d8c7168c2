//! Where Redis is: one node, whichever node sentinels call the primary, or a cluster.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, TlsMode, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    parse_redis_url,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

use super::failure;
use crate::{StoreError, StoreErrorKind};

/// Longest wait for a connection, with its first commands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a cluster's client follows a redirection or repeats a refused command; beyond that the caller is told.
const CLUSTER_RETRIES: u32 = 3;

/// Where Redis is. It has no `Debug`, because it holds the password.
pub(super) enum Endpoint {
    Node(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Vec<ConnectionInfo>),
}

/// A connection that is shared by its clones.
#[derive(Clone)]
pub(super) enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Endpoint {
    /// Reads `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `redis+unix:///path`,
    /// `redis+sentinel://[user:password@]host:port,…/service[/db]` and `redis+cluster://[user:password@]host:port,…`; the last
    /// two with `rediss+` for TLS.
    ///
    /// # Errors
    /// `Invalid`; the message never repeats the URL.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("is no URL"))?;
        match scheme {
            "redis" | "rediss" | "redis+unix" => {
                let client = Client::open(one_address(url)?).map_err(|error| unusable(&error))?;
                Ok(Self::Node(Box::new(client)))
            }
            "redis+sentinel" | "rediss+sentinel" => {
                let scheme = scheme.trim_end_matches("+sentinel");
                let sentinel = sentinel(scheme, rest)?;
                Ok(Self::Sentinel(Box::new(Mutex::new(sentinel))))
            }
            "redis+cluster" | "rediss+cluster" => {
                let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !path.is_empty() {
                    return Err(invalid("names a database, and a cluster has none"));
                }
                Ok(Self::Cluster(addresses(scheme.trim_end_matches("+cluster"), hosts, "")?))
            }
            _ => Err(invalid("has an unknown scheme")),
        }
    }

    /// Makes a connection whose requests end after a time.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn connect(&self, response_timeout: Duration) -> Result<Connection, StoreError> {
        let connecting = self.connect_unbounded(response_timeout);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| failure::of_connecting(&error)),
            Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, "redis: cannot connect in time")),
        }
    }

    async fn connect_unbounded(&self, response_timeout: Duration) -> Result<Connection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        match self {
            Self::Node(client) => {
                let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                Ok(Connection::Node(connection))
            }
            Self::Sentinel(sentinel) => {
                let connection = sentinel.lock().await.get_async_connection_with_config(&config).await?;
                Ok(Connection::Node(connection))
            }
            Self::Cluster(nodes) => {
                let client = ClusterClientBuilder::new(nodes.clone())
                    .retries(CLUSTER_RETRIES)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(response_timeout)
                    .build()?;
                Ok(Connection::Cluster(client.get_async_connection().await?))
            }
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

fn sentinel(scheme: &str, rest: &str) -> Result<SentinelClient, StoreError> {
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (service, db) = path.split_once('/').unwrap_or((path, ""));
    if service.is_empty() {
        return Err(invalid("names no service of the sentinels"));
    }
    let nodes = addresses(scheme, hosts, db)?;
    let settings = nodes.first().map(|node| node.redis_settings().clone()).unwrap_or_default();
    let sentinels = nodes.iter().map(|node| node.addr().clone());
    let mut builder = SentinelClientBuilder::new(sentinels, service, SentinelServerType::Master)
        .map_err(|error| unusable(&error))?
        .set_client_to_redis_db(settings.db());
    if let Some(username) = settings.username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = settings.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if scheme == "rediss" {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    builder.build().map_err(|error| unusable(&error))
}

/// `user:password@host:port,host:port` as one address each.
fn addresses(scheme: &str, hosts: &str, db: &str) -> Result<Vec<ConnectionInfo>, StoreError> {
    let (credentials, hosts) = match hosts.rsplit_once('@') {
        Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
        None => (String::new(), hosts),
    };
    hosts.split(',').map(|host| one_address(&format!("{scheme}://{credentials}{host}/{db}"))).collect()
}

fn one_address(url: &str) -> Result<ConnectionInfo, StoreError> {
    let url = parse_redis_url(url).ok_or_else(|| invalid("cannot be read"))?;
    url.into_connection_info().map_err(|error| unusable(&error))
}

fn unusable(error: &RedisError) -> StoreError {
    invalid(&format!("cannot be used ({})", error.category()))
}

fn invalid(problem: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, format!("store.url {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        assert!(matches!(Endpoint::parse("redis://127.0.0.1:6379/1"), Ok(Endpoint::Node(_))));
        assert!(matches!(Endpoint::parse("rediss://u:p@redis.test"), Ok(Endpoint::Node(_))));
        assert!(matches!(Endpoint::parse("redis+unix:///run/redis.sock"), Ok(Endpoint::Node(_))));
        let sentinel = Endpoint::parse("redis+sentinel://u:p%40x@a:26379,b:26379/main/2");
        assert!(matches!(sentinel, Ok(Endpoint::Sentinel(_))));
        let Ok(Endpoint::Cluster(nodes)) = Endpoint::parse("rediss+cluster://u:p%40x@a:7000,b:7001") else {
            panic!("no cluster")
        };
        let shown: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(shown, ["a:7000", "b:7001"]);
        assert!(nodes.iter().all(|node| node.redis_settings().password() == Some("p@x")));
    }

    #[test]
    fn a_refusal_never_repeats_the_url() {
        for url in [
            "redis://u:hunter2@",
            "redis://u:hunter2@host/hunter2",
            "redis://u:hunter2@host:99999999",
            "redis+sentinel://u:hunter2@a:1",
            "redis+sentinel://u:hunter2@a:hunter2/main",
            "redis+cluster://u:hunter2@a:1/hunter2",
            "redis+hunter2://a",
            "redis:hunter2",
        ] {
            let refused = Endpoint::parse(url).err().unwrap();
            assert_eq!(refused.kind, StoreErrorKind::Invalid, "{url}");
            assert!(!refused.detail.contains("hunter2"), "{refused}");
        }
    }
}
