//! A reader of server-sent events (the HTML standard, 9.2).

use reqwest::Response;
use serde_json::Value;

use crate::waiting::soon;

/// A stream that is open.
pub struct EventStream {
    response: Response,
    bytes: Vec<u8>,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct SseEvent {
    /// `id`, the position.
    pub id: Option<String>,
    /// `event`.
    pub name: String,
    /// `data`.
    pub data: Value,
}

impl EventStream {
    /// Reads an answer.
    ///
    /// # Panics
    /// When it is none of events.
    pub fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        Self { response, bytes: Vec::new() }
    }

    /// Waits until the stream has begun: it misses nothing that comes after that.
    ///
    /// # Panics
    /// When it does not begin.
    pub async fn begun(mut self) -> Self {
        const SIGN: &[u8] = b"retry: 3000\n\n";
        while !self.bytes.windows(SIGN.len()).any(|bytes| bytes == SIGN) {
            let chunk = soon("the begin of the stream", self.response.chunk()).await.unwrap();
            self.bytes.extend_from_slice(&chunk.expect("the stream begins"));
        }
        self
    }

    /// The next event; `None` at the end of the stream. Comments and `retry` are passed over.
    ///
    /// # Panics
    /// When none comes, or it is not one.
    pub async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
                let event = read_block(std::str::from_utf8(&block).expect("events are UTF-8").trim_end());
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let chunk = soon("the next event", self.response.chunk()).await;
            // A stop of the gateway may cut the chunked body: that is an end as well.
            let chunk = chunk.ok().flatten()?;
            self.bytes.extend_from_slice(&chunk);
        }
    }

    /// The next `count` events.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn take(&mut self, count: usize) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }
}

fn read_block(block: &str) -> Option<SseEvent> {
    let (mut id, mut name, mut data) = (None, None, None);
    for line in block.lines().filter(|line| !line.starts_with(':')) {
        let (field, value) = line.split_once(": ").unwrap_or((line, ""));
        match field {
            "id" => id = Some(value.to_owned()),
            "event" => name = Some(value.to_owned()),
            "data" => data = Some(serde_json::from_str(value).expect("data is JSON on one line")),
            "retry" => assert_eq!(value, "3000"),
            _ => panic!("{field} is no field of an event"),
        }
    }
    Some(SseEvent { id, name: name?, data: data? })
}
