//! JSON to entries: one object a line, or `{"entries": […]}` taken apart element by element, so that a roster of any size
//! needs the memory of one entry.

use outdial_core::{RosterEntry, json::split_object};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    BodyError, Intake,
    intake::{At, LINE_LIMIT},
};

/// Reads one object a line.
#[derive(Default)]
pub struct NdjsonReader {
    line: u64,
    cut: String,
}

impl NdjsonReader {
    /// Reads a piece of text.
    ///
    /// # Errors
    /// When a line is too long.
    pub fn feed(&mut self, text: &str, intake: &mut Intake) -> Result<(), BodyError> {
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
            self.cut.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            self.take_line(intake)?;
        }
        self.cut.push_str(rest);
        if self.cut.len() > LINE_LIMIT { Err(too_long(At::Line(self.line + 1))) } else { Ok(()) }
    }

    /// Ends the text.
    ///
    /// # Errors
    /// As [`NdjsonReader::feed`].
    pub fn finish(&mut self, intake: &mut Intake) -> Result<(), BodyError> {
        self.take_line(intake)
    }

    fn take_line(&mut self, intake: &mut Intake) -> Result<(), BodyError> {
        self.line += 1;
        if self.cut.len() > LINE_LIMIT {
            return Err(too_long(At::Line(self.line)));
        }
        let line = std::mem::take(&mut self.cut);
        if line.trim().is_empty() {
            return Ok(());
        }
        take_entry(line.trim(), At::Line(self.line), intake)
    }
}

/// Where in `{"entries": […]}` the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Object,
    Key,
    Colon,
    Array,
    FirstElement,
    Element,
    AfterElement,
    AfterArray,
    End,
}

/// Reads `{"entries": […]}`.
pub struct JsonReader {
    place: Place,
    /// The key, or the element, that is being read.
    piece: String,
    depth: usize,
    in_string: bool,
    escaped: bool,
    index: u64,
}

impl Default for JsonReader {
    fn default() -> Self {
        Self {
            place: Place::Object,
            piece: String::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            index: 0,
        }
    }
}

impl JsonReader {
    /// Reads a piece of text.
    ///
    /// # Errors
    /// When the body is not `{"entries": […]}`, or an entry is too long.
    pub fn feed(&mut self, text: &str, intake: &mut Intake) -> Result<(), BodyError> {
        for character in text.chars() {
            self.take(character, intake)?;
        }
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    /// When the body ended too early.
    pub fn finish(&self) -> Result<(), BodyError> {
        match self.place {
            Place::End => Ok(()),
            Place::Object => Err(BodyError::at_pointer("", "empty", "The body is empty.")),
            _ => Err(BodyError::at_pointer(&self.pointer(), "cut", "The body ends inside its JSON.")),
        }
    }

    fn pointer(&self) -> String {
        format!("/entries/{}", self.index)
    }

    fn take(&mut self, character: char, intake: &mut Intake) -> Result<(), BodyError> {
        if self.place == Place::Element || (self.place == Place::Key && self.in_string) {
            return self.take_inside(character, intake);
        }
        if character.is_ascii_whitespace() {
            return Ok(());
        }
        self.place = match (self.place, character) {
            (Place::Object, '{') => Place::Key,
            (Place::Key, '"') => {
                self.in_string = true;
                self.piece.clear();
                Place::Key
            }
            (Place::Colon, ':') => Place::Array,
            (Place::Array, '[') => Place::FirstElement,
            (Place::FirstElement, ']') | (Place::AfterElement, ']') => Place::AfterArray,
            (Place::AfterElement, ',') => Place::Element,
            (Place::AfterArray, '}') => Place::End,
            (Place::FirstElement, _) => {
                self.place = Place::Element;
                return self.take_inside(character, intake);
            }
            (place, _) => return Err(self.unexpected(place)),
        };
        Ok(())
    }

    fn unexpected(&self, place: Place) -> BodyError {
        let detail = match place {
            Place::AfterElement => "After an entry stands neither a comma nor the end of the list.",
            Place::AfterArray => "After the entries stands something; the body has no other member.",
            Place::End => "After the body stands something.",
            Place::Array => "entries is not an array.",
            _ => "The body is not {\"entries\": […]}.",
        };
        let pointer = if place == Place::AfterElement { self.pointer() } else { String::new() };
        BodyError::at_pointer(&pointer, "not-a-roster", detail)
    }

    /// A character of the key, or of an element.
    fn take_inside(&mut self, character: char, intake: &mut Intake) -> Result<(), BodyError> {
        if self.place == Place::Key {
            return self.take_key(character);
        }
        let was_in_string = self.in_string;
        if self.in_string {
            self.in_string = self.escaped || character != '"';
            self.escaped = !self.escaped && character == '\\';
        } else {
            match character {
                '"' => self.in_string = true,
                '{' | '[' => self.depth += 1,
                ',' | ']' if self.depth == 0 => {
                    self.end_element(intake)?;
                    self.place = if character == ',' { Place::Element } else { Place::AfterArray };
                    return Ok(());
                }
                '}' | ']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.piece.push(character);
        if self.piece.len() > LINE_LIMIT {
            return Err(too_long(At::Index(self.index)));
        }
        let closed = self.depth == 0 && !was_in_string && matches!(character, '}' | ']');
        if closed {
            self.end_element(intake)?;
            self.place = Place::AfterElement;
        }
        Ok(())
    }

    fn take_key(&mut self, character: char) -> Result<(), BodyError> {
        if character != '"' {
            self.piece.push(character);
            if self.piece.len() > "entries".len() {
                return Err(unknown_member());
            }
            return Ok(());
        }
        self.in_string = false;
        self.place = Place::Colon;
        if self.piece == "entries" {
            self.piece.clear();
            Ok(())
        } else {
            Err(unknown_member())
        }
    }

    fn end_element(&mut self, intake: &mut Intake) -> Result<(), BodyError> {
        let element = std::mem::take(&mut self.piece);
        let outcome = take_entry(element.trim(), At::Index(self.index), intake);
        self.index += 1;
        outcome
    }
}

fn unknown_member() -> BodyError {
    BodyError::at_pointer("", "unknown-field", "The body has a member other than entries.")
}

fn too_long(at: At) -> BodyError {
    let detail = format!("The entry is longer than {LINE_LIMIT} bytes.");
    match at {
        At::Line(line) => BodyError::at_line(line, "line-too-long", detail),
        At::Index(index) => BodyError::at_pointer(&format!("/entries/{index}"), "line-too-long", detail),
    }
}

/// An entry as JSON gives it.
#[derive(Default)]
struct Fields {
    entry_id: String,
    number: String,
    product_type: Option<String>,
    agent: Option<String>,
    customer_id: Option<String>,
    user_data: Vec<(String, String)>,
}

fn take_entry(text: &str, at: At, intake: &mut Intake) -> Result<(), BodyError> {
    let fields = match read_entry(text) {
        Ok(fields) => fields,
        Err((code, detail)) => return intake.reject(at, None, code, detail),
    };
    let pairs: Vec<(&str, &str)> =
        fields.user_data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let filled = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
    let (product_type, agent, customer_id) =
        (filled(&fields.product_type), filled(&fields.agent), filled(&fields.customer_id));
    let entry = RosterEntry {
        entry_id: &fields.entry_id,
        number: &fields.number,
        product_type: product_type.as_deref(),
        agent: agent.as_deref(),
        customer_id: customer_id.as_deref(),
        user_data: &pairs,
    };
    intake.take(at, &entry)
}

type Fault = (&'static str, String);

/// The parser's own words would repeat values, so the faults have ours.
fn read_entry(text: &str) -> Result<Fields, Fault> {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Err(("not-json", "The entry is not JSON.".to_owned()));
    }
    let members = split_object(text.as_bytes())
        .ok_or_else(|| ("not-an-object", "The entry is not a JSON object.".to_owned()))?;
    let mut fields = Fields::default();
    let mut seen: Vec<String> = Vec::with_capacity(members.len());
    for member in members {
        let key: String = serde_json::from_str(&text[member.key]).map_err(|_| not_text("a key"))?;
        let value = &text[member.value];
        if seen.contains(&key) {
            return Err(("repeated-field", format!("The entry has {} twice.", shown(&key))));
        }
        match key.as_str() {
            "entry_id" => fields.entry_id = read_text(&key, value)?.unwrap_or_default(),
            "number" => fields.number = read_text(&key, value)?.unwrap_or_default(),
            "product_type" => fields.product_type = read_text(&key, value)?,
            "agent" => fields.agent = read_text(&key, value)?,
            "customer_id" => fields.customer_id = read_text(&key, value)?,
            "user_data" => fields.user_data = read_user_data(value)?,
            _ => {
                let detail = format!("The entry has a field {}, which no roster entry has.", shown(&key));
                return Err(("unknown-field", detail));
            }
        }
        seen.push(key);
    }
    Ok(fields)
}

fn shown(key: &str) -> String {
    let plain: String = key.chars().filter(|c| c.is_alphanumeric() || "_-. ".contains(*c)).take(40).collect();
    outdial_core::mask_numbers_in_text(&plain, &[]).into_owned()
}

fn not_text(name: &str) -> Fault {
    ("wrong-type", format!("{name} is not text."))
}

fn read_text(name: &str, value: &str) -> Result<Option<String>, Fault> {
    serde_json::from_str(value).map_err(|_| not_text(name))
}

/// Values are text; numbers and booleans are taken as they are written.
fn read_user_data(value: &str) -> Result<Vec<(String, String)>, Fault> {
    let fault = |detail: &str| ("wrong-type", detail.to_owned());
    if value == "null" {
        return Ok(Vec::new());
    }
    let members = split_object(value.as_bytes()).ok_or_else(|| fault("user_data is not an object."))?;
    let mut pairs = Vec::with_capacity(members.len());
    for member in members {
        let key: String = serde_json::from_str(&value[member.key])
            .map_err(|_| fault("user_data has a key that is no text."))?;
        let text = match serde_json::from_str(&value[member.value.clone()]) {
            Ok(Value::String(text)) => text,
            Ok(Value::Number(_) | Value::Bool(_)) => value[member.value].to_owned(),
            Ok(Value::Null) => continue,
            _ => return Err(fault("user_data has a value that is no text, number or boolean.")),
        };
        pairs.push((key, text));
    }
    Ok(pairs)
}
