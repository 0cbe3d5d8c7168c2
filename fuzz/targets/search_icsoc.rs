//! Any answer to ICSOC's search, whole or as one result of a page: nothing panics, and a page without records ends the walk.

#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use outdial_core::{SearchPage, Timestamp, Vendor};

static ADAPTER: LazyLock<Arc<dyn Vendor>> = LazyLock::new(outdial_fuzz::icsoc);

fuzz_target!(|input: &[u8]| {
    let page = [br#"{"code":0,"data":{"results":["#, input, br#"],"searchAfter":"m"}}"#].concat();
    for body in [input, page.as_slice()] {
        if let Some(page) = answer(StatusCode::OK, body) {
            outdial_fuzz::check_page(&**ADAPTER, &page, body);
            assert!(page.next_mark.is_none() || !page.records.is_empty(), "an empty page leads on");
            assert!(page.next_mark.is_none_or(|mark| !mark.is_empty()));
        }
        // What is no success has no records, whatever it says.
        assert!(answer(StatusCode::UNAUTHORIZED, body).is_none());
    }
    let response = Response::new(Bytes::copy_from_slice(input));
    let _ = ADAPTER.parse_token(&response, Timestamp::from_millis(0));
});

fn answer(status: StatusCode, body: &[u8]) -> Option<SearchPage> {
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = status;
    ADAPTER.parse_search(&response).ok()
}
