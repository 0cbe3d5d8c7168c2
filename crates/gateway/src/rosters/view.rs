//! A roster as it is answered.

use outdial_core::{AccountId, PartForm, Timestamp, VendorId};
use outdial_store::{StoredPart, StoredPartStatus, StoredRoster};
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
    pub created_at: Timestamp,
}

/// One upstream request as it is answered.
#[derive(Clone, Debug, Serialize)]
pub struct PartView {
    pub n: u32,
    pub form: PartForm,
    pub entries: u32,
    pub bytes: u64,
    pub status: &'static str,
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
            parts: roster.parts.iter().map(PartView::from).collect(),
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
            upstream_status: part.upstream_status,
        }
    }
}

impl RosterView {
    /// What would be sent.
    pub fn planned(account: &Account, campaign_id: &str, prepared: Prepared, now: Timestamp) -> Self {
        let planned = |part: StoredPart| PartView { status: "planned", ..PartView::from(&part) };
        let parts = super::upload::stored_parts(&prepared.parts);
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
            parts: parts.into_iter().map(planned).collect(),
            created_at: now,
        }
    }
}
