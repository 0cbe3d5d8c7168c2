//! JSON as vendors write it: taken apart without a tree, so that bytes stay as they came, ids never pass through a double,
//! and one bad record costs nobody else.

mod fields;
mod known;
mod scan;

pub use fields::{FieldReader, parse_integer, scalar_text};
pub use known::KnownFields;
pub use scan::{Member, exceeds_depth, split_array, split_object, string_end};
