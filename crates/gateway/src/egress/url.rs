//! Reads the address of a subscriber strictly: what two readers could take for two hosts is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::TargetError;

/// Longest URL, in bytes.
const URL_LIMIT: usize = 2_048;
/// Longest host name and longest part of one, in bytes (RFC 1035).
const NAME_LIMIT: usize = 253;
const LABEL_LIMIT: usize = 63;

/// Where a URL points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UrlHost {
    /// An address, spelt out.
    Address(IpAddr),
    /// A name, in lower case.
    Name(String),
}

/// Reads a URL. The text of a refused one is not repeated: it may hold a secret.
pub(super) fn read_url(text: &str) -> Result<(Uri, UrlHost), TargetError> {
    if text.len() > URL_LIMIT {
        return Err(TargetError::new("url-too-long", format!("the URL is longer than {URL_LIMIT} bytes")));
    }
    if text.contains('#') {
        return Err(TargetError::new("fragment-in-url", "the URL has a fragment, which is never sent"));
    }
    let unreadable = || TargetError::new("not-a-url", "this is no absolute URL");
    let uri: Uri = text.parse().map_err(|_| unreadable())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(unreadable());
    };
    if !matches!(scheme, "http" | "https") {
        return Err(TargetError::new("unsupported-scheme", "the URL is neither http nor https"));
    }
    if authority.as_str().contains('@') {
        return Err(TargetError::new("credentials-in-url", "the URL has a user name or password in it"));
    }
    let rest = authority.as_str().strip_prefix(authority.host()).unwrap_or(":");
    let port = rest.strip_prefix(':').map(str::parse::<u16>);
    if !(rest.is_empty() || matches!(port, Some(Ok(1..)))) {
        return Err(TargetError::new("not-a-url", "the URL's port is not a number from 1 to 65535"));
    }
    let host = read_host(authority.host())?;
    Ok((uri, host))
}

/// Reads a host as it stands in a URL, IPv6 addresses in brackets.
pub(super) fn read_host(text: &str) -> Result<UrlHost, TargetError> {
    let refuse = |detail: &str| Err(TargetError::new("invalid-host", detail));
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return match address {
            Some(address) => Ok(UrlHost::Address(IpAddr::V6(address))),
            None => refuse("the host is no IPv6 address; zones are not accepted"),
        };
    }
    if looks_numeric(text) {
        // 017700000001, 0x7f.1, 2130706433: some readers take these for addresses, and each for another one.
        return match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(UrlHost::Address(IpAddr::V4(address))),
            Err(_) => refuse("the host is no IPv4 address of four decimal numbers"),
        };
    }
    if !is_name(text) {
        return refuse("the host is no name of letters, digits, '-', '_' and single dots between them");
    }
    Ok(UrlHost::Name(text.to_ascii_lowercase()))
}

/// Whether the last part is a number, so that the whole cannot be a name (WHATWG URL, "ends in a number").
fn looks_numeric(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let digits = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    digits || hex.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether text is a host name without a dot at its end.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=LABEL_LIMIT).contains(&label.len()) && label.bytes().all(plain);
    text.len() <= NAME_LIMIT && text.split('.').all(label) && !looks_numeric(text)
}
