//! `records`: prints call records as they stream in.

use reqwest::{Method, Response};
use serde_json::Value;

use crate::{
    api::{Api, describe, query},
    arguments::{Output, RecordsOptions},
    failure::Failure,
    output,
};

/// Prints records.
pub async fn run(options: &RecordsOptions) -> Result<(), Failure> {
    let api = Api::new(&options.gateway)?;
    let mut pairs: Vec<(&str, &str)> = vec![("limit", "500")];
    pairs.extend(options.accounts.iter().map(|account| ("account", account.as_str())));
    for filter in &options.filters {
        let pair = filter.split_once('=').ok_or_else(|| Failure::new("--filter is not NAME=VALUE"))?;
        pairs.push(pair);
    }
    pairs.extend(options.source.as_deref().map(|source| ("source", source)));
    if options.raw {
        pairs.push(("include", "raw"));
    }
    let accept = if options.output == Output::Csv { "text/csv" } else { "application/x-ndjson" };
    let path = format!("/v1/call-records{}", query(&pairs));
    let response = api.send(api.request(Method::GET, &path).header("accept", accept)).await?;
    match options.output {
        Output::Csv => copy(response).await,
        Output::Json => each_line(response, |line| output::line(line)).await,
        Output::Table => {
            print_row(["started", "account", "call", "called", "outcome", "talked", "revision"])?;
            each_line(response, |line| print_record(&serde_json::from_str(line).unwrap_or_default())).await
        }
    }
}

fn print_row(columns: [&str; 7]) -> Result<(), Failure> {
    let [started, account, call, called, outcome, talked, revision] = columns;
    output::line(format_args!(
        "{started:<24} {account:<12} {call:<38} {called:<13} {outcome:<13} {talked:>6} {revision:>8}"
    ))
}

/// One line of a table.
pub fn print_record(record: &Value) -> Result<(), Failure> {
    let text = |name: &str| match &record[name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let talked = text("talk_seconds");
    print_row([
        &text("started_at"),
        &text("account"),
        &text("call_id"),
        &text("called"),
        &text("outcome"),
        &talked,
        &text("revision"),
    ])
}

async fn copy(mut response: Response) -> Result<(), Failure> {
    while let Some(chunk) = response.chunk().await? {
        output::bytes(&chunk)?;
    }
    Ok(())
}

/// Calls `take` with each line; a line that holds a problem ends the listing as a failure.
async fn each_line(
    mut response: Response,
    take: impl Fn(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut pending = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        pending.extend_from_slice(&chunk);
        let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else { continue };
        let rest = pending.split_off(end + 1);
        let complete = std::mem::replace(&mut pending, rest);
        for line in String::from_utf8_lossy(&complete).lines() {
            if line.starts_with("{\"problem\":") {
                let value: Value = serde_json::from_str(line).unwrap_or_default();
                let problem = &value["problem"];
                let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok());
                return Err(Failure::new(describe(status.unwrap_or_default(), problem)));
            }
            take(line)?;
        }
    }
    Ok(())
}
