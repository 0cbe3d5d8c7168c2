//! What is known of an account's calls, hour by hour: what pushes brought, what only a search found, and whether that is all.

use std::time::Duration;

use outdial_core::{AccountId, Timestamp, VendorId};
use outdial_store::{CallRecords, HOUR_MILLIS, HourCount, Store, StoreError};
use serde::Serialize;

use super::{journal::Journal, tally::HourProof};
use crate::{
    accounts::Account,
    params::{ID_LIMIT, Params},
};

/// Longest time that may be asked for, in days.
const RANGE_DAYS: i64 = 31;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;
/// The year 9999, as far as times can be written.
const LATEST_MILLIS: i64 = 253_402_300_799_999;

/// Which hours are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageRequest {
    first_hour: i64,
    hours: usize,
    campaign_id: Option<String>,
}

impl CoverageRequest {
    /// Reads the parameters: `from` and `to`, rounded outwards to whole hours, and `campaign_id`. Without them the 24 hours
    /// up to now.
    pub fn read(params: &mut Params, now: Timestamp) -> Self {
        let campaign_id = params.short_text("campaign_id", ID_LIMIT);
        let (from, to) = (params.time("from"), params.time("to"));
        let in_range =
            |time: Option<Timestamp>| time.is_none_or(|time| (0..=LATEST_MILLIS).contains(&time.millis()));
        for (name, time) in [("from", from), ("to", to)] {
            if !in_range(time) {
                params.refuse(name, "not-valid", "The value lies before 1970.");
            }
        }
        let to = to
            .map_or_else(|| from.map_or(now.millis(), |from| from.millis() + DAY_MILLIS), Timestamp::millis);
        let from = from.map_or(to - DAY_MILLIS, Timestamp::millis);
        if to <= from {
            params.refuse("to", "before-start", "The value is not after from.");
        } else if to - from > RANGE_DAYS * DAY_MILLIS {
            let detail = format!("The value is more than {RANGE_DAYS} days after from.");
            params.refuse("to", "too-far", detail);
        }
        let first_hour = from.div_euclid(HOUR_MILLIS);
        let end = (to + HOUR_MILLIS - 1).div_euclid(HOUR_MILLIS);
        Self { first_hour, hours: usize::try_from(end - first_hour).unwrap_or(0), campaign_id }
    }
}

#[cfg(test)]
impl CoverageRequest {
    /// The first hour since the epoch, and how many.
    pub(super) fn span(&self) -> (i64, usize) {
        (self.first_hour, self.hours)
    }
}

/// What is known of one hour, or of all of them; openapi.yaml describes each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Numbers {
    pub by_push: u64,
    pub only_by_search: u64,
    pub differing: u64,
    pub at_vendor: Option<u64>,
    pub missing: Option<u64>,
    pub complete: Option<bool>,
}

/// One hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoveredHour {
    hour: Timestamp,
    #[serde(flatten)]
    numbers: Numbers,
    walked_at: Option<Timestamp>,
}

/// All hours that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    account: AccountId,
    vendor: VendorId,
    campaign_id: Option<String>,
    from: Timestamp,
    to: Timestamp,
    totals: Numbers,
    hours: Vec<CoveredHour>,
}

impl Coverage {
    /// Reads it from the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(
        store: &dyn Store,
        account: &Account,
        request: CoverageRequest,
    ) -> Result<Self, StoreError> {
        let CoverageRequest { first_hour, hours, campaign_id } = request;
        let campaign = campaign_id.as_deref();
        let can_search = account.vendor.descriptor().capabilities.record_search;
        let journal = Journal::new(store, &account.id, Duration::ZERO);
        let mut proofs =
            if can_search { journal.proofs(first_hour, hours).await? } else { Default::default() };
        let counts = CallRecords::count_by_hour(store, &account.id, campaign, first_hour, hours).await?;
        let hours: Vec<CoveredHour> = (first_hour..)
            .zip(counts)
            .map(|(hour, count)| {
                let proof = can_search.then(|| proofs.remove(&hour).unwrap_or_default());
                covered_hour(hour, count, proof.as_ref(), campaign)
            })
            .collect();
        let end = first_hour + i64::try_from(hours.len()).unwrap_or(0);
        Ok(Self {
            account: account.id.clone(),
            vendor: account.vendor.descriptor().vendor.clone(),
            campaign_id,
            from: Timestamp::from_millis(first_hour * HOUR_MILLIS),
            to: Timestamp::from_millis(end * HOUR_MILLIS),
            totals: sum(&hours),
            hours,
        })
    }
}

/// An hour is complete when the vendor was walked through it whole after its end, everything could be read, and the store has
/// at least as many records as the vendor showed.
fn covered_hour(
    hour: i64,
    count: HourCount,
    proof: Option<&HourProof>,
    campaign: Option<&str>,
) -> CoveredHour {
    let HourCount { by_push, only_by_search } = count;
    let mut numbers = Numbers { by_push, only_by_search, ..Numbers::default() };
    let mut walked_at = None;
    if let Some(proof) = proof {
        let counts = proof.counts(campaign);
        numbers.differing = counts.map_or(0, |counts| counts.differing);
        walked_at = proof.walked_at.map(Timestamp::from_millis);
        numbers.at_vendor = counts.filter(|_| walked_at.is_some()).map(|counts| counts.found);
        numbers.missing = numbers.at_vendor.map(|found| found.saturating_sub(by_push + only_by_search));
        numbers.complete = Some(numbers.missing == Some(0) && proof.unreadable == 0);
    }
    CoveredHour { hour: Timestamp::from_millis(hour * HOUR_MILLIS), numbers, walked_at }
}

fn sum(hours: &[CoveredHour]) -> Numbers {
    let all =
        |of: fn(&Numbers) -> Option<u64>| -> Option<u64> { hours.iter().map(|hour| of(&hour.numbers)).sum() };
    let each = |of: fn(&Numbers) -> u64| hours.iter().map(|hour| of(&hour.numbers)).sum();
    let complete: Option<Vec<bool>> = hours.iter().map(|hour| hour.numbers.complete).collect();
    Numbers {
        by_push: each(|numbers| numbers.by_push),
        only_by_search: each(|numbers| numbers.only_by_search),
        differing: each(|numbers| numbers.differing),
        at_vendor: all(|numbers| numbers.at_vendor),
        missing: all(|numbers| numbers.missing),
        complete: complete.map(|complete| complete.into_iter().all(|one| one)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(found: u64, unreadable: u64, walked_at: Option<i64>) -> HourProof {
        let mut proof = HourProof { walked_at, unreadable, ..HourProof::default() };
        proof.tally.all.found = found;
        proof
    }

    #[test]
    fn an_hour_is_complete_only_if_all_of_it_was_seen_and_read_and_stored() {
        let count = HourCount { by_push: 2, only_by_search: 1 };
        let numbers = |proof: Option<HourProof>| covered_hour(5, count, proof.as_ref(), None).numbers;
        let walked = |found, unreadable| numbers(Some(proof(found, unreadable, Some(9))));
        assert_eq!(numbers(None).complete, None);
        let unwalked = numbers(Some(proof(3, 0, None)));
        assert_eq!((unwalked.at_vendor, unwalked.missing, unwalked.complete), (None, None, Some(false)));
        assert_eq!((walked(3, 0).missing, walked(3, 0).complete), (Some(0), Some(true)));
        assert_eq!((walked(2, 0).missing, walked(2, 0).complete), (Some(0), Some(true)), "pushes came since");
        assert_eq!((walked(4, 0).missing, walked(4, 0).complete), (Some(1), Some(false)));
        assert_eq!(walked(3, 1).complete, Some(false));
    }

    #[test]
    fn a_range_is_complete_if_every_hour_is() {
        let count = HourCount { by_push: 1, only_by_search: 2 };
        let hour = |proof: Option<HourProof>| covered_hour(0, count, proof.as_ref(), None);
        let whole = || hour(Some(proof(3, 0, Some(9))));
        let sums = sum(&[whole(), whole()]);
        assert_eq!((sums.by_push, sums.only_by_search), (2, 4));
        assert_eq!((sums.at_vendor, sums.missing, sums.complete), (Some(6), Some(0), Some(true)));
        let sums = sum(&[whole(), hour(Some(proof(0, 0, None)))]);
        assert_eq!((sums.at_vendor, sums.missing, sums.complete), (None, None, Some(false)));
        assert_eq!(sum(&[hour(None)]).complete, None);
    }
}
