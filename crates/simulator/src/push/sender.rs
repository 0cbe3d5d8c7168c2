//! One push over HTTP: sent once, its reply read to the end or not at all.

use std::time::Duration;

use reqwest::{Client, header::CONTENT_TYPE, redirect::Policy};

/// The vendor gives up on a reply after this long. Not documented; generous against any sane receiver.
const PUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// A reply of more bytes is no reply.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// The vendors' HTTP client.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    client: Client,
}

/// A reply that was read to its end.
pub(crate) struct PushReply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Sender {
    /// A client without redirects and without the environment's proxy.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(PUSH_TIMEOUT).build()?;
        Ok(Self { client })
    }

    /// Sends `body`; `None` when no full reply came back.
    pub(crate) async fn post(&self, url: &str, body: String) -> Option<PushReply> {
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        let mut response = match request.send().await {
            Ok(response) => response,
            // The URL's path is a secret.
            Err(error) => {
                tracing::debug!(error = %error.without_url(), "push without a reply");
                return None;
            }
        };
        let status = response.status().as_u16();
        let mut reply = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if reply.len() + chunk.len() <= MAX_REPLY_BYTES => reply.extend(chunk),
                Ok(None) => return Some(PushReply { status, body: reply }),
                Ok(Some(_)) | Err(_) => return None,
            }
        }
    }
}
