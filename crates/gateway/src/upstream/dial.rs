//! Opens connections: finds the addresses of a host, keeps those that may be called, and remembers how far it got, because
//! awc does not tell a refused connection from a failed handshake, nor a used connection from a new one.

use std::{
    cell::Cell,
    fmt,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use actix_service::Service;
use actix_tls::connect::{ConnectError as DialError, ConnectInfo, Connection, tcp::TcpConnectorService};
use awc::{error::ConnectError, http::Uri};
use futures_util::{FutureExt, future::LocalBoxFuture};

use super::watched::Watched;
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

/// How far an exchange's connection got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// None was opened: the exchange uses one that was there.
    Pooled,
    /// One is being opened.
    Dialling,
    /// One was opened; what fails from here to the first byte of the request is the handshake.
    Connected,
}

tokio::task_local! {
    /// Of the exchange that the task makes.
    pub(super) static STAGE: Cell<Stage>;
}

fn reach(stage: Stage) {
    // Connections that no exchange asked for need no record.
    let _ = STAGE.try_with(|cell| cell.set(stage));
}

pub(super) fn stage() -> Stage {
    STAGE.try_with(Cell::get).unwrap_or(Stage::Pooled)
}

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
    type Response = Connection<Uri, Watched>;
    type Error = DialError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let dial = self.clone();
        async move {
            reach(Stage::Dialling);
            let is_plain = info.request().scheme_str() != Some("https");
            let door = Door { is_plain, port: info.port() };
            let addresses = dial.addresses(info.hostname(), door).await?;
            let connection = TcpConnectorService::default().call(info.set_addrs(addresses)).await?;
            reach(Stage::Connected);
            let (stream, connection) = connection.replace_io(());
            Ok(connection.replace_io(Watched(stream)).1)
        }
        .boxed_local()
    }
}

/// Why a connection was not opened, and what can be said of it.
pub(super) fn explain(error: &ConnectError) -> (Unsent, String) {
    match error {
        ConnectError::Resolver(cause) => match cause.downcast_ref::<TargetError>() {
            Some(refusal) => (Unsent::Blocked, refusal.to_string()),
            None => (Unsent::Dns, format!("the host's name cannot be resolved: {cause}")),
        },
        ConnectError::NoRecords => (Unsent::Dns, "the host's name has no address".to_owned()),
        ConnectError::Timeout => (Unsent::Timeout, "no connection within the time for it".to_owned()),
        ConnectError::SslIsNotSupported => (Unsent::Tls, error.to_string()),
        ConnectError::Io(cause) if is_handshake(cause) => {
            (Unsent::Tls, format!("the connection cannot be made safe: {cause}"))
        }
        ConnectError::Io(cause) => (Unsent::Refused, format!("no connection: {cause}")),
        other => (Unsent::Other, other.to_string()),
    }
}

fn is_handshake(error: &io::Error) -> bool {
    let of_rustls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    of_rustls || (stage() == Stage::Connected && error.kind() != ErrorKind::TimedOut)
}
