//! Where the parts of a string end, looked for eight bytes at a time: most strings of a record are so short that anything
//! with a set-up costs more than it finds.

/// Where the plain part of a string ends that begins at `at`: at a quote, a backslash, a control character, or the end.
#[inline]
pub(super) fn plain_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, needs_escape, |byte| !is_plain_byte(byte))
}

/// Whether a whole text is plain.
#[inline]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let is_plain_word = |word| needs_escape(word) & (ONES << 7) == 0;
    if let Some(last) = bytes.last_chunk::<8>() {
        let mut words = bytes.as_chunks::<8>().0.iter().chain([last]);
        return words.all(|word| is_plain_word(u64::from_le_bytes(*word)));
    }
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            is_plain_word(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)))
        }
        _ => bytes.iter().all(|byte| is_plain_byte(*byte)),
    }
}

/// Where the next quote or backslash stands from `at` on, or else the end.
#[inline]
pub(super) fn quote_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, quote_or_backslash, |byte| matches!(byte, b'"' | b'\\'))
}

#[inline]
fn find(bytes: &[u8], mut at: usize, found: impl Fn(u64) -> u64, is_found: impl Fn(u8) -> bool) -> usize {
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marks = found(u64::from_le_bytes(*word)) & (ONES << 7);
        if marks != 0 {
            return at + usize::try_from(marks.trailing_zeros() / 8).unwrap_or_default();
        }
        at += 8;
    }
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| !is_found(**byte)).count()
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);

#[inline]
const fn quote_or_backslash(word: u64) -> u64 {
    bytes_below(word ^ (ONES * b'"' as u64), 1) | bytes_below(word ^ (ONES * b'\\' as u64), 1)
}

#[inline]
const fn needs_escape(word: u64) -> u64 {
    quote_or_backslash(word) | bytes_below(word, 0x20)
}

const fn is_plain_byte(byte: u8) -> bool {
    byte >= 0x20 && !matches!(byte, b'"' | b'\\')
}

/// The highest bit of the first byte that is below `limit` is set, and that of none before it.
#[inline]
const fn bytes_below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word
}

/// Whether two texts are the same, without a call for those of a name's length.
#[inline]
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        8..=16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        4..8 => a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_looked_for_is_found_wherever_it_stands() {
        for length in 0..40 {
            let plain = "a张~\u{7f}\u{80}é".repeat(8).into_bytes()[..length].to_vec();
            assert_eq!((plain_end(&plain, 0), quote_end(&plain, 0)), (length, length));
            assert!(is_plain(&plain));
            for (at, byte) in (0..length).flat_map(|at| [b'"', b'\\', 0, 0x1f].map(|byte| (at, byte))) {
                let mut text = plain.clone();
                text[at] = byte;
                text[length - 1] = if at == length - 1 { byte } else { b'"' };
                let quote = if byte < 0x20 && at < length - 1 { length - 1 } else { at };
                assert_eq!(plain_end(&text, 0), at, "{length} {byte}");
                assert!(!is_plain(&text));
                assert_eq!(quote_end(&text, 0), if byte < 0x20 && at == length - 1 { length } else { quote });
                assert_eq!(plain_end(&text, at), at);
            }
        }
        assert_eq!(plain_end(b"ab", 7), 7);
    }

    #[test]
    fn texts_are_the_same_only_if_every_byte_is() {
        let text = b"abcdefghijklmnopqrst";
        for length in 0..text.len() {
            assert!(is_same(&text[..length], &text[..length]));
            assert!(!is_same(&text[..length], &text[..length + 1]));
            for at in 0..length {
                let mut other = text[..length].to_vec();
                other[at] = b'_';
                assert!(!is_same(&text[..length], &other), "{length} {at}");
            }
        }
    }
}
