//! Reading what was uploaded, as strictly as the documents are: a column too many is refused, not guessed at.

use serde::Deserialize;

/// An entry without a customer id and user data has this many columns (WellCloud contract 1, public docs).
const FEWEST_COLUMNS: usize = 3;
/// `rosterId,prdType,number,customerId,userData`.
const MOST_COLUMNS: usize = 5;

/// One entry, whichever form it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) entry_id: String,
    pub(crate) product_type: String,
    pub(crate) number: String,
    pub(crate) agent: Option<String>,
    pub(crate) customer_id: Option<String>,
    pub(crate) user_data: Vec<(String, String)>,
}

/// The JSON form's element (WellCloud contract 2; `customerId`: public docs). Anything more is refused, because
/// the documents say that nothing more travels this way.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RosterInfo {
    roster_id: String,
    prd_type: String,
    number: String,
    agent: Option<String>,
    customer_id: Option<String>,
}

/// Reads a roster file. The error names the line and never a value.
pub(crate) fn read_file(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
    let mut lines: Vec<&str> = text.split('\n').collect();
    // The last line may end with a line end, or not.
    lines.pop_if(|last| last.is_empty());
    if lines.is_empty() {
        return Err("the file holds no entry".to_owned());
    }
    let numbered = lines.into_iter().enumerate();
    numbered
        .map(|(index, line)| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            read_line(line).map_err(|reason| format!("line {}: {reason}", index + 1))
        })
        .collect()
}

fn read_line(line: &str) -> Result<Entry, String> {
    let columns: Vec<&str> = line.split(',').collect();
    if !(FEWEST_COLUMNS..=MOST_COLUMNS).contains(&columns.len()) {
        return Err(format!("{} columns", columns.len()));
    }
    let column = |index: usize| columns.get(index).copied().unwrap_or_default();
    let customer_id = column(3);
    Entry {
        entry_id: column(0).to_owned(),
        product_type: column(1).to_owned(),
        number: column(2).to_owned(),
        agent: None,
        customer_id: (!customer_id.is_empty()).then(|| customer_id.to_owned()),
        user_data: read_user_data(column(4))?,
    }
    .checked()
}

/// `key:value` pairs joined by `|` (WellCloud public docs).
fn read_user_data(text: &str) -> Result<Vec<(String, String)>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split('|')
        .map(|pair| match pair.split(':').collect::<Vec<_>>().as_slice() {
            [key, value] if !key.is_empty() => Ok(((*key).to_owned(), (*value).to_owned())),
            _ => Err("user data that is no key:value".to_owned()),
        })
        .collect()
}

/// Reads a JSON upload. The error names the place and never a value.
pub(crate) fn read_json(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let entries: Vec<RosterInfo> = serde_json::from_slice(bytes).map_err(|error| {
        format!("no array of roster entries at line {}, column {}", error.line(), error.column())
    })?;
    if entries.is_empty() {
        return Err("the array holds no entry".to_owned());
    }
    let numbered = entries.into_iter().enumerate();
    numbered
        .map(|(index, info)| {
            Entry {
                entry_id: info.roster_id,
                product_type: info.prd_type,
                number: info.number,
                agent: info.agent,
                customer_id: info.customer_id,
                user_data: Vec::new(),
            }
            .checked()
            .map_err(|reason| format!("/{index}: {reason}"))
        })
        .collect()
}

impl Entry {
    /// Refuses an entry without one of the three required values, or whose columns are plainly shifted.
    fn checked(self) -> Result<Self, String> {
        if self.entry_id.is_empty() {
            return Err("no roster id".to_owned());
        }
        if self.product_type.is_empty() {
            return Err("no product type".to_owned());
        }
        let dialled = |character: char| character.is_ascii_digit() || "+-*#".contains(character);
        if self.number.is_empty() || !self.number.chars().all(dialled) {
            return Err("the number is none".to_owned());
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/wellcloud-roster.sample.txt"
    ));

    #[test]
    fn the_sample_file_is_read_column_by_column() {
        let entries = read_file(SAMPLE).unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0].customer_id, None);
        assert_eq!(entries[1].customer_id.as_deref(), Some("a01"));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(entries[2].user_data, [pair("name", "张三"), pair("age", "26")]);
        assert_eq!(
            (entries[2].entry_id.as_str(), entries[2].product_type.as_str(), entries[2].number.as_str()),
            ("12346", "S", "17412345679")
        );
    }

    #[test]
    fn a_line_that_is_not_to_the_letter_is_refused_with_its_number() {
        let refused = [
            ("1,S", "line 1: 2 columns"),
            ("1,S,174,a,k:v,more", "line 1: 6 columns"),
            ("1,S,174\n\n2,S,174", "line 2: 1 columns"),
            ("1,S,174,a,k:v:w", "line 1: user data that is no key:value"),
            ("1,S,174,a,k:v|", "line 1: user data that is no key:value"),
            ("1,S,174,a,:v", "line 1: user data that is no key:value"),
            (",S,174", "line 1: no roster id"),
            ("1,,174", "line 1: no product type"),
            ("1,S,", "line 1: the number is none"),
            ("1,S,a,174", "line 1: the number is none"),
            ("", "the file holds no entry"),
        ];
        for (text, reason) in refused {
            assert_eq!(read_file(text.as_bytes()).unwrap_err(), reason, "{text:?}");
        }
        assert_eq!(read_file(b"1,S,174,\xb0\xa1").unwrap_err(), "the file is not UTF-8");
        assert!(read_file(b"1,S,174,,\r\n2,S,+86-174#\r\n").is_ok());
    }

    #[test]
    fn the_json_form_takes_its_documented_members_only() {
        let entries = read_json(br#"[{"rosterId":"1","prdType":"E","number":"12","agent":"5001"}]"#).unwrap();
        assert_eq!(entries[0].agent.as_deref(), Some("5001"));
        for body in [
            &br#"{"rosterId":"1","prdType":"E","number":"12"}"#[..],
            br#"[{"rosterId":1,"prdType":"E","number":"12"}]"#,
            br#"[{"rosterId":"1","prdType":"E"}]"#,
            br#"[{"rosterId":"1","prdType":"E","number":"12","userData":"k:v"}]"#,
            br#"[{"rosterId":"1","prdType":"E","number":""}]"#,
            b"[]",
        ] {
            assert!(read_json(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}
