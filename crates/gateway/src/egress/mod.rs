//! Which addresses the gateway may call for subscribers. A subscriber's URL comes from outside, so it is judged twice: as it
//! is written, and by the address that is dialled in the end.

mod address;
mod list;
mod own;
mod url;

use std::{future::Future, io, net::IpAddr, pin::Pin, sync::OnceLock};

use http::Uri;
use ipnet::IpNet;

pub use self::{
    list::AllowEntry,
    own::{OwnAddresses, addresses_of_store},
};
use self::{list::Allowed, url::UrlHost};

/// What may be called, by configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressConfig {
    /// Nothing but what is listed; empty: nothing at all.
    pub allow: Vec<AllowEntry>,
}

/// Why a target is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TargetError {
    /// A kebab-case code: `blocked-target`, `https-required`, `not-a-url`, `unsupported-scheme`, `credentials-in-url`, `fragment-in-url`,
    /// `invalid-host` or `url-too-long`.
    pub code: &'static str,
    /// For people. Holds the host or the address at most, never the path or the query.
    pub detail: String,
}

impl TargetError {
    /// The code of targets that are refused for where they are.
    pub const BLOCKED: &'static str = "blocked-target";
    /// The code of targets that are called by https alone.
    pub const HTTPS_REQUIRED: &'static str = "https-required";

    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    fn blocked(detail: String) -> Self {
        Self::new(Self::BLOCKED, detail)
    }
}

/// Finds the addresses of names.
pub trait Lookup: Send + Sync {
    /// Every address of a name, as the system's resolver gives them.
    fn addresses(&self, host: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + '_>>;
}

/// The system's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, host: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + '_>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// How a target is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Without TLS.
    pub is_plain: bool,
    /// The port.
    pub port: u16,
}

impl Door {
    /// That of a URL.
    fn of(uri: &Uri) -> Self {
        let is_plain = uri.scheme_str() != Some("https");
        Self { is_plain, port: uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 }) }
    }
}

/// Which targets may be called.
#[derive(Clone, Debug)]
pub struct Egress {
    allow: Vec<AllowEntry>,
    own: OnceLock<OwnAddresses>,
}

impl Egress {
    /// The rules of a configuration.
    pub fn new(config: &EgressConfig) -> Self {
        Self { allow: config.allow.clone(), own: OnceLock::new() }
    }

    /// What is the gateway's own, and is never called whatever the list says. Said once, when the ports are open.
    pub fn keep_off(&self, own: OwnAddresses) {
        let _ = self.own.set(own);
    }

    /// Reads a subscriber's URL and judges what can be judged of it before it is called.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn check_url(&self, url: &str) -> Result<Uri, TargetError> {
        let (uri, host) = url::read_url(url)?;
        let door = Door::of(&uri);
        match host {
            UrlHost::Address(address) => self.judge(door, None, address)?,
            UrlHost::Name(name) => self.judge_name(door, &name)?,
        }
        Ok(uri)
    }

    /// Judges the host of a URL that is about to be called, if it is an address: such a host asks no resolver. A name is left
    /// to [`Egress::check_address`].
    ///
    /// # Errors
    /// `invalid-host`, `blocked-target` or `https-required`.
    pub fn check_literal(&self, door: Door, host: &str) -> Result<Option<IpAddr>, TargetError> {
        match url::read_host(host)? {
            UrlHost::Name(_) => Ok(None),
            UrlHost::Address(address) => self.judge(door, None, address).map(|()| Some(address)),
        }
    }

    /// Judges an address that a resolver gave for a host.
    ///
    /// # Errors
    /// `blocked-target` or `https-required`.
    pub fn check_address(&self, door: Door, host: &str, address: IpAddr) -> Result<(), TargetError> {
        self.judge(door, Some(&host.to_ascii_lowercase()), address)
    }

    /// What to say at the start if this machine itself may be called.
    pub fn loopback_notice(&self) -> Option<String> {
        let loopback = |entry: &&AllowEntry| entry.as_network().is_some_and(address::is_loopback);
        let listed: Vec<String> = self.allow.iter().filter(loopback).map(ToString::to_string).collect();
        let listed = (!listed.is_empty()).then(|| listed.join(", "))?;
        Some(format!(
            "egress.allow lists {listed}: subscriptions can make the gateway call what listens on this machine"
        ))
    }

    /// Some names cannot lead anywhere that is allowed.
    fn judge_name(&self, door: Door, name: &str) -> Result<(), TargetError> {
        let of_this_machine = name == "localhost" || name.ends_with(".localhost");
        if of_this_machine && self.loopback_notice().is_none() {
            return Err(TargetError::blocked(format!("{name} is this machine")));
        }
        if self.lists_host(door, name) {
            return Ok(());
        }
        let mut open = self.open_to(door);
        match (open.any(|entry| entry.as_network().is_some()), self.lists_public(door)) {
            // Where it leads to is seen when it is called.
            (true, _) => Ok(()),
            (false, true) if door.is_plain => Err(https_required(name)),
            (false, true) => Ok(()),
            (false, false) => Err(self.not_listed(door, name)),
        }
    }

    fn judge(&self, door: Door, host: Option<&str>, address: IpAddr) -> Result<(), TargetError> {
        let address = address::dialled(address);
        let carried = address::carried(address);
        let place = || host.map_or_else(|| address.to_string(), |host| format!("{address} (of {host})"));
        for address in [Some(address), carried].into_iter().flatten() {
            if let Some(what) = address::never(address) {
                return Err(TargetError::blocked(format!("{} is {what}, which is never called", place())));
            }
            if let Some(what) = self.own.get().and_then(|own| own.find(address, door.port)) {
                return Err(TargetError::blocked(format!("{} is {what}, which is never called", place())));
            }
            if address::is_loopback(&IpNet::from(address)) && !self.lists_loopback(door, address) {
                return Err(TargetError::blocked(format!("{} is this machine", place())));
            }
        }
        if host.is_some_and(|host| self.lists_host(door, host)) {
            return Ok(());
        }
        let is_public = address::is_public(address);
        let listed = self.lists(door, address) && carried.is_none_or(address::is_public);
        let is_listed = listed || carried.is_some_and(|it| self.lists(door, it));
        if !(is_listed || (is_public && self.lists_public(door))) {
            return Err(self.not_listed(door, &place()));
        }
        // On the way to a public address others can read, so plain HTTP is for those that are listed one by one.
        if door.is_plain && is_public && !self.lists_alone(door, address) {
            return Err(https_required(&place()));
        }
        Ok(())
    }

    fn not_listed(&self, door: Door, place: &str) -> TargetError {
        let port = door.port;
        TargetError::blocked(if self.allow.is_empty() {
            format!("egress.allow is empty, so nothing is called; it has to list {place}")
        } else {
            format!("egress.allow does not list {place}, or not with port {port}")
        })
    }

    fn open_to(&self, door: Door) -> impl Iterator<Item = &AllowEntry> {
        self.allow.iter().filter(move |entry| entry.has_port(door.port))
    }

    fn lists_public(&self, door: Door) -> bool {
        self.open_to(door).any(|entry| entry.what == Allowed::Public)
    }

    fn lists(&self, door: Door, address: IpAddr) -> bool {
        self.open_to(door).filter_map(AllowEntry::as_network).any(|network| network.contains(&address))
    }

    /// Whether it is listed itself, not only with its neighbours.
    fn lists_alone(&self, door: Door, address: IpAddr) -> bool {
        self.open_to(door).any(|entry| entry.as_network() == Some(&IpNet::from(address)))
    }

    /// Whether a network that is nothing but loopback holds it: a wide network does not mean this machine.
    fn lists_loopback(&self, door: Door, address: IpAddr) -> bool {
        let mut networks = self.open_to(door).filter_map(AllowEntry::as_network);
        networks.any(|network| address::is_loopback(network) && network.contains(&address))
    }

    fn lists_host(&self, door: Door, host: &str) -> bool {
        self.open_to(door).any(|entry| match &entry.what {
            Allowed::Host(name) => name == host,
            Allowed::Below(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
            Allowed::Public | Allowed::Network(_) => false,
        })
    }
}

fn https_required(place: &str) -> TargetError {
    let detail = format!("egress.allow does not name {place} itself, so it is called by https alone");
    TargetError::new(TargetError::HTTPS_REQUIRED, detail)
}

#[cfg(test)]
mod tests;
