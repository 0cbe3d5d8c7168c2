//! One exchange over a connection: a request with its body, and the answer as it comes. actix-http writes and reads the
//! messages. awc's own exchange is left out: it cannot tell a body that was cut from a whole one, takes an interim status for
//! the answer, hears no answer before all is sent, and begins a task with a timer for each.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_http::{
    ResponseHead,
    h1::{ClientCodec, ClientPayloadCodec, Message, MessageType},
};
use awc::{
    body::{BodySize, BoxBody, MessageBody},
    http::{
        Method, StatusCode, Version,
        header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING},
    },
};
use bytes::Bytes;
use futures_util::Stream;
use tokio_util::codec::{Decoder, Encoder};

use super::{connections::Connection, outgoing::Outgoing, wire::WireError};

/// A body is written as long as less than this waits to be sent.
const WRITTEN: usize = 8 * 1024;
/// Interim statuses before an answer.
const INTERIM_LIMIT: usize = 16;

/// Sends a request, and answers the head of what comes back. An exchange that is given up takes its connection along.
///
/// # Errors
/// `Broken`: there is no answer, and the request may have arrived.
pub(super) async fn exchange(
    connection: Box<Connection>,
    request: Outgoing,
    body: BoxBody,
) -> Result<Incoming, WireError> {
    let mut under_way = UnderWay::begin(connection, request, body)?;
    let head = std::future::poll_fn(|context| under_way.poll(context)).await?;
    Ok(under_way.into_incoming(head))
}

struct UnderWay {
    connection: Box<Connection>,
    codec: ClientCodec,
    body: BoxBody,
    is_head: bool,
    /// Whether all of the body is written.
    is_written: bool,
    is_sent: bool,
    /// Whether its first part was given time to leave together with the head.
    has_paused: bool,
    /// An answer that came before all was sent.
    early: Option<ResponseHead>,
    interim: usize,
}

impl UnderWay {
    fn begin(
        mut connection: Box<Connection>,
        Outgoing(head): Outgoing,
        body: BoxBody,
    ) -> Result<Self, WireError> {
        let mut codec = ClientCodec::new(connection.config.clone());
        let (is_head, size) = (head.method == Method::HEAD, body.size());
        let message = Message::Item((head.into(), size));
        codec.encode(message, &mut connection.to_send).map_err(broken)?;
        let is_written = matches!(size, BodySize::None | BodySize::Sized(0));
        let (is_sent, has_paused, early, interim) = (false, false, None, 0);
        Ok(Self { connection, codec, body, is_head, is_written, is_sent, has_paused, early, interim })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, WireError>> {
        if !self.is_sent {
            match self.poll_send(context) {
                Poll::Ready(Ok(())) => self.is_sent = true,
                Poll::Ready(Err(error)) => return Poll::Ready(self.refusal(context).ok_or(error)),
                Poll::Pending => return self.poll_early(context),
            }
        }
        match self.early.take() {
            Some(head) => Poll::Ready(Ok(head)),
            None => self.poll_head(context),
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        loop {
            let mut is_waiting = false;
            while !self.is_written && !is_waiting && self.connection.to_send.len() < WRITTEN {
                match Pin::new(&mut self.body).poll_next(context) {
                    Poll::Ready(Some(Ok(chunk))) => self.write(Some(chunk))?,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broken(error))),
                    Poll::Ready(None) => {
                        self.write(None)?;
                        self.is_written = true;
                    }
                    Poll::Pending => is_waiting = true,
                }
            }
            if is_waiting && !self.has_paused {
                // A caller's body that came with its head is there a moment later.
                self.has_paused = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.connection.poll_send(context)).map_err(broken)?;
            if self.is_written {
                return Poll::Ready(Ok(()));
            }
            if is_waiting {
                return Poll::Pending;
            }
        }
    }

    fn write(&mut self, chunk: Option<Bytes>) -> Result<(), WireError> {
        self.codec.encode(Message::Chunk(chunk), &mut self.connection.to_send).map_err(broken)
    }

    /// Listens while there is more to send: a refusal is the answer, and who has gone will not give one.
    fn poll_early(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, WireError>> {
        if self.early.is_none() {
            let head = ready!(self.poll_head(context))?;
            if is_refusal(&head) {
                return Poll::Ready(Ok(head));
            }
            self.early = Some(head);
        }
        Poll::Pending
    }

    /// The refusal of a host that took no more.
    fn refusal(&mut self, context: &mut Context<'_>) -> Option<ResponseHead> {
        let head = self.early.take().or_else(|| match self.poll_head(context) {
            Poll::Ready(Ok(head)) => Some(head),
            _ => None,
        });
        head.filter(is_refusal)
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, WireError>> {
        loop {
            if !self.connection.received.is_empty() {
                match self.codec.decode(&mut self.connection.received).map_err(broken)? {
                    // The answer itself comes behind it (RFC 9110, 15.2).
                    Some(head) if self.is_interim(&head) => {
                        self.interim += 1;
                        continue;
                    }
                    Some(head) => return Poll::Ready(Ok(head)),
                    None => {}
                }
            }
            if ready!(self.connection.poll_receive(context)).map_err(broken)? == 0 {
                return Poll::Ready(Err(broken("the connection ended before an answer")));
            }
        }
    }

    fn is_interim(&self, head: &ResponseHead) -> bool {
        head.status.is_informational()
            && head.status != StatusCode::SWITCHING_PROTOCOLS
            && matches!(self.codec.message_type(), MessageType::None)
            && self.interim < INTERIM_LIMIT
    }

    fn into_incoming(self, head: ResponseHead) -> Incoming {
        let Self { connection, codec, is_head, is_sent, .. } = self;
        let mut incoming = Incoming::new(head, is_head);
        let has_none = matches!(codec.message_type(), MessageType::None);
        if has_none && !incoming.is_bodiless() && incoming.announced != Some(0) {
            // The codec does not read it where the answer also names another protocol.
            incoming.announced = None;
        }
        let is_kept_alive = codec.keep_alive() && incoming.head.keep_alive();
        let is_reusable = is_kept_alive && is_sent && !incoming.is_doubtful();
        if has_none || incoming.is_bodiless() || incoming.announced == Some(0) {
            // A body that comes all the same would be read as the next answer.
            connection.end(is_reusable && has_none);
        } else {
            let (codec, is_framed) = (codec.into_payload_codec(), incoming.is_framed());
            incoming.body.0 = Some(Coming { connection, codec, is_reusable, is_framed });
        }
        incoming
    }
}

fn is_refusal(head: &ResponseHead) -> bool {
    head.status.is_client_error() || head.status.is_server_error()
}

fn broken(problem: impl ToString) -> WireError {
    WireError::Broken(problem.to_string())
}

/// An answer: its head, and its body as it comes.
pub(super) struct Incoming {
    head: ResponseHead,
    is_head: bool,
    /// The length of its body, where it says.
    pub(super) announced: Option<u64>,
    is_chunked: bool,
    pub(super) body: Body,
}

impl Incoming {
    fn new(head: ResponseHead, is_head: bool) -> Self {
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let coding = head.headers.get(TRANSFER_ENCODING).map(HeaderValue::as_bytes);
        let is_chunked = coding.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        // Chunks count more than a length (RFC 9112, 6.3).
        let announced = length.filter(|_| !is_chunked).and_then(|length| length.parse().ok());
        Self { head, is_head, announced, is_chunked, body: Body(None) }
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Whether it answers `HEAD`.
    pub(super) const fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether it has no body, whatever its headers say.
    pub(super) fn is_bodiless(&self) -> bool {
        self.is_head || matches!(self.status().as_u16(), 100..=199 | 204 | 304)
    }

    const fn is_framed(&self) -> bool {
        self.announced.is_some() || self.is_chunked
    }

    /// Whether it has a body that only the connection's end ends: one that was cut could not be told from it.
    pub(super) fn is_lost(&self) -> bool {
        !self.is_framed() && !self.is_bodiless() && self.head.version == Version::HTTP_11
    }

    /// Whether what comes behind it on its connection may not be what it seems.
    fn is_doubtful(&self) -> bool {
        let has_both = self.is_chunked && self.head.headers.contains_key(CONTENT_LENGTH);
        has_both || self.is_lost() || self.status().is_informational()
    }

    pub(super) fn into_parts(self) -> (HeaderMap, Body) {
        (self.head.headers, self.body)
    }
}

/// The body of an answer. Only at its own end it ends without an error.
pub(super) struct Body(Option<Coming>);

struct Coming {
    connection: Box<Connection>,
    codec: ClientPayloadCodec,
    is_reusable: bool,
    /// Whether it says itself where it ends. That of HTTP/1.0 may end with the connection.
    is_framed: bool,
}

impl Coming {
    /// The next part; `None` at the end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match self.codec.decode(&mut self.connection.received) {
                Ok(Some(Some(part))) => return Poll::Ready(Some(Ok(part))),
                Ok(Some(None)) => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            }
            match ready!(self.connection.poll_receive(context)) {
                Ok(0) if !self.is_framed => {
                    self.is_reusable = false;
                    return Poll::Ready(None);
                }
                Ok(0) => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl Stream for Body {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(coming) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let part = ready!(coming.poll(context));
        if !matches!(part, Some(Ok(_)))
            && let Some(Coming { connection, is_reusable, .. }) = self.0.take()
        {
            connection.end(is_reusable && part.is_none());
        }
        Poll::Ready(part)
    }
}
