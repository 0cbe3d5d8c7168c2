//! JSON as PHP's `json_encode` writes it by default.

use std::fmt::Write as _;

use outdial_core::json::string_end;

/// Writes `value` as PHP's `json_encode` would by default: no white space, `/` as `\/`, non-ASCII as lower-case `\uXXXX`
/// (surrogate pairs above U+FFFF), and no zero fraction on whole doubles. The order of keys and everything else stays. An
/// empty object is written `[]` where `empty_as_list` says so, as PHP does for its empty array. `None` if a text cannot be
/// decoded.
pub fn reencode(value: &[u8], empty_as_list: bool) -> Option<String> {
    let mut out = String::with_capacity(value.len() + value.len() / 4);
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'"' => {
                let end = string_end(value, at)?;
                let text: String = serde_json::from_slice(&value[at..end]).ok()?;
                write_string(&mut out, &text);
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let is_number = |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end = at + value[at..].iter().take_while(is_number).count();
                let number = std::str::from_utf8(&value[at..end]).ok()?;
                out.push_str(number.strip_suffix(".0").unwrap_or(number));
                at = end;
            }
            b'}' if empty_as_list && out.ends_with('{') => {
                out.pop();
                out.push_str("[]");
                at += 1;
            }
            byte if byte.is_ascii() => {
                out.push(char::from(*byte));
                at += 1;
            }
            _ => return None,
        }
    }
    Some(out)
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='\u{7f}' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_flags_of_php() {
        let text =
            "{ \"a/b\" : \"张\u{1f600}\\u2028<\\u003e\\n\" , \"n\" : [ 1.0 , 1.50, 1.0e+25 ] , \"e\" : { } }";
        assert_eq!(
            reencode(text.as_bytes(), true).unwrap(),
            r#"{"a\/b":"\u5f20\ud83d\ude00\u2028<>\n","n":[1,1.50,1.0e+25],"e":[]}"#
        );
        assert!(reencode(text.as_bytes(), false).unwrap().ends_with("\"e\":{}}"));
    }

    #[test]
    fn a_text_that_ends_in_a_brace_is_no_empty_object() {
        assert_eq!(reencode(br#"{"a":"{"}"#, true).unwrap(), r#"{"a":"{"}"#);
    }

    #[test]
    fn broken_text_has_no_encoding() {
        assert_eq!(reencode(br#""\ud800""#, true), None);
        assert_eq!(reencode(b"\"\xff\"", true), None);
    }
}
