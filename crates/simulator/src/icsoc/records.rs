//! A call as the search shows it and as the push carries it: two spellings of the same facts.

use std::borrow::Cow;

use super::cdr::{Cdr, NumberShape, UserDataShape};
use crate::{
    clock::write_beijing,
    dice::Dice,
    json::{Json, Spelling},
};

type Member = (Cow<'static, str>, Json);

/// Writes numbers in the shape that was drawn for the record.
struct Numbers {
    shape: NumberShape,
    dice: Dice,
}

impl Numbers {
    fn write(&mut self, number: i64) -> Json {
        let as_text = match self.shape {
            NumberShape::Int => false,
            NumberShape::Text => true,
            NumberShape::Mixed => self.dice.below(2) == 0,
        };
        if as_text { Json::text(number.to_string()) } else { Json::Int(number) }
    }
}

/// An element of `results` (ICSOC contract 1.3 and 1.4).
pub(crate) fn write_result(call: &Cdr) -> Json {
    let mut numbers = Numbers { shape: call.search_numbers, dice: call.dice.clone() };
    // The contract's table says `answerTime`, its example `ansTime`.
    let answer_time = if numbers.dice.below(2) == 0 { "answerTime" } else { "ansTime" };
    let mut members = texts([
        ("vccId", call.tenant.to_owned()),
        ("projectId", call.project.clone()),
        ("taskId", call.task.clone()),
        ("callId", call.call_id.clone()),
        ("caller", call.caller.clone()),
        ("called", call.called.clone()),
        ("calledAreacode", call.region.0.to_owned()),
        ("calledAreaname", call.region.1.to_owned()),
        ("calledType", "MOBILE".to_owned()),
        ("calledVendor", call.carrier.to_owned()),
        ("transCaller", agent_caller(call)),
        ("transPhone", call.extension.clone()),
        ("transAreacode", String::new()),
        ("transAreaname", String::new()),
        ("transType", String::new()),
        ("transVendor", String::new()),
    ]);
    let counted = [
        ("startTimeEe", call.agent.started),
        ("ringTimeEe", call.agent.ringing),
        ("answerTimeEe", call.agent.answered),
        ("endTimeEe", call.agent.ended),
        ("startTime", call.customer.started),
        ("ringTime", call.customer.ringing),
        (answer_time, call.customer.answered),
        ("endTime", call.customer.ended),
        ("ansSecs", call.answered_seconds()),
        ("linkSecs", call.talk_seconds()),
        ("allSecs", call.total_seconds()),
    ];
    members.extend(counted.map(|(name, number)| (name.into(), numbers.write(number))));
    // Declared strings, shown as strings; the other way round they come when types are mixed.
    let codes = [("callresult", call.result), ("endresult", call.end)];
    if call.search_numbers == NumberShape::Mixed {
        members.extend(codes.map(|(name, code)| (name.into(), numbers.write(code))));
    } else {
        members.extend(codes.map(|(name, code)| (name.into(), Json::text(code.to_string()))));
    }
    members.push(("userData".into(), write_search_user_data(call)));
    Json::Object(members)
}

/// `data` of a push (ICSOC contract 2.2, in the order of 2.4).
pub(crate) fn write_push(call: &Cdr) -> Json {
    let mut numbers = Numbers { shape: call.push_numbers, dice: call.dice.clone() };
    let mut members = texts([
        ("vcc_id", call.tenant.to_owned()),
        ("call_id", call.call_id.clone()),
        ("caller", call.caller.clone()),
        ("called", call.called.clone()),
    ]);
    // The contract's table has it, its example has not.
    if numbers.dice.below(2) == 0 {
        members.push(("call_time".into(), Json::text(write_beijing(call.customer.started * 1_000))));
    }
    members.extend(texts([
        ("called_areacode", call.region.0.to_owned()),
        ("called_areaname", call.region.1.to_owned()),
        ("called_type", "MOBILE".to_owned()),
        ("called_vendor", call.carrier.to_owned()),
        ("trans_caller", agent_caller(call)),
        ("trans_phone", call.extension.clone()),
        ("trans_areacode", String::new()),
        ("trans_areaname", String::new()),
        ("trans_type", String::new()),
        ("trans_vendor", String::new()),
    ]));
    let counted = [
        ("start_time_ee", call.agent.started),
        ("ring_time_ee", call.agent.ringing),
        ("answer_time_ee", call.agent.answered),
        ("end_time_ee", call.agent.ended),
        ("start_time", call.customer.started),
        ("ring_time", call.customer.ringing),
        ("ans_time", call.customer.answered),
        ("link_time", call.bridged),
        ("end_time", call.customer.ended),
        ("ans_secs", call.answered_seconds()),
        ("link_secs", call.talk_seconds()),
        ("all_secs", call.total_seconds()),
        ("callresult", call.result),
        ("endresult", call.end),
    ];
    members.extend(counted.map(|(name, number)| (name.into(), numbers.write(number))));
    members.extend(texts([
        ("call_context", "mc_transque".to_owned()),
        ("call_exten", "ivr_in".to_owned()),
        ("call_vars", format!("trans_que=660,trans_pro={}", call.project)),
        ("record_file", recording(call)),
    ]));
    members.push(("user_data".into(), write_push_user_data(call)));
    members.push(("trans_agent".into(), Json::List(Vec::new())));
    Json::Object(members)
}

/// A signed push without a call in it, of one kind or another.
pub(crate) fn write_broken_push(call: &Cdr) -> Json {
    match call.dice.clone().below(2) {
        0 => Json::List(vec![Json::Int(1), Json::Int(2)]),
        _ => Json::Object(texts([("vcc_id", call.tenant.to_owned()), ("call_id", String::new())])),
    }
}

fn texts<const N: usize>(pairs: [(&'static str, String); N]) -> Vec<Member> {
    pairs.into_iter().map(|(name, text)| (name.into(), Json::text(text))).collect()
}

fn agent_caller(call: &Cdr) -> String {
    if call.extension.is_empty() { String::new() } else { call.called.clone() }
}

/// Both talked: there is a recording.
fn recording(call: &Cdr) -> String {
    if call.result != 2 {
        return String::new();
    }
    let day = write_beijing(call.customer.started * 1_000);
    let day = day.split(' ').next().unwrap_or_default().replace('-', "/");
    format!("https://rec.example.net/{day}/{}.mp3", call.call_id)
}

fn write_search_user_data(call: &Cdr) -> Json {
    if call.user_data != UserDataShape::Object {
        return Json::Object(Vec::new());
    }
    Json::Object(texts([
        ("tag", "autocall".to_owned()),
        ("extId", call.entry_id.clone()),
        ("proid", call.project.clone()),
        ("taskid", call.task.clone()),
    ]))
}

fn write_push_user_data(call: &Cdr) -> Json {
    let mut members = texts([("_tag", "autocall:poc".to_owned()), ("ext_id", call.entry_id.clone())]);
    members.push(("template_data".into(), Json::Null));
    members.extend(texts([("proid", call.project.clone()), ("taskid", call.task.clone())]));
    match call.user_data {
        UserDataShape::Object => Json::Object(members),
        UserDataShape::Empty => Json::Object(Vec::new()),
        UserDataShape::Text => Json::text(Json::Object(members).encode(Spelling::Php)),
        UserDataShape::Null => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(members: &Json) -> Vec<String> {
        match members {
            Json::Object(members) => members.iter().map(|(name, _)| name.to_string()).collect(),
            _ => Vec::new(),
        }
    }

    fn calls() -> impl Iterator<Item = Cdr> {
        (0..200).map(|index| Cdr::draw(3, index, 1_616_491_488, &["10195".to_owned()], true))
    }

    /// The members of the contract's own example, in its order.
    fn sample(text: &str, pointer: &str) -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let object = value.pointer(pointer).unwrap();
        let mut names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
        names.sort_by_key(|name| text.find(&format!("\"{name}\":")));
        names
    }

    #[test]
    fn a_search_result_has_the_members_of_the_contracts_example_in_its_order() {
        let text = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/icsoc-search-response.sample.json"
        ));
        let expected = sample(text, "/data/results/0");
        let mut spellings = BTreeSet::new();
        for call in calls() {
            let mut written = names(&write_result(&call));
            for name in &mut written {
                if name == "answerTime" || name == "ansTime" {
                    spellings.insert(std::mem::replace(name, "ansTime".to_owned()));
                }
            }
            assert_eq!(written, expected);
        }
        assert_eq!(spellings.len(), 2, "both spellings of the answer's time occur");
    }

    #[test]
    fn a_push_has_the_members_of_the_contracts_example_in_its_order() {
        let text = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/icsoc-push-plain.sample.json"
        ));
        let expected = sample(text, "/data");
        let (mut with_call_time, mut shapes) = (0, BTreeSet::new());
        for call in calls() {
            let push = write_push(&call);
            let mut written = names(&push);
            with_call_time += usize::from(written.iter().any(|name| name == "call_time"));
            written.retain(|name| name != "call_time");
            assert_eq!(written, expected);
            shapes.insert(format!("{:?}{:?}", call.user_data, call.push_numbers));
        }
        assert!((50..150).contains(&with_call_time), "{with_call_time}");
        assert!(shapes.len() > 6, "{shapes:?}");
    }
}
