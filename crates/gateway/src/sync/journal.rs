//! Where the sync keeps how far it has got: in the store, so that another replica goes on where one stopped.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use outdial_core::AccountId;
use outdial_store::{HOUR_MILLIS, Store, StoreError};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    progress::{Progress, Rules, Walk},
    tally::{HourProof, WholeWalk},
};
use crate::account_sync::{SyncConfig, Trouble};

/// Shortest time that proofs of hours are kept: as far back as coverage may be asked for, and a day.
const LEAST_LIFE: Duration = Duration::from_secs(33 * 24 * 60 * 60);
/// How often a value is written anew because someone else wrote it meanwhile.
const ROUNDS: usize = 16;
/// Hours of one value.
const DAY_HOURS: i64 = 24;

/// The proofs of one day, by the hour since the epoch.
type Day = BTreeMap<i64, HourProof>;

/// What is kept of one account's sync.
pub(super) struct Journal<'a> {
    store: &'a dyn Store,
    account: &'a AccountId,
    life: Duration,
    /// The progress as it was last read or written: what has to be there still for the next write to count.
    held: Option<Bytes>,
}

impl<'a> Journal<'a> {
    /// The journal of an account in a store that keeps records for the retention.
    pub(super) fn new(store: &'a dyn Store, account: &'a AccountId, retention: Duration) -> Self {
        Self { store, account, life: retention.max(LEAST_LIFE), held: None }
    }

    fn key(&self, kind: &str) -> String {
        format!("sync:{}:{kind}", self.account)
    }

    /// Reads the progress.
    pub(super) async fn load(&mut self) -> Result<Option<Progress>, StoreError> {
        self.held = self.store.get_value(&self.key("progress")).await?;
        Ok(self.held.as_ref().and_then(read))
    }

    /// Writes the progress, unless someone else wrote it since it was read: a late owner moves nothing back. Answers whether
    /// it was written.
    pub(super) async fn save(&mut self, progress: &Progress) -> Result<bool, StoreError> {
        let json = write(progress);
        let key = self.key("progress");
        let is_set = self.store.compare_and_set(&key, self.held.as_ref(), json.clone(), self.life).await?;
        if is_set {
            self.held = Some(json);
        }
        Ok(is_set)
    }

    /// The trouble that is to be made up for.
    pub(super) async fn trouble(&self) -> Result<Option<Trouble>, StoreError> {
        let stored = self.store.get_value(&self.key("trouble")).await?;
        Ok(stored.as_ref().and_then(read))
    }

    /// Adds to the trouble that is to be made up for.
    pub(super) async fn add_trouble(&self, trouble: Trouble) -> Result<(), StoreError> {
        self.change(&self.key("trouble"), |known: Option<Trouble>| Some(trouble.and(known))).await
    }

    /// Takes off the trouble what a walk has made up for.
    pub(super) async fn relieve(&self, walk: &Walk, rules: &Rules) -> Result<(), StoreError> {
        self.change(&self.key("trouble"), |known: Option<Trouble>| {
            known.and_then(|trouble| walk.relieve(trouble, rules))
        })
        .await
    }

    /// Whether bytes of the vendor's that cannot be read are known already. Otherwise they are to be kept, and then noted.
    pub(super) async fn knows_unreadable(&self, digest: &str) -> Result<bool, StoreError> {
        let known = self.store.get_value(&self.key(&format!("unreadable:{digest}"))).await?;
        Ok(known.is_some())
    }

    /// Notes bytes that cannot be read, after they were kept.
    pub(super) async fn note_unreadable(&self, digest: &str) -> Result<(), StoreError> {
        let key = self.key(&format!("unreadable:{digest}"));
        self.store.put_value(&key, Bytes::from_static(b"1"), self.life).await
    }

    /// Keeps what a finished walk found in each hour. `is_proof` is false for a walk that may not have seen everything.
    pub(super) async fn add_walk(
        &self,
        walk: &Walk,
        is_proof: bool,
        config: &SyncConfig,
    ) -> Result<(), StoreError> {
        let whole = WholeWalk { begun_at: walk.begun_at, unreadable: walk.unreadable };
        let mut days: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let settled = walk.whole_hours().filter(|hour| is_proof && walk.settles(*hour, config));
        let mut hours: Vec<i64> = settled.chain(walk.hours.keys().copied()).collect();
        hours.sort_unstable();
        hours.dedup();
        for hour in hours {
            days.entry(hour.div_euclid(DAY_HOURS)).or_default().push(hour);
        }
        let proves = |hour: i64| is_proof && walk.settles(hour, config) && hour * HOUR_MILLIS >= walk.from;
        for (day, hours) in days {
            self.change(&self.day_key(day), |known: Option<Day>| {
                let mut proofs = known.unwrap_or_default();
                for hour in &hours {
                    let found = walk.hours.get(hour).cloned().unwrap_or_default();
                    proofs.entry(*hour).or_default().add(&found, proves(*hour).then_some(whole));
                }
                Some(proofs)
            })
            .await?;
        }
        Ok(())
    }

    /// What is known of hours since the epoch.
    pub(super) async fn proofs(&self, first_hour: i64, hours: usize) -> Result<Day, StoreError> {
        let last_hour = first_hour + i64::try_from(hours).unwrap_or(0) - 1;
        let mut proofs = Day::new();
        for day in first_hour.div_euclid(DAY_HOURS)..=last_hour.div_euclid(DAY_HOURS) {
            if let Some(json) = self.store.get_value(&self.day_key(day)).await? {
                proofs.extend(read::<Day>(&json).unwrap_or_default());
            }
        }
        Ok(proofs)
    }

    fn day_key(&self, day: i64) -> String {
        self.key(&format!("day:{day}"))
    }

    /// Changes a value that others may change too. `None` empties it.
    async fn change<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        change: impl Fn(Option<T>) -> Option<T>,
    ) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            let held = self.store.get_value(key).await?;
            let changed = change(held.as_ref().and_then(read));
            let json = write(&changed);
            let is_same = held.as_ref().map_or(changed.is_none(), |held| *held == json);
            if is_same || self.store.compare_and_set(key, held.as_ref(), json, self.life).await? {
                return Ok(());
            }
        }
        let detail = format!("others changed {key} {ROUNDS} times over");
        Err(StoreError::new(outdial_store::StoreErrorKind::Unavailable, detail))
    }
}

/// What cannot be read is taken for absent: it was written by a later version, and the walk begins anew.
fn read<T: DeserializeOwned>(json: &Bytes) -> Option<T> {
    serde_json::from_slice(json).ok()
}

fn write<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outdial_core::{ManualClock, Timestamp};
    use outdial_store::StoreSettings;

    use super::*;

    const CONFIG: SyncConfig =
        SyncConfig { interval: Duration::from_secs(300), lookback: Duration::from_secs(900) };
    /// The beginning of some hour.
    const START: i64 = 470_000 * HOUR_MILLIS;

    async fn store(folder: &tempfile::TempDir) -> Arc<dyn Store> {
        let settings = StoreSettings {
            url: format!("sqlite:{}", folder.path().join("store.db").display()).into(),
            prefix: "outdial".into(),
            spool_dir: None,
            spool_max_bytes: 0,
            retention: Duration::from_secs(60),
            min_replicas: 0,
            allow_relaxed: false,
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(START))),
        };
        outdial_store::open(settings).await.unwrap()
    }

    #[tokio::test]
    async fn a_late_owner_moves_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let (store, account) = (store(&folder).await, "ic-1".parse().unwrap());
        let journal = || Journal::new(&*store, &account, Duration::from_secs(60));
        let (mut late, mut next) = (journal(), journal());
        assert_eq!((late.load().await.unwrap(), next.load().await.unwrap()), (None, None));
        let progress = |fence| Progress { fence, ..Progress::begin(START, &CONFIG) };
        assert!(late.save(&progress(1)).await.unwrap());
        assert!(!next.save(&progress(2)).await.unwrap(), "it has to know what it takes over");
        next.load().await.unwrap();
        assert!(next.save(&progress(2)).await.unwrap());
        assert!(!late.save(&progress(1)).await.unwrap());
        assert!(next.save(&Progress { through: START + 1, ..progress(2) }).await.unwrap());
        assert_eq!(journal().load().await.unwrap().unwrap().through, START + 1);
        store.put_value("sync:ic-1:progress", Bytes::from_static(b"?"), LEAST_LIFE).await.unwrap();
        let mut anew = journal();
        assert_eq!(anew.load().await.unwrap(), None);
        assert!(anew.save(&progress(3)).await.unwrap(), "what cannot be read is written over");
    }

    #[tokio::test]
    async fn trouble_adds_up_until_it_is_made_up_for() {
        let folder = tempfile::tempdir().unwrap();
        let (store, account) = (store(&folder).await, "ic-1".parse().unwrap());
        let journal = Journal::new(&*store, &account, Duration::from_secs(60));
        let walk = |to| Walk { from: START - HOUR_MILLIS, to, begun_at: to, ..Walk::default() };
        let rules = Rules { config: CONFIG, retention: 24 * HOUR_MILLIS };
        journal.relieve(&walk(START), &rules).await.unwrap();
        assert_eq!(journal.trouble().await.unwrap(), None);
        journal.add_trouble(Trouble { since: START + 5, until: START + 5 }).await.unwrap();
        journal.add_trouble(Trouble { since: START + 9, until: START + 9 }).await.unwrap();
        assert_eq!(journal.trouble().await.unwrap(), Some(Trouble { since: START + 5, until: START + 9 }));
        journal.relieve(&walk(START + 7), &rules).await.unwrap();
        assert_eq!(journal.trouble().await.unwrap(), Some(Trouble { since: START + 7, until: START + 9 }));
        journal.relieve(&walk(START + 9), &rules).await.unwrap();
        assert_eq!(journal.trouble().await.unwrap(), None);
    }

    #[tokio::test]
    async fn hours_are_proved_by_walks_that_saw_them_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (store, account) = (store(&folder).await, "ic-1".parse().unwrap());
        let journal = Journal::new(&*store, &account, Duration::from_secs(60));
        let mut walk = Walk { from: START - 1, to: START + 26 * HOUR_MILLIS, ..Walk::default() };
        walk.begun_at = walk.to;
        for hour in [470_000, 470_025] {
            walk.hours.entry(hour).or_default().count(Some("c"), true);
        }
        journal.add_walk(&walk, false, &CONFIG).await.unwrap();
        let found = async || -> Vec<(i64, Option<u64>, u64)> {
            let proofs = journal.proofs(469_999, 28).await.unwrap();
            let shown = |proof: &HourProof| {
                let counts = proof.counts(Some("c")).unwrap();
                (proof.walked_at.map(|_| counts.found), counts.differing)
            };
            proofs.iter().map(|(hour, proof)| (hour - 470_000, shown(proof).0, shown(proof).1)).collect()
        };
        assert_eq!(found().await, [(0, None, 1), (25, None, 1)], "a mark was repeated");
        journal.add_walk(&walk, true, &CONFIG).await.unwrap();
        let proved = found().await;
        assert_eq!(proved.len(), 26);
        assert_eq!((proved[0], proved[1]), ((0, Some(1), 2), (1, Some(0), 0)));
        assert_eq!((proved[24], proved[25]), ((24, Some(0), 0), (25, None, 2)), "the last one is just over");
    }
}
