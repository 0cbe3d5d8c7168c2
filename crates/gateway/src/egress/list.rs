//! The list of what may be called: networks, hosts and domains, each for all ports or one.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{address, url};

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowEntry {
    pub(super) what: Allowed,
    /// The only port; `None` for all.
    port: Option<u16>,
}

/// What an entry lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Every public address.
    Public,
    /// A network, or one address.
    Network(IpNet),
    /// A host, by its name in lower case.
    Host(String),
    /// Every host below a domain, which stands here in lower case with its leading dot.
    Below(String),
}

impl AllowEntry {
    /// Reads an entry: `*`, `10.0.0.0/8`, `10.1.2.3`, `hooks.example.net` or `*.example.net`, with a port behind it
    /// (`10.1.2.3:8443`, `[fd12::/16]:8443`) or for all ports.
    ///
    /// # Errors
    /// What is wrong with it, to stand behind the entry.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (what, port) = split_port(text);
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port @ 1..)) => Some(port),
            Some(_) => return Err("has a port that is no number from 1 to 65535".to_owned()),
        };
        Ok(Self { what: Allowed::parse(what)?, port })
    }

    pub(super) const fn as_network(&self) -> Option<&IpNet> {
        match &self.what {
            Allowed::Network(network) => Some(network),
            Allowed::Public | Allowed::Host(_) | Allowed::Below(_) => None,
        }
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

/// Digits behind the only colon, or behind brackets, are a port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((inner, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) if is_port(port) => (inner, Some(port)),
            None if rest.is_empty() => (inner, None),
            _ => (text, None),
        };
    }
    match text.split_once(':') {
        Some((what, port)) if is_port(port) => (what, Some(port)),
        _ => (text, None),
    }
}

impl Allowed {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Public);
        }
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
            return Err("is no network, address, host name, *.domain or *".to_owned());
        }
        let lower = text.to_ascii_lowercase();
        Ok(match lower.strip_prefix('*') {
            Some(below) => Self::Below(below.to_owned()),
            None => Self::Host(lower),
        })
    }
}

impl fmt::Display for AllowEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.what {
            Allowed::Public => "*".to_owned(),
            Allowed::Network(network @ IpNet::V6(_)) if self.port.is_some() => format!("[{network}]"),
            Allowed::Network(network) => network.to_string(),
            Allowed::Host(name) => name.clone(),
            Allowed::Below(domain) => format!("*{domain}"),
        };
        match self.port {
            Some(port) => write!(f, "{what}:{port}"),
            None => f.write_str(&what),
        }
    }
}
