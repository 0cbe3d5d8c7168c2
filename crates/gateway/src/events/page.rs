//! A page of events.

use outdial_core::Position;
use outdial_store::{EventLog, StoreError};
use serde::Serialize;
use serde_json::value::RawValue;

use super::EventFilter;

/// Events read of the log at once.
const READ: usize = 1_000;
/// Most events looked at for one page; with filters that pass little a page may be short, or empty, with more to follow.
const LOOKED_AT: usize = 20_000;

/// A page of events.
#[derive(Debug, Serialize)]
pub struct EventsPage {
    /// The events, oldest first.
    pub data: Vec<Box<RawValue>>,
    /// The position to read after next; `None` when nothing follows yet.
    pub next_cursor: Option<String>,
}

/// Reads up to `limit` events after a position.
///
/// # Errors
/// When the store is away.
pub async fn read_page(
    log: &dyn EventLog,
    filter: &EventFilter,
    after: Position,
    limit: usize,
) -> Result<EventsPage, StoreError> {
    let mut data = Vec::new();
    let mut position = after;
    let mut looked_at = 0;
    while looked_at < LOOKED_AT {
        let events = log.read(position, READ).await?;
        let all_read = events.len() < READ;
        looked_at += events.len();
        for event in &events {
            if data.len() == limit {
                return Ok(EventsPage { data, next_cursor: Some(position.to_string()) });
            }
            position = event.position;
            let shown = filter.show(event).and_then(|shown| RawValue::from_string(shown.json).ok());
            data.extend(shown);
        }
        if all_read {
            return Ok(EventsPage { data, next_cursor: None });
        }
    }
    Ok(EventsPage { data, next_cursor: Some(position.to_string()) })
}
