//! The path of a relayed call, checked: it is sent byte for byte, and must not lead out of the vendor's base URL.

use std::borrow::Cow;

/// How often escapes of escapes are looked through: hosts behind a proxy of their own decode twice.
const ROUNDS: usize = 3;

/// Refuses a path behind the base URL that a host could read as another one.
///
/// # Errors
/// What is wrong with it, to stand behind "The path".
pub fn check_path(path: &str) -> Result<(), &'static str> {
    let mut text = Cow::Borrowed(path.as_bytes());
    for _ in 0..ROUNDS {
        check_plain(&text)?;
        match decode(&text) {
            Some(decoded) => text = Cow::Owned(decoded),
            None => return Ok(()),
        }
    }
    check_plain(&text)
}

fn check_plain(path: &[u8]) -> Result<(), &'static str> {
    if path.first().is_some_and(is_slash) {
        return Err("begins with another slash");
    }
    if path.iter().any(u8::is_ascii_control) {
        return Err("holds a control character");
    }
    // Some hosts take `..;a` for a step too.
    let mut names = path.split(is_slash).map(|part| part.split(|byte| *byte == b';').next().unwrap_or(part));
    if names.any(|name| matches!(name, b"." | b"..")) {
        return Err("holds a step (. or ..)");
    }
    Ok(())
}

fn is_slash(byte: &u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// The bytes with one layer of escapes taken off; `None` where there is none.
fn decode(path: &[u8]) -> Option<Vec<u8>> {
    if !path.contains(&b'%') {
        return None;
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| hex_pair(behind)).flatten();
        rest = if escaped.is_some() { &behind[2..] } else { behind };
        decoded.push(escaped.unwrap_or(*first));
    }
    (decoded.len() < path.len()).then_some(decoded)
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(bytes.get(..2)?).ok()?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for bad in [
            "..",
            ".",
            "a/..",
            "a/../b",
            "../../token",
            "%2e%2e/x",
            "a/%2E./b",
            "a/..%2fb",
            "a%5c..%5cb",
            "%252e%252e/b",
            "a/..;jsessionid=1/b",
            "/evil.example/x",
            "%2fevil.example",
            "\\evil",
            "a%0d%0ab",
            "a%00",
            "a/%7f",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        for good in [
            "",
            "a",
            "a/b/",
            "a//b",
            "a.b/..c/d..",
            "%E4%BD%A0",
            "100%25",
            "a%zz",
            "...",
            "a;b=../c".trim_end_matches("../c"),
        ] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
    }

    proptest! {
        /// What passes resolves to something below the base, whoever resolves it.
        #[test]
        fn what_passes_stays_below_the_base(path in "[a-z./%2eE5cf;]{0,24}") {
            prop_assume!(check_path(&path).is_ok());
            let base = "http://vendor.test/base/";
            let url = url::Url::parse(&format!("{base}{path}")).unwrap();
            prop_assert!(url.as_str().starts_with(base), "{url}");
        }
    }
}
