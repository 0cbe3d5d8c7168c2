//! Rosters and their entries in Redis.

use std::collections::HashMap;

use async_trait::async_trait;
use outdial_core::{AccountId, Timestamp};
use redis::{ScriptInvocation, cmd, pipe};

use super::{
    EXPIRE_LIMIT, EXPIRE_STEP, Redis, quarantine::add_older, records::read_counts, scripts, unreadable,
};
use crate::{
    EntryOutcomes, EntryRow, RosterFilter, Rosters, StoreError, StoreErrorKind, StoredRoster,
    roles::check_entries,
};

/// How many rosters are looked at in one step of a list.
const LIST_STEP: usize = 200;

/// Entries that came by one roster: its account, campaign and id. In JSON the name of the group.
type Group = (String, String, String);

#[async_trait]
impl Rosters for Redis {
    async fn put_roster(&self, roster: &StoredRoster) -> Result<bool, StoreError> {
        let mut call = scripts::call(&self.scripts.put_roster, &self.keys);
        call.arg(&roster.id).arg(roster.account.as_str());
        call.arg(roster.created_at.millis()).arg(roster.fence).arg(to_json(roster)?);
        self.write_durably(&call).await
    }

    async fn put_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
        entries: Vec<EntryRow>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check_entries(&entries)?;
        let mut call = scripts::call(&self.scripts.put_entries, &self.keys);
        call.arg(format!("{account}:{campaign_id}")).arg(roster_id).arg(now.millis());
        call.arg(to_json(&(account, campaign_id, roster_id))?);
        for entry in &entries {
            call.arg(&entry.entry_id).arg(to_json(entry)?);
        }
        self.write_durably(&call).await
    }

    async fn remove_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        let group = (account.to_string(), campaign_id.to_owned(), roster_id.to_owned());
        while self.remove_some(&group).await?.0 > 0 {}
        Ok(())
    }

    async fn withhold_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        let step = self.entries_step(&self.scripts.withhold_entries, account, campaign_id, roster_id)?;
        while self.write_durably::<u64>(&step).await? > 0 {}
        Ok(())
    }

    async fn restore_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError> {
        let step = self.entries_step(&self.scripts.restore_entries, account, campaign_id, roster_id)?;
        while self.write_durably::<u64>(&step).await? > 0 {}
        Ok(())
    }

    async fn entry_outcomes(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<EntryOutcomes, StoreError> {
        let (mut sums, mut counts) = (EntryOutcomes::default(), HashMap::<String, u64>::new());
        let mut cursor = "0".to_owned();
        loop {
            let mut step =
                self.entries_step(&self.scripts.entry_outcomes, account, campaign_id, roster_id)?;
            step.arg(&cursor);
            type Some = (String, u64, u64, u64, Vec<(String, u64)>);
            let (next, entries, with_result, dialled, records): Some = self.shared.read(&step).await?;
            sums.entries += entries;
            sums.with_result += with_result;
            sums.dialled += dialled;
            for (outcome, count) in records {
                *counts.entry(outcome).or_default() += count;
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        sums.counts = read_counts(counts.iter());
        Ok(sums)
    }

    async fn get_roster(&self, id: &str) -> Result<Option<StoredRoster>, StoreError> {
        let mut get = cmd("GET");
        get.arg(self.keys.of("roster", id));
        let json: Option<String> = self.shared.read(&get).await?;
        json.map(|json| parse_roster(&json)).transpose()
    }

    async fn list_rosters(
        &self,
        filter: &RosterFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredRoster>, StoreError> {
        let mut found = Vec::new();
        let mut before = before.map(str::to_owned);
        while found.len() < limit {
            let ids = self.read_older(&filter.accounts, before.as_deref()).await?;
            let Some(oldest) = ids.last().cloned() else { break };
            let mut get = cmd("MGET");
            get.arg(ids.iter().map(|id| self.keys.of("roster", id)).collect::<Vec<_>>());
            let jsons: Vec<Option<String>> = self.shared.read(&get).await?;
            for json in jsons.into_iter().flatten() {
                let roster = parse_roster(&json)?;
                let fits = filter.campaign_id.as_ref().is_none_or(|id| *id == roster.campaign_id)
                    && filter.status.is_none_or(|status| status == roster.status);
                if fits {
                    found.push(roster);
                }
            }
            before = Some(oldest);
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn get_entry(
        &self,
        account: &AccountId,
        campaign_id: &str,
        entry_id: &str,
    ) -> Result<Option<EntryRow>, StoreError> {
        let mut get = cmd("HGET");
        get.arg(self.keys.of("entries", format_args!("{account}:{campaign_id}"))).arg(entry_id);
        let row: Option<String> = self.shared.read(&get).await?;
        row.map(|row| parse_entry(&row)).transpose()
    }

    async fn expire_rosters(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        let mut removed = self.expire_in_steps(&self.scripts.expire_bodies, older_than.millis()).await?;
        while removed < EXPIRE_LIMIT {
            let mut oldest = cmd("ZRANGE");
            oldest.arg(self.keys.key("entries")).arg("-inf").arg(format!("({}", older_than.millis()));
            oldest.arg("BYSCORE").arg("LIMIT").arg(0).arg(1);
            let groups: Vec<String> = self.shared.read(&oldest).await?;
            let Some(group) = groups.first() else {
                self.expire_in_steps(&self.scripts.expire_rosters, older_than.millis()).await?;
                break;
            };
            let group: Group = serde_json::from_str(group).map_err(|_| unreadable("a group of entries"))?;
            removed += self.remove_some(&group).await?.1;
        }
        Ok(removed)
    }
}

impl Redis {
    /// A call of a script that does a step with the entries of a roster.
    fn entries_step<'a>(
        &self,
        script: &'a redis::Script,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<ScriptInvocation<'a>, StoreError> {
        let mut call = scripts::call(script, &self.keys);
        call.arg(format!("{account}:{campaign_id}")).arg(roster_id).arg(EXPIRE_STEP);
        call.arg(to_json(&(account, campaign_id, roster_id))?);
        Ok(call)
    }

    /// Removes some entries of a roster. Answers how many are left, and how many were removed.
    async fn remove_some(&self, group: &Group) -> Result<(u64, u64), StoreError> {
        let (account, campaign, roster) = group;
        let mut call = scripts::call(&self.scripts.remove_entries, &self.keys);
        call.arg(format!("{account}:{campaign}")).arg(roster).arg(EXPIRE_STEP).arg(to_json(group)?);
        self.shared.ask_again(&call).await
    }

    /// Ids of rosters of these accounts, newest first, older than one.
    async fn read_older(
        &self,
        accounts: &[AccountId],
        before: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = pipe();
        for account in accounts {
            add_older(pipeline.cmd("ZRANGE").arg(self.keys.of("rosters", account)), before, LIST_STEP);
        }
        let lists: Vec<Vec<String>> = self.shared.read(&pipeline).await?;
        let mut ids: Vec<String> = lists.into_iter().flatten().collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(LIST_STEP);
        Ok(ids)
    }
}

/// An entry as it is kept: `{roster}\n{json}`.
pub(super) fn parse_entry(row: &str) -> Result<EntryRow, StoreError> {
    let json = row.split_once('\n').map(|(_, json)| json);
    json.and_then(|json| serde_json::from_str(json).ok()).ok_or_else(|| unreadable("a roster entry"))
}

fn parse_roster(json: &str) -> Result<StoredRoster, StoreError> {
    serde_json::from_str(json).map_err(|_| unreadable("a roster"))
}

fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        StoreError::new(StoreErrorKind::Invalid, format!("a roster cannot be written as JSON: {error}"))
    })
}
