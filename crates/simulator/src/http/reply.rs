//! An answer, and how a fault spoils it on its way out.

use std::{future::ready, io};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::{StatusCode, header::ContentType},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;

/// What a huge body is made of.
const SPACES: &[u8] = &[b' '; 64 * 1024];

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) media_type: MediaType,
    pub(crate) body: String,
}

/// What the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    Json,
    Text,
    Html,
}

impl Reply {
    /// JSON text.
    pub(crate) fn json(status: u16, body: String) -> Self {
        Self { status, media_type: MediaType::Json, body }
    }

    /// A value as JSON.
    pub(crate) fn value(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(body) => Self::json(status, body),
            Err(_) => Self::text(500, "the answer cannot be written as JSON"),
        }
    }

    /// Plain text.
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, media_type: MediaType::Text, body: body.into() }
    }

    /// The page that a proxy in between shows instead of the vendor's answer.
    pub(crate) fn html() -> Self {
        let body = "<!DOCTYPE html><html><head><title>系统维护</title></head><body>系统维护中</body></html>";
        Self { status: 200, media_type: MediaType::Html, body: body.to_owned() }
    }

    /// What goes out.
    pub(crate) fn into_response(self) -> HttpResponse {
        self.builder().body(self.body)
    }

    /// The same, promised in full and given by half; the connection is then closed.
    pub(crate) fn into_cut_response(self) -> HttpResponse {
        let mut builder = self.builder();
        // An empty body has no half that would be missed.
        let body = if self.body.is_empty() { " ".to_owned() } else { self.body };
        let promised = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
        let cut = async {
            // The half goes out while the rest is waited for; without a wait it would not leave the buffer.
            tokio::task::yield_now().await;
            Err(io::Error::from(io::ErrorKind::ConnectionAborted))
        };
        let pieces = stream::once(ready(Ok(half))).chain(stream::once(cut));
        builder.body(SizedStream::new(promised, pieces))
    }

    /// The status, and `bytes` spaces.
    pub(crate) fn into_huge_response(self, bytes: u64) -> HttpResponse {
        let pieces = stream::unfold(bytes, |left| async move {
            let piece = usize::try_from(left).unwrap_or(usize::MAX).min(SPACES.len());
            let rest = left.saturating_sub(u64::try_from(piece).unwrap_or(left));
            (left > 0).then(|| (Ok::<_, io::Error>(Bytes::from_static(&SPACES[..piece])), rest))
        });
        self.builder().body(SizedStream::new(bytes, pieces))
    }

    /// Nothing: the framework closes a connection whose body fails before any of it has left the buffer.
    pub(crate) fn into_no_response(self) -> HttpResponse {
        let failure = io::Error::from(io::ErrorKind::ConnectionAborted);
        self.builder().body(SizedStream::new(1, stream::once(ready(Err(failure)))))
    }

    fn builder(&self) -> HttpResponseBuilder {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut builder = HttpResponse::build(status);
        match self.media_type {
            MediaType::Json => builder.insert_header(ContentType::json()),
            MediaType::Text => builder.insert_header(ContentType::plaintext()),
            MediaType::Html => builder.insert_header(ContentType::html()),
        };
        builder
    }
}
