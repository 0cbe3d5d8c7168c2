//! The calls that were made, drawn by seed.

use crate::dice::Dice;

/// Call ids are 19-digit decimal strings, beyond what a double holds.
const FIRST_CALL_ID: u64 = 6_800_000_000_000_000_000;
/// Distance between the ids of two seeds, wide enough for 200,000 calls.
const SEED_STRIDE: u64 = 1_000_000_000_000;
/// Distance between the ids of two calls.
const CALL_STRIDE: u64 = 4_194_304;
const TENANT: &str = "782";
const REGIONS: [(&str, &str); 5] =
    [("0755", "广东 深圳"), ("0376", "河南 信阳"), ("010", "北京"), ("021", "上海"), ("0571", "浙江 杭州")];
const CARRIERS: [&str; 3] = ["MOBILE", "UNICOM", "TELECOM"];

/// How the uploader's own data is written in a push; the document declares a string and shows an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserDataShape {
    /// As in the contract's example.
    Object,
    /// An empty object, which PHP writes as `[]`.
    Empty,
    /// JSON inside a string, as the type says.
    Text,
    Null,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberShape {
    /// As the contract's tables say.
    Int,
    /// As the contract's push example shows.
    Text,
    /// Now so, now so.
    Mixed,
}

/// One leg's times, seconds since the epoch; 0: did not happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) started: i64,
    pub(crate) ringing: i64,
    pub(crate) answered: i64,
    pub(crate) ended: i64,
}

/// One call: the customer first, then the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cdr {
    pub(crate) tenant: &'static str,
    pub(crate) call_id: String,
    pub(crate) project: String,
    pub(crate) task: String,
    pub(crate) entry_id: String,
    pub(crate) caller: String,
    pub(crate) called: String,
    pub(crate) region: (&'static str, &'static str),
    pub(crate) carrier: &'static str,
    pub(crate) extension: String,
    pub(crate) customer: Leg,
    pub(crate) agent: Leg,
    pub(crate) bridged: i64,
    /// 0 the customer was not connected, 1 only the customer was, 2 both were.
    pub(crate) result: i64,
    /// 11 the customer hung up, 12 the agent's side did.
    pub(crate) end: i64,
    pub(crate) user_data: UserDataShape,
    pub(crate) push_numbers: NumberShape,
    pub(crate) search_numbers: NumberShape,
    /// Chance for how the records are written.
    pub(crate) dice: Dice,
}

impl Cdr {
    /// The `index`th call of `seed`, over by `ended` seconds since the epoch.
    pub(crate) fn draw(seed: u64, index: usize, ended: i64, projects: &[String], mixed_types: bool) -> Self {
        let mut dice = Dice::new(seed, &["call", &index.to_string()]);
        let result = match dice.below(10) {
            0..=4 => 0,
            5..=6 => 1,
            _ => 2,
        };
        let (customer, agent, bridged) = draw_legs(&mut dice, result, ended);
        let has_agent = agent.started != 0;
        let project = dice.below(u32::try_from(projects.len()).unwrap_or(u32::MAX));
        let project = usize::try_from(project).ok().and_then(|index| projects.get(index));
        let region = REGIONS.get(usize::try_from(dice.below(5)).unwrap_or_default()).copied();
        Self {
            tenant: TENANT,
            call_id: draw_call_id(&mut dice, seed, index),
            project: project.cloned().unwrap_or_else(|| "10008".to_owned()),
            task: dice.between(1, 20).to_string(),
            entry_id: format!("entry-{index}"),
            caller: format!("0100000{}", dice.digits(4)),
            called: format!("1330000{}", dice.digits(4)),
            region: region.unwrap_or(("010", "北京")),
            carrier: dice.pick(&CARRIERS, CARRIERS[0]),
            extension: if has_agent { format!("80{}", dice.digits(2)) } else { String::new() },
            customer,
            agent,
            bridged,
            result,
            // Nobody answered: the contract's examples say 12 although it was the system.
            end: if result == 0 || dice.below(3) == 0 { 12 } else { 11 },
            user_data: match dice.below(20) {
                0 => UserDataShape::Empty,
                1 => UserDataShape::Text,
                2 => UserDataShape::Null,
                _ => UserDataShape::Object,
            },
            push_numbers: draw_numbers(&mut dice, mixed_types, NumberShape::Text),
            search_numbers: draw_numbers(&mut dice, mixed_types, NumberShape::Int),
            dice,
        }
    }

    /// Whether it is one of every `n` calls, counted as they were made; of 0 none is.
    pub(crate) fn is_nth(&self, n: u32) -> bool {
        let number = self.entry_id.strip_prefix("entry-").and_then(|index| index.parse::<u32>().ok());
        n > 0 && number.is_some_and(|number| (number + 1).is_multiple_of(n))
    }

    /// Seconds from the customer's answer to the end.
    pub(crate) fn answered_seconds(&self) -> i64 {
        since(self.customer.answered, self.customer.ended)
    }

    /// Seconds that customer and agent could talk.
    pub(crate) fn talk_seconds(&self) -> i64 {
        since(self.bridged, self.customer.ended)
    }

    /// Seconds from dialling the customer to the end.
    pub(crate) fn total_seconds(&self) -> i64 {
        since(self.customer.started, self.customer.ended)
    }
}

fn since(started: i64, ended: i64) -> i64 {
    if started == 0 { 0 } else { ended - started }
}

fn draw_call_id(dice: &mut Dice, seed: u64, index: usize) -> String {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let of_seed = Dice::new(seed, &["calls"]).below(1_000_000);
    let id = FIRST_CALL_ID + u64::from(of_seed) * SEED_STRIDE + index.saturating_mul(CALL_STRIDE);
    (id + u64::from(dice.below(4_096))).to_string()
}

fn draw_numbers(dice: &mut Dice, mixed_types: bool, usual: NumberShape) -> NumberShape {
    // Drawn in either case, so that the setting changes nothing else.
    let drawn = match dice.below(3) {
        0 => NumberShape::Int,
        1 => NumberShape::Text,
        _ => NumberShape::Mixed,
    };
    if mixed_types { drawn } else { usual }
}

/// Back from the end: who answered when, and who did not.
fn draw_legs(dice: &mut Dice, result: i64, ended: i64) -> (Leg, Leg, i64) {
    let ringing = dice.between(2, 6);
    let to_answer = dice.between(5, 25);
    let to_agent = dice.between(1, 4);
    let to_bridge = dice.between(2, 10);
    let talk = dice.between(5, 180);
    let agent_rang = dice.below(2) == 0;
    let total = match result {
        0 => ringing + to_answer,
        1 => ringing + to_answer + to_agent + to_bridge,
        _ => ringing + to_answer + to_agent + to_bridge + talk,
    };
    let started = ended - total;
    let rang = started + ringing;
    let answered = rang + to_answer;
    match result {
        0 => {
            let heard_ringing = dice.below(3) != 0;
            (
                Leg { started, ringing: if heard_ringing { rang } else { 0 }, answered: 0, ended },
                Leg::default(),
                0,
            )
        }
        1 => {
            let called = answered + to_agent;
            let agent = Leg { started: called, ringing: called + 1, answered: 0, ended };
            (
                Leg { started, ringing: rang, answered, ended },
                if agent_rang { agent } else { Leg::default() },
                0,
            )
        }
        _ => {
            let called = answered + to_agent;
            let bridged = called + to_bridge;
            let agent = Leg { started: called, ringing: called + 1, answered: bridged, ended };
            (Leg { started, ringing: rang, answered, ended }, agent, bridged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_nineteen_digits_and_differ() {
        let draw = |seed, index| Cdr::draw(seed, index, 1_616_491_488, &[], true).call_id;
        let mut ids: Vec<String> = (0..500).map(|index| draw(1, index)).chain([draw(2, 0)]).collect();
        assert!(ids.iter().all(|id| id.len() == 19 && id.parse::<i64>().is_ok()));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 501);
    }

    #[test]
    fn times_and_durations_agree_with_the_result() {
        for index in 0..300 {
            let call = Cdr::draw(1, index, 1_616_491_488, &["10008".to_owned()], true);
            assert_eq!(call.customer.answered != 0, call.result >= 1);
            assert_eq!(call.agent.answered != 0, call.result == 2);
            assert_eq!(call.customer.ended, 1_616_491_488);
            assert_eq!(call.total_seconds(), call.customer.ended - call.customer.started);
            assert!(call.talk_seconds() <= call.answered_seconds());
            assert!(call.answered_seconds() < call.total_seconds());
            assert_eq!(call.talk_seconds() > 0, call.result == 2);
            assert_eq!(call, Cdr::draw(1, index, 1_616_491_488, &["10008".to_owned()], true));
        }
    }
}
