//! The names of a vendor's documented fields, laid out so that a name is looked up in one step.

use super::words::is_same;

/// How many marks there are. With so many more than names, a factor that tells all names apart is soon found.
const MARKS: usize = 128;
/// No name has this mark.
const NONE: u8 = u8::MAX;
/// Factors that are tried, while compiling.
const FACTORS: u64 = 4_096;

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
#[derive(Debug)]
pub struct KnownFields {
    names: &'static [&'static str],
    /// With this factor no two names have the same mark.
    factor: u64,
    /// The name with each mark.
    by_mark: [u8; MARKS],
}

impl KnownFields {
    /// At most 40 different names, best in the order in which the vendor writes them. More do not compile.
    pub const fn new(names: &'static [&'static str]) -> Self {
        assert!(names.len() <= FIELDS_LIMIT, "a reader has no places for so many fields");
        let mut tried = 0;
        while tried < FACTORS {
            let factor = (2 * tried + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if let Some(by_mark) = marks(names, factor) {
                return Self { names, factor, by_mark };
            }
            tried += 1;
        }
        assert!(tried < FACTORS, "a name stands twice");
        Self { names, factor: 0, by_mark: [NONE; MARKS] }
    }

    /// The field of this name. In a constant, a name that is not among them does not compile.
    pub const fn field(&self, name: &str) -> Field {
        let mut at = 0;
        while at < self.names.len() {
            if is_named(self.names[at], name) {
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
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let place = usize::from(self.by_mark[mark(name, self.factor)]);
        is_same(self.at(place)?.as_bytes(), name).then_some(place)
    }
}

/// The place of the name with each mark; `None` if two names have the same.
const fn marks(names: &[&str], factor: u64) -> Option<[u8; MARKS]> {
    let mut by_mark = [NONE; MARKS];
    let mut at = 0;
    while at < names.len() {
        let mark = mark(names[at].as_bytes(), factor);
        if by_mark[mark] != NONE {
            return None;
        }
        by_mark[mark] = place(at);
        at += 1;
    }
    Some(by_mark)
}

#[expect(clippy::cast_possible_truncation, reason = "at most 40; conversions are not const")]
const fn place(at: usize) -> u8 {
    at as u8
}

const fn is_named(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// A mark by the length, the first and the last letters.
#[inline]
const fn mark(bytes: &[u8], factor: u64) -> usize {
    let letters = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => short_letters(bytes),
    };
    let mixed = (letters ^ bytes.len() as u64).wrapping_mul(factor);
    #[expect(clippy::cast_possible_truncation, reason = "less than 128; conversions are not const")]
    let mark = (mixed >> (u64::BITS - MARKS.trailing_zeros())) as usize;
    mark
}

/// The letters of a name of less than eight.
const fn short_letters(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return (u32::from_le_bytes(*first) as u64) << 32 | u32::from_le_bytes(*last) as u64;
    }
    let (mut letters, mut at) = (0, 0);
    while at < bytes.len() {
        letters = letters << 8 | bytes[at] as u64;
        at += 1;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        const NAMES: &[&str] =
            &["id", "ad", "cd", "x", "", "name", "names", "start_time", "start_time_ee", "start_timeEe"];
        const KNOWN: KnownFields = KnownFields::new(NAMES);
        for (place, name) in NAMES.iter().enumerate() {
            assert_eq!(KNOWN.find(name.as_bytes()), Some(place), "{name}");
            assert_eq!((KNOWN.field(name).place(), KNOWN.name(KNOWN.field(name))), (place, *name));
        }
        for name in ["dd", "i", "ID", "xx", "name_", "start_tome", "张"] {
            assert_eq!(KNOWN.find(name.as_bytes()), None, "{name}");
        }
    }
}
