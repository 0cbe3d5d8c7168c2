//! What kind of address an address is: never to be called, of this machine, or public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix))
}

/// What is never called, whatever the list says, and what it is.
const NEVER: [(IpNet, &str); 13] = [
    (v4(0, 0, 0, 0, 8), "an unspecified address"),
    (v4(169, 254, 0, 0, 16), "a link-local address"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(100, 100, 100, 200, 32), METADATA),
    (v4(168, 63, 129, 16, 32), METADATA),
    (v4(192, 0, 0, 192, 32), METADATA),
    (v6([0; 8], 128), "an unspecified address"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "a link-local address"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "a multicast address"),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), METADATA),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), METADATA),
    // A network's own translation prefix (RFC 8215): where in it the IPv4 address stands, only that network knows.
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "an address of a local translator"),
];
const METADATA: &str = "a cloud's metadata service";

/// Loopback networks.
const LOOPBACK: [IpNet; 2] = [v4(127, 0, 0, 0, 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];

/// What no router on the internet carries (IANA special-purpose registries), beside the two lists above.
const NOT_PUBLIC: [IpNet; 15] = [
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(240, 0, 0, 0, 4),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// All of IPv6 that is handed out to the world.
const GLOBAL_V6: IpNet = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// IPv4 hosts as seen through a translator (RFC 6052).
const NAT64: IpNet = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// IPv4 addresses in the form of IPv6 ones.
const MAPPED: IpNet = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);

/// An address that is written as an IPv4 address in IPv6 (`::ffff:…`) as what is dialled: the IPv4 address.
pub(super) fn dialled(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether the network holds nothing but such addresses.
pub(super) fn is_mapped(network: &IpNet) -> bool {
    MAPPED.contains(network)
}

/// The IPv4 address that an IPv6 address carries: compatible, NAT64, 6to4 (RFC 3056) or Teredo (RFC 4380).
pub(super) fn carried(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let [a, b, c, d] = match address.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => octets(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => octets(high, low),
        [0x2001, 0, _, _, _, _, high, low] => octets(!high, !low),
        _ => return None,
    };
    Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
}

const fn octets(high: u16, low: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    [a, b, c, d]
}

/// What it is, if it is never called.
pub(super) fn never(address: IpAddr) -> Option<&'static str> {
    NEVER.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what)
}

/// What the whole network is, if it is never called.
pub(super) fn never_at_all(network: &IpNet) -> Option<&'static str> {
    NEVER.iter().find(|(never, _)| never.contains(network)).map(|(_, what)| *what)
}

/// Whether the network holds nothing but addresses of this machine.
pub(super) fn is_loopback(network: &IpNet) -> bool {
    LOOPBACK.iter().any(|loopback| loopback.contains(network))
}

/// Whether the internet carries it to one host. What it carries in turn has to be public too.
pub(super) fn is_public(address: IpAddr) -> bool {
    if never(address).is_some() || is_loopback(&IpNet::from(address)) {
        return false;
    }
    if let Some(carried) = carried(address).filter(|_| NAT64.contains(&address)) {
        return is_public(carried);
    }
    let global = address.is_ipv4() || GLOBAL_V6.contains(&address);
    global && !NOT_PUBLIC.iter().any(|network| network.contains(&address))
}
