//! Any body at WellCloud's push path: nothing panics, and nothing of it is lost.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use outdial_core::{PushOutcome, Vendor};

static ADAPTER: LazyLock<std::sync::Arc<dyn Vendor>> = LazyLock::new(outdial_fuzz::wellcloud);

fuzz_target!(|body: &[u8]| {
    // WellCloud signs nothing, so whoever knows the path is believed.
    let push = ADAPTER.verify(outdial_fuzz::push(body)).expect("there is nothing to refuse");
    let decoded = ADAPTER.decode(&push);
    outdial_fuzz::check_items(&decoded.items, body);
    // An empty list is the one body without a record.
    let is_empty_list =
        body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).iter().all(|byte| b" \t\r\n[]".contains(byte));
    assert!(is_empty_list || !decoded.items.is_empty());
    let quarantined = decoded.items.iter().filter(|item| item.result.is_err()).count();
    let stored = decoded.items.len() - quarantined;
    let taken = PushOutcome::Taken { stored, duplicate: 0, quarantined, answer: decoded.answer };
    let reply: serde_json::Value =
        serde_json::from_slice(&ADAPTER.reply(&taken).body).expect("the reply is JSON");
    assert_eq!(reply["code"], 0);
});
