//! Configuration: every mistake at once, by its key, never with a secret.

use std::collections::BTreeMap;

use outdial_core::ExposeSecret;
use outdial_gateway::config::{Config, ConfigError, DEFAULTS, FixedEnvironment, KeySource, LogFormat};

const GOOD: &str = r#"
[[auth.issuers]]
issuer = "https://login.example.net/"
audience = "outdial"
hs256_secret = "0123456789abcdef0123456789abcdef"

[[accounts]]
id = "wc-1"
vendor = "wellcloud"
token = "00123456"
push_token = "0123456789abcdef"
"#;

fn environment(variables: &[(&str, &str)]) -> FixedEnvironment {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    FixedEnvironment(variables.iter().map(owned).collect::<BTreeMap<_, _>>())
}

fn mistakes(toml: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let ConfigError(mistakes) = Config::parse(toml, &environment(variables)).unwrap_err();
    mistakes.into_iter().map(|mistake| format!("{} {}", mistake.place, mistake.problem)).collect()
}

#[test]
fn little_is_needed_and_the_rest_has_the_documented_defaults() {
    let config = Config::parse(GOOD, &FixedEnvironment::default()).unwrap();
    assert_eq!(config.listen.api.to_string(), "127.0.0.1:8080");
    assert_eq!(config.listen.push.to_string(), "127.0.0.1:8081");
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:9090");
    assert_eq!(config.store.prefix, "outdial");
    assert_eq!(config.store.retention.as_secs(), 7 * 24 * 60 * 60);
    assert_eq!(config.store.spool_max, 2 * 1024 * 1024 * 1024);
    assert_eq!(config.rosters.max_bytes, 64 * 1024 * 1024);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.notes.is_empty());
}

#[test]
fn the_shipped_defaults_have_no_key_that_nobody_reads() {
    // Unknown keys are mistakes, so the defaults beside a good configuration would be refused.
    let whole = format!("{DEFAULTS}\n{GOOD}");
    assert!(Config::parse(&whole, &FixedEnvironment::default()).is_ok());
}

#[test]
fn every_mistake_is_told_at_once() {
    let told = mistakes(
        r#"
        colour = "red"
        [listen]
        api = "nowhere"
        [store]
        retension = "7d"
        spool_max = "2GB"
        [push]
        deadline = "an hour"
        [[auth.issuers]]
        issuer = "a"
        hs256_secret = "short"
        [[accounts]]
        id = "Main"
        vendor = "wellcloud"
        app_id = "x"
        max_rps = 0
        push_token = "short"
        [[accounts]]
        id = "ic"
        vendor = "twilio"
        push_token = "env:MISSING"
        "#,
        &[],
    );
    for expected in [
        "colour is not a known key",
        "listen.api is not an address and port",
        "store.retension is not a known key; did you mean retention?",
        "store.spool_max is not a size from 1048576",
        "push.deadline is not a duration from 100ms to 60s",
        "auth.issuers[0].audience is missing",
        "auth.issuers[0].hs256_secret is shorter than 32 bytes",
        "accounts[0].id is not valid",
        "accounts[0].max_rps is not a number above 0",
        "accounts[0].push_token is shorter than 16 characters",
        "accounts[0].app_secret is missing beside app_id",
        "accounts[1].push_token names the variable MISSING, which is not set",
        "accounts[1].vendor is not one of wellcloud, icsoc",
    ] {
        assert!(told.iter().any(|line| line.starts_with(expected)), "{expected}\nnot in {told:#?}");
    }
    assert_eq!(told.len(), 13, "{told:#?}");
}

#[test]
fn a_secret_is_never_told() {
    let canary = "c4n4ry-c4n4ry\n";
    let toml =
        GOOD.replace("0123456789abcdef0123456789abcdef", "c4n4ry-c4n4ry").replace("00123456", "c4n4ry");
    let with_twin = format!("{toml}app_id = \"c4n4ry\"\ntoken_url = \"c4n4ry\"\n");
    let told =
        mistakes(&with_twin, &[("OUTDIAL__ACCOUNTS__0__PUSH_TOKEN", "c4n4ry c4n4ry c4n4ry")]).join("\n");
    assert!(!told.contains("c4n4ry"), "{told} {canary}");
    assert!(
        told.contains("accounts[0].push_token (OUTDIAL__ACCOUNTS__0__PUSH_TOKEN) holds something besides")
    );
    let broken = Config::parse("[store]\nurl = \"redis://:c4n4ry@host\n", &FixedEnvironment::default());
    let told = broken.unwrap_err().to_string();
    assert!(!told.contains("c4n4ry") && told.contains("line 2"), "{told}");
    let good = Config::parse(GOOD, &FixedEnvironment::default()).unwrap();
    let shown = format!("{good:?}");
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("00123456"), "{shown}");
}

#[test]
fn secrets_come_from_variables_and_files_without_their_line_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "0123456789abcdef0123456789abcdeX\n").unwrap();
    let toml = GOOD
        .replace("0123456789abcdef0123456789abcdef", &format!("file:{}", file.display()))
        .replace("\"0123456789abcdef\"", "[\"env:NEW\", \"env:OLD\"]");
    let variables = [("NEW", "new-token-of-the-path"), ("OLD", "old-token-of-the-path")];
    let config = Config::parse(&toml, &environment(&variables)).unwrap();
    let KeySource::Hs256(secret) = &config.issuers[0].keys else { panic!("not a shared secret") };
    assert_eq!(secret.expose_secret(), "0123456789abcdef0123456789abcdeX");
    assert_eq!(config.accounts.get("wc-1").unwrap().push.tokens.len(), 2);
    let missing = GOOD.replace("\"00123456\"", "\"file:/nonexistent/secret\"");
    assert!(
        mistakes(&missing, &[])[0].starts_with("accounts[0].token names the file /nonexistent/secret, which")
    );
}

#[test]
fn the_environment_goes_over_the_file() {
    let variables = [("OUTDIAL__STORE__URL", "sqlite:/tmp/x"), ("OUTDIAL__ROSTERS__MAX_ENTRIES", "10")];
    let config = Config::parse(GOOD, &environment(&variables)).unwrap();
    assert_eq!(config.store.url.expose_secret(), "sqlite:/tmp/x");
    assert_eq!(config.rosters.max_entries, 10);
}

#[test]
fn records_are_searched_for_where_the_vendor_has_a_search_unless_it_is_switched_off() {
    let icsoc = GOOD.replace("wellcloud", "icsoc") + "push_secrets = [\"0123456789abcdef\"]\n";
    let sync = |lines: &str, variables: &[(&str, &str)]| {
        let config = Config::parse(&format!("{icsoc}{lines}"), &environment(variables)).unwrap();
        let account = std::sync::Arc::clone(config.accounts.get("wc-1").unwrap());
        account.sync.as_ref().map(|sync| (sync.config.interval.as_secs(), sync.config.lookback.as_secs()))
    };
    assert_eq!(sync("", &[]), Some((300, 900)));
    assert_eq!(sync("sync = { interval = \"1s\" }", &[]), Some((1, 900)));
    assert_eq!(sync("sync = { lookback = \"1h\" }", &[]), Some((300, 3_600)));
    assert_eq!(sync("sync = { enabled = false }", &[]), None);
    assert_eq!(sync("", &[("OUTDIAL__ACCOUNTS__0__SYNC__ENABLED", "false")]), None);
    let none = Config::parse(GOOD, &FixedEnvironment::default()).unwrap();
    assert!(none.accounts.get("wc-1").unwrap().sync.is_none());

    for (toml, line, told) in [
        (GOOD, "sync = { enabled = true }", "accounts[0].sync has no place here: this vendor has no search"),
        (&icsoc, "sync = { enabled = 1 }", "accounts[0].sync.enabled is not true or false"),
        (
            &icsoc,
            "sync = { interval = \"0s\" }",
            "accounts[0].sync.interval is not a duration from 1s to 86400s",
        ),
        (
            &icsoc,
            "sync = { lookback = \"2d\" }",
            "accounts[0].sync.lookback is not a duration from 1s to 86400s",
        ),
        (
            &icsoc,
            "sync = { intervall = \"5m\" }",
            "accounts[0].sync.intervall is not a known key; did you mean",
        ),
        (&icsoc, "sync = true", "accounts[0].sync is not a table"),
    ] {
        let lines = mistakes(&format!("{toml}{line}\n"), &[]);
        assert!(lines.len() == 1 && lines[0].starts_with(told), "{told}\nis not {lines:#?}");
    }
}

#[test]
fn what_may_be_called_is_a_list_and_this_machine_in_it_is_told() {
    assert!(Config::parse(GOOD, &FixedEnvironment::default()).unwrap().egress.allow.is_empty());
    let toml = format!("{GOOD}[egress]\nallow = [\"10.0.0.0/8\", \"*.example.net\"]\n");
    let config = Config::parse(&toml, &FixedEnvironment::default()).unwrap();
    assert_eq!(config.egress.allow.len(), 2);
    assert!(config.notes.is_empty());
    let config = Config::parse(GOOD, &environment(&[("OUTDIAL__EGRESS__ALLOW", "10.0.0.0/8, ::1")])).unwrap();
    assert_eq!(config.egress.allow.len(), 2);
    assert!(config.notes[0].starts_with("egress.allow lists ::1/128: "), "{:?}", config.notes);
    let toml = format!("{GOOD}[egress]\nallow = [\"10.0.0.0/40\", \"169.254.169.254\", \"a.net\"]\n");
    assert_eq!(
        mistakes(&toml, &[]),
        [
            "egress.allow holds \"10.0.0.0/40\", which is no network, address, host name, *.domain or *",
            "egress.allow holds \"169.254.169.254\", which is a link-local address, which is never called"
        ]
    );
}

#[test]
fn ids_and_issuers_stand_once() {
    let account = &GOOD[GOOD.find("[[accounts]]").unwrap()..];
    assert_eq!(mistakes(&format!("{GOOD}{account}"), &[]), ["accounts holds two accounts with the id wc-1"]);
    let issuer = &GOOD[..GOOD.find("[[accounts]]").unwrap()];
    assert_eq!(
        mistakes(&format!("{issuer}{GOOD}"), &[]),
        ["auth.issuers[1].issuer stands twice: each issuer has one section"]
    );
    assert_eq!(mistakes("", &[]).len(), 2);
}

#[test]
fn public_keys_come_by_https_or_from_this_machine() {
    let with = |keys: &str| GOOD.replace("hs256_secret = \"0123456789abcdef0123456789abcdef\"", keys);
    for good in
        ["jwks_url = \"https://x.example/keys\"", "jwks_url = \"http://127.0.0.1:1/k\"", "jwks_file = \"k\""]
    {
        assert!(Config::parse(&with(good), &FixedEnvironment::default()).is_ok(), "{good}");
    }
    for bad in [
        "jwks_url = \"http://x.example/keys\"",
        "jwks_url = \"file:k\"",
        "",
        "jwks_url = \"https://x/\"\njwks_file = \"k\"",
    ] {
        assert_eq!(mistakes(&with(bad), &[]).len(), 1, "{bad}");
    }
}
