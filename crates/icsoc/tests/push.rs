//! Signed pushes: bodies made with PHP against records that were worked out by hand from the contract.

mod support;

use outdial_core::{PushOutcome, PushRefusal};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{SECRET, adapter, fixture, golden, md5_hex, record_of, signed, vectors, verify, with_secrets};

#[test]
fn every_vector_made_with_php_plain_and_encrypted() {
    let golden = golden("push-vectors.json");
    for (case, secret, plain, encrypted, data_json) in vectors() {
        let mut expected = golden["base"].clone();
        for (key, value) in golden["differences"][&case].as_object().unwrap_or_else(|| panic!("{case}")) {
            expected[key] = value.clone();
        }
        expected["raw"] = serde_json::from_str(&data_json).unwrap();
        let adapter = with_secrets(&secret);
        for (body, proof) in [(&plain, None), (&encrypted, Some("encrypted"))] {
            let push = verify(&adapter, body).unwrap_or_else(|refusal| panic!("{case}: {refusal:?}"));
            assert!(proof.is_none_or(|proof| proof == push.proof), "{case}: {}", push.proof);
            let decoded = adapter.decode(&push).items.remove(0).result.unwrap();
            assert_eq!(serde_json::to_value(&decoded.record).unwrap(), expected, "{case}");
            assert_eq!(decoded.unknown_fields, Vec::<String>::new(), "{case}");
        }
    }
}

#[test]
fn the_rule_that_fitted_is_named() {
    for (case, secret, plain, _, _) in vectors() {
        let expected =
            if case == "body_written_with_unescaped_unicode" { "php_encoding" } else { "raw_slice" };
        assert_eq!(verify(&with_secrets(&secret), &plain).unwrap().proof, expected, "{case}");
    }
}

#[test]
fn the_plain_example_of_the_contract_is_the_base_record() {
    // Its secret is not published, so the same data is signed with ours.
    let sample: Value = serde_json::from_slice(&fixture("icsoc-push-plain.sample.json")).unwrap();
    let mut expected = golden("push-vectors.json")["base"].clone();
    expected["raw"] = sample["data"].clone();
    assert_eq!(serde_json::to_value(record_of(&sample["data"].to_string()).record).unwrap(), expected);
}

fn refused(body: impl AsRef<[u8]>) -> PushRefusal {
    verify(&with_secrets(SECRET), body).unwrap_err()
}

#[test]
fn the_examples_with_an_unknown_secret_are_not_authentic() {
    for name in ["icsoc-push-plain.sample.json", "icsoc-push-encrypted.sample.json"] {
        assert!(matches!(refused(fixture(name)), PushRefusal::NotAuthentic { .. }), "{name}");
    }
}

#[test]
fn every_flipped_bit_is_noticed_before_anything_is_decrypted() {
    let (_, secret, plain, encrypted, _) = vectors().remove(0);
    let adapter = with_secrets(&secret);
    for (body, key) in [(&encrypted, "\"data\":\""), (&encrypted, "\"sign\":\""), (&plain, "\"sign\":\"")] {
        let start = body.find(key).unwrap() + key.len();
        let end = start + body[start..].find('"').unwrap();
        for at in start..end {
            for bit in 0..8 {
                let mut flipped = body.clone().into_bytes();
                flipped[at] ^= 1 << bit;
                let only_case = flipped.eq_ignore_ascii_case(body.as_bytes()) && key.contains("sign");
                assert_eq!(verify(&adapter, &flipped).is_ok(), only_case, "byte {at} bit {bit} of {key}");
            }
        }
    }
}

#[test]
fn signatures_of_other_shapes() {
    let data = r#"{"call_id":"1"}"#;
    let sign = md5_hex(format!("{data}{SECRET}").as_bytes());
    let body = |sign: &str| format!(r#"{{"type":1,"data":{data},"sign":{sign}}}"#);
    let adapter = with_secrets(SECRET);
    assert!(verify(&adapter, body(&format!("\"{sign}\""))).is_ok());
    assert!(verify(&adapter, body(&format!("\"{}\"", sign.to_uppercase()))).is_ok());
    for bad in [
        &format!("\"{}\"", &sign[1..]),
        &format!("\"{sign}0\""),
        "\"\"",
        "null",
        "7",
        "{}",
        &format!("\"{}g\"", &sign[1..]),
    ] {
        assert!(matches!(verify(&adapter, body(bad)), Err(PushRefusal::NotAuthentic { .. })), "{bad}");
    }
    let without = format!(r#"{{"type":1,"data":{data}}}"#);
    assert!(matches!(verify(&adapter, without), Err(PushRefusal::NotAuthentic { .. })));
}

#[test]
fn an_empty_signed_text_never_verifies() {
    let sign = md5_hex(SECRET.as_bytes());
    for data in [r#""data":"","#, "", r#""data":null,"#, r#""data":false,"#] {
        let body = format!(r#"{{"type":1,{data}"sign":"{sign}"}}"#);
        assert!(matches!(refused(&body), PushRefusal::NotAuthentic { .. }), "{body}");
    }
}

#[test]
fn a_body_that_can_be_read_in_two_ways_is_malformed() {
    let good = signed("1", r#"{"call_id":"1"}"#);
    let inside = good.strip_prefix('{').unwrap();
    for bad in [
        format!(r#"{{"data":{{"call_id":"2"}},{inside}"#),
        format!(r#"{{"\u0064ata":{{"call_id":"2"}},{inside}"#),
        format!(r#"{{"sign":"00",{inside}"#),
        format!(r#"{{"type":2,{inside}"#),
        "[]".into(),
        "hello".into(),
        String::new(),
        good[..good.len() - 1].to_owned(),
    ] {
        assert!(matches!(refused(&bad), PushRefusal::Malformed { .. }), "{bad}");
    }
}

#[test]
fn several_secrets_are_valid_at_once_and_the_index_is_told() {
    let body = signed("1", r#"{"call_id":"1"}"#);
    let both = with_secrets(&format!("the-new-secret-of-us,{SECRET}"));
    assert_eq!(verify(&both, &body).unwrap().secret_index, Some(1));
    assert_eq!(verify(&with_secrets(SECRET), &body).unwrap().secret_index, Some(0));
    assert!(verify(&with_secrets("the-new-secret-of-us"), &body).is_err());
    assert!(verify(&with_secrets(""), &body).is_err());
}

#[test]
fn white_space_around_and_inside_the_data() {
    let adapter = with_secrets(SECRET);
    let sign = md5_hex(format!(r#"{{"call_id":"1","called_areaname":"\u5f20\/"}}{SECRET}"#).as_bytes());
    for data in [
        "  {\"call_id\":\"1\",\"called_areaname\":\"\\u5f20\\/\"}  ",
        "{\n  \"call_id\": \"1\",\n  \"called_areaname\": \"张/\"\n}",
        "{\"call_id\":\"1\",\"called_areaname\":\"\\u5F20/\"}",
    ] {
        let body = format!("{{ \"type\" : 1 , \"data\" :{data}, \"sign\":\"{sign}\" }}");
        assert!(verify(&adapter, &body).is_ok(), "{body}");
    }
}

#[test]
fn authentic_but_unreadable_is_kept_whole_with_a_reason() {
    let adapter = with_secrets(SECRET);
    let encrypted = |text: &str| {
        let sign = md5_hex(format!("{text}{SECRET}").as_bytes());
        format!(r#"{{"type":1,"data":"{text}","sign":"{sign}"}}"#)
    };
    for (body, code) in [
        (signed("1", "[]"), "not_an_object"),
        (signed("1", "null"), "not_an_object"),
        (signed("1", "{}"), "no_call_id"),
        (signed("1", r#"{"call_id":"\ud800"}"#), "not_json"),
        (signed("9", r#"{"call_id":"1"}"#), "unknown_type"),
        (signed("\"x\"", r#"{"call_id":"1"}"#), "unknown_type"),
        (
            signed(
                "1",
                &format!(r#"{{"call_id":"1","user_data":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000)),
            ),
            "too_deep",
        ),
        (encrypted("bm90IGpzb24="), "not_an_object"),
        (encrypted("not base64!"), "not_encrypted"),
    ] {
        let decoded = adapter.decode(&verify(&adapter, &body).unwrap());
        let shown = &body[..body.len().min(80)];
        assert_eq!(decoded.items[0].result.as_ref().unwrap_err().code, code, "{shown}");
        assert_eq!(decoded.items[0].raw.as_ref(), body.as_bytes(), "{shown}");
    }
}

#[test]
fn the_question_before_dialling_is_answered() {
    let adapter = with_secrets(SECRET);
    let body = signed("2", r#"[{"project_id":"1","task_id":"2","ext_id":"3","phone":"13300000000"}]"#);
    let decoded = adapter.decode(&verify(&adapter, body).unwrap());
    assert!(decoded.items.is_empty());
    let reply = adapter.reply(&PushOutcome::Taken {
        stored: 0,
        duplicate: 0,
        quarantined: 0,
        answer: decoded.answer,
    });
    assert_eq!(
        serde_json::from_slice::<Value>(&reply.body).unwrap(),
        json!({"code": 0, "message": "", "data": {"reject": []}})
    );
}

#[test]
fn success_is_an_integer_zero_in_json_with_status_200() {
    let reply = adapter(&[("token", "t")]).reply(&PushOutcome::Taken {
        stored: 1,
        duplicate: 0,
        quarantined: 0,
        answer: None,
    });
    assert_eq!((reply.status.as_u16(), reply.content_type), (200, "application/json"));
    assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), json!({"code": 0, "message": "ok"}));
}

#[test]
fn names_in_gbk_are_read_after_the_signature_was_checked_on_the_bytes() {
    let data = b"{\"call_id\":\"1\",\"called_areaname\":\"\xba\xd3\xc4\xcf\"}";
    let sign = md5_hex(&[data.as_slice(), SECRET.as_bytes()].concat());
    let body =
        [b"{\"type\":1,\"data\":", data.as_slice(), format!(",\"sign\":\"{sign}\"}}").as_bytes()].concat();
    let adapter = with_secrets(SECRET);
    let decoded = adapter.decode(&verify(&adapter, body).unwrap()).items.remove(0).result.unwrap();
    assert_eq!(decoded.record.called_region.unwrap().name.as_deref(), Some("河南"));
    assert_eq!(decoded.warnings[0].code, "not_utf8");
}

#[test]
fn ids_are_exact_as_strings_and_as_numbers() {
    assert_eq!(record_of(r#"{"call_id":6811535818021285888}"#).record.call_id, "6811535818021285888");
    assert_eq!(record_of(r#"{"call_id":"6811535818021285889"}"#).record.call_id, "6811535818021285889");
}

#[test]
fn who_ended_a_call() {
    let ended = |fields: &str| {
        record_of(&format!(r#"{{"call_id":"1",{fields}}}"#)).record.ended_by.map(|by| by.as_str())
    };
    assert_eq!(ended(r#""endresult":11"#), Some("customer"));
    assert_eq!(ended(r#""endresult":"12","callresult":"1""#), Some("system"));
    assert_eq!(ended(r#""endresult":"12","callresult":"1","answer_time_ee":"1623996700""#), Some("agent"));
    assert_eq!(ended(r#""endresult":"12","callresult":2"#), Some("agent"));
    assert_eq!(ended(r#""endresult":"13""#), None);
    assert_eq!(ended(r#""endresult":"""#), None);
}

#[test]
fn unknown_codes_and_fields_are_kept_and_told() {
    let decoded = record_of(r#"{"call_id":"1","callresult":"7","endresult":9,"satisfaction":"5"}"#);
    assert_eq!(decoded.record.outcome.as_str(), "unknown");
    assert_eq!(decoded.record.vendor_codes.outcome.as_deref(), Some("7"));
    assert_eq!(decoded.record.vendor_codes.ended_by.as_deref(), Some("9"));
    assert_eq!(decoded.unknown_fields, ["satisfaction"]);
    let warned: Vec<_> = decoded.warnings.iter().map(|warning| (warning.field, warning.code)).collect();
    assert_eq!(warned, [("callresult", "unknown_code"), ("endresult", "unknown_code")]);
    assert!(decoded.record.raw.unwrap().get().contains(r#""satisfaction":"5""#));
}

#[test]
fn text_times_are_china_standard_time_and_bad_times_are_null() {
    let decoded = record_of(r#"{"call_id":"1","call_time":"2021-06-18 14:11:31"}"#);
    assert_eq!(decoded.record.started_at.unwrap().to_string(), "2021-06-18T06:11:31Z");
    for bad in ["-1", "1e400", "\"soon\"", "9999999999999", "[1]"] {
        let decoded = record_of(&format!(r#"{{"call_id":"1","start_time":{bad}}}"#));
        assert_eq!((decoded.record.started_at, decoded.warnings.len()), (None, 1), "{bad}");
    }
}

#[test]
fn a_duration_of_zero_is_a_fact_only_where_something_lasted() {
    let record =
        record_of(r#"{"call_id":"1","callresult":1,"ans_secs":"0","link_secs":"0","all_secs":"0"}"#).record;
    assert_eq!((record.answered_seconds, record.talk_seconds, record.total_seconds), (Some(0), None, None));
}

#[test]
fn settings_are_checked() {
    for (pairs, key) in [
        (vec![], "client_id"),
        (vec![("client_id", "c")], "client_secret"),
        (vec![("client_id", "c"), ("client_secret", "s"), ("grant", "password")], "username"),
        (vec![("client_id", "c"), ("client_secret", "s"), ("grant", "magic")], "grant"),
        (vec![("token", "t"), ("client_id", "c")], "token"),
        (vec![("token", "t"), ("push_secrets", "short")], "push_secrets"),
    ] {
        let mut settings = support::Pairs::new(&pairs);
        assert!(outdial_icsoc::build("ic".parse().unwrap(), &mut settings).is_none());
        assert!(settings.mistakes[0].starts_with(&format!("{key}: ")), "{:?}", settings.mistakes);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let adapter = with_secrets(SECRET);
        if let Ok(push) = verify(&adapter, &body) {
            adapter.decode(&push);
        }
    }

    #[test]
    fn no_signed_data_makes_it_panic(data in r#"[\[\]{}",:\\/0-9a-fu张 .+\-]{1,80}"#) {
        let adapter = with_secrets(SECRET);
        if let Ok(push) = verify(&adapter, signed("1", &data)) {
            adapter.decode(&push);
        }
    }

    #[test]
    fn a_changed_byte_of_the_data_is_noticed(at in 0_usize..600, with in any::<u8>()) {
        let (_, secret, plain, _, _) = vectors().remove(0);
        let start = plain.find("\"data\":{").unwrap() + 8;
        let mut body = plain.clone().into_bytes();
        let at = start + at;
        prop_assume!(body[at] != with && !body[at].is_ascii_whitespace() && !with.is_ascii_whitespace());
        body[at] = with;
        // `\/` and `/`, and the two spellings of a hex digit, are one text: PHP's encoding gives back what was signed.
        prop_assume!(with != b'\\' && plain.as_bytes()[at] != b'\\');
        let same = serde_json::from_slice::<Value>(&body).ok() == serde_json::from_str::<Value>(&plain).ok();
        prop_assert!(same || verify(&with_secrets(&secret), &body).is_err());
    }
}
