//! What is shipped besides the program: documents, configuration, manifests. Held as far as it can be without running it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use outdial_gateway::config::{Config, DEFAULTS, FixedEnvironment};
use outdial_tests::{
    repository::{files, read, root},
    schema::DOCUMENT,
};
use serde_json::Value;

/// One page.
const ARCHITECTURE_LINES: usize = 80;

/// As long as any secret has to be.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_architecture_is_one_page() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(
        lines <= ARCHITECTURE_LINES,
        "ARCHITECTURE.md has {lines} lines; move what is detail to where it belongs"
    );
}

#[test]
fn the_readme_begins_with_two_commands() {
    let readme = read("README.md");
    for command in ["cargo run --release -- demo", "make test"] {
        assert!(readme.contains(&format!("\n    {command}\n")), "README.md does not show: {command}");
    }
}

#[test]
fn every_target_of_make_is_one() {
    let makefile = read("Makefile");
    let phony =
        makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).expect("the targets are listed");
    for target in phony.split(' ') {
        assert!(
            makefile.contains(&format!("\n{target}: ## ")),
            "make {target} has no line that says what it does"
        );
    }
    for (file, text) in documents() {
        let code = text.split('`').chain(text.lines().filter_map(|line| line.strip_prefix("    ")));
        for named in code.filter_map(|code| code.strip_prefix("make ")) {
            let target = named.split(' ').next().unwrap_or_default();
            assert!(
                phony.split(' ').any(|known| known == target),
                "{}: there is no make {target}",
                file.display()
            );
        }
    }
}

/// Every key of the defaults, as `section.key`.
fn default_keys() -> BTreeSet<String> {
    let defaults: toml::Table = DEFAULTS.parse().expect("the defaults are TOML");
    let keys = |(section, table): (&String, &toml::Value)| {
        let table = table.as_table().expect("the defaults have sections").clone();
        table.keys().map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
    };
    defaults.iter().flat_map(keys).collect()
}

#[test]
fn the_readme_explains_every_key() {
    let readme = read("README.md");
    let missing: Vec<_> =
        default_keys().into_iter().filter(|key| !readme.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "README.md, Configuration, lacks {missing:?}");
    let known = default_keys();
    let sections: BTreeSet<&str> = known.iter().filter_map(|key| key.split('.').next()).collect();
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    for named in rows.flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`')) {
        if named.split_once('.').is_some_and(|(section, _)| sections.contains(section)) {
            assert!(known.contains(named), "README.md explains {named}, which is no key");
        }
    }
}

/// The configuration in a text, with a value for each secret that it names.
fn check_configuration(place: &str, text: &str) {
    let mut environment = FixedEnvironment::default();
    let fill = |part: &str| match part.split_once(':') {
        Some(("file" | "env", name)) => {
            let value = if name.ends_with("store-url") { "redis://localhost" } else { SECRET };
            environment.0.insert(name.to_owned(), value.to_owned());
            format!("env:{name}")
        }
        _ => part.to_owned(),
    };
    let filled: Vec<String> = text.split('"').map(fill).collect();
    let config = Config::parse(&filled.join("\""), &environment);
    let config = config.unwrap_or_else(|error| panic!("{place}: {error}"));
    assert!(config.notes.is_empty(), "{place}: {:?}", config.notes);
    assert!(!config.issuers.is_empty() && config.accounts.iter().count() > 0);
    for account in config.accounts.iter().filter(|account| account.vendor.fixed_token().is_none()) {
        let request = account.vendor.token_request(None).unwrap_or_else(|error| panic!("{place}: {error}"));
        let sent = format!("{} {}", request.uri(), String::from_utf8_lossy(request.body()));
        assert!(
            sent.contains(SECRET) && !sent.contains("env%3A"),
            "{place}: {} sends the name of a secret",
            account.id
        );
    }
}

#[test]
fn only_a_spool_on_a_volume_counts_as_one() {
    let overlay = |name: &str| format!("deploy/kubernetes/overlays/{name}");
    let config: toml::Table = read(overlay("redis/outdial.toml")).parse().expect("TOML");
    assert_eq!(config["store"]["spool_class"].as_str(), Some("pod"), "an emptyDir goes with its pod");
    let volume = read(overlay("redis-volume/kustomization.yaml"));
    assert!(volume.contains("{ name: OUTDIAL__STORE__SPOOL_CLASS, value: volume }"));
}

#[test]
fn shipped_configurations_are_taken() {
    check_configuration("README.md", fenced(&read("README.md"), "toml").first().expect("an example"));
    let overlays = files("deploy", &[".toml"]);
    assert!(overlays.len() >= 2);
    for file in overlays {
        check_configuration(&file.display().to_string(), &read(&file));
    }
}

#[test]
fn shipped_secrets_are_listed() {
    let example: Value = yaml("deploy/kubernetes/secret.example.yaml").remove(0);
    let listed: BTreeSet<&String> = example["stringData"].as_object().expect("a list").keys().collect();
    let mut used = BTreeSet::new();
    for file in files("deploy", &[".toml"]) {
        let text = read(&file);
        used.extend(
            text.split('"')
                .filter_map(|text| text.strip_prefix("file:/run/secrets/outdial/"))
                .map(str::to_owned),
        );
    }
    assert_eq!(
        used.iter().collect::<BTreeSet<_>>(),
        listed,
        "secrets that overlays name, and that the example lists"
    );
}

/// The documents of a YAML file.
fn yaml(path: impl AsRef<Path>) -> Vec<Value> {
    let text = read(&path);
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

#[test]
fn manifests_can_be_read_and_name_files_that_are_there() {
    let manifests = files("deploy", &[".yaml", ".yml"]);
    assert!(manifests.len() > 10);
    for file in &manifests {
        let documents = yaml(file);
        assert!(!documents.is_empty(), "{} is empty", file.display());
        if !file.ends_with("kustomization.yaml") {
            continue;
        }
        let folder = file.parent().expect("it lies in a folder");
        for named in documents.iter().flat_map(named_files) {
            let path = root().join(folder).join(&named);
            assert!(path.exists(), "{} names {named}, which is not there", file.display());
        }
    }
}

/// The files that a kustomization names: resources, components, patches, and what generators read.
fn named_files(kustomization: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let lists = ["resources", "components"].map(|key| list(&kustomization[key]));
    let mut named: Vec<String> = lists.iter().flatten().filter_map(text).collect();
    named.extend(list(&kustomization["patches"]).iter().filter_map(|patch| text(&patch["path"])));
    for generator in list(&kustomization["configMapGenerator"]) {
        let sources = list(&generator["files"]).into_iter().filter_map(|file| text(&file));
        named.extend(sources.map(|source| source.rsplit('=').next().unwrap_or_default().to_owned()));
    }
    named
}

/// The metrics that are registered.
fn registered_metrics() -> BTreeSet<String> {
    let text = read("crates/gateway/src/telemetry/metrics.rs");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.split('"').filter(|text| is_metric(text)).map(str::to_owned).collect()
}

fn is_metric(text: &str) -> bool {
    text.starts_with("outdial_") && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Names of metrics in a text, without what histograms and recording rules add.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for word in text.split(|c| !is_part(c)).filter(|word| is_metric(word)) {
        let name =
            ["_bucket", "_sum", "_count"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
        found.insert(name.to_owned());
    }
    found
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_exist() {
    let registered = registered_metrics();
    assert!(registered.len() > 15, "{registered:?}");
    for file in files("deploy", &["rules.yaml", "rules.test.yaml", "outdial.json"]) {
        let unknown: Vec<_> = metrics_in(&read(&file)).difference(&registered).cloned().collect();
        assert!(unknown.is_empty(), "{} asks for {unknown:?}, which nobody registers", file.display());
    }
}

#[test]
fn the_readme_lists_every_metric() {
    assert_eq!(
        metrics_in(&read("README.md")),
        registered_metrics(),
        "metrics of README.md, and those registered"
    );
}

#[test]
fn the_dashboard_can_be_read() {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/outdial.json")).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let ids: BTreeSet<_> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have one id");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let asked = panel["targets"].as_array().is_some_and(|targets| !targets.is_empty());
        assert!(asked, "the panel {} asks for nothing", panel["title"]);
    }
}

/// Method and path of each call in the README.
fn shown_calls() -> BTreeSet<(String, Vec<String>)> {
    let script = fenced(&read("README.md"), "sh").concat().replace("\\\n", " ");
    let calls = script.lines().filter(|line| line.starts_with("curl "));
    let read_call = |line: &str| {
        let method = line.split_once("-X ").map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
        let default = if line.contains(" -d ") || line.contains("--data") { "POST" } else { "GET" };
        let path = line.split_once("$API").expect("it calls the API").1;
        let path = path.split(['?', '"', ' ']).next().unwrap_or_default();
        (method.unwrap_or(default).to_owned(), path.split('/').map(str::to_owned).collect())
    };
    calls.map(read_call).collect()
}

#[test]
fn the_readme_calls_every_route() {
    let shown = shown_calls();
    let mut routes = BTreeMap::new();
    for (path, item) in DOCUMENT["paths"].as_object().expect("the contract has paths") {
        for method in
            ["get", "post", "put", "patch", "delete"].iter().filter(|method| item.get(**method).is_some())
        {
            let is_asset = path.starts_with("/docs/");
            // What passes to a vendor is shown by one method.
            let is_shown_once = path.ends_with("/{path}") && *method != "post";
            if !is_asset && !is_shown_once {
                let steps: Vec<&str> = path.split('/').collect();
                routes.insert((method.to_uppercase(), steps), false);
            }
        }
    }
    for (method, path) in &shown {
        let fits = |(verb, steps): &(String, Vec<&str>)| {
            let same = |(step, found): (&&str, &String)| step.starts_with('{') || step == found;
            let is_open = steps.last() == Some(&"{path}") && path.len() > steps.len();
            let is_long = steps.len() == path.len() || is_open;
            verb == method && is_long && steps.iter().zip(path).all(same)
        };
        let route = routes.iter_mut().find(|(route, _)| fits(route));
        *route
            .unwrap_or_else(|| panic!("README.md calls {method} {}, which is no route", path.join("/")))
            .1 = true;
    }
    let missing: Vec<_> = routes.iter().filter(|(_, shown)| !**shown).map(|(route, _)| route).collect();
    assert!(missing.is_empty(), "README.md, First calls, lacks {missing:?}");
}

/// The blocks of a language in a Markdown text.
fn fenced(text: &str, language: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n"))).map(str::to_owned).collect()
}

/// The Markdown files and their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let documents: Vec<_> = files("", &[".md"]).into_iter().map(|file| (file.clone(), read(&file))).collect();
    assert!(documents.len() >= 4);
    documents
}

/// Files and folders that documents name in backticks, such as `crates/core/src/merge.rs`.
#[test]
fn documents_name_files_that_are_there() {
    let tops = ["crates/", "tests/", "deploy/", "fuzz/", "scripts/"];
    for (document, text) in documents() {
        for named in text.split('`').filter(|text| tops.iter().any(|top| text.starts_with(top))) {
            let path = Path::new(named.split(' ').next().unwrap_or_default());
            let is_pattern = named.contains(['{', '*']) || named.contains("acme");
            let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
            assert!(
                is_pattern || (stays && root().join(path).exists()),
                "{} names {named}",
                document.display()
            );
        }
    }
}

#[test]
fn python_tools_have_one_version_each() {
    for line in
        read("tests/requirements.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, version) = line.split_once("==").unwrap_or_else(|| panic!("{line} has no fixed version"));
        assert!(!name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()), "{line}");
    }
}
