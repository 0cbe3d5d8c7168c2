//! A byte scanner that finds where values begin and end. It keeps one counter, so nesting costs neither stack nor memory,
//! and it does not ask for UTF-8. It finds borders only: what stands between them is for a parser to judge.

use std::ops::Range;

use super::words::quote_end;

/// A member of an object, as ranges of the scanned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The key with its quotes.
    pub key: Range<usize>,
    /// The value without surrounding white space.
    pub value: Range<usize>,
}

/// The elements of the array that `bytes` is, without surrounding white space. `None` if it is no array, or does not end
/// where the array ends.
pub fn split_array(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut elements = Vec::new();
    each_piece(bytes, [b'[', b']'], |piece| {
        elements.push(trim(bytes, piece));
        Some(())
    })?;
    Some(elements)
}

/// The members of the object that `bytes` is. `None` if it is no object, does not end where the object ends, or a member
/// has no key or no value.
pub fn split_object(bytes: &[u8]) -> Option<Vec<Member>> {
    let mut members = Vec::new();
    each_member(bytes, |member| {
        members.push(member);
        Some(())
    })?;
    Some(members)
}

/// Gives each member of the object that `bytes` is to `take`. `None` where [`split_object`] is, and where `take` is.
pub fn each_member(bytes: &[u8], mut take: impl FnMut(Member) -> Option<()>) -> Option<()> {
    each_piece(bytes, [b'{', b'}'], |piece| take(split_member(bytes, trim(bytes, piece))?))
}

/// Whether brackets nest deeper than `limit` anywhere in `bytes`.
pub fn exceeds_depth(bytes: &[u8], limit: usize) -> bool {
    // Most records have fewer brackets than they may be nested deep, which is quickly counted.
    if memchr::memchr2_iter(b'[', b'{', bytes).nth(limit).is_none() {
        return false;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at).unwrap_or(bytes.len()) - 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
        at += 1;
    }
    false
}

fn each_piece(
    bytes: &[u8],
    [open, close]: [u8; 2],
    mut take: impl FnMut(Range<usize>) -> Option<()>,
) -> Option<()> {
    let whole = trim(bytes, 0..bytes.len());
    if whole.len() < 2 || bytes[whole.start] != open || bytes[whole.end - 1] != close {
        return None;
    }
    let inside = whole.start + 1..whole.end - 1;
    let (mut depth, mut start, mut at) = (0_usize, inside.start, inside.start);
    while at < inside.end {
        match bytes[at] {
            b'"' => at = string_end(bytes, at).filter(|end| *end <= inside.end)? - 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                take(start..at)?;
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if depth != 0 {
        return None;
    }
    let last = start..inside.end;
    let is_empty = start == inside.start && trim(bytes, last.clone()).is_empty();
    if is_empty { Some(()) } else { take(last) }
}

fn split_member(bytes: &[u8], piece: Range<usize>) -> Option<Member> {
    if bytes.get(piece.start) != Some(&b'"') {
        return None;
    }
    let key = piece.start..string_end(bytes, piece.start).filter(|end| *end <= piece.end)?;
    let rest = trim(bytes, key.end..piece.end);
    if bytes.get(rest.start) != Some(&b':') || rest.is_empty() {
        return None;
    }
    let value = trim(bytes, rest.start + 1..rest.end);
    (!value.is_empty()).then_some(Member { key, value })
}

/// The place after the closing quote of the string that opens at `open`; `None` if it never closes.
pub fn string_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at = quote_end(bytes, at);
        match *bytes.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

fn trim(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let is_space = |at: usize| matches!(bytes[at], b' ' | b'\t' | b'\r' | b'\n');
    let Range { mut start, mut end } = range;
    while start < end && is_space(start) {
        start += 1;
    }
    while start < end && is_space(end - 1) {
        end -= 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str) -> Option<Vec<&str>> {
        Some(split_array(text.as_bytes())?.into_iter().map(|range| &text[range]).collect())
    }

    #[test]
    fn arrays_split_at_their_own_commas_only() {
        assert_eq!(
            elements(r#" [ {"a":[1,2],"b":"x,]\""} , null ,1] "#),
            Some(vec![r#"{"a":[1,2],"b":"x,]\""}"#, "null", "1"])
        );
        assert_eq!(elements("[]"), Some(vec![]));
        assert_eq!(elements("[1,]"), Some(vec!["1", ""]));
        for bad in ["", "[", "{}", "[1", "[1]]", "[1] x", r#"["a]"#, "[}]", r#"["\"]"#] {
            assert_eq!(elements(bad), None, "{bad}");
        }
    }

    #[test]
    fn objects_split_into_raw_members() {
        let text = r#"{ "data" : {"x":"a\/b"} ,"sign":"ab"}"#;
        let members = split_object(text.as_bytes()).unwrap();
        let shown: Vec<_> = members.iter().map(|m| (&text[m.key.clone()], &text[m.value.clone()])).collect();
        assert_eq!(shown, [(r#""data""#, r#"{"x":"a\/b"}"#), (r#""sign""#, r#""ab""#)]);
        for bad in [r#"{"a"}"#, r#"{"a":}"#, "{1:2}", r#"{"a":1,}"#, "[]"] {
            assert!(split_object(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn depth_is_counted_without_recursion_and_not_inside_strings() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(exceeds_depth(deep.as_bytes(), 100));
        assert!(!exceeds_depth(br#"{"a":"[[[[[["}"#, 1));
        assert!(exceeds_depth(b"[[1]]", 1));
        assert!(!exceeds_depth(br#"["unclosed"#, 1));
    }
}
