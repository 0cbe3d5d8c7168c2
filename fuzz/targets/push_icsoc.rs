//! Any body at ICSOC's push path, and any call inside a signed or encrypted one: nothing panics, nothing that is not signed
//! is believed, nothing that is signed is lost.

#![no_main]

use std::sync::{Arc, LazyLock};

use aes::cipher::KeyIvInit;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use md5::{Digest, Md5};
use outdial_core::{PushRefusal, Vendor};
use outdial_fuzz::{SECRET, check_items, push};

static ADAPTER: LazyLock<Arc<dyn Vendor>> = LazyLock::new(outdial_fuzz::icsoc);

fuzz_target!(|input: &[u8]| {
    whole_body(input);
    if !input.is_empty() {
        signed(input);
        encrypted(input);
    }
});

fn whole_body(body: &[u8]) {
    if let Ok(verified) = ADAPTER.verify(push(body)) {
        let decoded = ADAPTER.decode(&verified);
        check_items(&decoded.items, body);
    }
}

/// The input as the value of `data`. Where it breaks the envelope, it is refused.
fn signed(data: &[u8]) {
    let sign = sign(data);
    let body = envelope(data, &sign);
    if let Ok(verified) = ADAPTER.verify(push(&body)) {
        let decoded = ADAPTER.decode(&verified);
        assert_eq!(decoded.items.len(), 1);
        check_items(&decoded.items, &body);
    }
    let wrong = sign.replace(|c| c == '0', "1");
    if wrong != sign && !data.windows(4).any(|part| part.eq_ignore_ascii_case(b"sign") || part == b"\\u00") {
        let refused = ADAPTER.verify(push(&envelope(data, &wrong)));
        assert!(refused.is_err(), "believed with a wrong signature");
    }
}

/// The input as the text that was encrypted. The envelope is in order, so it is always believed.
fn encrypted(plain: &[u8]) {
    let mut cipher = plain.to_vec();
    let (key, iv) = (SECRET.as_bytes(), &SECRET.as_bytes()[..16]);
    cfb_mode::Encryptor::<aes::Aes256>::new_from_slices(key, iv)
        .expect("the lengths fit")
        .encrypt(&mut cipher);
    let text = STANDARD.encode(&cipher);
    let quoted = format!("\"{}\"", text.replace('/', "\\/"));
    let body = envelope(quoted.as_bytes(), &sign(text.as_bytes()));
    let verified = ADAPTER.verify(push(&body)).expect("it is signed");
    let decoded = ADAPTER.decode(&verified);
    let [item] = decoded.items.as_slice() else { panic!("one call, {} items", decoded.items.len()) };
    match &item.result {
        Ok(_) => check_items(&decoded.items, plain),
        Err(_) => assert_eq!(item.raw, body, "what cannot be read is kept whole"),
    }
    let unsigned = envelope(quoted.as_bytes(), &"0".repeat(32));
    assert!(matches!(ADAPTER.verify(push(&unsigned)), Err(PushRefusal::NotAuthentic { .. })));
}

fn envelope(data: &[u8], sign: &str) -> Vec<u8> {
    [
        br#"{"type":1,"data":"#,
        data,
        br#","sign":""#,
        sign.as_bytes(),
        br#"","timestamp":"2021-01-01 00:00:00"}"#,
    ]
    .concat()
}

fn sign(text: &[u8]) -> String {
    let digest = Md5::digest([text, SECRET.as_bytes()].concat());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
