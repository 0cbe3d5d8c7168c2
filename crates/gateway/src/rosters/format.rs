//! In which form a roster came: its content type, or for one file of a form also its name.

use encoding_rs::{Encoding, GB18030, UTF_8};
use outdial_core::{Error, ErrorClass};

/// The forms that are read.
pub const TYPES: &str =
    "application/json, application/x-ndjson, text/csv or multipart/form-data with one such file";

/// In which form a roster came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    /// How entries are separated.
    pub layout: Layout,
    /// How characters are written.
    pub charset: &'static Encoding,
}

/// How entries are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `{"entries": […]}`.
    Json,
    /// One object a line.
    Ndjson,
    /// A header row, then one entry a line; fields may be quoted.
    Csv,
    /// WellCloud's own columns without a header; nothing is quoted.
    Columns,
}

impl Format {
    /// Reads a content type and, for a file of a form, the file's name.
    ///
    /// # Errors
    /// `Unsupported` with the code `unsupported-media-type`, naming what is read.
    pub fn parse(content_type: Option<&str>, file_name: Option<&str>) -> Result<Self, Error> {
        let mut parts = content_type.unwrap_or_default().split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut charset = UTF_8;
        let mut header = None;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"').to_ascii_lowercase();
            match name.trim().to_ascii_lowercase().as_str() {
                "charset" => charset = read_charset(&value)?,
                "header" => header = Some(value),
                _ => {}
            }
        }
        let layout = read_layout(&media_type, file_name)?;
        let layout = match (layout, header.as_deref()) {
            (Layout::Csv | Layout::Columns, Some("absent")) => Layout::Columns,
            (Layout::Csv | Layout::Columns, Some("present")) => Layout::Csv,
            (layout, _) => layout,
        };
        if layout == Layout::Json && charset != UTF_8 {
            return Err(unsupported(
                "JSON is UTF-8; another charset is taken with text/csv and application/x-ndjson.",
            ));
        }
        Ok(Self { layout, charset })
    }
}

fn read_layout(media_type: &str, file_name: Option<&str>) -> Result<Layout, Error> {
    let extension = file_name.and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    let by_name = extension.and_then(|ending| match ending.to_ascii_lowercase().as_str() {
        "csv" => Some(Layout::Csv),
        "txt" | "dat" => Some(Layout::Columns),
        "json" => Some(Layout::Json),
        "ndjson" | "jsonl" => Some(Layout::Ndjson),
        _ => None,
    });
    match media_type {
        "application/json" => Ok(Layout::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Layout::Ndjson),
        "text/csv" => Ok(Layout::Csv),
        "" | "text/plain" | "application/octet-stream" if by_name.is_some() => {
            by_name.ok_or_else(|| unsupported(""))
        }
        _ => Err(unsupported(&format!("A roster is {TYPES}."))),
    }
}

/// GBK and GB2312 are parts of GB 18030, whose decoder reads all three.
fn read_charset(name: &str) -> Result<&'static Encoding, Error> {
    match name {
        "utf-8" | "utf8" => Ok(UTF_8),
        "gbk" | "gb2312" | "gb18030" => Ok(GB18030),
        _ => Err(unsupported("The charset is none of utf-8, gbk, gb2312 and gb18030.")),
    }
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorClass::Unsupported, "unsupported-media-type", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(content_type: &str, file_name: Option<&str>) -> Option<Layout> {
        Format::parse(Some(content_type), file_name).ok().map(|format| format.layout)
    }

    #[test]
    fn types_and_file_names_decide() {
        assert_eq!(layout("text/csv; header=absent", None), Some(Layout::Columns));
        assert_eq!(layout("text/csv; charset=GBK; header=\"present\"", None), Some(Layout::Csv));
        assert_eq!(layout("application/json", None), Some(Layout::Json));
        assert_eq!(layout("application/octet-stream", Some("a.TXT")), Some(Layout::Columns));
        assert_eq!(layout("text/plain", Some("a.ndjson")), Some(Layout::Ndjson));
        for (bad, name) in [
            ("text/plain", None),
            ("", None),
            ("text/html", Some("a.csv")),
            ("text/csv;charset=latin1", None),
        ] {
            assert_eq!(layout(bad, name), None, "{bad}");
        }
        assert_eq!(layout("application/json; charset=gbk", None), None);
    }
}
