//! Following the log: one connection that waits for what any replica appends.

use std::{sync::Arc, time::Duration};

use outdial_core::Position;
use redis::{cmd, streams::StreamReadReply};
use tokio::{sync::watch, task::JoinHandle};

use super::{keys::Keys, link::Link};
use crate::StoreError;

/// How long one request waits for the log to grow.
const BLOCK: Duration = Duration::from_secs(2);
/// Longest wait for an answer: more than twice as long as the server waits.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a failed request is not repeated.
const PAUSE: Duration = Duration::from_secs(1);

/// The task that follows the log; it ends with the store.
pub(super) struct Follower(JoinHandle<()>);

impl Follower {
    #[expect(clippy::disallowed_methods, reason = "the task owns nothing that a stop would have to wait for")]
    pub(super) fn start(link: Link, keys: Keys, tail: Arc<watch::Sender<Position>>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                if follow(&link, &keys, &tail).await.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Wakes those who wait for the log to grow, if it did.
pub(super) fn show(tail: &watch::Sender<Position>, last: Position) {
    tail.send_if_modified(|seen| {
        let grew = last > *seen;
        *seen = last.max(*seen);
        grew
    });
}

/// The last position that was given.
pub(super) async fn last_position(link: &Link, keys: &Keys) -> Result<Position, StoreError> {
    let mut request = cmd("HGET");
    request.arg(keys.key("log")).arg("last");
    let last: Option<u64> = link.read(&request).await?;
    Ok(Position(last.unwrap_or(0)))
}

/// The position that a stream id stands for.
pub(super) fn position_of(id: &str) -> Option<Position> {
    id.split('-').next()?.parse().ok()
}

/// Waits once for the log to grow. One event is enough to know that it did; how far, the log's own entry says.
async fn follow(link: &Link, keys: &Keys, tail: &watch::Sender<Position>) -> Result<(), StoreError> {
    show(tail, last_position(link, keys).await?);
    let after = *tail.borrow();
    let mut request = cmd("XREAD");
    request.arg("COUNT").arg(1).arg("BLOCK").arg(super::to_millis(BLOCK));
    request.arg("STREAMS").arg(keys.key("events")).arg(format!("{after}-0"));
    let grown: Option<StreamReadReply> = link.ask(&request).await?;
    let newest = grown.into_iter().flat_map(|reply| reply.keys).flat_map(|stream| stream.ids).last();
    if let Some(position) = newest.and_then(|entry| position_of(&entry.id)) {
        show(tail, position);
    }
    Ok(())
}
