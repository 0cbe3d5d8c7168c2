//! `quarantine`: list, show, replay one or all, delete.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::Value;

use crate::{
    api::{Api, query},
    arguments::{GatewayOptions, QuarantineCommand},
    failure::Failure,
    output,
};

/// Works on the quarantine.
pub async fn run(command: QuarantineCommand) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List { gateway, accounts } => list(&gateway, &accounts).await,
        QuarantineCommand::Show { gateway, id } => show(&gateway, &id).await,
        QuarantineCommand::Replay { gateway, id } => {
            let api = Api::new(&gateway)?;
            let request = api.request(Method::POST, &format!("{}/replay", path(&id)));
            println!("{}", api.send(request).await?.text().await?);
            Ok(())
        }
        QuarantineCommand::ReplayAll { gateway, accounts, reason } => {
            replay_all(&gateway, &accounts, reason.as_deref()).await
        }
        QuarantineCommand::Delete { gateway, id } => {
            let api = Api::new(&gateway)?;
            api.send(api.request(Method::DELETE, &path(&id))).await?;
            println!("{id} is deleted.");
            Ok(())
        }
    }
}

fn path(id: &str) -> String {
    format!("/v1/quarantine/{}", outdial_gateway::encode_path_segment(id))
}

async fn list(gateway: &GatewayOptions, accounts: &[String]) -> Result<(), Failure> {
    let api = Api::new(gateway)?;
    let mut cursor: Option<String> = None;
    loop {
        let mut pairs: Vec<(&str, &str)> =
            accounts.iter().map(|account| ("account", account.as_str())).collect();
        pairs.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = api.get(&format!("/v1/quarantine{}", query(&pairs))).await?;
        for item in page["data"].as_array().into_iter().flatten() {
            let text = |name: &str| item[name].as_str().unwrap_or("-").to_owned();
            let reason = &item["reason"];
            output::line(format_args!(
                "{}  {}  {:<12} {:>8} bytes  {}: {}",
                text("id"),
                text("received_at"),
                text("account"),
                item["bytes"],
                reason["code"].as_str().unwrap_or("-"),
                reason["detail"].as_str().unwrap_or("-"),
            ))?;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(()),
        }
    }
}

async fn replay_all(
    gateway: &GatewayOptions,
    accounts: &[String],
    reason: Option<&str>,
) -> Result<(), Failure> {
    const SUMS: [&str; 5] = ["items", "removed", "stored", "duplicate", "quarantined"];
    let api = Api::new(gateway)?;
    let (mut cursor, mut sums): (Option<String>, [u64; 5]) = (None, [0; 5]);
    loop {
        let mut pairs: Vec<(&str, &str)> =
            accounts.iter().map(|account| ("account", account.as_str())).collect();
        pairs.extend(reason.map(|reason| ("reason", reason)));
        pairs.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let request = api.request(Method::POST, &format!("/v1/quarantine/replay{}", query(&pairs)));
        let page: Value = api.send(request).await?.json().await?;
        for (sum, name) in sums.iter_mut().zip(SUMS) {
            *sum += page["totals"][name].as_u64().unwrap_or(0);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    let [items, removed, stored, duplicate, quarantined] = sums;
    output::line(format_args!(
        "{items} items, {removed} removed: {stored} records stored, {duplicate} known already, {quarantined} still unreadable"
    ))
}

async fn show(gateway: &GatewayOptions, id: &str) -> Result<(), Failure> {
    let api = Api::new(gateway)?;
    let item = api.get(&format!("{}?include=raw", path(id))).await?;
    let raw = STANDARD.decode(item["raw"].as_str().unwrap_or_default()).map_err(Failure::new)?;
    output::bytes(&raw)
}
