//! Call records: from the store or forwarded to the vendor.

mod csv;
mod cursor;
mod request;
mod walk;

pub use self::{
    csv::CsvWriter,
    cursor::Cursors,
    request::{
        RecordsRequest, Source, check_search, covered_account, covered_accounts, read_include, read_source,
    },
    walk::{PageWarning, RecordQueries, Walk},
};
