//! A roster as it is answered.

use outdial_core::{AccountId, PartForm, Timestamp, VendorId};
use outdial_store::{StoredPart, StoredPartStatus, StoredRoster, SummaryCount};
use serde::Serialize;
use serde_json::Value;

use super::Prepared;
use crate::accounts::Account;

/// A roster as it is answered; openapi.yaml describes each field.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "openapi.yaml describes each field under Roster")]
pub struct RosterView {
    pub id: Option<String>,
    pub account: AccountId,
    pub vendor: VendorId,
    pub campaign_id: String,
    pub status: &'static str,
    pub received: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub rejections: Vec<Value>,
    pub rejections_total: u64,
    pub parts: Vec<PartView>,
    pub attempts: u32,
    pub progress: Progress,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<EntriesView>,
    pub created_at: Timestamp,
}

/// How far sending is, as it is answered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Progress {
    pub parts_done: u64,
    pub parts_total: u64,
}

/// What came of a roster's entries, as it is answered.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "openapi.yaml describes each field under RosterEntries")]
pub struct EntriesView {
    pub waiting: u64,
    pub dialled: u64,
    pub not_dialled: u64,
    pub by: Vec<SummaryCount>,
}

/// One upstream request as it is answered.
#[derive(Clone, Debug, Serialize)]
pub struct PartView {
    pub n: u32,
    pub form: PartForm,
    pub entries: u32,
    pub bytes: u64,
    pub status: &'static str,
    pub sent: bool,
    pub upstream_status: Option<u16>,
}

impl From<StoredRoster> for RosterView {
    fn from(roster: StoredRoster) -> Self {
        let carried: u64 = roster.parts.iter().map(|part| u64::from(part.entries)).sum();
        Self {
            id: Some(roster.id),
            account: roster.account,
            vendor: roster.vendor,
            campaign_id: roster.campaign_id,
            status: roster.status.as_str(),
            received: roster.received,
            accepted: roster.accepted,
            rejected: roster.rejected,
            rejections: roster.rejections,
            // Every entry is carried by a part or was refused by us.
            rejections_total: roster.received.saturating_sub(carried),
            attempts: roster.attempt,
            progress: Progress::of(&roster.parts),
            parts: roster.parts.iter().map(PartView::from).collect(),
            entries: None,
            created_at: roster.created_at,
        }
    }
}

impl From<&StoredPart> for PartView {
    fn from(part: &StoredPart) -> Self {
        let status = match part.status {
            StoredPartStatus::Pending => "pending",
            StoredPartStatus::Sending => "sending",
            StoredPartStatus::Accepted => "accepted",
            StoredPartStatus::Refused => "refused",
            StoredPartStatus::Unknown => "unknown",
        };
        Self {
            n: part.n,
            form: part.form,
            entries: part.entries,
            bytes: part.bytes,
            status,
            sent: may_have_arrived(part),
            upstream_status: part.upstream_status,
        }
    }
}

/// Whether a byte of the part may have reached the vendor in the last attempt. One that was refused without a status was never
/// begun, or nobody took its connection.
fn may_have_arrived(part: &StoredPart) -> bool {
    match part.status {
        StoredPartStatus::Pending => false,
        StoredPartStatus::Refused => part.upstream_status.is_some(),
        StoredPartStatus::Sending | StoredPartStatus::Accepted | StoredPartStatus::Unknown => true,
    }
}

impl Progress {
    fn of(parts: &[StoredPart]) -> Self {
        let open =
            |part: &&StoredPart| matches!(part.status, StoredPartStatus::Pending | StoredPartStatus::Sending);
        let count = |parts: usize| u64::try_from(parts).unwrap_or(u64::MAX);
        Self {
            parts_done: count(parts.len() - parts.iter().filter(open).count()),
            parts_total: count(parts.len()),
        }
    }
}

impl RosterView {
    /// What would be sent.
    pub fn planned(account: &Account, campaign_id: &str, prepared: Prepared, now: Timestamp) -> Self {
        let planned = |part: StoredPart| PartView { status: "planned", ..PartView::from(&part) };
        let parts = super::upload::stored_parts(&prepared.parts, &[]);
        Self {
            id: None,
            account: account.id.clone(),
            vendor: account.vendor.descriptor().vendor.clone(),
            campaign_id: campaign_id.to_owned(),
            status: "dry_run",
            received: prepared.received,
            accepted: prepared.received - prepared.refused,
            rejected: prepared.refused,
            rejections: prepared.rejections,
            rejections_total: prepared.refused,
            attempts: 0,
            progress: Progress::of(&parts),
            parts: parts.into_iter().map(planned).collect(),
            entries: None,
            created_at: now,
        }
    }
}
