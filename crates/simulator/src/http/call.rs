//! A request, taken out of the web framework's hands.

use actix_web::{
    FromRequest, HttpRequest,
    http::{
        Method,
        header::{self, HeaderName},
    },
    web,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

/// The largest body that is read; above the 10 MB of a roster file (WellCloud contract 1) with room for the form.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// A request, read to its end.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The decoded last segment where the route names one, else empty.
    pub(crate) tail: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) content_type: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Bytes,
    /// The body was larger than is read; `body` is empty then.
    pub(crate) too_large: bool,
}

impl Call {
    /// Reads a request; `None` when its body ended too early, so that nobody is there to be answered.
    pub(crate) async fn read(request: &HttpRequest, mut payload: web::Payload) -> Option<Self> {
        // No route names more than its last segment.
        let tail = web::Path::<String>::extract(request).await;
        let mut call = Self {
            method: request.method().clone(),
            path: request.path().to_owned(),
            tail: tail.map(web::Path::into_inner).unwrap_or_default(),
            query: read_pairs(request.query_string()).unwrap_or_default(),
            content_type: header_text(request, header::CONTENT_TYPE),
            authorization: header_text(request, header::AUTHORIZATION),
            body: Bytes::new(),
            too_large: false,
        };
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.ok()?;
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                call.too_large = true;
                return Some(call);
            }
            body.extend_from_slice(&chunk);
        }
        call.body = body.freeze();
        Some(call)
    }

    /// The first value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the media type is `essence`, whatever its parameters.
    pub(crate) fn is_of_type(&self, essence: &str) -> bool {
        let named = self.content_type.as_deref().and_then(|text| text.split(';').next());
        named.is_some_and(|named| named.trim().eq_ignore_ascii_case(essence))
    }
}

/// Decodes `a=b&c=d`.
pub(crate) fn read_pairs(text: &str) -> Option<Vec<(String, String)>> {
    web::Query::<Vec<(String, String)>>::from_query(text).ok().map(web::Query::into_inner)
}

fn header_text(request: &HttpRequest, name: HeaderName) -> Option<String> {
    request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
