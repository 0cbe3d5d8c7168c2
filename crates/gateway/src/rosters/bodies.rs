//! The requests of a roster's parts, kept in the store until the vendor has them.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use outdial_core::{Error, ErrorClass, RosterPart, Timestamp};
use outdial_store::{
    BODY_CHUNK_LIMIT, KeptRequest, Store, StoreError, StoredPart, StoredRequest, StoredRoster,
};

use crate::api_error::store_failure;

/// Chunks that are on their way to the store at once, so that they share its commits.
const CHUNKS_AT_ONCE: usize = 4;

/// What is kept of a request besides its body. `base` is the vendor's address, of which nothing is kept: when it moves, what
/// was not sent goes to the new one.
fn describe(request: &Request<Bytes>, base: &str) -> StoredRequest {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let base = base.parse::<Uri>().unwrap_or_default();
    let below = path.strip_prefix(base.path().trim_end_matches('/')).unwrap_or(path);
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    StoredRequest {
        method: request.method().as_str().to_owned(),
        target: below.to_owned(),
        headers: headers.collect(),
    }
}

/// What is kept of the parts of a roster besides their bodies: the requests that are unlike, and of each part which it has.
pub(super) fn describe_all(parts: &[RosterPart], base: &str) -> (Vec<StoredRequest>, Vec<KeptRequest>) {
    let (mut requests, mut kept) = (Vec::new(), Vec::with_capacity(parts.len()));
    for part in parts {
        let request = describe(&part.request, base);
        let at = requests.iter().position(|other| *other == request).unwrap_or_else(|| {
            requests.push(request);
            requests.len() - 1
        });
        kept.push(KeptRequest {
            request: u32::try_from(at).unwrap_or(u32::MAX),
            bytes: u64::try_from(part.request.body().len()).unwrap_or(u64::MAX),
        });
    }
    (requests, kept)
}

/// Keeps the bodies of a roster's parts, durably. Nothing is copied as a whole.
///
/// # Errors
/// When the store is away.
pub(super) async fn keep(
    store: &dyn Store,
    roster_id: &str,
    parts: &[RosterPart],
    now: Timestamp,
) -> Result<(), StoreError> {
    for (n, part) in (1..).zip(parts) {
        let chunks = stream::iter((0..).zip(chunks_of(part.request.body())));
        let puts = chunks.map(|(at, chunk)| store.put_body_chunk(roster_id, n, at, chunk, now));
        puts.buffer_unordered(CHUNKS_AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}

fn chunks_of(body: &Bytes) -> impl Iterator<Item = Bytes> {
    (0..body.len()).step_by(BODY_CHUNK_LIMIT).map(|start| {
        let end = body.len().min(start + BODY_CHUNK_LIMIT);
        body.slice(start..end)
    })
}

fn count_chunks(kept: KeptRequest) -> u64 {
    kept.bytes.div_ceil(u64::try_from(BODY_CHUNK_LIMIT).unwrap_or(u64::MAX))
}

/// Whether a part's request can be built again.
///
/// # Errors
/// When the store is away.
pub(super) async fn is_kept(
    store: &dyn Store,
    roster_id: &str,
    part: &StoredPart,
) -> Result<bool, StoreError> {
    let Some(kept) = part.kept else { return Ok(false) };
    Ok(store.count_body_chunks(roster_id, part.n).await? == count_chunks(kept))
}

/// Builds a part's request again.
///
/// # Errors
/// `roster-bodies-gone`, or that the store is away.
pub(super) async fn load(
    store: &dyn Store,
    roster: &StoredRoster,
    part: &StoredPart,
    base: &str,
) -> Result<Request<Bytes>, Error> {
    let kept = part.kept.ok_or_else(gone)?;
    let request = usize::try_from(kept.request).ok().and_then(|at| roster.requests.get(at));
    let request = request.ok_or_else(gone)?;
    let size = usize::try_from(kept.bytes).map_err(|_| gone())?;
    let mut body = BytesMut::with_capacity(size);
    for chunk in 0..u32::try_from(count_chunks(kept)).map_err(|_| gone())? {
        let chunk = store.get_body_chunk(&roster.id, part.n, chunk).await.map_err(store_failure)?;
        body.extend_from_slice(&chunk.ok_or_else(gone)?);
    }
    if body.len() != size {
        return Err(gone());
    }
    build(request, base, body.freeze())
}

fn build(request: &StoredRequest, base: &str, body: Bytes) -> Result<Request<Bytes>, Error> {
    let unreadable = || {
        Error::new(ErrorClass::Internal, "internal", "Something went wrong here.")
            .with_detail("the request of a part that is kept cannot be built again")
    };
    let uri = format!("{}{}", base.trim_end_matches('/'), request.target);
    let built = Request::builder().method(request.method.as_str()).uri(uri).body(body);
    let mut built = built.map_err(|_| unreadable())?;
    let header = |(name, value): &(String, String)| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    let headers: Option<HeaderMap> = request.headers.iter().map(header).collect();
    *built.headers_mut() = headers.ok_or_else(unreadable)?;
    Ok(built)
}

/// A part that cannot be sent again, because what it consists of is not kept any longer.
pub(super) fn gone() -> Error {
    let message = "The requests of this roster are no longer kept, so it cannot be sent again.";
    Error::new(ErrorClass::NotFound, "roster-bodies-gone", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_built_again_below_the_vendors_present_address() {
        for (base, uri, target) in [
            ("http://one.test:8099", "http://one.test:8099/ocm/fileupload?activity_id=a%2Fb", ""),
            ("http://one.test/x/", "http://one.test/x/ocm/fileupload?activity_id=a%2Fb", ""),
        ] {
            let request = Request::post(uri).header("content-type", "text/plain").body(Bytes::from("body"));
            let request = request.unwrap();
            let kept = describe(&request, base);
            assert_eq!(kept.target, format!("/ocm/fileupload?activity_id=a%2Fb{target}"));
            let again = build(&kept, base, Bytes::from("body")).unwrap();
            assert_eq!((again.uri(), again.method()), (request.uri(), request.method()));
            assert_eq!((again.headers(), again.body()), (request.headers(), request.body()));
            let moved = build(&kept, "https://two.test/y", Bytes::new()).unwrap();
            assert_eq!(moved.uri(), "https://two.test/y/ocm/fileupload?activity_id=a%2Fb");
        }
    }

    #[test]
    fn requests_that_are_alike_are_kept_once() {
        let part = |uri: &str, body: &'static str| RosterPart {
            form: outdial_core::PartForm::Json,
            entries: 1,
            bytes: 1,
            request: Request::post(uri).body(Bytes::from(body)).unwrap(),
        };
        let parts =
            [part("http://a.test/x", "1"), part("http://a.test/y", "22"), part("http://a.test/x", "333")];
        let (requests, kept) = describe_all(&parts, "http://a.test");
        assert_eq!(requests.iter().map(|request| &request.target).collect::<Vec<_>>(), ["/x", "/y"]);
        let kept: Vec<(u32, u64)> = kept.iter().map(|kept| (kept.request, kept.bytes)).collect();
        assert_eq!(kept, [(0, 1), (1, 2), (0, 3)]);
    }

    #[test]
    fn a_body_is_cut_into_chunks_and_nothing_is_lost() {
        for length in [0, 1, BODY_CHUNK_LIMIT, BODY_CHUNK_LIMIT + 1, 3 * BODY_CHUNK_LIMIT] {
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let body = Bytes::from(bytes);
            let chunks: Vec<Bytes> = chunks_of(&body).collect();
            assert!(chunks.iter().all(|chunk| chunk.len() <= BODY_CHUNK_LIMIT));
            assert_eq!(chunks.concat(), body);
            let kept = KeptRequest { request: 0, bytes: length as u64 };
            assert_eq!(count_chunks(kept), chunks.len() as u64);
        }
    }
}
