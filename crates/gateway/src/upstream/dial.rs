//! Opens connections: finds the addresses of a host and keeps those that may be called. awc does not tell a refused connection
//! from a failed handshake, so what fails here has kinds of its own.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{ConnectError as DialError, ConnectInfo, Connection, tcp::TcpConnectorService};
use awc::{error::ConnectError, http::Uri};
use futures_util::{FutureExt, future::LocalBoxFuture};

use crate::egress::{Door, Egress, Lookup, SystemLookup, TargetError};

/// Addresses of one host that are tried.
const ADDRESSES_LIMIT: usize = 16;

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The host has no address.
    Dns,
    /// No address of the host takes a connection.
    Refused,
    /// The connection cannot be made safe.
    Tls,
    /// The host, or every address of it, may not be called.
    Blocked,
    /// Nobody answered within the time for a connection.
    Timeout,
    /// The request cannot be one, or there is no place for it.
    Other,
}

/// No address of a host took a connection.
#[derive(Debug)]
struct NoConnection(io::Error);

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection: {}", self.0)
    }
}

impl std::error::Error for NoConnection {}

/// Opens connections for awc.
#[derive(Clone)]
pub(super) struct Dial {
    lookup: Arc<dyn Lookup>,
    egress: Option<Arc<Egress>>,
}

impl Dial {
    /// To hosts of the configuration, which are trusted.
    pub(super) fn anywhere() -> Self {
        Self { lookup: Arc::new(SystemLookup), egress: None }
    }

    /// To hosts that come from outside.
    pub(super) fn guarded(egress: Arc<Egress>, lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, egress: Some(egress) }
    }

    /// The address that the host spells out, if it does: a resolver is not asked then.
    fn literal(&self, door: Door, host: &str) -> Result<Option<IpAddr>, TargetError> {
        match &self.egress {
            Some(egress) => egress.check_literal(door, host),
            None => Ok(host.trim_matches(['[', ']']).parse().ok()),
        }
    }

    async fn addresses(&self, host: &str, door: Door) -> Result<Vec<SocketAddr>, DialError> {
        if let Some(address) = self.literal(door, host).map_err(blocked)? {
            return Ok(vec![SocketAddr::new(address, door.port)]);
        }
        let found = self.lookup.addresses(host).await.map_err(|error| DialError::Resolver(error.into()))?;
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in found {
            match self.egress.as_ref().map_or(Ok(()), |egress| egress.check_address(door, host, address)) {
                Ok(()) => allowed.push(SocketAddr::new(address, door.port)),
                Err(error) => refused = Some(error),
            }
        }
        allowed.truncate(ADDRESSES_LIMIT);
        match refused {
            Some(error) if allowed.is_empty() => Err(blocked(error)),
            _ if allowed.is_empty() => Err(DialError::NoRecords),
            _ => Ok(allowed),
        }
    }
}

fn blocked(error: TargetError) -> DialError {
    DialError::Resolver(error.into())
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("egress", &self.egress).finish_non_exhaustive()
    }
}

impl Service<ConnectInfo<Uri>> for Dial {
    type Response = Connection<Uri, TcpStream>;
    type Error = DialError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let dial = self.clone();
        async move {
            let is_plain = info.request().scheme_str() != Some("https");
            let door = Door { is_plain, port: info.port() };
            let addresses = dial.addresses(info.hostname(), door).await?;
            let connected = TcpConnectorService::default().call(info.set_addrs(addresses)).await;
            // What is written is whole; to wait for more of it would keep a body back until its head is acknowledged.
            let connected = connected.inspect(|connection| {
                let _ = connection.io_ref().set_nodelay(true);
            });
            connected.map_err(|error| match error {
                DialError::Io(cause) => DialError::Resolver(NoConnection(cause).into()),
                other => other,
            })
        }
        .boxed_local()
    }
}

/// Why a connection was not opened, and what can be said of it.
pub(super) fn explain(error: &ConnectError) -> (Unsent, String) {
    match error {
        ConnectError::Resolver(cause) if cause.is::<TargetError>() => (Unsent::Blocked, cause.to_string()),
        ConnectError::Resolver(cause) if cause.is::<NoConnection>() => (Unsent::Refused, cause.to_string()),
        ConnectError::Resolver(cause) => {
            (Unsent::Dns, format!("the host's name cannot be resolved: {cause}"))
        }
        ConnectError::NoRecords => (Unsent::Dns, "the host's name has no address".to_owned()),
        ConnectError::Timeout => (Unsent::Timeout, "no connection within the time for it".to_owned()),
        ConnectError::SslIsNotSupported => (Unsent::Tls, error.to_string()),
        // There was a connection: what failed on it is the handshake.
        ConnectError::Io(cause) => (Unsent::Tls, format!("the connection cannot be made safe: {cause}")),
        other => (Unsent::Other, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_leaves_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let connection = Dial::anywhere().call(ConnectInfo::new(uri)).await.unwrap();
        assert!(connection.io_ref().nodelay().unwrap());
    }
}
