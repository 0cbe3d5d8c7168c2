//! JSON as vendors write it: taken apart without a tree, so that bytes stay as they came, ids never pass through a double,
//! and one bad record costs nobody else.

mod fields;
mod known;
mod places;
mod plain;
mod scan;
mod scanner;
mod value;
mod words;
mod write;

pub use fields::FieldReader;
pub use known::{Field, KnownFields};
pub use places::Places;
pub(crate) use plain::flat_text;
pub use scan::{Member, exceeds_depth, split_array, split_object, string_end};
pub use scanner::Scanner;
pub use value::{parse_integer, scalar_text};
pub(crate) use write::{WriteJson, is_plain, write_any, write_text};

/// Deepest nesting that a record may have.
const DEPTH_LIMIT: usize = 100;
