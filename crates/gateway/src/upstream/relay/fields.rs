//! Which headers pass through the relay. Whatever is not named here stays behind: credentials, cookies, what belongs to one
//! connection, and what would speak for us.

use awc::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// A caller's header that the vendor gets.
fn passes_up(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-charset"
            | "accept-encoding"
            | "accept-language"
            | "cache-control"
            | "content-disposition"
            | "content-encoding"
            | "content-language"
            | "content-md5"
            | "content-range"
            | "content-type"
            | "digest"
            | "idempotency-key"
            | "if-match"
            | "if-modified-since"
            | "if-none-match"
            | "if-range"
            | "if-unmodified-since"
            | "pragma"
            | "prefer"
            | "range"
            | "traceparent"
            | "tracestate"
            | "user-agent"
            | "x-requested-with"
    )
}

/// A vendor's header that the caller gets.
fn passes_down(name: &str) -> bool {
    matches!(
        name,
        "accept-ranges"
            | "allow"
            | "content-disposition"
            | "content-encoding"
            | "content-language"
            | "content-location"
            | "content-md5"
            | "content-range"
            | "content-type"
            | "digest"
            | "etag"
            | "last-modified"
            | "link"
            | "location"
            | "preference-applied"
            | "ratelimit"
            | "ratelimit-limit"
            | "ratelimit-policy"
            | "ratelimit-remaining"
            | "ratelimit-reset"
            | "retry-after"
            | "vary"
            | "x-ratelimit-limit"
            | "x-ratelimit-remaining"
            | "x-ratelimit-reset"
            | "x-total-count"
    )
}

/// The vendor's own id of the request, under a name that does not hide ours.
const VENDORS_REQUEST_ID: HeaderName = HeaderName::from_static("outdial-upstream-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Hands a vendor what it gets of a caller's headers, with our id of the request.
pub(super) fn pass_up(given: &HeaderMap, request_id: Option<HeaderValue>, to: &mut HeaderMap) {
    let bound = bound_to_connection(given);
    for (name, value) in given {
        if passes_up(name.as_str()) && !bound.contains(name) {
            to.append(name.clone(), value.clone());
        }
    }
    if let Some(id) = request_id {
        to.insert(REQUEST_ID, id);
    }
}

/// What of the vendor's headers the caller gets.
pub(super) fn downwards(mut headers: HeaderMap) -> HeaderMap {
    let bound = bound_to_connection(&headers);
    let id = headers.remove(REQUEST_ID).next();
    headers.retain(|name, _| passes_down(name.as_str()) && !bound.contains(name));
    if let Some(id) = id {
        headers.insert(VENDORS_REQUEST_ID, id);
    }
    headers
}

/// Headers that `Connection` binds to one hop (RFC 9110, 7.6.1).
fn bound_to_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let listed = headers.get_all(header::CONNECTION).filter_map(|value| value.to_str().ok());
    let names = listed.flat_map(|text| text.split(',')).map(str::trim);
    // What most of them say names no header.
    let said = |name: &&str| name.eq_ignore_ascii_case("keep-alive") || name.eq_ignore_ascii_case("close");
    names.filter(|name| !said(name)).filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn callers_keep_their_credentials_and_their_connection() {
        let given = map(&[
            ("accept", "text/csv"),
            ("accept", "application/json"),
            ("authorization", "Bearer ours"),
            ("cookie", "a=b"),
            ("connection", "keep-alive, range"),
            ("content-length", "5"),
            ("content-type", "application/json"),
            ("expect", "100-continue"),
            ("forwarded", "for=1"),
            ("host", "gateway"),
            ("proxy-authorization", "x"),
            ("range", "bytes=0-1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-request-id", "theirs"),
        ]);
        let mut passed = HeaderMap::new();
        pass_up(&given, Some(HeaderValue::from_static("ours-1")), &mut passed);
        assert_eq!(names(&passed), ["accept", "accept", "content-type", "x-request-id"]);
        assert_eq!(passed.get("x-request-id").unwrap(), "ours-1");
    }

    #[test]
    fn vendors_do_not_speak_for_us() {
        let given = map(&[
            ("connection", "etag"),
            ("content-encoding", "gzip"),
            ("content-length", "5"),
            ("content-type", "application/json"),
            ("etag", "\"1\""),
            ("server", "nginx"),
            ("set-cookie", "a=b"),
            ("www-authenticate", "Bearer"),
            ("access-control-allow-origin", "*"),
            ("cache-control", "public"),
            ("x-request-id", "vendor-7"),
        ]);
        let passed = downwards(given);
        assert_eq!(names(&passed), ["content-encoding", "content-type", "outdial-upstream-request-id"]);
        assert_eq!(passed.get("outdial-upstream-request-id").unwrap(), "vendor-7");
    }
}
