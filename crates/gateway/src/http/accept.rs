//! Which of the media types that a route answers its caller takes best (RFC 9110, 12.5.1).

use actix_web::{HttpRequest, http::header};

use super::problem::Failure;

/// The best of `offered` for the caller; the first where they say nothing.
///
/// # Errors
/// `not-acceptable`, naming what is offered.
pub fn choose(request: &HttpRequest, offered: &'static [&'static str]) -> Result<&'static str, Failure> {
    let values: Vec<&str> =
        request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()).collect();
    let accept = values.join(",");
    if accept.trim().is_empty() {
        return Ok(offered[0]);
    }
    let mut best: Option<(f32, &'static str)> = None;
    for media_type in offered {
        let quality = quality_of(&accept, media_type);
        if quality > 0.0 && best.is_none_or(|(known, _)| quality > known) {
            best = Some((quality, media_type));
        }
    }
    let refused = || Failure::new("not-acceptable", format!("This route answers {}.", offered.join(" or ")));
    best.map(|(_, media_type)| media_type).ok_or_else(refused)
}

/// How much a caller likes a media type: the most specific range that covers it decides.
fn quality_of(accept: &str, media_type: &str) -> f32 {
    let family = media_type.split('/').next().unwrap_or_default();
    let mut found = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let specificity = match name.split_once('/') {
            Some(("*", "*")) => 1,
            Some((kind, "*")) if kind == family => 2,
            _ if name == media_type => 3,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if specificity > found.0 {
            found = (specificity, quality);
        }
    }
    found.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const OFFERED: &[&str] = &["application/json", "application/x-ndjson", "text/csv"];

    fn chosen(accept: &str) -> Option<&'static str> {
        let request = TestRequest::get().insert_header(("accept", accept)).to_http_request();
        choose(&request, OFFERED).ok()
    }

    #[test]
    fn the_best_of_what_is_offered_wins() {
        assert_eq!(chosen(""), Some("application/json"));
        assert_eq!(chosen("*/*"), Some("application/json"));
        assert_eq!(chosen("text/*;q=0.5, application/*;q=0.1"), Some("text/csv"));
        assert_eq!(chosen("application/json;q=0, */*"), Some("application/x-ndjson"));
        assert_eq!(chosen("text/csv;q=0.4, application/x-ndjson;q=0.9"), Some("application/x-ndjson"));
        assert_eq!(chosen("image/png"), None);
    }
}
