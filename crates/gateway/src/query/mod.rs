//! Call records: from the store or forwarded to the vendor.

mod csv;
mod cursor;
mod request;
mod walk;

pub use self::{
    csv::CsvWriter,
    cursor::Cursors,
    request::{RecordsRequest, Source},
    walk::{PageWarning, RecordQueries, RecordsPage, Walk},
};
