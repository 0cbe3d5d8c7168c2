//! Rosters that were uploaded, and their entries.

use async_trait::async_trait;
use outdial_core::{AccountId, PartForm, Timestamp, VendorId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{StoreError, StoreErrorKind, SummaryCount};

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RosterStatus {
    /// It is being sent. After a crash in this state, parts that were being sent are `unknown`.
    Sending,
    /// Every part was taken.
    Accepted,
    /// Some parts were taken, or some entries skipped.
    Partial,
    /// No part was taken.
    Failed,
    /// Of at least one part it is unknown whether it was taken.
    Unknown,
}

impl RosterStatus {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Accepted => "accepted",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// How one upstream request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredPartStatus {
    /// Not sent yet.
    Pending,
    /// Its first byte may have gone out.
    Sending,
    /// The vendor took it.
    Accepted,
    /// The vendor refused it, or it never reached the vendor.
    Refused,
    /// It may or may not have been taken; it is never sent again.
    Unknown,
}

/// One upstream request of a roster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPart {
    /// From 1.
    pub n: u32,
    /// File or JSON.
    pub form: PartForm,
    /// Entries in it.
    pub entries: u32,
    /// Size of what the vendor limits, in bytes.
    pub bytes: u64,
    /// How it ended.
    pub status: StoredPartStatus,
    /// The vendor's HTTP status.
    pub upstream_status: Option<u16>,
    /// What its request is made of, kept until the vendor has it. `None` of rosters from before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptRequest>,
}

/// What the request of one part is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRequest {
    /// Which of the roster's requests it is, from 0.
    pub request: u32,
    /// Size of its body, which is kept in chunks.
    pub bytes: u64,
}

/// A request without its body and without the token. Those of many parts are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRequest {
    /// The HTTP method.
    pub method: String,
    /// Path and query below the vendor's address, beginning with `/`.
    pub target: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
}

/// A roster as it is kept and answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRoster {
    /// Fence of the lease under which it is written. First in the JSON, where stores look for it.
    #[serde(default)]
    pub fence: u64,
    /// `ros_` and a UUIDv7, so that ids sort by time.
    pub id: String,
    /// Where it went.
    pub account: AccountId,
    /// The account's vendor.
    pub vendor: VendorId,
    /// Where it went.
    pub campaign_id: String,
    /// How it ended.
    pub status: RosterStatus,
    /// Entries in the request.
    pub received: u64,
    /// Entries that the vendor took.
    pub accepted: u64,
    /// Entries that were refused by us or by the vendor.
    pub rejected: u64,
    /// Why entries were refused by us; JSON objects as answered. Bounded by the gateway.
    pub rejections: Vec<Value>,
    /// The upstream requests.
    pub parts: Vec<StoredPart>,
    /// When the request came in.
    pub created_at: Timestamp,
    /// The requests that its parts are sent with.
    #[serde(default)]
    pub requests: Vec<StoredRequest>,
    /// How often sending was begun: 1 for the upload, one more for each retry.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// Entries that the vendor took in earlier attempts.
    #[serde(default)]
    pub accepted_before: u64,
    /// Whether its sender's death leaves it to others to send what was not begun: nobody waits for the answer.
    #[serde(default)]
    pub detached: bool,
}

const fn first_attempt() -> u32 {
    1
}

/// What is kept of an entry, so that a result can be joined to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// The uploader's own id.
    pub entry_id: String,
    /// The number to call.
    pub number: String,
    /// The uploader's own id of the customer.
    pub customer_id: Option<String>,
}

/// What came of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryOutcomes {
    /// Entries that are kept.
    pub entries: u64,
    /// Those of which a result is known, dialled or not.
    pub with_result: u64,
    /// Those that were dialled at least once.
    pub dialled: u64,
    /// Records of them, sorted by round, then outcome.
    pub counts: Vec<SummaryCount>,
}

/// Most entries that one call takes.
const ENTRIES_LIMIT: usize = 10_000;

/// Refuses too many entries.
pub(crate) fn check_entries(entries: &[EntryRow]) -> Result<(), StoreError> {
    if entries.len() <= ENTRIES_LIMIT {
        return Ok(());
    }
    let detail = format!("{} entries in one call are more than {ENTRIES_LIMIT}", entries.len());
    Err(StoreError::new(StoreErrorKind::Invalid, detail))
}

/// Which rosters a reader asks for.
#[derive(Clone, Debug, Default)]
pub struct RosterFilter {
    /// Only of these; never empty.
    pub accounts: Vec<AccountId>,
    /// Only of this campaign.
    pub campaign_id: Option<String>,
    /// Only in this state.
    pub status: Option<RosterStatus>,
}

/// Rosters.
#[async_trait]
pub trait Rosters: Send + Sync {
    /// Stores a roster, new or changed, durably, unless it was stored under a later fence: then somebody else sends it by
    /// now. Answers whether it did.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`; storing the same roster again is safe.
    async fn put_roster(&self, roster: &StoredRoster) -> Result<bool, StoreError>;

    /// Stores entries of a roster durably, under its account and campaign; an entry id that is known already is overwritten.
    /// At most 10,000 a call.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`; storing the same entries again is safe. `Invalid` above 10,000.
    async fn put_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
        entries: Vec<EntryRow>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Removes the entries of a roster, withheld ones too.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`.
    async fn remove_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError>;

    /// Sets the entries of a roster that the vendor did not take aside: they are found and counted no longer. Those that are
    /// another roster's by now stay as they are.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`; doing it again is safe.
    async fn withhold_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError>;

    /// Puts withheld entries back, durably, as if they were uploaded now: they overwrite others of their ids.
    ///
    /// # Errors
    /// `Unavailable`, `OutcomeUnknown`; doing it again is safe.
    async fn restore_entries(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<(), StoreError>;

    /// What came of the entries of a roster, those that are another roster's by now not counted. It looks at each of them
    /// once.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn entry_outcomes(
        &self,
        account: &AccountId,
        campaign_id: &str,
        roster_id: &str,
    ) -> Result<EntryOutcomes, StoreError>;

    /// One roster.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_roster(&self, id: &str) -> Result<Option<StoredRoster>, StoreError>;

    /// Up to `limit` rosters, newest first, older than the roster `before`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_rosters(
        &self,
        filter: &RosterFilter,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredRoster>, StoreError>;

    /// One entry, as last uploaded.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_entry(
        &self,
        account: &AccountId,
        campaign_id: &str,
        entry_id: &str,
    ) -> Result<Option<EntryRow>, StoreError>;

    /// Removes rosters that were created, and entries and bodies that were stored, before a time. Answers how many entries and
    /// chunks of bodies were removed, at most some ten thousand a call.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn expire_rosters(&self, older_than: Timestamp) -> Result<u64, StoreError>;
}
