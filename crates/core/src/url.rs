//! Percent-encoding of what goes into a URL (RFC 3986: everything but the unreserved characters).

/// Encodes a value of a query parameter.
pub fn encode_query_value(text: &str) -> String {
    encode(text)
}

/// Encodes one segment of a path. `.` and `..` would be taken for steps, so their dots are encoded too.
pub fn encode_path_segment(text: &str) -> String {
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => encode(text),
    }
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encode_query_value("a b&c=张/~"), "a%20b%26c%3D%E5%BC%A0%2F~");
        assert_eq!(encode_path_segment(".."), "%2E%2E");
    }
}
