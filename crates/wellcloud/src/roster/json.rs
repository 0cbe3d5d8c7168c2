//! The JSON form: an array of entries, the only one with an agent.

use bytes::Bytes;
use http::{Request, Uri, header::CONTENT_TYPE};
use outdial_core::{Error, ErrorClass, PartForm, Refusal, RosterEntry, RosterPart};

use super::fields::refuse;
use crate::wire::{JSON_TYPE, RosterInfo};

/// An array that is being written.
pub struct JsonPart {
    body: Vec<u8>,
    entries: u32,
}

impl JsonPart {
    pub fn new() -> Self {
        Self { body: vec![b'['], entries: 0 }
    }

    /// Whether one more entry is allowed.
    pub fn has_room(&self, entries_max: usize) -> bool {
        usize::try_from(self.entries).is_ok_and(|entries| entries < entries_max)
    }

    pub fn push(&mut self, entry: &RosterEntry<'_>, product_type: &str) -> Result<(), Refusal> {
        let info = RosterInfo {
            roster_id: entry.entry_id,
            prd_type: product_type,
            number: entry.number,
            agent: entry.agent,
            customer_id: entry.customer_id,
        };
        let before = self.body.len();
        if self.entries > 0 {
            self.body.push(b',');
        }
        if serde_json::to_writer(&mut self.body, &info).is_err() {
            self.body.truncate(before);
            return Err(refuse("not-json", "the entry cannot be written as JSON"));
        }
        self.entries += 1;
        Ok(())
    }

    pub fn finish(mut self, url: Uri) -> Result<RosterPart, Error> {
        self.body.push(b']');
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let request =
            Request::post(url).header(CONTENT_TYPE, JSON_TYPE).body(Bytes::from(self.body)).map_err(
                |_| Error::new(ErrorClass::Internal, "internal", "The roster request cannot be built."),
            )?;
        Ok(RosterPart { form: PartForm::Json, entries: self.entries, bytes, request })
    }
}
