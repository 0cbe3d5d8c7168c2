//! Where the deliveries of a subscription go, and what it adds to them.

use std::{collections::BTreeMap, fmt};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::egress::{Egress, TargetError};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("Outdial/", env!("CARGO_PKG_VERSION")));

/// Headers that belong to the connection, to the request itself, or to us.
const REFUSED: [&str; 17] = [
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "host",
    "expect",
    "accept-encoding",
    "cookie",
    "cookie2",
    "set-cookie",
    "user-agent",
    "date",
    "range",
    "forwarded",
];
/// How names begin that are refused too.
const REFUSED_PREFIXES: [&str; 5] = ["content-", "webhook-", "proxy-", "sec-", "x-forwarded-"];

/// Whether a header, by its name in lower case, is a subscriber's to set.
pub fn is_settable(name: &str) -> bool {
    !(REFUSED.contains(&name) || REFUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// A header of a subscription, unless it cannot be one or must not be set.
fn read_header((name, value): (&String, &String)) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    is_settable(name.as_str()).then_some((name, value))
}

/// Where deliveries of one subscription go; read once, used for each of them.
#[derive(Clone)]
pub struct Target {
    pub(super) uri: Uri,
    pub(super) pool: String,
    pub(super) headers: HeaderMap,
}

/// The URL stays out: its query may hold a secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("subscription", &self.pool).finish_non_exhaustive()
    }
}

impl Target {
    /// The target of a subscription, whose id names its connections. Headers that would break the
    /// message are left out.
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
        all.extend(headers.iter().filter_map(read_header));
        all.insert(header::USER_AGENT, USER_AGENT);
        Ok(Self { uri, pool: subscription.to_owned(), headers: all })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::egress::{AllowEntry, EgressConfig};

    #[test]
    fn headers_are_added_unless_they_would_break_the_message() {
        let given = [
            ("X-Tenant", "a b"),
            ("authorization", "Bearer k33p-quiet"),
            ("Host", "elsewhere"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "1"),
            ("user-agent", "other"),
            ("Cookie", "a=b"),
            ("webhook-id", "mine"),
            ("content-language", "en"),
            ("a b", "x"),
            ("x-line", "a\r\nhost: b"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let allow = vec![AllowEntry::parse("*").unwrap()];
        let egress = Egress::new(&EgressConfig { allow });
        let target =
            Target::new(&egress, "sub_1", "https://hooks.example.net/in?key=k33p-too", &given).unwrap();
        let names: BTreeSet<&str> = target.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, BTreeSet::from(["authorization", "user-agent", "x-tenant"]));
        assert_eq!(target.headers["user-agent"], USER_AGENT);
        assert!(!format!("{target:?}").contains("k33p"));
        let error = Target::new(&egress, "sub_1", "https://10.0.0.1/in", &given).unwrap_err();
        assert_eq!(error.code, TargetError::BLOCKED);
    }
}
