//! What a walk found in one hour, and what is kept of it as the proof of that hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most campaigns of one hour that are counted by name.
const CAMPAIGNS_LIMIT: usize = 50;
/// Longest id of a campaign that is counted by name.
const CAMPAIGN_BYTES: usize = 128;

/// Records of one hour, or of one of its campaigns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Records that the vendor's search showed.
    pub(super) found: u64,
    /// Records of which it told something else than was known.
    pub(super) differing: u64,
}

impl Counts {
    fn add(&mut self, is_differing: bool) {
        self.found += 1;
        self.differing += u64::from(is_differing);
    }
}

/// What one walk found in one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) all: Counts,
    pub(super) campaigns: BTreeMap<String, Counts>,
    /// Whether there were more campaigns than are counted by name.
    pub(super) more: bool,
}

impl Tally {
    /// Counts a record.
    pub(super) fn count(&mut self, campaign: Option<&str>, is_differing: bool) {
        self.all.add(is_differing);
        let Some(campaign) = campaign else { return };
        match named(&mut self.campaigns, campaign) {
            Some(counts) => counts.add(is_differing),
            None => self.more = true,
        }
    }
}

/// The counts of a campaign, if there is room for it.
fn named<'a>(campaigns: &'a mut BTreeMap<String, Counts>, id: &str) -> Option<&'a mut Counts> {
    if !campaigns.contains_key(id) {
        if campaigns.len() >= CAMPAIGNS_LIMIT || id.len() > CAMPAIGN_BYTES {
            return None;
        }
        campaigns.insert(id.to_owned(), Counts::default());
    }
    campaigns.get_mut(id)
}

/// What is known of one hour at the vendor. `differing` adds up over all walks, the rest is the last whole walk's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HourProof {
    /// When the hour was last walked whole, in milliseconds since the epoch. Without it nothing is proved.
    pub(super) walked_at: Option<i64>,
    /// Records of that walk, of whatever hour, that could not be read.
    pub(super) unreadable: u64,
    pub(super) tally: Tally,
}

/// A walk that tells all of an hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeWalk {
    pub(super) begun_at: i64,
    pub(super) unreadable: u64,
}

impl HourProof {
    /// Adds what a walk found in the hour. A walk that was overtaken by a later one proves nothing.
    pub(super) fn add(&mut self, found: &Tally, whole: Option<WholeWalk>) {
        let whole = whole.filter(|walk| self.walked_at.is_none_or(|known| known < walk.begun_at));
        if let Some(walk) = whole {
            self.walked_at = Some(walk.begun_at);
            self.unreadable = walk.unreadable;
            self.tally.more = found.more;
            self.tally.all.found = found.all.found;
            for counts in self.tally.campaigns.values_mut() {
                counts.found = 0;
            }
        }
        self.tally.all.differing += found.all.differing;
        for (id, new) in &found.campaigns {
            match named(&mut self.tally.campaigns, id) {
                Some(counts) => {
                    counts.differing += new.differing;
                    if whole.is_some() {
                        counts.found = new.found;
                    }
                }
                None => self.tally.more = true,
            }
        }
    }

    /// The counts of the hour, or of one campaign in it; `None` for a campaign that was not counted by name.
    pub(super) fn counts(&self, campaign: Option<&str>) -> Option<Counts> {
        let Some(campaign) = campaign else { return Some(self.tally.all) };
        let named = self.tally.campaigns.get(campaign).copied();
        named.or_else(|| (!self.tally.more).then(Counts::default))
    }
}
