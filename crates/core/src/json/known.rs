//! The names of a vendor's documented fields, laid out so that a name is looked up in one step.

/// How many marks there are.
const MARKS: usize = 64;
/// No name has this mark.
const NONE: u8 = u8::MAX;

/// Most names that a vendor's interface may have: a reader keeps a place for each.
pub(super) const FIELDS_LIMIT: usize = 40;

/// A documented field: its place in the vendor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field(u8);

impl Field {
    /// The place in the table.
    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }
}

/// Names that a vendor's documents have.
pub struct KnownFields {
    names: &'static [&'static str],
    /// The first name with each mark.
    by_mark: [u8; MARKS],
}

impl KnownFields {
    /// At most 40 different names, best in the order in which the vendor writes them. More do not compile.
    pub const fn new(names: &'static [&'static str]) -> Self {
        assert!(names.len() <= FIELDS_LIMIT, "a reader has no places for so many fields");
        let mut by_mark = [NONE; MARKS];
        let mut at = names.len();
        while at > 0 {
            at -= 1;
            by_mark[mark(names[at])] = place(at);
        }
        Self { names, by_mark }
    }

    /// The field of this name. In a constant, a name that is not among them does not compile.
    pub const fn field(&self, name: &str) -> Field {
        let mut at = 0;
        while at < self.names.len() {
            if is_same(self.names[at], name) {
                return Field(place(at));
            }
            at += 1;
        }
        assert!(at < self.names.len(), "no document has such a field");
        Field(NONE)
    }

    /// The vendor's name of a field.
    pub fn name(&self, field: Field) -> &'static str {
        self.names.get(field.place()).copied().unwrap_or_default()
    }

    /// The name at a place; `None` behind the last.
    pub(super) fn at(&self, place: usize) -> Option<&'static str> {
        self.names.get(place).copied()
    }

    /// The place of a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let first = match self.by_mark[mark(name)] {
            NONE => return None,
            first => usize::from(first),
        };
        if self.names[first] == name {
            return Some(first);
        }
        // Two names may have one mark.
        let behind = self.names[first + 1..].iter().position(|known| *known == name)?;
        Some(first + 1 + behind)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 40; conversions are not const")]
const fn place(at: usize) -> u8 {
    at as u8
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// One of 64 marks, by the length and the last letter: names with different marks are different.
const fn mark(name: &str) -> usize {
    let bytes = name.as_bytes();
    let last = if bytes.is_empty() { 0 } else { bytes[bytes.len() - 1] };
    (bytes.len() * 7 + last as usize) % MARKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_even_if_it_shares_its_mark() {
        const NAMES: &[&str] = &["id", "ad", "cd", "x", ""];
        const KNOWN: KnownFields = KnownFields::new(NAMES);
        assert_eq!(mark("id"), mark("cd"));
        for (place, name) in NAMES.iter().enumerate() {
            assert_eq!(KNOWN.find(name), Some(place), "{name}");
            assert_eq!((KNOWN.field(name).place(), KNOWN.name(KNOWN.field(name))), (place, *name));
        }
        for name in ["dd", "i", "ID", "xx"] {
            assert_eq!(KNOWN.find(name), None, "{name}");
        }
    }
}
