//! A vendor's search for call records: what is asked, and a page of what was found.

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    QuarantineReason, RecordQuery,
    json::{FieldReader, KnownFields, Places},
};

/// A page of a vendor's search, asked for.
#[derive(Clone, Copy, Debug)]
pub struct SearchRequest<'a> {
    /// The filters.
    pub query: &'a RecordQuery,
    /// The mark that the page before gave.
    pub mark: Option<&'a str>,
    /// Most records wanted.
    pub limit: u32,
}

/// A page of a vendor's search.
#[derive(Clone, Debug, Default)]
pub struct SearchPage {
    /// The records. See [`Vendor::read_found`](crate::Vendor::read_found).
    pub records: Vec<FoundRecord>,
    /// Where the next page starts; `None` at the end. A mark seen before is an end too, which the walker notices.
    pub next_mark: Option<String>,
}

/// A record of a page: the slice of the answer that it is. The pass that finds its borders finds its fields as well, where it is
/// written plainly.
#[derive(Clone, Debug)]
pub struct FoundRecord(Form);

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every record is of the larger form")]
enum Form {
    Plain(ByteString, Places),
    Other(Bytes),
}

impl FoundRecord {
    /// A record whose fields were found in its text.
    pub const fn plain(text: ByteString, places: Places) -> Self {
        Self(Form::Plain(text, places))
    }

    /// What came in the place of a record, of which nothing is known.
    pub const fn other(json: Bytes) -> Self {
        Self(Form::Other(json))
    }

    /// What the vendor sent.
    pub fn json(&self) -> &Bytes {
        match &self.0 {
            Form::Plain(text, _) => text.as_bytes(),
            Form::Other(json) => json,
        }
    }

    /// The fields, of which the vendor's documents know these.
    ///
    /// # Errors
    /// `not_utf8`, or as [`FieldReader::parse`].
    pub fn fields(&self, known: &'static KnownFields) -> Result<FieldReader<'_>, QuarantineReason> {
        match &self.0 {
            Form::Plain(text, places) => Ok(FieldReader::new(text, places.clone())),
            Form::Other(json) => {
                let text = std::str::from_utf8(json)
                    .map_err(|_| QuarantineReason::new("not_utf8", "the record is not UTF-8"))?;
                FieldReader::parse(text, known)
            }
        }
    }
}
