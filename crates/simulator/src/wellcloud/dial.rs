//! The dialler: what comes of each entry, round by round and hour by hour.

use std::sync::Arc;

use super::{
    outcome::{Outcome, draw_outcome},
    roster::Entry,
};
use crate::{clock::write_beijing_compact, dice::Dice};

/// Attempts at most, the first one counted.
const MAX_ROUNDS: u32 = 3;
/// One in so many answered calls has a key press in it.
const KEY_PRESS_SHARE: f64 = 0.5;
const AGENTS: [&str; 4] = ["5901@ocm.test", "5902@ocm.test", "5903@ocm.test", "5904@ocm.test"];

/// A roster that was taken.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) campaign: String,
    /// The second half of every `batchId`.
    pub(crate) batch_time: String,
    pub(crate) entries: Arc<Vec<Entry>>,
    /// Which of the tenant's rosters this is: the same entry uploaded twice is called twice.
    sequence: String,
}

impl Roster {
    /// The `number`th roster, uploaded at `now_ms`.
    pub(crate) fn new(campaign: String, entries: Arc<Vec<Entry>>, number: usize, now_ms: i64) -> Self {
        Self { campaign, batch_time: write_beijing_compact(now_ms), entries, sequence: number.to_string() }
    }
}

/// One result: one attempt, or the news that there will be none.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) roster: Arc<Roster>,
    pub(crate) index: usize,
    pub(crate) round: u32,
    pub(crate) outcome: &'static Outcome,
    /// `None`: never dialled.
    pub(crate) call: Option<Attempt>,
    /// `msg` as a string, as its declared type says, and not as an int, as it was seen.
    pub(crate) msg_is_text: bool,
}

/// A call that was made.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) call_id: String,
    pub(crate) agent: String,
    pub(crate) started_ms: i64,
    /// Answered: handed to an agent. Not answered: the end.
    pub(crate) ended_ms: i64,
    /// 0: not answered.
    pub(crate) responded_ms: i64,
    pub(crate) key_pressed: Option<String>,
}

impl Row {
    /// The entry it is about.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.roster.entries.get(self.index)
    }
}

/// Who is to be called again.
#[derive(Debug)]
struct Redial {
    roster: Arc<Roster>,
    index: usize,
    round: u32,
}

/// Works rosters off, by seed.
#[derive(Debug)]
pub(crate) struct Dialler {
    seed: u64,
    dialled_share: f64,
    /// Results of the hour that runs.
    ready: Vec<Row>,
    /// Calls of the next hour.
    redials: Vec<Redial>,
    waiting: usize,
    results: usize,
}

impl Dialler {
    /// An idle dialler.
    pub(crate) fn new(seed: u64, dialled_share: f64) -> Self {
        Self { seed, dialled_share, ready: Vec::new(), redials: Vec::new(), waiting: 0, results: 0 }
    }

    /// Works on every entry of `roster` that is not left waiting.
    pub(crate) fn start(&mut self, roster: &Arc<Roster>, now_ms: i64) {
        for (index, entry) in roster.entries.iter().enumerate() {
            let parts = ["wait", &roster.campaign, &roster.sequence, &index.to_string(), &entry.entry_id];
            if Dice::new(self.seed, &parts).share(self.dialled_share) {
                self.dial(roster.clone(), index, 1, now_ms);
            } else {
                self.waiting += 1;
            }
        }
    }

    /// Ends the hour: gives its results and dials those who are due again.
    pub(crate) fn end_hour(&mut self, now_ms: i64) -> Vec<Row> {
        let rows = std::mem::take(&mut self.ready);
        for Redial { roster, index, round } in std::mem::take(&mut self.redials) {
            self.dial(roster, index, round, now_ms);
        }
        rows
    }

    /// Results of this hour and entries to be dialled again.
    pub(crate) fn held(&self) -> usize {
        self.ready.len() + self.redials.len()
    }

    /// Entries that no result will come of.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Results so far.
    pub(crate) fn results(&self) -> usize {
        self.results
    }

    fn dial(&mut self, roster: Arc<Roster>, index: usize, round: u32, now_ms: i64) {
        let Some(entry) = roster.entries.get(index) else { return };
        let parts = [
            "dial",
            &roster.campaign,
            &roster.sequence,
            &index.to_string(),
            &entry.entry_id,
            &round.to_string(),
        ];
        let mut dice = Dice::new(self.seed, &parts);
        let outcome = draw_outcome(&mut dice, round);
        let call = outcome.is_dialled().then(|| draw_attempt(&mut dice, entry, outcome, now_ms));
        let msg_is_text = dice.below(8) == 0;
        if outcome.is_worth_another_round() && round < MAX_ROUNDS {
            self.redials.push(Redial { roster: roster.clone(), index, round: round + 1 });
        }
        self.ready.push(Row { roster, index, round, outcome, call, msg_is_text });
        self.results += 1;
    }
}

/// A call that is over by `now_ms`.
fn draw_attempt(dice: &mut Dice, entry: &Entry, outcome: &Outcome, now_ms: i64) -> Attempt {
    let ringing_ms = dice.between(2_000, 25_000);
    let queueing_ms = if outcome.is_answered() { dice.between(0, 8_000) } else { 0 };
    let ended_ms = now_ms - dice.between(0, 999);
    let started_ms = ended_ms - queueing_ms - ringing_ms;
    let presses = outcome.is_answered() && dice.share(KEY_PRESS_SHARE);
    Attempt {
        call_id: dice.uuid(),
        agent: entry.agent.clone().unwrap_or_else(|| dice.pick(&AGENTS, AGENTS[0]).to_owned()),
        started_ms,
        ended_ms,
        responded_ms: if outcome.is_answered() { started_ms + ringing_ms } else { 0 },
        key_pressed: presses.then(|| dice.digits(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_559_124_400_892;

    fn dialler(share: f64, entries: usize) -> Dialler {
        let entry = |number: usize| Entry {
            entry_id: number.to_string(),
            product_type: "S".to_owned(),
            number: "13300000000".to_owned(),
            agent: None,
            customer_id: None,
            user_data: Vec::new(),
        };
        let entries = Arc::new((0..entries).map(entry).collect());
        let mut dialler = Dialler::new(1, share);
        dialler.start(&Arc::new(Roster::new("c1".to_owned(), entries, 1, NOW)), NOW);
        dialler
    }

    #[test]
    fn every_entry_is_dialled_or_waits() {
        let mut dialler = dialler(0.7, 2_000);
        let dialled = dialler.end_hour(NOW).len();
        assert_eq!(dialled + dialler.waiting(), 2_000);
        assert!((1_300..1_500).contains(&dialled), "{dialled}");
    }

    #[test]
    fn rounds_come_hour_by_hour_and_end() {
        let mut dialler = dialler(1.0, 2_000);
        let mut before = usize::MAX;
        for round in 1..=MAX_ROUNDS {
            let rows = dialler.end_hour(NOW);
            assert!(rows.iter().all(|row| row.round == round));
            assert!(!rows.is_empty() && rows.len() < before);
            before = rows.len();
        }
        assert_eq!((dialler.end_hour(NOW).len(), dialler.held()), (0, 0));
    }

    #[test]
    fn times_agree_with_the_outcome() {
        let mut dialler = dialler(1.0, 2_000);
        let rows = dialler.end_hour(NOW);
        for row in &rows {
            assert_eq!(row.call.is_some(), row.outcome.is_dialled());
            let Some(call) = &row.call else { continue };
            assert_eq!(call.responded_ms != 0, row.outcome.is_answered());
            assert!(call.started_ms < call.ended_ms && call.ended_ms <= NOW);
            assert!(call.responded_ms == 0 || (call.started_ms..=call.ended_ms).contains(&call.responded_ms));
        }
        assert!(rows.iter().any(|row| row.call.is_none()), "some were never dialled");
    }
}
