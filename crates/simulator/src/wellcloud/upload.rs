//! Uploads as they were received, for whoever wants to compare.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::roster::Entry;

/// Which of the two upload addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UploadForm {
    /// `/ocm/fileupload`.
    File,
    /// `/ocm/v1/rosterinfo/create/{activityId}`.
    Json,
}

/// One roster upload that came with a good token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The form it came in.
    pub form: UploadForm,
    /// The activity id it named.
    pub campaign: String,
    /// Bytes of the file itself, or of the JSON body.
    pub bytes: usize,
    /// The status it was answered with.
    pub status: u16,
    /// Whether its entries are worked on.
    pub taken: bool,
    /// Entries read from it; 0 when it could not be read.
    pub count: usize,
    /// The entries' ids, in order.
    pub entry_ids: Vec<String>,
    /// The entries' numbers, in the same order.
    pub numbers: Vec<String>,
    /// What else the entries say, in the same order.
    pub details: Vec<EntryDetails>,
}

/// What an uploaded entry says beside its id and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryDetails {
    /// `prdType`.
    pub product_type: String,
    /// The agent chosen beforehand; JSON form only.
    pub agent: Option<String>,
    /// `customerId`.
    pub customer_id: Option<String>,
    /// The pairs of `userData`; file form only.
    pub user_data: BTreeMap<String, String>,
}

/// An upload as it is kept.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) form: UploadForm,
    pub(crate) campaign: String,
    pub(crate) bytes: usize,
    pub(crate) status: u16,
    pub(crate) taken: bool,
    pub(crate) entries: Arc<Vec<Entry>>,
}

impl Received {
    /// The upload as it is shown.
    pub(crate) fn show(&self) -> Upload {
        let entries = self.entries.iter();
        Upload {
            form: self.form,
            campaign: self.campaign.clone(),
            bytes: self.bytes,
            status: self.status,
            taken: self.taken,
            count: self.entries.len(),
            entry_ids: entries.clone().map(|entry| entry.entry_id.clone()).collect(),
            numbers: entries.clone().map(|entry| entry.number.clone()).collect(),
            details: entries.map(EntryDetails::from).collect(),
        }
    }
}

impl From<&Entry> for EntryDetails {
    fn from(entry: &Entry) -> Self {
        Self {
            product_type: entry.product_type.clone(),
            agent: entry.agent.clone(),
            customer_id: entry.customer_id.clone(),
            user_data: entry.user_data.iter().cloned().collect(),
        }
    }
}
