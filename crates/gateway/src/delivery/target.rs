//! Where the deliveries of a subscription go, and what it adds to them.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::egress::{Egress, TargetError};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("Outdial/", env!("CARGO_PKG_VERSION")));

/// Headers that a subscription may not set: they are ours, or say how the message is carried.
const RESERVED: [&str; 18] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// Checks a header that a subscription wants on its deliveries.
///
/// # Errors
/// What is wrong with it, for people, without its value.
pub fn check_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err("the header's name holds what no name may hold".to_owned());
    };
    if RESERVED.contains(&parsed.as_str()) || parsed.as_str().starts_with("webhook-") {
        return Err(format!("the header {parsed} is set by the gateway"));
    }
    match HeaderValue::from_str(value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok((parsed, value))
        }
        Err(_) => Err(format!("the value of the header {parsed} holds what no value may hold")),
    }
}

/// Where deliveries of one subscription go; read once, used for each of them.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) uri: Uri,
    pub(super) pool: String,
    pub(super) headers: HeaderMap,
}

impl Target {
    /// The target of a subscription, whose id names its connections. Headers that it may not set are left out.
    ///
    /// # Errors
    /// When the URL may not be called.
    pub fn new(
        egress: &Egress,
        subscription: &str,
        url: &str,
        headers: &BTreeMap<String, String>,
    ) -> Result<Self, TargetError> {
        let uri = egress.check_url(url)?;
        let mut all = HeaderMap::with_capacity(headers.len() + 5);
        all.extend(headers.iter().filter_map(|(name, value)| check_header(name, value).ok()));
        all.insert(header::USER_AGENT, USER_AGENT);
        Ok(Self { uri, pool: subscription.to_owned(), headers: all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_may_add_headers_but_not_take_ours_over() {
        assert!(check_header("X-Tenant", "a b").is_ok());
        let (name, value) = check_header("Authorization", "Bearer k33p-quiet").unwrap();
        assert_eq!((name.as_str(), format!("{value:?}").as_str()), ("authorization", "Sensitive"));
        for name in
            ["Host", "content-length", "Transfer-Encoding", "webhook-id", "Webhook-Custom", "User-Agent"]
        {
            assert!(check_header(name, "x").unwrap_err().ends_with("is set by the gateway"), "{name}");
        }
        for (name, value) in [("a b", "x"), ("", "x"), ("x:", "x"), ("x", "a\r\nhost: b"), ("x", "k33p\u{0}")]
        {
            let problem = check_header(name, value).unwrap_err();
            assert!(!problem.contains("k33p"), "{problem}");
        }
    }
}
