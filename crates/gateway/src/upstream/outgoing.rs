//! The head of a request that goes out.

use actix_http::RequestHead;
use awc::http::{
    ConnectionType, Method, Uri,
    header::{HOST, HeaderMap, HeaderName, HeaderValue},
};

use super::{dial::Unsent, wire::WireError};

/// Headers that a request has room for from the start.
const USUAL_HEADERS: usize = 7;

thread_local! {
    /// A head without room for headers, of which each other one is a copy: awc's own has room for sixteen.
    static BLANK: RequestHead = {
        let mut head = RequestHead::default();
        head.headers = HeaderMap::new();
        head
    };
}

/// A request without its body.
pub(super) struct Outgoing(pub(super) RequestHead);

impl Outgoing {
    /// A request to a whole URL, of which this is the host.
    ///
    /// # Errors
    /// `NotSent`: the URL is not one of `http` or `https`, or has no host.
    pub(super) fn new(method: Method, uri: Uri, host: Option<HeaderValue>) -> Result<Self, WireError> {
        let unfit = |problem: &str| WireError::NotSent(Unsent::Other, format!("the URL has {problem}"));
        let host = host.ok_or_else(|| unfit("no host"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(unfit("a scheme other than http and https"));
        }
        let mut head = BLANK.with(RequestHead::clone);
        (head.method, head.uri, head.headers) = (method, uri, HeaderMap::with_capacity(USUAL_HEADERS));
        head.headers.insert(HOST, host);
        Ok(Self(head))
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.0.uri
    }

    pub(super) const fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.0.headers
    }

    /// Has the connection closed afterwards.
    pub(super) fn close_connection(&mut self) {
        self.0.set_connection_type(ConnectionType::Close);
    }
}

/// What `Host` says of a URL: the port is left out where it is the scheme's own (RFC 9110, 4.2.3 and 7.2).
pub(super) fn host(uri: &Uri) -> Option<HeaderValue> {
    let (host, scheme) = (uri.host()?, uri.scheme_str());
    let port =
        uri.port_u16().filter(|port| !matches!((scheme, port), (Some("http"), 80) | (Some("https"), 443)));
    match port {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")).ok(),
        None => HeaderValue::from_str(host).ok(),
    }
}

/// A header as awc has it.
pub(super) fn header(
    name: &http::HeaderName,
    value: &http::HeaderValue,
) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_web_addresses_are_sent_to() {
        let to = |uri| {
            let uri = Uri::from_static(uri);
            Outgoing::new(Method::GET, uri.clone(), host(&uri)).err()
        };
        assert!(to("http://vendor.example/a").is_none() && to("https://[::1]:8443").is_none());
        let unfit = |problem: &str| Some(WireError::NotSent(Unsent::Other, format!("the URL has {problem}")));
        assert_eq!(to("/a"), unfit("no host"));
        for other in ["vendor.example:80", "ftp://vendor.example/"] {
            assert_eq!(to(other), unfit("a scheme other than http and https"), "{other}");
        }
    }

    #[test]
    fn a_host_is_named_without_the_port_of_its_scheme() {
        let of = |uri| host(&Uri::from_static(uri)).unwrap();
        assert_eq!(of("http://vendor.example/a"), "vendor.example");
        assert_eq!(of("http://vendor.example:80/a"), "vendor.example");
        assert_eq!(of("https://vendor.example:443"), "vendor.example");
        assert_eq!(of("http://vendor.example:443"), "vendor.example:443");
        assert_eq!(of("https://user:word@[::1]:8443/a"), "[::1]:8443");
        assert!(host(&Uri::from_static("/a")).is_none());
    }

    #[test]
    fn every_head_begins_blank() {
        let new = |method| {
            let uri = Uri::from_static("http://vendor.example/");
            Outgoing::new(method, uri.clone(), host(&uri)).unwrap()
        };
        let mut first = new(Method::PUT);
        first.headers_mut().insert(HeaderName::from_static("authorization"), HeaderValue::from_static("x"));
        first.close_connection();
        let second = new(Method::GET).0;
        assert_eq!(second.headers.keys().collect::<Vec<_>>(), [HOST]);
        assert_eq!(second.connection_type(), ConnectionType::KeepAlive);
        assert_eq!(first.0.connection_type(), ConnectionType::Close);
    }
}
