//! Appending: read, join, and write by one script, again if someone else was faster.

use std::{collections::HashSet, sync::Arc, time::Duration};

use outdial_core::Position;
use redis::{Pipeline, pipe};

use super::{
    Redis, failure,
    link::Session,
    plan::{EntryKey, Known, Plan, Submission, wanted_entry},
    quarantine, rosters, scripts, tail, to_millis,
};
use crate::{Appended, StoreError, StoreErrorKind};

/// How often a batch is joined anew because someone else changed one of its records meanwhile.
const ROUNDS: usize = 64;
/// Most keys of one command that reads.
const READ_STEP: usize = 500;
/// The year 2112. A clock that says more is not followed: positions are numbers that Lua holds exactly, up to 2^53.
const LATEST_MICROS: u64 = 1 << 52;

impl Redis {
    /// Appends batches in one atomic step, and answers for each record of each. Ends after a time, with the connection.
    ///
    /// # Errors
    /// `Unavailable` when nothing was written, `OutcomeUnknown` when it may have been, `Corrupt` when what is stored cannot be
    /// read.
    pub(crate) async fn append_all(
        &self,
        submissions: Vec<Submission>,
        budget: Duration,
    ) -> Result<Vec<Vec<Appended>>, StoreError> {
        let appending = self.append_in_rounds(submissions.into());
        match tokio::time::timeout(budget, appending).await {
            Ok(appended) => appended,
            Err(_) => {
                // What is under way on this connection would keep later appends waiting.
                self.writer.renew().await;
                Err(failure::timed_out())
            }
        }
    }

    async fn append_in_rounds(
        &self,
        submissions: Arc<[Submission]>,
    ) -> Result<Vec<Vec<Appended>>, StoreError> {
        let (mut session, known) = self.start(&submissions).await?;
        let (session, mut known) = (&mut session, Some(known));
        for _ in 0..ROUNDS {
            let known = match known.take() {
                Some(known) => known,
                None => self.read_known(session, &submissions).await?,
            };
            let joined = Arc::clone(&submissions);
            let plan = tokio::task::spawn_blocking(move || Plan::make(&joined, &known)).await;
            let plan = plan.map_err(|_| {
                StoreError::new(StoreErrorKind::Unavailable, "redis: a batch could not be joined")
            })??;
            let first = if plan.is_empty() {
                self.wait_for_replicas(session, false).await?;
                Position::default()
            } else {
                let Some(first) = self.carry_out(session, &plan).await? else { continue };
                self.wait_for_replicas(session, true).await?;
                first
            };
            let answer =
                |fates: &Vec<_>| fates.iter().map(|fate: &super::plan::Fate| fate.at(first)).collect();
            return Ok(plan.fates.iter().map(answer).collect());
        }
        let detail = format!("redis: others changed the same records {ROUNDS} times over");
        Err(StoreError::new(StoreErrorKind::Unavailable, detail))
    }

    /// A connection, and what Redis knows, read on it. Nothing is written yet, so a connection that is found cut is replaced.
    async fn start(&self, submissions: &[Submission]) -> Result<(Session<'_>, Known), StoreError> {
        let mut session = self.writer.session().await?;
        if let Ok(known) = self.read_known(&mut session, submissions).await {
            return Ok((session, known));
        }
        let mut session = self.writer.session().await?;
        let known = self.read_known(&mut session, submissions).await?;
        Ok((session, known))
    }

    /// Reads what Redis knows of the records and of the entries that could add something to them.
    async fn read_known(
        &self,
        session: &mut Session<'_>,
        submissions: &[Submission],
    ) -> Result<Known, StoreError> {
        let records = || submissions.iter().flat_map(|one| &one.batch.records);
        let ids: Vec<String> = unique(records().map(outdial_core::CallRecord::id));
        let wanted: Vec<EntryKey> = unique(records().filter_map(wanted_entry));
        let mut known = Known::default();
        let mut pipeline = pipe();
        pipeline.cmd("EXISTS").arg(self.keys.key("log")).ignore();
        for some in ids.chunks(READ_STEP) {
            let keys: Vec<String> = some.iter().map(|id| self.keys.of("record", id)).collect();
            pipeline.cmd("MGET").arg(keys);
        }
        let values: Vec<Vec<Option<Vec<u8>>>> = ask_all(session, &pipeline).await?;
        for (id, value) in ids.into_iter().zip(values.into_iter().flatten()) {
            if let Some(value) = value {
                known.records.insert(id.to_owned(), value);
            }
        }
        for some in wanted.chunks(READ_STEP) {
            let mut pipeline = pipe();
            for (campaign, entry) in some {
                pipeline.cmd("HGET").arg(self.keys.of("entries", campaign)).arg(entry);
            }
            let rows: Vec<Option<String>> = ask_all(session, &pipeline).await?;
            for (key, row) in some.iter().zip(rows) {
                if let Some(row) = row {
                    known.entries.insert(key.clone(), rosters::parse_entry(&row)?);
                }
            }
        }
        Ok(known)
    }

    /// Writes the plan. `None` when a record has changed since it was read; then nothing was written. Else the position of the
    /// first event.
    async fn carry_out(
        &self,
        session: &mut Session<'_>,
        plan: &Plan,
    ) -> Result<Option<Position>, StoreError> {
        let micros = u64::try_from(self.clock.now().millis()).unwrap_or(0).saturating_mul(1_000);
        let mut call = scripts::call(&self.scripts.append, &self.keys);
        call.arg(to_millis(self.retention)).arg(micros.min(LATEST_MICROS));
        call.arg(plan.records.len()).arg(plan.heads.len()).arg(plan.others.len()).arg(plan.items.len());
        for record in &plan.records {
            call.arg(&record.id).arg(record.expected).arg(&record.value).arg(record.score);
            call.arg(record.changed_at).arg(&record.account).arg(&record.facts);
        }
        for head in &plan.heads {
            call.arg(head);
        }
        for (id, head) in &plan.others {
            call.arg(id).arg(head);
        }
        for item in &plan.items {
            quarantine::add_item(&mut call, item)?;
        }
        let answer: Vec<String> = session.ask(&call).await?;
        let position = |text: &String| text.parse::<Position>().ok();
        match answer.as_slice() {
            [word, _] if word == "changed" => Ok(None),
            [word, first, last] if word == "stored" => match (position(first), position(last)) {
                (Some(first), Some(last)) => {
                    tail::show(&self.tail, last);
                    Ok(Some(first))
                }
                _ => Err(super::unreadable("an answer")),
            },
            _ => Err(super::unreadable("an answer")),
        }
    }
}

/// Each once, in the order of their first coming.
fn unique<T: Eq + std::hash::Hash + Clone>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}

/// Reads on the connection of an append; nothing was written yet.
async fn ask_all<T: redis::FromRedisValue>(
    session: &mut Session<'_>,
    pipeline: &Pipeline,
) -> Result<T, StoreError> {
    session.ask(pipeline).await.map_err(failure::of_read)
}
