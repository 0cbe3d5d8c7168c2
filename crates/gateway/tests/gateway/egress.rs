//! URLs of subscribers beside a reader that is not ours, the one of browsers (WHATWG): what we accept, both read alike.

use std::net::IpAddr;

use outdial_gateway::egress::{AllowEntry, Egress, EgressConfig};
use proptest::{prelude::*, sample::select};
use url::{Host, ParseError, Url};

/// What addresses and tricks are made of.
const PIECES: &[&str] = &[
    "a",
    "hooks.example.net",
    "EXAMPLE",
    "localhost",
    "127.0.0.1",
    "127.1",
    "0x7f",
    "0x7f000001",
    "0177",
    "2130706433",
    "10.0.0.1",
    "8.8.8.8",
    "169.254.169.254",
    "0",
    "1",
    "255",
    "256",
    "08",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[fe80::1",
    "%25eth0",
    "]",
    "[",
    ".",
    ".",
    ":",
    ":80",
    ":443",
    ":8080",
    ":0",
    ":99999",
    "@",
    "/",
    "/",
    "//",
    "\\",
    "?",
    "#",
    "%",
    "%2e",
    "%00",
    "-",
    "_",
    "*",
    " ",
    "\t",
    "\n",
    "x",
    "。",
    "ⓔ",
    "１",
    "xn--",
    "é",
    ";",
    ",",
    "=",
    "&",
    "+",
    "'",
    "\"",
];

const SCHEMES: &[&str] =
    &["http://", "https://", "HTTP://", "http:/", "http:", "https:\\\\", "http:///", "ftp://", "//", ""];

fn egress(allow: &[&str]) -> Egress {
    let allow = allow.iter().map(|entry| AllowEntry::parse(entry).unwrap()).collect();
    Egress::new(&EgressConfig { allow })
}

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(select(PIECES), 1..7);
    (select(SCHEMES), pieces).prop_map(|(scheme, pieces)| format!("{scheme}{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_readers_see_the_same_host_and_port(text in texts()) {
        let everything = egress(&["0.0.0.0/0", "::/0", "127.0.0.0/8", "::1"]);
        let Ok(uri) = everything.check_url(&text) else { return Ok(()) };
        let other = match Url::parse(&text) {
            // Bad Punycode is a name like any other to a resolver, which will not find it.
            Err(ParseError::IdnaError) => return Ok(()),
            other => other.map_err(|error| TestCaseError::fail(format!("{text:?} is accepted, but {error}")))?,
        };
        let ours = uri.host().unwrap_or_default();
        match other.host() {
            Some(Host::Domain(name)) => prop_assert_eq!(name, ours.to_ascii_lowercase()),
            Some(Host::Ipv4(address)) => prop_assert_eq!(address.to_string(), ours),
            Some(Host::Ipv6(address)) => {
                prop_assert_eq!(Ok(address), ours.trim_matches(['[', ']']).parse());
            }
            None => prop_assert!(false, "{:?} has no host", text),
        }
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        prop_assert_eq!(other.port_or_known_default(), Some(uri.port_u16().unwrap_or(usual)));
        prop_assert_eq!(other.username(), "");
        prop_assert_eq!(other.password(), None);
    }

    #[test]
    fn no_spelling_of_a_private_address_passes(text in texts()) {
        if egress(&["*"]).check_url(&text).is_err() {
            return Ok(());
        }
        let address: IpAddr = match Url::parse(&text).map(|url| url.host().map(|host| host.to_owned())) {
            Ok(Some(Host::Ipv4(address))) => address.into(),
            Ok(Some(Host::Ipv6(address))) => IpAddr::from(address).to_canonical(),
            _ => return Ok(()),
        };
        // Of the pieces, only this one lies outside of this machine and every private network.
        prop_assert!(address.to_string() == "8.8.8.8" || is_elsewhere(address), "{:?}", text);
    }
}

fn is_elsewhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let near = address.is_private() || address.is_loopback() || address.is_link_local();
            !(near || address.is_unspecified() || address.is_broadcast() || address.octets()[0] == 0)
        }
        IpAddr::V6(address) => {
            !(address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local())
        }
    }
}
