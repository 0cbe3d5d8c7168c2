//! The end of the demo: numbers that have to add up.

use std::collections::BTreeMap;

use serde_json::Value;

use super::steps::Steps;
use crate::failure::Failure;

/// Shows the summary.
///
/// # Errors
/// When the numbers do not add up.
pub async fn show(steps: &Steps<'_>) -> Result<(), Failure> {
    println!("\n── Summary {}", "─".repeat(69));
    let path = format!("/v1/accounts/wc-demo/campaigns/{}/summary", steps.campaign);
    let summary = steps.api.get(&path).await?;
    let count = |name: &str| summary["entries"][name].as_u64().unwrap_or_default();
    let (uploaded, with_result) = (count("uploaded"), count("with_result"));
    let (dialled, waiting) = (count("dialled"), count("waiting"));
    let never = with_result.saturating_sub(dialled);
    println!(
        "entries   uploaded {uploaded} = dialled {dialled} + waiting {waiting} + given up undialled {never}"
    );
    let outcomes: Vec<String> = summary["by_outcome"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("outcomes  {}", outcomes.join(", "));
    let counts = push_counts(steps).await?;
    let received: u64 = counts.values().sum();
    let of = |result: &str| counts.get(result).copied().unwrap_or_default();
    let (stored, duplicate, quarantined) = (of("stored"), of("duplicate"), of("quarantined"));
    println!(
        "records   received {received} = stored {stored} + duplicate {duplicate} + quarantined {quarantined}"
    );
    let stats = steps.running.control().stats();
    let acknowledged = stats.wellcloud.push.records_acknowledged + stats.icsoc.push.records_acknowledged;
    println!("vendors   say that {acknowledged} different records were acknowledged");
    println!("   $ curl -sS -H \"Authorization: Bearer $TOKEN\" {}{path}", steps.running.api_url());
    let checks = [
        ("uploaded = dialled + waiting + given up", uploaded == dialled + waiting + never),
        ("received = stored + duplicate + quarantined", received == stored + duplicate + quarantined),
        ("every acknowledged record is stored", acknowledged <= stored),
    ];
    let wrong: Vec<&str> = checks.iter().filter(|(_, holds)| !holds).map(|(name, _)| *name).collect();
    if acknowledged < stored {
        println!("          ({} more were stored, but too late for a yes)", stored - acknowledged);
    }
    if wrong.is_empty() {
        println!("The numbers add up.");
        return Ok(());
    }
    Err(Failure::new(format!("the numbers do not add up: {}", wrong.join("; "))))
}

/// Records of pushes by result, as the metrics have them.
async fn push_counts(steps: &Steps<'_>) -> Result<BTreeMap<String, u64>, Failure> {
    let text = reqwest::get(format!("{}/metrics", steps.running.admin_url())).await?.text().await?;
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("outdial_push_records_total{")) {
        let result = line.split("result=\"").nth(1).and_then(|rest| rest.split('"').next());
        let value = line.rsplit(' ').next().and_then(|value| serde_json::from_str::<Value>(value).ok());
        if let (Some(result), Some(value)) = (result, value.and_then(|value| value.as_u64())) {
            *counts.entry(result.to_owned()).or_default() += value;
        }
    }
    Ok(counts)
}
