//! Call records in Redis: the records as they are kept, and indexes of their ids by start.

use async_trait::async_trait;
use outdial_core::{AccountId, CallRecord, Outcome, ReceivedVia, RecordQuery, Timestamp};
use redis::{cmd, pipe};

use super::{
    Redis,
    plan::{arrival_field, parse_record, score},
    scripts, unreadable,
};
use crate::{
    CallRecords, HourCount, PageKey, RecordPage, StoreError, Summary, SummaryCount, roles::check_hours,
};

/// Most records that one query looks at; its page is short then.
const SCAN_LIMIT: usize = 5_000;
/// How many it looks at in one step: as many as are asked for, within these.
const SCAN_STEP: std::ops::RangeInclusive<usize> = 100..=1_000;

#[async_trait]
impl CallRecords for Redis {
    async fn query(
        &self,
        accounts: &[AccountId],
        query: &RecordQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        if accounts.is_empty() || limit == 0 {
            return Ok(RecordPage::default());
        }
        if let Some(call_id) = &query.call_id {
            return self.query_one_call(accounts, query, call_id, after, limit).await;
        }
        let step = limit.clamp(*SCAN_STEP.start(), *SCAN_STEP.end());
        let (mut after, mut records, mut seen) = (after, Vec::new(), 0);
        while seen < SCAN_LIMIT {
            let places = self.read_places(accounts, query, after.as_ref(), step).await?;
            let is_last = places.len() < step;
            seen += places.len();
            let found = self.read_records(places.iter().map(|place| place.id.as_str())).await?;
            for (place, record) in places.into_iter().zip(found) {
                after = Some(place);
                records.extend(record.filter(|record| query.matches(record)));
                if records.len() >= limit {
                    return Ok(RecordPage { records, next: after });
                }
            }
            if is_last {
                return Ok(RecordPage { records, next: None });
            }
        }
        Ok(RecordPage { records, next: after })
    }

    async fn get(&self, account: &AccountId, call_id: &str) -> Result<Option<CallRecord>, StoreError> {
        let id = format!("{account}/{call_id}");
        Ok(self.read_records([id.as_str()].into_iter()).await?.pop().flatten())
    }

    async fn summary(&self, account: &AccountId, campaign_id: &str) -> Result<Summary, StoreError> {
        let owner = format!("{account}:{campaign_id}");
        let mut pipeline = pipe();
        pipeline.atomic();
        pipeline.cmd("HGETALL").arg(self.keys.of("outcomes", &owner));
        for kind in ["entries", "reached", "dialled"] {
            pipeline.cmd("HLEN").arg(self.keys.of(kind, &owner));
        }
        type Numbers = (Vec<(String, u64)>, u64, u64, u64);
        let (outcomes, uploaded, reached, dialled): Numbers = self.shared.read(&pipeline).await?;
        let counts = read_counts(outcomes.iter().map(|(name, records)| (name, records)));
        Ok(Summary {
            entries_uploaded: uploaded,
            entries_with_result: reached,
            entries_dialled: dialled,
            records: counts.iter().map(|count| count.records).sum(),
            counts,
        })
    }

    async fn count_by_hour(
        &self,
        account: &AccountId,
        campaign_id: Option<&str>,
        first_hour: i64,
        hours: usize,
    ) -> Result<Vec<HourCount>, StoreError> {
        check_hours(hours)?;
        if hours == 0 {
            return Ok(Vec::new());
        }
        let mut get = cmd("HMGET");
        match campaign_id {
            Some(campaign) => get.arg(self.keys.of("arrivals", format_args!("{account}:{campaign}"))),
            None => get.arg(self.keys.of("arrivals", account)),
        };
        for hour in (first_hour..).take(hours) {
            get.arg(arrival_field(hour, ReceivedVia::Push)).arg(arrival_field(hour, ReceivedVia::Search));
        }
        let counts: Vec<Option<u64>> = self.shared.read(&get).await?;
        let count = |of: Option<&Option<u64>>| of.copied().flatten().unwrap_or(0);
        let pairs = counts.chunks(2);
        Ok(pairs
            .map(|pair| HourCount { by_push: count(pair.first()), only_by_search: count(pair.get(1)) })
            .collect())
    }

    async fn expire(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        self.expire_in_steps(&self.scripts.expire_records, older_than.millis()).await
    }
}

impl Redis {
    async fn query_one_call(
        &self,
        accounts: &[AccountId],
        query: &RecordQuery,
        call_id: &str,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let ids: Vec<String> = accounts.iter().map(|account| format!("{account}/{call_id}")).collect();
        let found = self.read_records(ids.iter().map(String::as_str)).await?;
        let place = |record: &CallRecord| (score(record.sort_millis()), record.id());
        let after = after.map(|key| (score(key.sort_millis), key.id));
        let mut records: Vec<CallRecord> = found
            .into_iter()
            .flatten()
            .filter(|record| query.matches(record))
            .filter(|record| after.as_ref().is_none_or(|after| place(record) > *after))
            .collect();
        records.sort_by_key(place);
        records.truncate(limit);
        let next = records
            .last()
            .filter(|_| records.len() >= limit)
            .map(|record| PageKey { sort_millis: record.sort_millis(), id: record.id() });
        Ok(RecordPage { records, next })
    }

    /// The next places over all indexes of a query, in order.
    async fn read_places(
        &self,
        accounts: &[AccountId],
        query: &RecordQuery,
        after: Option<&PageKey>,
        step: usize,
    ) -> Result<Vec<PageKey>, StoreError> {
        let bound = |time: Option<Timestamp>, open: &str| {
            time.map_or_else(|| open.to_owned(), |time| score(time.millis()).to_string())
        };
        let mut call = scripts::call(&self.scripts.page, &self.keys);
        call.arg(bound(query.started_to, "-inf")).arg(bound(query.started_from, "+inf"));
        match after {
            Some(key) => call.arg(score(key.sort_millis)).arg(&key.id),
            None => call.arg("").arg(""),
        };
        call.arg(step);
        for account in accounts {
            match &query.campaign_id {
                Some(campaign) => call.arg(format!("records:{account}:{campaign}")),
                None => call.arg(format!("records:{account}")),
            };
        }
        let pages: Vec<Vec<(String, i64)>> = self.shared.read(&call).await?;
        let mut places: Vec<(i64, String)> =
            pages.into_iter().flatten().map(|(id, score)| (score, id)).collect();
        places.sort_unstable();
        places.truncate(step);
        Ok(places.into_iter().map(|(place, id)| PageKey { sort_millis: score(place), id }).collect())
    }

    /// Records by id, `None` where there is none.
    async fn read_records(
        &self,
        ids: impl Iterator<Item = &str> + Send,
    ) -> Result<Vec<Option<CallRecord>>, StoreError> {
        let keys: Vec<String> = ids.map(|id| self.keys.of("record", id)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut get = cmd("MGET");
        get.arg(keys);
        let values: Vec<Option<Vec<u8>>> = self.shared.read(&get).await?;
        let parse = |value: Vec<u8>| parse_record(&value).ok_or_else(|| unreadable("a record"));
        values.into_iter().map(|value| value.map(parse).transpose()).collect()
    }
}

/// Counts by `{round}|{outcome}`, in order.
pub(super) fn read_counts<'a>(named: impl Iterator<Item = (&'a String, &'a u64)>) -> Vec<SummaryCount> {
    let mut counts: Vec<SummaryCount> = named.filter_map(parse_count).collect();
    counts.sort_by_key(|count| (count.round, count.outcome.as_str()));
    counts
}

fn parse_count((name, records): (&String, &u64)) -> Option<SummaryCount> {
    let (round, outcome) = name.split_once('|')?;
    let outcome: Outcome = outcome.parse().ok()?;
    Some(SummaryCount { outcome, round: round.parse().ok(), records: *records })
}
