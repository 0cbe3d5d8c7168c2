//! `Retry-After` of an answer: seconds, or a date (RFC 9110, 10.2.3).

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, header::RETRY_AFTER};
use outdial_core::Timestamp;

/// Longest delay that is handed on.
const LIMIT: Duration = Duration::from_secs(366 * 86_400);

/// How long the one who answered asks to be spared, if it says so in a form that is allowed.
pub fn read_retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_or(LIMIT, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        let now = Duration::from_millis(u64::try_from(now.millis()).ok()?);
        date.saturating_sub(now)
    };
    Some(delay.min(LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_seconds_or_a_date() {
        // Sat, 01 Nov 2025 00:00:00 GMT
        let now = Timestamp::from_millis(1_761_955_200_000);
        assert_eq!(read_retry_after(&HeaderMap::new(), now), None);
        for (text, seconds) in [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("0", Some(0)),
            ("Sat, 01 Nov 2025 00:01:30 GMT", Some(90)),
            ("Saturday, 01-Nov-25 00:01:30 GMT", Some(90)),
            ("Fri, 31 Oct 2025 23:00:00 GMT", Some(0)),
            ("1000000000", Some(366 * 86_400)),
            ("99999999999999999999999", Some(366 * 86_400)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(366 * 86_400)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(read_retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
