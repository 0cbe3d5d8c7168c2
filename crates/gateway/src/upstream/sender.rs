//! What awc's connections carry: a request's head and body, and the answer as it comes. awc's client is left out: it makes
//! room for more headers than a request has, and moves each request through boxes of its own.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_http::{Payload, RequestHead, ResponseHead};
use actix_service::Service;
use awc::{
    Connect, Connector,
    body::BoxBody,
    error::{InvalidUrl, PayloadError, SendRequestError},
    http::{
        ConnectionType, Method, StatusCode, Uri, Version,
        header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING},
    },
};
use bytes::Bytes;
use futures_util::{Stream, future::LocalBoxFuture};

use super::dial::Dial;

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
pub(super) struct Outgoing(RequestHead);

impl Outgoing {
    /// A request to a whole URL, of which this is the host.
    ///
    /// # Errors
    /// When the URL is not one of `http` or `https`, or has no host.
    pub(super) fn new(method: Method, uri: Uri, host: Option<HeaderValue>) -> Result<Self, SendRequestError> {
        let host = host.ok_or(InvalidUrl::MissingHost)?;
        match uri.scheme_str() {
            None => return Err(InvalidUrl::MissingScheme.into()),
            Some("http" | "https") => {}
            Some(_) => return Err(InvalidUrl::UnknownScheme.into()),
        }
        let mut head = BLANK.with(RequestHead::clone);
        (head.method, head.uri, head.headers) = (method, uri, HeaderMap::with_capacity(USUAL_HEADERS));
        head.headers.insert(HOST, host);
        Ok(Self(head))
    }

    pub(super) const fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.0.headers
    }

    /// Has the connection closed afterwards.
    pub(super) fn close_connection(&mut self) {
        self.0.set_connection_type(ConnectionType::Close);
    }
}

/// An answer: its head, and its body as it comes.
pub(super) struct Incoming {
    head: ResponseHead,
    /// The length of its body, where it says.
    pub(super) announced: Option<u64>,
    /// Whether its body comes in chunks.
    pub(super) is_chunked: bool,
    pub(super) body: Body,
}

impl Incoming {
    fn new(head: ResponseHead, body: Payload) -> Self {
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let coding = head.headers.get(TRANSFER_ENCODING).map(HeaderValue::as_bytes);
        let is_chunked = coding.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        let announced = length.and_then(|length| length.parse().ok());
        Self { head, announced, is_chunked, body: Body(body) }
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) const fn version(&self) -> Version {
        self.head.version
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Whether it has no body, as the answer to `HEAD` or to another method.
    pub(super) fn is_bodiless(&self, is_head: bool) -> bool {
        is_head || matches!(self.status().as_u16(), 204 | 304)
    }

    /// Whether it has a body that only the connection's end ends, which awc 3.11 hands over as empty (actix-web#2287).
    pub(super) fn is_lost(&self, is_head: bool) -> bool {
        let is_framed = self.announced.is_some() || self.is_chunked;
        !is_framed && !self.is_bodiless(is_head) && self.version() == Version::HTTP_11
    }

    /// Whether more comes on its connection, which the next exchange would take for its own answer: the answer itself after an
    /// interim status, or the body that is lost.
    pub(super) fn leaves_a_rest(&self, is_head: bool) -> bool {
        self.status().is_informational() || self.is_lost(is_head)
    }

    pub(super) fn into_parts(self) -> (HeaderMap, Body) {
        (self.head.headers, self.body)
    }
}

/// The body of an answer.
pub(super) struct Body(Payload);

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(context)
    }
}

/// An exchange until the head of its answer.
pub(super) type Sending = LocalBoxFuture<'static, Result<Incoming, SendRequestError>>;

/// Sends requests over the connections of one pool.
#[derive(Clone)]
pub(super) struct Sender(Rc<dyn Fn(Outgoing, BoxBody) -> Sending>);

impl Sender {
    /// Of the pool that this makes.
    pub(super) fn new(connector: Connector<Dial>) -> Self {
        let connections = Rc::new(connector.finish());
        Self(Rc::new(move |Outgoing(head), body| {
            let connecting = connections.call(Connect { uri: head.uri.clone(), addr: None });
            Box::pin(async move {
                let (head, body) = connecting.await?.send_request(head, body).await?;
                Ok(Incoming::new(head, body))
            })
        }))
    }

    /// Sends a request, on a connection that there is or on a new one.
    pub(super) fn send(&self, request: Outgoing, body: BoxBody) -> Sending {
        (self.0)(request, body)
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
        assert!(matches!(to("/a"), Some(SendRequestError::Url(InvalidUrl::MissingHost))));
        assert!(matches!(to("vendor.example:80"), Some(SendRequestError::Url(InvalidUrl::MissingScheme))));
        assert!(matches!(
            to("ftp://vendor.example/"),
            Some(SendRequestError::Url(InvalidUrl::UnknownScheme))
        ));
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
