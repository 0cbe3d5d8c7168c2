//! Rosters: each entry by the form that can carry it, each request within the vendor's limits.

mod fields;
mod file;
mod json;

use http::Uri;
use outdial_core::{Error, ErrorClass, Refusal, RosterEncoder, RosterEntry, RosterPart, encode_path_segment};

use crate::settings::Settings;
use file::FilePart;
use json::JsonPart;

/// Longest campaign id; the documents' are 32 hex digits.
const CAMPAIGN_LIMIT: usize = 128;

/// An entry with an agent goes by JSON, because the file has no column for it; one with user data by file, because the JSON
/// form has no field for it. Every other entry goes by file, of which one request holds a hundred times as many, unless one
/// of its fields cannot be written in a line; then by JSON.
pub struct Encoder {
    file_url: String,
    json_url: String,
    file_field: String,
    json_entries_max: usize,
    default_product_type: Option<String>,
    parts: Vec<Part>,
    open_file: Option<usize>,
    open_json: Option<usize>,
}

enum Part {
    File(FilePart),
    Json(JsonPart),
}

impl Encoder {
    pub fn new(settings: &Settings, campaign_id: &str) -> Result<Self, Error> {
        if campaign_id.is_empty()
            || campaign_id.len() > CAMPAIGN_LIMIT
            || campaign_id.chars().any(char::is_control)
        {
            let message =
                format!("A WellCloud campaign id is 1 to {CAMPAIGN_LIMIT} bytes without control characters.");
            return Err(Error::new(ErrorClass::InvalidInput, "invalid-parameter", message));
        }
        let (base, campaign) = (&settings.base_url, encode_path_segment(campaign_id));
        Ok(Self {
            file_url: format!("{base}/ocm/fileupload?activity_id={campaign}"),
            json_url: format!("{base}/ocm/v1/rosterinfo/create/{campaign}"),
            file_field: settings.file_field.clone(),
            json_entries_max: settings.json_entries_max,
            default_product_type: settings.default_product_type.clone(),
            parts: Vec::new(),
            open_file: None,
            open_json: None,
        })
    }

    fn push_file(&mut self, entry: &RosterEntry<'_>, product_type: &str) -> usize {
        let length = file::line_length(entry, product_type);
        if let Some(open) = self.open_file
            && let Some(Part::File(part)) = self.parts.get_mut(open)
            && part.has_room(length)
        {
            part.push(entry, product_type);
            return open;
        }
        let mut part = FilePart::new(&self.file_field);
        part.push(entry, product_type);
        self.parts.push(Part::File(part));
        let opened = self.parts.len() - 1;
        self.open_file = Some(opened);
        opened
    }

    fn push_json(&mut self, entry: &RosterEntry<'_>, product_type: &str) -> Result<usize, Refusal> {
        if let Some(open) = self.open_json
            && let Some(Part::Json(part)) = self.parts.get_mut(open)
            && part.has_room(self.json_entries_max)
        {
            part.push(entry, product_type)?;
            return Ok(open);
        }
        let mut part = JsonPart::new();
        part.push(entry, product_type)?;
        self.parts.push(Part::Json(part));
        let opened = self.parts.len() - 1;
        self.open_json = Some(opened);
        Ok(opened)
    }
}

impl RosterEncoder for Encoder {
    fn push(&mut self, entry: &RosterEntry<'_>) -> Result<usize, Refusal> {
        let default = self.default_product_type.take();
        let outcome = match entry.product_type.or(default.as_deref()) {
            None => Err(fields::refuse(
                "product-type-missing",
                "product_type is absent and the account has no default_product_type",
            )),
            Some(product_type) => fields::check_number(entry.number).and_then(|()| {
                match (entry.agent, entry.user_data.is_empty()) {
                    (Some(_), false) => Err(fields::refuse(
                        "agent-with-user-data",
                        "agent goes only by the JSON form and user_data only by the file form; no form carries both",
                    )),
                    (Some(_), true) => self.push_json(entry, product_type),
                    (None, false) => {
                        fields::check_line(entry, product_type).map(|()| self.push_file(entry, product_type))
                    }
                    (None, true) if fields::check_line(entry, product_type).is_ok() => {
                        Ok(self.push_file(entry, product_type))
                    }
                    (None, true) => self.push_json(entry, product_type),
                }
            }),
        };
        self.default_product_type = default;
        outcome
    }

    fn finish(self: Box<Self>) -> Result<Vec<RosterPart>, Error> {
        let url = |text: &str| {
            text.parse::<Uri>().map_err(|_| {
                Error::new(ErrorClass::Internal, "internal", "The vendor's address cannot be built.")
            })
        };
        let (file_url, json_url) = (url(&self.file_url)?, url(&self.json_url)?);
        let finish = |part| match part {
            Part::File(part) => part.finish(file_url.clone()),
            Part::Json(part) => part.finish(json_url.clone()),
        };
        self.parts.into_iter().map(finish).collect()
    }
}
