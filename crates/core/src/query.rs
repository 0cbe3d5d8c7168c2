//! Which call records a reader asks for.

use serde::{Deserialize, Serialize};

use crate::{Disposition, EndedBy, Outcome, Record, Timestamp};

/// Filters over call records; an absent one lets everything pass. Both bounds of the time range are inclusive and speak of
/// `started_at`, or `received_at` where dialling never began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field filters the record's field of the same name")]
pub struct RecordQuery {
    pub campaign_id: Option<String>,
    pub task_id: Option<String>,
    pub call_id: Option<String>,
    pub caller: Option<String>,
    pub called: Option<String>,
    pub roster_entry_id: Option<String>,
    pub outcome: Option<Outcome>,
    pub disposition: Option<Disposition>,
    pub ended_by: Option<EndedBy>,
    pub started_from: Option<Timestamp>,
    pub started_to: Option<Timestamp>,
}

impl RecordQuery {
    /// Whether the record passes every filter. A vendor's search may know fewer filters than this, so its results are
    /// asked again here.
    pub fn matches(&self, record: &Record<'_>) -> bool {
        let text = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        text(&self.campaign_id, record.campaign_id.as_deref())
            && text(&self.task_id, record.task_id.as_deref())
            && text(&self.call_id, Some(&record.call_id))
            && text(&self.caller, record.caller.as_ref().map(|number| number.as_str()))
            && text(&self.called, record.called.as_ref().map(|number| number.as_str()))
            && text(&self.roster_entry_id, record.roster_entry_id.as_deref())
            && self.outcome.is_none_or(|wanted| record.outcome == wanted)
            && self.disposition.is_none_or(|wanted| record.disposition == wanted)
            && self.ended_by.is_none_or(|wanted| record.ended_by == Some(wanted))
            && self.started_from.is_none_or(|from| record.sort_millis() >= from.millis())
            && self.started_to.is_none_or(|to| record.sort_millis() <= to.millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CallRecord, ReceivedVia, VendorId};

    #[test]
    fn every_filter_can_refuse() {
        let mut record = CallRecord::new(
            "ic-1".parse().unwrap(),
            VendorId::new("icsoc"),
            "68".into(),
            ReceivedVia::Push,
            Timestamp::from_millis(5_000),
        );
        record.ended_by = Some(EndedBy::System);
        let text = || Some("other".to_owned());
        let refusing = [
            RecordQuery { campaign_id: text(), ..RecordQuery::default() },
            RecordQuery { task_id: text(), ..RecordQuery::default() },
            RecordQuery { call_id: text(), ..RecordQuery::default() },
            RecordQuery { caller: text(), ..RecordQuery::default() },
            RecordQuery { called: text(), ..RecordQuery::default() },
            RecordQuery { roster_entry_id: text(), ..RecordQuery::default() },
            RecordQuery { outcome: Some(Outcome::Busy), ..RecordQuery::default() },
            RecordQuery { disposition: Some(Disposition::Connected), ..RecordQuery::default() },
            RecordQuery { ended_by: Some(EndedBy::Agent), ..RecordQuery::default() },
            RecordQuery { started_from: Some(Timestamp::from_millis(5_001)), ..RecordQuery::default() },
            RecordQuery { started_to: Some(Timestamp::from_millis(4_999)), ..RecordQuery::default() },
        ];
        assert!(RecordQuery::default().matches(&record));
        for query in refusing {
            assert!(!query.matches(&record), "{query:?}");
        }
    }
}
