//! Call records as CSV, for spreadsheets.

use csv_core::{WriteResult, Writer};
use outdial_core::{PhoneNumber, Record};

/// The columns, in order; behind them comes `raw` where it is wanted.
const COLUMNS: [&str; 40] = [
    "id",
    "account",
    "vendor",
    "call_id",
    "campaign_id",
    "task_id",
    "batch_id",
    "roster_entry_id",
    "round",
    "caller",
    "called",
    "called_region.area_code",
    "called_region.name",
    "called_line_type",
    "called_carrier",
    "agent.id",
    "agent.extension",
    "disposition",
    "outcome",
    "ended_by",
    "started_at",
    "ringing_at",
    "answered_at",
    "bridged_at",
    "ended_at",
    "agent_leg.started_at",
    "agent_leg.ringing_at",
    "agent_leg.answered_at",
    "agent_leg.ended_at",
    "answered_seconds",
    "talk_seconds",
    "total_seconds",
    "recording_url",
    "user_data",
    "vendor_codes.outcome",
    "vendor_codes.message",
    "vendor_codes.ended_by",
    "received_via",
    "received_at",
    "revision",
];

/// Writes records as lines.
pub struct CsvWriter {
    writer: Writer,
    include_raw: bool,
}

impl CsvWriter {
    /// A writer of rows with or without the vendor's own JSON.
    pub fn new(include_raw: bool) -> Self {
        Self { writer: Writer::new(), include_raw }
    }

    /// The header row.
    pub fn header(&mut self) -> Vec<u8> {
        let raw = self.include_raw.then_some("raw");
        self.line(COLUMNS.into_iter().chain(raw).map(str::to_owned))
    }

    /// A record's row.
    pub fn row(&mut self, record: &Record<'_>) -> Vec<u8> {
        let raw = record.raw.as_ref().map(|raw| raw.get().to_owned()).unwrap_or_default();
        let raw = self.include_raw.then_some(raw);
        self.line(fields(record).into_iter().chain(raw).map(neutralize))
    }

    fn line(&mut self, fields: impl Iterator<Item = String>) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        for (at, field) in fields.enumerate() {
            if at > 0 {
                self.write(&mut line, |writer, out| writer.delimiter(out));
            }
            let mut rest = field.as_bytes();
            let mut out = [0; 1024];
            loop {
                let (result, read, written) = self.writer.field(rest, &mut out);
                line.extend_from_slice(&out[..written]);
                rest = &rest[read..];
                if matches!(result, WriteResult::InputEmpty) {
                    break;
                }
            }
        }
        self.write(&mut line, |writer, out| writer.terminator(out));
        line
    }

    fn write(&mut self, line: &mut Vec<u8>, step: impl Fn(&mut Writer, &mut [u8]) -> (WriteResult, usize)) {
        let mut out = [0; 16];
        let (_, written) = step(&mut self.writer, &mut out);
        line.extend_from_slice(&out[..written]);
    }
}

/// A spreadsheet takes a cell that begins so for a formula and runs it.
fn neutralize(field: String) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field }
}

fn fields(record: &Record<'_>) -> Vec<String> {
    fn text<T: ToString>(value: Option<&T>) -> String {
        value.map(ToString::to_string).unwrap_or_default()
    }
    let number = |value: &Option<PhoneNumber<'_>>| {
        value.as_ref().map(|number| number.as_str().to_owned()).unwrap_or_default()
    };
    let region = record.called_region.as_ref();
    let agent = record.agent.as_ref();
    let leg = record.agent_leg.clone().unwrap_or_default();
    let user_data = record.user_data.as_ref().and_then(|data| serde_json::to_string(data).ok());
    vec![
        record.id(),
        record.account.to_string(),
        record.vendor.to_string(),
        record.call_id.to_string(),
        text(record.campaign_id.as_ref()),
        text(record.task_id.as_ref()),
        text(record.batch_id.as_ref()),
        text(record.roster_entry_id.as_ref()),
        text(record.round.as_ref()),
        number(&record.caller),
        number(&record.called),
        text(region.and_then(|region| region.area_code.as_ref())),
        text(region.and_then(|region| region.name.as_ref())),
        text(record.called_line_type.as_ref()),
        text(record.called_carrier.as_ref()),
        text(agent.and_then(|agent| agent.id.as_ref())),
        text(agent.and_then(|agent| agent.extension.as_ref())),
        record.disposition.to_string(),
        record.outcome.to_string(),
        text(record.ended_by.as_ref()),
        text(record.started_at.as_ref()),
        text(record.ringing_at.as_ref()),
        text(record.answered_at.as_ref()),
        text(record.bridged_at.as_ref()),
        text(record.ended_at.as_ref()),
        text(leg.started_at.as_ref()),
        text(leg.ringing_at.as_ref()),
        text(leg.answered_at.as_ref()),
        text(leg.ended_at.as_ref()),
        text(record.answered_seconds.as_ref()),
        text(record.talk_seconds.as_ref()),
        text(record.total_seconds.as_ref()),
        text(record.recording_url.as_ref()),
        user_data.unwrap_or_default(),
        text(record.vendor_codes.outcome.as_ref()),
        text(record.vendor_codes.message.as_ref()),
        text(record.vendor_codes.ended_by.as_ref()),
        record.received_via.to_string(),
        record.received_at.to_string(),
        record.revision.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use outdial_core::{CallRecord, ReceivedVia, Timestamp, VendorId};

    #[test]
    fn a_row_has_every_column_and_no_formula() {
        let account = "ic-1".parse().unwrap();
        let now = Timestamp::from_millis(5);
        let mut record =
            CallRecord::new(account, VendorId::new("icsoc"), "68".into(), ReceivedVia::Push, now);
        record.vendor_codes.message = Some("=HYPERLINK(\"x\"),a".into());
        let mut writer = CsvWriter::new(false);
        let header = String::from_utf8(writer.header()).unwrap();
        let row = String::from_utf8(writer.row(&record)).unwrap();
        assert_eq!(header.trim_end().split(',').count(), COLUMNS.len());
        assert!(row.starts_with("ic-1/68,ic-1,icsoc,68,,"));
        assert!(row.contains(",\"'=HYPERLINK(\"\"x\"\"),a\","), "{row}");
        assert_eq!(fields(&record).len(), COLUMNS.len());
        let mut writer = CsvWriter::new(true);
        assert!(writer.header().ends_with(b",revision,raw\n") && writer.row(&record).ends_with(b",1,\n"));
    }
}
