//! What came of the entries of a roster: joined from the call records by the entries' ids.

use std::collections::BTreeMap;

use outdial_core::Outcome;
use outdial_store::{Store, StoreError, StoredPartStatus, StoredRoster, SummaryCount};

use super::{EntriesView, upload::entries_key};

/// Counts what came of the entries that the vendor took or may have taken, part by part: each part is a question of its own to
/// the store, so that none of them is long.
///
/// # Errors
/// When the store is away.
pub async fn count_outcomes(store: &dyn Store, roster: &StoredRoster) -> Result<EntriesView, StoreError> {
    let mut view = EntriesView::default();
    let mut counts: BTreeMap<(Option<u32>, &str), (Outcome, u64)> = BTreeMap::new();
    for part in &roster.parts {
        if matches!(part.status, StoredPartStatus::Pending | StoredPartStatus::Refused) {
            continue;
        }
        let key = entries_key(&roster.id, part.n);
        let outcomes = store.entry_outcomes(&roster.account, &roster.campaign_id, &key).await?;
        view.waiting += outcomes.entries.saturating_sub(outcomes.with_result);
        view.dialled += outcomes.dialled;
        view.not_dialled += outcomes.with_result.saturating_sub(outcomes.dialled);
        for SummaryCount { outcome, round, records } in outcomes.counts {
            counts.entry((round, outcome.as_str())).or_insert((outcome, 0)).1 += records;
        }
    }
    let count = |((round, _), (outcome, records))| SummaryCount { outcome, round, records };
    view.by = counts.into_iter().map(count).collect();
    Ok(view)
}
