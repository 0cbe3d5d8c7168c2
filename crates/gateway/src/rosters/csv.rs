//! Lines to entries: CSV with a header row, and WellCloud's own columns.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader};
use outdial_core::RosterEntry;

use super::{
    BodyError, Intake,
    intake::{At, LINE_LIMIT},
};

/// Most columns of a file.
const COLUMN_LIMIT: usize = 64;

/// Most entries have so few pairs of user data; room for more is not made for each of them.
const FEW_PAIRS: usize = 8;

/// Names of the columns that are not user data.
const NAMES: &str = "entry_id, number, product_type, agent, customer_id and user_data.KEY";

/// Where the fields of an entry stand.
#[derive(Debug, Default)]
struct Columns {
    entry_id: usize,
    number: usize,
    product_type: Option<usize>,
    agent: Option<usize>,
    customer_id: Option<usize>,
    user_data: Vec<(String, usize)>,
    count: usize,
}

/// Reads lines as they come.
pub struct LineReader {
    /// `None` where the file has WellCloud's own columns.
    header: Option<Header>,
    line: u64,
    /// The begin of a line whose end has not come yet.
    cut: String,
    /// A record with an open quote, and the line it began on.
    open: Option<(String, u64)>,
    /// Whether quotes may stand in what is being read.
    quoted: bool,
    fields: Vec<Range<usize>>,
}

enum Header {
    Awaited,
    Read(Columns),
}

impl LineReader {
    /// A reader of files with a header row.
    pub fn with_header() -> Self {
        Self::new(Some(Header::Awaited))
    }

    /// A reader of WellCloud's own columns.
    pub fn without_header() -> Self {
        Self::new(None)
    }

    fn new(header: Option<Header>) -> Self {
        Self {
            header,
            line: 0,
            cut: String::new(),
            open: None,
            quoted: false,
            fields: Vec::with_capacity(COLUMN_LIMIT),
        }
    }

    /// Reads a piece of text.
    ///
    /// # Errors
    /// When the file cannot be read on: a bad header, a line without end.
    pub fn feed(&mut self, text: &str, intake: &mut Intake) -> Result<(), BodyError> {
        // Most files quote nothing, which one look at the whole piece shows.
        let quotable = self.header.is_some();
        self.quoted = quotable && (self.quoted_cut() || memchr::memchr(b'"', text.as_bytes()).is_some());
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if self.cut.is_empty() {
                self.take_line(line, intake)?;
            } else {
                let mut whole = std::mem::take(&mut self.cut);
                whole.push_str(line);
                self.take_line(&whole, intake)?;
            }
            rest = after;
        }
        if self.cut.len() + rest.len() > LINE_LIMIT {
            return Err(too_long(self.line + 1));
        }
        self.cut.push_str(rest);
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    /// When a quote is left open, or the header is missing.
    pub fn finish(&mut self, intake: &mut Intake) -> Result<(), BodyError> {
        let last = std::mem::take(&mut self.cut);
        self.quoted = self.header.is_some();
        if !last.is_empty() {
            self.take_line(&last, intake)?;
        }
        if let Some((_, line)) = self.open {
            return Err(BodyError::at_line(line, "open-quote", "A quote is opened here and never closed."));
        }
        Ok(())
    }

    fn quoted_cut(&self) -> bool {
        memchr::memchr(b'"', self.cut.as_bytes()).is_some()
    }

    fn take_line(&mut self, line: &str, intake: &mut Intake) -> Result<(), BodyError> {
        self.line += 1;
        if line.len() > LINE_LIMIT {
            return Err(too_long(self.line));
        }
        let line = line.strip_suffix('\r').unwrap_or(line);
        let quoted = self.quoted && memchr::memchr(b'"', line.as_bytes()).is_some();
        if self.open.is_some() || quoted {
            return self.take_quoted(line, intake);
        }
        if trim(line).is_empty() {
            return Ok(());
        }
        self.fields.clear();
        let mut start = 0;
        for comma in memchr::memchr_iter(b',', line.as_bytes()) {
            self.fields.push(start..comma);
            start = comma + 1;
        }
        self.fields.push(start..line.len());
        self.take_fields(line, self.line, intake)
    }

    /// A line with quotes: once every quote is closed, one record.
    fn take_quoted(&mut self, line: &str, intake: &mut Intake) -> Result<(), BodyError> {
        let (mut record, first) = self.open.take().unwrap_or_else(|| (String::new(), self.line));
        if !record.is_empty() {
            record.push('\n');
        }
        record.push_str(line);
        if record.len() > LINE_LIMIT {
            return Err(too_long(first));
        }
        if memchr::memchr_iter(b'"', record.as_bytes()).count() % 2 == 1 {
            self.open = Some((record, first));
            return Ok(());
        }
        // The line end tells the parser that the record is complete.
        record.push('\n');
        let mut plain = vec![0; record.len()];
        let mut ends = vec![0; record.len()];
        let (result, _, _, count) = Reader::new().read_record(record.as_bytes(), &mut plain, &mut ends);
        if !matches!(result, ReadRecordResult::Record) {
            return Err(BodyError::at_line(first, "bad-quotes", "The quotes of this line cannot be read."));
        }
        let plain = std::str::from_utf8(&plain).unwrap_or_default().to_owned();
        self.fields.clear();
        let mut start = 0;
        for end in &ends[..count] {
            self.fields.push(start..*end);
            start = *end;
        }
        self.take_fields(&plain, first, intake)
    }

    fn take_fields(&mut self, text: &str, line: u64, intake: &mut Intake) -> Result<(), BodyError> {
        match &self.header {
            None if fits_few(text) => take_columns::<FEW_PAIRS>(text, &self.fields, line, intake),
            None => take_columns::<COLUMN_LIMIT>(text, &self.fields, line, intake),
            Some(Header::Read(columns)) if columns.user_data.len() <= FEW_PAIRS => {
                take_row::<FEW_PAIRS>(columns, text, &self.fields, line, intake)
            }
            Some(Header::Read(columns)) => {
                take_row::<COLUMN_LIMIT>(columns, text, &self.fields, line, intake)
            }
            Some(Header::Awaited) => {
                let names: Vec<&str> = self.fields.iter().map(|range| text[range.clone()].trim()).collect();
                self.header = Some(Header::Read(read_header(&names, line)?));
                Ok(())
            }
        }
    }
}

/// Without surrounding white space. Few fields have any, which their first and last byte show.
fn trim(text: &str) -> &str {
    let plain = |byte: Option<&u8>| byte.is_none_or(|byte| (b'!'..=b'~').contains(byte));
    let bytes = text.as_bytes();
    if plain(bytes.first()) && plain(bytes.last()) { text } else { text.trim() }
}

/// Whether a line without a header has few pairs of user data.
fn fits_few(line: &str) -> bool {
    memchr::memchr_iter(b'|', line.as_bytes()).count() < FEW_PAIRS
}

fn too_long(line: u64) -> BodyError {
    BodyError::at_line(line, "line-too-long", format!("The line is longer than {LINE_LIMIT} bytes."))
}

fn read_header(names: &[&str], line: u64) -> Result<Columns, BodyError> {
    let bad = |detail: String| BodyError::at_line(line, "bad-header", detail);
    if names.len() > COLUMN_LIMIT {
        return Err(bad(format!("The header has more than {COLUMN_LIMIT} columns.")));
    }
    let mut columns = Columns { count: names.len(), ..Columns::default() };
    let (mut entry_id, mut number) = (None, None);
    for (at, name) in names.iter().enumerate() {
        let known = match *name {
            "entry_id" => entry_id.replace(at).is_none(),
            "number" => number.replace(at).is_none(),
            "product_type" => columns.product_type.replace(at).is_none(),
            "agent" => columns.agent.replace(at).is_none(),
            "customer_id" => columns.customer_id.replace(at).is_none(),
            _ => match name.strip_prefix("user_data.").filter(|key| !key.is_empty()) {
                Some(key) => {
                    let twice = columns.user_data.iter().any(|(known, _)| known == key);
                    columns.user_data.push((key.to_owned(), at));
                    !twice
                }
                None => return Err(bad(unknown_column(at, names))),
            },
        };
        if !known {
            return Err(bad(format!("Column {} has a name that stands before already.", at + 1)));
        }
    }
    let missing = |name: &str| bad(format!("The header has no column {name}."));
    columns.entry_id = entry_id.ok_or_else(|| missing("entry_id"))?;
    columns.number = number.ok_or_else(|| missing("number"))?;
    Ok(columns)
}

/// Says what may be wrong with a header, without repeating it: a first row of data holds numbers.
fn unknown_column(at: usize, names: &[&str]) -> String {
    let data = names.iter().any(|name| name.len() >= 5 && name.bytes().all(|byte| byte.is_ascii_digit()));
    if data {
        return "The first row looks like data. A file without a header row is sent as `text/csv; header=absent`, \
                with the columns rosterId,prdType,number,customerId,userData."
            .to_owned();
    }
    format!("Column {} has none of the names {NAMES}.", at + 1)
}

/// A row of a file with at most `N` columns of user data.
fn take_row<const N: usize>(
    columns: &Columns,
    text: &str,
    fields: &[Range<usize>],
    line: u64,
    intake: &mut Intake,
) -> Result<(), BodyError> {
    let field = |at: usize| fields.get(at).map_or("", |range| trim(&text[range.clone()]));
    let filled = |at: Option<usize>| at.map(field).filter(|value| !value.is_empty());
    if fields.len() != columns.count {
        let detail = format!(
            "The line has {} fields and the header {}; a field that holds a comma is written in quotes.",
            fields.len(),
            columns.count
        );
        return intake.reject(At::Line(line), Some(field(columns.entry_id)), "wrong-field-count", detail);
    }
    let mut pairs = [("", ""); N];
    let mut count = 0;
    for (key, at) in &columns.user_data {
        if let Some(value) = filled(Some(*at)) {
            pairs[count] = (key, value);
            count += 1;
        }
    }
    let entry = RosterEntry {
        entry_id: field(columns.entry_id),
        number: field(columns.number),
        product_type: filled(columns.product_type),
        agent: filled(columns.agent),
        customer_id: filled(columns.customer_id),
        user_data: &pairs[..count],
    };
    intake.take(At::Line(line), &entry)
}

/// `rosterId,prdType,number[,customerId[,userData]]` (WellCloud contract 1), with userData as `key:value|key:value`.
fn take_columns<const N: usize>(
    text: &str,
    fields: &[Range<usize>],
    line: u64,
    intake: &mut Intake,
) -> Result<(), BodyError> {
    let field = |at: usize| fields.get(at).map_or("", |range| trim(&text[range.clone()]));
    let filled = |at: usize| Some(field(at)).filter(|value| !value.is_empty());
    if !(3..=5).contains(&fields.len()) {
        let detail = format!(
            "The line has {} fields; without a header a line is rosterId,prdType,number[,customerId[,userData]], and no field \
             can hold a comma.",
            fields.len()
        );
        return intake.reject(At::Line(line), Some(field(0)), "wrong-field-count", detail);
    }
    let mut pairs = [("", ""); N];
    let mut count = 0;
    for pair in filled(4).iter().flat_map(|text| text.split('|')) {
        let Some((key, value)) = pair.split_once(':').filter(|_| count < N) else {
            let detail = format!("userData is not up to {COLUMN_LIMIT} pairs key:value, joined by |.");
            return intake.reject(At::Line(line), Some(field(0)), "bad-user-data", detail);
        };
        pairs[count] = (key, value);
        count += 1;
    }
    let entry = RosterEntry {
        entry_id: field(0),
        product_type: filled(1),
        number: field(2),
        agent: None,
        customer_id: filled(3),
        user_data: &pairs[..count],
    };
    intake.take(At::Line(line), &entry)
}
