//! A body, chunk by chunk, to entries.

use outdial_core::ErrorClass;

use super::{
    Format, Intake,
    csv::LineReader,
    format::Layout,
    json::{JsonReader, NdjsonReader},
    text::TextDecoder,
};
use crate::api_error::{ApiError, Place};

/// Why a body cannot be read on.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyError {
    /// Line, from 1.
    pub line: Option<u64>,
    /// JSON pointer.
    pub pointer: Option<String>,
    /// Stable kebab-case code.
    pub code: &'static str,
    /// One sentence; holds no value of the body.
    pub detail: String,
}

impl BodyError {
    /// A place in a file of lines.
    pub fn at_line(line: u64, code: &'static str, detail: impl Into<String>) -> Self {
        Self { line: Some(line), pointer: None, code, detail: detail.into() }
    }

    /// A place in JSON.
    pub fn at_pointer(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self { line: None, pointer: Some(pointer.to_owned()), code, detail: detail.into() }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let (code, class) = match error.code {
            "too-many-entries" => ("body-too-large", ErrorClass::InvalidInput),
            _ => ("invalid-body", ErrorClass::InvalidInput),
        };
        let place = Place {
            pointer: error.pointer,
            line: error.line,
            entry_id: None,
            code: error.code.to_owned(),
            detail: error.detail.clone(),
        };
        Self::at(class, code, "The roster cannot be read.", vec![place])
    }
}

/// Reads a body in its form.
pub struct Reader {
    decoder: TextDecoder,
    parser: Parser,
}

enum Parser {
    Lines(LineReader),
    Ndjson(NdjsonReader),
    Json(JsonReader),
}

impl Reader {
    /// A reader for a form.
    pub fn new(format: Format) -> Self {
        let parser = match format.layout {
            Layout::Csv => Parser::Lines(LineReader::with_header()),
            Layout::Columns => Parser::Lines(LineReader::without_header()),
            Layout::Ndjson => Parser::Ndjson(NdjsonReader::default()),
            Layout::Json => Parser::Json(JsonReader::default()),
        };
        Self { decoder: TextDecoder::new(format.charset), parser }
    }

    /// Reads the next chunk.
    ///
    /// # Errors
    /// When the body cannot be read on. Entries that are wrong by themselves are noted in the intake instead.
    pub fn feed(&mut self, chunk: &[u8], intake: &mut Intake) -> Result<(), BodyError> {
        self.read(chunk, false, intake)
    }

    /// Ends the body.
    ///
    /// # Errors
    /// As [`Reader::feed`].
    pub fn finish(mut self, intake: &mut Intake) -> Result<(), BodyError> {
        self.read(&[], true, intake)?;
        match &mut self.parser {
            Parser::Lines(lines) => lines.finish(intake),
            Parser::Ndjson(lines) => lines.finish(intake),
            Parser::Json(json) => json.finish(),
        }
    }

    fn read(&mut self, chunk: &[u8], last: bool, intake: &mut Intake) -> Result<(), BodyError> {
        let parser = &mut self.parser;
        self.decoder.decode(chunk, last, |text| match parser {
            Parser::Lines(lines) => lines.feed(text, intake),
            Parser::Ndjson(lines) => lines.feed(text, intake),
            Parser::Json(json) => json.feed(text, intake),
        })
    }
}
