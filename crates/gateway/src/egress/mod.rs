//! Which addresses the gateway may call for subscribers. A subscriber's URL comes from outside, so it is judged twice: as it
//! is written, and by the address that is dialled in the end.

mod address;
mod url;

use std::{fmt, future::Future, io, net::IpAddr, pin::Pin};

use http::Uri;
use ipnet::IpNet;

use self::url::UrlHost;

/// What may be called, by configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressConfig {
    /// Nothing but what is listed; empty: every public address.
    pub allow: Vec<AllowEntry>,
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowEntry {
    /// A network, or one address.
    Network(IpNet),
    /// A host, by its name in lower case.
    Host(String),
    /// Every host below a domain, which stands here in lower case with its leading dot.
    Below(String),
}

impl AllowEntry {
    /// Reads an entry: `10.0.0.0/8`, `10.1.2.3`, `hooks.example.net` or `*.example.net`.
    ///
    /// # Errors
    /// What is wrong with it, to stand behind the entry.
    pub fn parse(text: &str) -> Result<Self, String> {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        if let Some(network) = network.map(|network| network.trunc()) {
            if let Some(what) = address::never_at_all(&network) {
                return Err(format!("is {what}, which is never called"));
            }
            if address::is_mapped(&network) {
                return Err("is IPv4 in the dress of IPv6: list the IPv4 network".to_owned());
            }
            return Ok(Self::Network(network));
        }
        let name = text.strip_prefix("*.");
        if !url::is_name(name.unwrap_or(text)) {
            return Err("is no network, address, host name or *.domain".to_owned());
        }
        let lower = text.to_ascii_lowercase();
        Ok(match lower.strip_prefix('*') {
            Some(below) => Self::Below(below.to_owned()),
            None => Self::Host(lower),
        })
    }
}

impl AllowEntry {
    const fn as_network(&self) -> Option<&IpNet> {
        match self {
            Self::Network(network) => Some(network),
            Self::Host(_) | Self::Below(_) => None,
        }
    }
}

impl fmt::Display for AllowEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Host(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*{domain}"),
        }
    }
}

/// Why a target is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TargetError {
    /// A kebab-case code: `blocked-target`, `not-a-url`, `unsupported-scheme`, `credentials-in-url`, `fragment-in-url`,
    /// `invalid-host` or `url-too-long`.
    pub code: &'static str,
    /// For people. Holds the host or the address at most, never the path or the query.
    pub detail: String,
}

impl TargetError {
    /// The code of targets that are refused for where they are.
    pub const BLOCKED: &'static str = "blocked-target";

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

/// Which targets may be called.
#[derive(Clone, Debug)]
pub struct Egress {
    allow: Vec<AllowEntry>,
}

impl Egress {
    /// The rules of a configuration.
    pub fn new(config: &EgressConfig) -> Self {
        Self { allow: config.allow.clone() }
    }

    /// Reads a subscriber's URL and judges what can be judged of it before it is called.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn check_url(&self, url: &str) -> Result<Uri, TargetError> {
        let (uri, host) = url::read_url(url)?;
        match host {
            UrlHost::Address(address) => self.judge(None, address)?,
            UrlHost::Name(name) => self.judge_name(&name)?,
        }
        Ok(uri)
    }

    /// Judges the host of a URL that is about to be called, if it is an address: such a host asks no resolver. A name is left
    /// to [`Egress::check_address`].
    ///
    /// # Errors
    /// `invalid-host` or `blocked-target`.
    pub fn check_literal(&self, host: &str) -> Result<Option<IpAddr>, TargetError> {
        match url::read_host(host)? {
            UrlHost::Name(_) => Ok(None),
            UrlHost::Address(address) => self.judge(None, address).map(|()| Some(address)),
        }
    }

    /// Judges an address that a resolver gave for a host.
    ///
    /// # Errors
    /// `blocked-target`.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), TargetError> {
        self.judge(Some(&host.to_ascii_lowercase()), address)
    }

    /// What to say at the start if this machine itself may be called.
    pub fn loopback_notice(&self) -> Option<String> {
        let networks = self.allow.iter().filter_map(AllowEntry::as_network);
        let listed: Vec<String> =
            networks.filter(|network| address::is_loopback(network)).map(ToString::to_string).collect();
        let listed = (!listed.is_empty()).then(|| listed.join(", "))?;
        Some(format!(
            "egress.allow lists {listed}: subscriptions can make the gateway call what listens on this machine"
        ))
    }

    /// Some names cannot lead anywhere that is allowed.
    fn judge_name(&self, name: &str) -> Result<(), TargetError> {
        let of_this_machine = name == "localhost" || name.ends_with(".localhost");
        if of_this_machine && self.loopback_notice().is_none() {
            return Err(TargetError::blocked(format!("{name} is this machine")));
        }
        let networks = self.allow.iter().any(|entry| entry.as_network().is_some());
        if self.allow.is_empty() || networks || self.lists_host(name) {
            return Ok(());
        }
        Err(TargetError::blocked(format!("egress.allow does not list {name}")))
    }

    fn judge(&self, host: Option<&str>, address: IpAddr) -> Result<(), TargetError> {
        let address = address::dialled(address);
        let carried = address::carried(address);
        let place = || host.map_or_else(|| address.to_string(), |host| format!("{address} (of {host})"));
        for address in [Some(address), carried].into_iter().flatten() {
            if let Some(what) = address::never(address) {
                return Err(TargetError::blocked(format!("{} is {what}, which is never called", place())));
            }
            if address::is_loopback(&IpNet::from(address)) && !self.lists_loopback(address) {
                return Err(TargetError::blocked(format!("{} is this machine", place())));
            }
        }
        if self.allow.is_empty() {
            if address::is_public(address) {
                return Ok(());
            }
            let detail = format!("{} is not a public address, and egress.allow is empty", place());
            return Err(TargetError::blocked(detail));
        }
        let listed = self.lists(address) && carried.is_none_or(address::is_public);
        if host.is_some_and(|host| self.lists_host(host))
            || listed
            || carried.is_some_and(|it| self.lists(it))
        {
            return Ok(());
        }
        Err(TargetError::blocked(format!("egress.allow does not list {}", place())))
    }

    fn lists(&self, address: IpAddr) -> bool {
        self.allow.iter().filter_map(AllowEntry::as_network).any(|network| network.contains(&address))
    }

    /// Whether a network that is nothing but loopback holds it: a wide network does not mean this machine.
    fn lists_loopback(&self, address: IpAddr) -> bool {
        let mut networks = self.allow.iter().filter_map(AllowEntry::as_network);
        networks.any(|network| address::is_loopback(network) && network.contains(&address))
    }

    fn lists_host(&self, host: &str) -> bool {
        self.allow.iter().any(|entry| match entry {
            AllowEntry::Host(name) => name == host,
            AllowEntry::Below(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
            AllowEntry::Network(_) => false,
        })
    }
}

#[cfg(test)]
mod tests;
