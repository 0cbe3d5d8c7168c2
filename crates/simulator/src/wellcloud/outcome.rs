//! The vendor's outcome codes and how often each falls.

use crate::dice::Dice;

/// One outcome (WellCloud contract 3, `state`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) state: i64,
    /// `failMsg`, or `result` in the newer documents.
    pub(crate) text: &'static str,
    /// Share of a thousand first rounds.
    weight: u32,
}

impl Outcome {
    const fn new(state: i64, text: &'static str, weight: u32) -> Self {
        Self { state, text, weight }
    }

    /// Whether a call was made at all; without one there is no `callId`.
    pub(crate) fn is_dialled(&self) -> bool {
        !matches!(self.state, -10 | -5)
    }

    /// Whether the customer answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.state == 0
    }

    /// Whether trying again may help: busy, unreachable, on another call, network busy, nobody answered, short
    /// busy tone.
    pub(crate) fn is_worth_another_round(&self) -> bool {
        matches!(self.state, 1 | 3 | 9 | 10 | 11 | 12)
    }
}

const ANSWERED: Outcome = Outcome::new(0, "成功", 440);
const OUTCOMES: [Outcome; 19] = [
    ANSWERED,
    Outcome::new(1, "用户忙", 110),
    Outcome::new(11, "超时", 110),
    Outcome::new(3, "无法接通", 60),
    Outcome::new(6, "关机", 50),
    Outcome::new(8, "空号", 30),
    Outcome::new(-10, "名单过期", 30),
    Outcome::new(-4, "挂断", 30),
    Outcome::new(9, "正在通话中", 25),
    Outcome::new(-5, "业务禁播", 20),
    Outcome::new(7, "停机", 15),
    Outcome::new(-3, "线路异常", 15),
    Outcome::new(2, "来电提醒", 10),
    Outcome::new(4, "呼叫限制", 10),
    Outcome::new(5, "呼叫转移", 10),
    Outcome::new(10, "网络忙", 10),
    Outcome::new(12, "短音忙", 10),
    Outcome::new(13, "长音忙", 10),
    Outcome::new(14, "其它", 5),
];

/// What comes of one attempt. From the second round on the entry was dialled before, so it is dialled again.
pub(crate) fn draw_outcome(dice: &mut Dice, round: u32) -> &'static Outcome {
    let possible = |outcome: &&Outcome| round == 1 || outcome.is_dialled();
    let total: u32 = OUTCOMES.iter().filter(possible).map(|outcome| outcome.weight).sum();
    let mut left = dice.below(total);
    for outcome in OUTCOMES.iter().filter(possible) {
        if left < outcome.weight {
            return outcome;
        }
        left -= outcome.weight;
    }
    &ANSWERED
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_documented_code_falls_and_no_other() {
        let mut dice = Dice::new(1, &["outcomes"]);
        let drawn: BTreeSet<i64> = (0..20_000).map(|_| draw_outcome(&mut dice, 1).state).collect();
        let documented: BTreeSet<i64> = [-10, -5, -4, -3].into_iter().chain(0..=14).collect();
        assert_eq!(drawn, documented);
        assert_eq!(OUTCOMES.iter().map(|outcome| outcome.weight).sum::<u32>(), 1_000);
    }

    #[test]
    fn who_was_dialled_once_is_dialled_in_every_later_round() {
        let mut dice = Dice::new(1, &["outcomes"]);
        assert!((0..20_000).all(|_| draw_outcome(&mut dice, 2).is_dialled()));
    }
}
