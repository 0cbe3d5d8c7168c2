//! What belongs to the gateway itself, and so is never called for a subscriber: its own ports, and its store.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Most addresses of a store that are kept.
const ADDRESSES_LIMIT: usize = 64;
/// The port of a Redis that names none.
const REDIS_PORT: u16 = 6379;

/// The ports of this gateway, and where its store is.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses {
    /// Where it listens.
    pub listening: Vec<SocketAddr>,
    /// Where its store is.
    pub store: Vec<SocketAddr>,
}

impl OwnAddresses {
    /// What an address is, if it is one of them.
    pub(super) fn find(&self, address: IpAddr, port: u16) -> Option<&'static str> {
        let listens = |own: &SocketAddr| {
            own.port() == port && (own.ip() == address || (own.ip().is_unspecified() && is_local(address)))
        };
        if self.listening.iter().any(listens) {
            return Some("a port of this gateway");
        }
        let is_store = |own: &SocketAddr| own.port() == port && own.ip().to_canonical() == address;
        self.store.iter().any(is_store).then_some("the gateway's store")
    }
}

/// Whether it is an address of this machine: only to such a one a socket can be bound.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// The addresses of a store's URL, as they are known now. A name that is not found has none.
pub async fn addresses_of_store(url: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for (host, port) in hosts_of_store(url) {
        match tokio::net::lookup_host((host, port)).await {
            Ok(addresses) => found.extend(addresses),
            // The URL stays out: it holds a password.
            Err(error) => tracing::debug!(problem = %error, "egress.store_not_found"),
        }
    }
    found.truncate(ADDRESSES_LIMIT);
    found
}

/// `redis://[user:password@]host[:port][,host[:port]…][/…]`, by any scheme of Redis.
fn hosts_of_store(url: &str) -> Vec<(&str, u16)> {
    let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
    if !scheme.starts_with("redis") || scheme.ends_with("+unix") {
        return Vec::new();
    }
    let hosts = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    hosts.split(',').filter(|host| !host.is_empty()).map(split_host).collect()
}

fn split_host(text: &str) -> (&str, u16) {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    (host, port.and_then(|port| port.parse().ok()).unwrap_or(REDIS_PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_of_every_form_of_a_store_are_found() {
        for (url, hosts) in [
            ("sqlite:outdial.db", vec![]),
            ("redis+unix:///run/redis.sock", vec![]),
            ("redis://cache", vec![("cache", 6379)]),
            ("rediss://user:p%40ss@cache:6380/2", vec![("cache", 6380)]),
            ("redis://[fd12::1]:7000", vec![("fd12::1", 7000)]),
            ("redis+sentinel://u:p@a:26379,b:26379/main/0", vec![("a", 26379), ("b", 26379)]),
            ("redis+cluster://10.0.0.1:7000,10.0.0.2", vec![("10.0.0.1", 7000), ("10.0.0.2", 6379)]),
        ] {
            assert_eq!(hosts_of_store(url), hosts, "{url}");
        }
    }

    #[tokio::test]
    async fn an_address_is_ours_with_its_port_alone() {
        let own = OwnAddresses {
            listening: vec!["127.0.0.1:8080".parse().unwrap(), "0.0.0.0:8081".parse().unwrap()],
            store: addresses_of_store("redis://10.9.8.7:6379").await,
        };
        let find = |address: &str, port| own.find(address.parse().unwrap(), port).is_some();
        assert!(find("127.0.0.1", 8080) && find("127.0.0.1", 8081) && find("10.9.8.7", 6379));
        assert!(!find("127.0.0.2", 8080) && !find("127.0.0.1", 8082) && !find("10.9.8.7", 6380));
        // 192.0.2.1 is for documentation (RFC 5737): no machine has it.
        assert!(find("127.0.0.9", 8081) && !find("192.0.2.1", 8081));
    }
}
