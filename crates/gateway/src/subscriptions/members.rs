//! The members of a JSON object, read strictly: every one is known and valid, or is named by its pointer in the answer.

use std::ops::RangeInclusive;

use outdial_core::ErrorClass;
use serde_json::{Map, Value};

use crate::api_error::{ApiError, Place};

/// Longest unknown name that is repeated in an answer, in characters.
const NAME_LIMIT: usize = 64;

/// The members of one object that were not read yet, and what was wrong with those that were. A member that is null is as one
/// that is absent.
pub struct Members {
    path: String,
    object: Map<String, Value>,
    places: Vec<Place>,
}

impl Members {
    /// The members of a body.
    ///
    /// # Errors
    /// `invalid-body` when it is no object.
    pub fn of_body(body: Value) -> Result<Self, ApiError> {
        match body {
            Value::Object(object) => Ok(Self { path: String::new(), object, places: Vec::new() }),
            _ => Err(ApiError::body("The body is not a JSON object.")),
        }
    }

    /// The pointer of a member.
    fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.path, name.replace('~', "~0").replace('/', "~1"))
    }

    fn refuse_at(&mut self, pointer: String, code: &str, detail: impl Into<String>) {
        let (code, detail) = (code.to_owned(), detail.into());
        self.places.push(Place { pointer: Some(pointer), code, detail, ..Place::default() });
    }

    /// Reports what is wrong with a member.
    pub fn refuse(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        self.refuse_at(self.pointer(name), code, detail);
    }

    /// Reports what is wrong with an item of a list.
    pub fn refuse_item(&mut self, name: &str, at: usize, code: &str, detail: impl Into<String>) {
        self.refuse_at(format!("{}/{at}", self.pointer(name)), code, detail);
    }

    /// A member as it is.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// A member, read. `wanted` completes "The value is not …".
    pub fn parsed<T>(&mut self, name: &str, wanted: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.take(name)?;
        let read = read(&value);
        if read.is_none() {
            self.refuse(name, "not-valid", format!("The value is not {wanted}."));
        }
        read
    }

    /// Text.
    pub fn text(&mut self, name: &str, wanted: &str, is_good: impl Fn(&str) -> bool) -> Option<String> {
        self.parsed(name, wanted, |value| value.as_str().filter(|text| is_good(text)).map(str::to_owned))
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, "true or false", Value::as_bool)
    }

    /// A whole number.
    pub fn whole(&mut self, name: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, &wanted, |value| {
            let number = u32::try_from(value.as_u64()?).ok()?;
            range.contains(&number).then_some(number)
        })
    }

    /// A list of 1 to `limit` texts, each read. `wanted` completes "The item is not …".
    pub fn list<T>(
        &mut self,
        name: &str,
        limit: usize,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.parsed(name, "a list", |value| value.as_array().cloned())?;
        if items.is_empty() || items.len() > limit {
            let detail =
                format!("The list does not have 1 to {limit} items; leave it out instead of giving none.");
            self.refuse(name, "length", detail);
            return None;
        }
        let mut found = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            match item.as_str().and_then(&read) {
                Some(item) => found.push(item),
                None => {
                    self.refuse_item(name, at, "not-valid", format!("The item is not {wanted}."));
                }
            }
        }
        Some(found)
    }

    /// The members of an object inside, read and then given back to [`Members::close`].
    pub fn open(&mut self, name: &str) -> Option<Self> {
        let object = self.parsed(name, "an object", |value| value.as_object().cloned())?;
        Some(Self { path: self.pointer(name), object, places: Vec::new() })
    }

    /// Ends the reading of an object inside.
    pub fn close(&mut self, mut inside: Self) {
        inside.refuse_rest();
        self.places.append(&mut inside.places);
    }

    /// The names that are left.
    pub fn names(&self) -> Vec<String> {
        self.object.keys().cloned().collect()
    }

    fn refuse_rest(&mut self) {
        for name in self.names() {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect();
            self.refuse(&shown, "unknown", "There is no such member here.");
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `invalid-members`, naming every one that is wrong or unknown.
    pub fn finish(mut self) -> Result<(), ApiError> {
        self.refuse_rest();
        if self.places.is_empty() {
            return Ok(());
        }
        let message = "The body has members that are not valid.";
        Err(ApiError::at(ErrorClass::InvalidInput, "invalid-members", message, self.places))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_mistake_is_told_at_once_by_its_pointer() {
        let body = json!({
            "name": 7, "on": "yes", "count": 11, "list": ["a", 1], "none": [], "in": { "x": 1, "a/b": 2 },
            "odd": null, "surprise": 1,
        });
        let mut members = Members::of_body(body).unwrap();
        assert_eq!(members.text("name", "text", |_| true), None);
        assert_eq!(members.flag("on"), None);
        assert_eq!(members.whole("count", 1..=10), None);
        assert_eq!(members.list("list", 2, "text", |text| Some(text.to_owned())).unwrap().len(), 1);
        assert!(members.list("none", 2, "text", |_| Some(())).is_none());
        let mut inside = members.open("in").unwrap();
        assert_eq!(inside.whole("x", 1..=10), Some(1));
        members.close(inside);
        assert!(members.take("odd").is_none());
        let error = members.finish().unwrap_err();
        let pointers: Vec<&str> = error.places.iter().filter_map(|place| place.pointer.as_deref()).collect();
        assert_eq!(pointers, ["/name", "/on", "/count", "/list/1", "/none", "/in/a~1b", "/surprise"]);
        assert_eq!(error.error.code, "invalid-members");
    }

    #[test]
    fn only_an_object_has_members() {
        for body in [json!(null), json!([]), json!("x")] {
            assert_eq!(Members::of_body(body).err().unwrap().error.code, "invalid-body");
        }
    }
}
