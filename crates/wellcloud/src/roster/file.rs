//! The file form: `rosterId,prdType,number[,customerId[,userData]]`, one entry a line, in a multipart/form-data request.

use bytes::Bytes;
use http::{Request, Uri, header::CONTENT_TYPE};
use outdial_core::{Error, ErrorClass, PartForm, RosterEntry, RosterPart};

/// The contract says 10 MB; the smaller reading of that is safe under both.
const FILE_LIMIT: usize = 10_000_000;

/// From this size on the whole of a part is reserved at once: growing by doubling would copy it, and hold it twice.
const RESERVE_FROM: usize = 256 * 1024;

/// Cannot occur inside the file: the delimiter begins with CR LF, and no field of ours holds a CR.
const BOUNDARY: &str = "outdial-roster-5d41c0f3a9b7";

/// A file that is being written, inside its envelope, so that it is never copied.
pub struct FilePart {
    body: Vec<u8>,
    file_start: usize,
    entries: u32,
}

/// How many bytes an entry takes, its line end included.
pub fn line_length(entry: &RosterEntry<'_>, product_type: &str) -> usize {
    let customer = entry.customer_id.unwrap_or_default().len();
    let user_data: usize = entry.user_data.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    entry.entry_id.len() + product_type.len() + entry.number.len() + customer + user_data + 5
}

impl FilePart {
    pub fn new(field: &str) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"roster.txt\"\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n"
        );
        Self { file_start: head.len(), body: head.into_bytes(), entries: 0 }
    }

    /// Whether a line of this length still fits.
    pub fn has_room(&self, line_length: usize) -> bool {
        self.body.len() - self.file_start + line_length <= FILE_LIMIT
    }

    /// Writes a line. Columns that nothing follows are left out, as the contract's examples do.
    pub fn push(&mut self, entry: &RosterEntry<'_>, product_type: &str) {
        if self.body.len() > RESERVE_FROM && self.body.capacity() < FILE_LIMIT {
            let rest = self.file_start + FILE_LIMIT + 64 - self.body.len();
            self.body.reserve_exact(rest);
        }
        self.entries += 1;
        let body = &mut self.body;
        body.extend_from_slice(entry.entry_id.as_bytes());
        body.push(b',');
        body.extend_from_slice(product_type.as_bytes());
        body.push(b',');
        body.extend_from_slice(entry.number.as_bytes());
        if entry.customer_id.is_some() || !entry.user_data.is_empty() {
            body.push(b',');
            body.extend_from_slice(entry.customer_id.unwrap_or_default().as_bytes());
        }
        for (at, (key, value)) in entry.user_data.iter().enumerate() {
            body.push(if at == 0 { b',' } else { b'|' });
            body.extend_from_slice(key.as_bytes());
            body.push(b':');
            body.extend_from_slice(value.as_bytes());
        }
        body.push(b'\n');
    }

    pub fn finish(mut self, url: Uri) -> Result<RosterPart, Error> {
        let bytes = self.body.len() - self.file_start;
        self.body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let request = Request::post(url)
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
            .body(Bytes::from(self.body))
            .map_err(|_| {
                Error::new(ErrorClass::Internal, "internal", "The roster request cannot be built.")
            })?;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(RosterPart { form: PartForm::File, entries: self.entries, bytes, request })
    }
}
