//! The names of a vendor's documented fields, laid out so that a name is looked up in one step.

/// How many marks there are.
pub(super) const MARKS: usize = 64;
/// No name has this mark.
const NONE: u8 = u8::MAX;

/// Names that a vendor's documents have.
pub struct KnownFields {
    names: &'static [&'static str],
    /// The first name with each mark.
    by_mark: [u8; MARKS],
}

impl KnownFields {
    /// At most 255 names.
    pub const fn new(names: &'static [&'static str]) -> Self {
        let mut by_mark = [NONE; MARKS];
        let mut at = names.len();
        while at > 0 {
            at -= 1;
            #[expect(clippy::cast_possible_truncation, reason = "checked; conversions are not const")]
            if at < NONE as usize {
                by_mark[mark(names[at]) as usize] = at as u8;
            }
        }
        Self { names, by_mark }
    }

    /// Whether a name with this mark is one of them.
    pub(super) fn contains(&self, mark: u8, name: &str) -> bool {
        match self.by_mark[usize::from(mark)] {
            NONE => false,
            // Two names may have one mark.
            first => self.names[usize::from(first)] == name || self.names.contains(&name),
        }
    }
}

/// One of 64 marks, by the length and the last letter: names with different marks are different.
pub(super) const fn mark(name: &str) -> u8 {
    let bytes = name.as_bytes();
    let last = if bytes.is_empty() { 0 } else { bytes[bytes.len() - 1] };
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of 64; conversions are not const")]
    let mark = ((bytes.len() * 7 + last as usize) % MARKS) as u8;
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_even_if_it_shares_its_mark() {
        const NAMES: &[&str] = &["id", "ad", "cd", "x", ""];
        const KNOWN: KnownFields = KnownFields::new(NAMES);
        assert_eq!(mark("id"), mark("cd"));
        for name in NAMES {
            assert!(KNOWN.contains(mark(name), name), "{name}");
        }
        for name in ["dd", "i", "ID", "xx"] {
            assert!(!KNOWN.contains(mark(name), name), "{name}");
        }
    }
}
