//! The accounts section: what every account has, and around it what its adapter reads.

use std::{collections::BTreeSet, time::Duration};

use ipnet::IpNet;
use outdial_core::{AccountId, ExposeSecret, SettingsSource};

use super::section::Section;
use crate::{
    account_sync::SyncConfig,
    accounts::{Account, Accounts, PushAccess, UpstreamLimits},
    vendors,
};

/// Shorter path secrets than this could be found by trying.
const PUSH_TOKEN_BYTES: usize = 16;

/// What an account with a search has that says nothing of it.
const SYNC_DEFAULT: SyncConfig =
    SyncConfig { interval: Duration::from_secs(5 * 60), lookback: Duration::from_secs(15 * 60) };

/// Most accounts of one gateway.
const ACCOUNT_LIMIT: usize = 1_000;

/// Reads `[[accounts]]`.
pub(super) fn read(root: &mut Section<'_>) -> Accounts {
    let sections = root.sections("accounts");
    if sections.is_empty() {
        root.refuse("accounts", "is missing: name at least one account in [[accounts]]");
    }
    if sections.len() > ACCOUNT_LIMIT {
        root.refuse("accounts", format!("holds more than {ACCOUNT_LIMIT} accounts"));
    }
    let mut seen = BTreeSet::new();
    let mut accounts = Vec::new();
    for mut section in sections {
        let names_vendor = section.has("vendor");
        let account = read_one(&mut section);
        if names_vendor {
            section.finish();
        } else {
            section.finish_in_part();
        }
        if let Some(account) = account {
            if seen.insert(account.id.clone()) {
                accounts.push(account);
            } else {
                root.refuse("accounts", format!("holds two accounts with the id {}", account.id));
            }
        }
    }
    Accounts::new(accounts)
}

fn read_one(section: &mut Section<'_>) -> Option<Account> {
    let id = read_id(section);
    let name = section.text("vendor");
    if name.is_none() {
        section.refuse("vendor", format!("is missing; it is one of {}", vendors::NAMES.join(", ")));
    }
    let limits = read_limits(section);
    let push = read_push(section);
    let sync = section.optional_section("sync").map(read_sync);
    // With an id that is none, the adapter's keys are checked all the same, under a stand-in.
    let known_id = id.clone().or_else(|| "unnamed".parse().ok())?;
    let vendor = vendors::build(&name?, known_id, section)?;
    let sync = match sync {
        _ if !vendor.descriptor().capabilities.record_search => {
            if sync.is_some() {
                section.refuse("sync", "has no place here: this vendor has no search for call records");
            }
            None
        }
        None => Some(SYNC_DEFAULT),
        Some(sync) => sync,
    };
    Some(Account::new(id?, vendor, limits?, push?).with_sync(sync))
}

fn read_id(section: &mut Section<'_>) -> Option<AccountId> {
    let Some(text) = section.text("id") else {
        section.refuse("id", "is missing");
        return None;
    };
    let id = text.parse();
    if let Err(error) = &id {
        section.refuse("id", format!("is not valid: {error}"));
    }
    id.ok()
}

fn read_limits(section: &mut Section<'_>) -> Option<UpstreamLimits> {
    let mistaken = |section: &Section<'_>, key: &str| section.has(key);
    let given = ["max_rps", "max_concurrency", "timeout"].map(|key| mistaken(section, key));
    let max_rps = section.rate("max_rps").or((!given[0]).then_some(50.0));
    let max_concurrency = section.count("max_concurrency", 1..=1_000).or((!given[1]).then_some(16));
    let range = Duration::from_millis(100)..=Duration::from_secs(600);
    let timeout = section.duration("timeout", range).or((!given[2]).then_some(Duration::from_secs(30)));
    Some(UpstreamLimits { max_rps: max_rps?, max_concurrency: max_concurrency?, timeout: timeout? })
}

/// `None` where it is switched off, or a mistake was reported.
fn read_sync(mut section: Section<'_>) -> Option<SyncConfig> {
    let enabled = section.switch("enabled").unwrap_or(true);
    let seconds = |from, to| Duration::from_secs(from)..=Duration::from_secs(to);
    let interval = section.duration("interval", seconds(1, 86_400)).unwrap_or(SYNC_DEFAULT.interval);
    let lookback = section.duration("lookback", seconds(1, 86_400)).unwrap_or(SYNC_DEFAULT.lookback);
    section.finish();
    enabled.then_some(SyncConfig { interval, lookback })
}

fn read_push(section: &mut Section<'_>) -> Option<PushAccess> {
    let given = section.has("push_token");
    let tokens = section.secrets("push_token");
    if !given {
        section
            .refuse("push_token", "is missing: it is the secret part of the path that the vendor pushes to");
        return None;
    }
    for token in &tokens {
        let text = token.expose_secret();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        if text.len() < PUSH_TOKEN_BYTES {
            section.refuse("push_token", format!("is shorter than {PUSH_TOKEN_BYTES} characters"));
        } else if !text.bytes().all(plain) {
            section.refuse("push_token", "holds something besides letters, digits, '-', '_', '.' and '~'");
        }
    }
    let mut allow = Vec::new();
    for text in section.texts("push_allow_cidrs") {
        match parse_network(&text) {
            Some(network) => allow.push(network),
            None => section.refuse("push_allow_cidrs", "holds something that is no address or CIDR"),
        }
    }
    Some(PushAccess { tokens, allow })
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address)))
}
