//! The arrows between the crates and inside the gateway, held by what cargo and the sources say.

use std::{collections::BTreeSet, path::Path};

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package};
use outdial_tests::repository::{files, read, root};

const CORE: &str = "outdial-core";
const STORE: &str = "outdial-store";
const GATEWAY: &str = "outdial-gateway";
const SIMULATOR: &str = "outdial-simulator";
const PROGRAM: &str = "outdial";
const TESTS: &str = "outdial-tests";

/// The only place that names adapters.
const VENDORS: &str = "crates/gateway/src/vendors.rs";

/// The longest file, in lines.
const LINES_LIMIT: usize = 500;

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).no_deps();
    command.exec().expect("cargo describes the workspace")
}

/// A member that has no other role is a vendor's adapter: a new vendor needs no change here.
fn is_adapter(name: &str) -> bool {
    ![CORE, STORE, GATEWAY, SIMULATOR, PROGRAM, TESTS].contains(&name)
}

fn adapters(metadata: &Metadata) -> Vec<&Package> {
    let adapters: Vec<_> =
        metadata.workspace_packages().into_iter().filter(|p| is_adapter(&p.name)).collect();
    assert!(adapters.len() >= 2, "the adapters are gone, or their crates got other roles");
    adapters
}

fn is_ours(dependency: &Dependency) -> bool {
    dependency.path.is_some()
}

/// Which of our crates a crate may use, in production and in its tests.
fn may_use(user: &str, used: &str, kind: DependencyKind) -> bool {
    let in_tests = kind == DependencyKind::Development;
    match user {
        CORE | SIMULATOR => false,
        STORE => used == CORE,
        GATEWAY => used == CORE || used == STORE || is_adapter(used) || (in_tests && used == SIMULATOR),
        PROGRAM => used == GATEWAY || used == SIMULATOR,
        TESTS => !is_adapter(used),
        _adapter => used == CORE,
    }
}

fn why(user: &str) -> &'static str {
    match user {
        CORE => "core is the vocabulary that everybody shares; it knows nobody",
        SIMULATOR => {
            "the simulator shares no types with the adapters, or a misspelt field would go round green"
        }
        STORE => "a store keeps what core describes; it knows no vendor and no use case",
        GATEWAY => "the gateway is used by the program, and uses core, the store and the adapters",
        PROGRAM => "the program starts the gateway or the simulator; what it needs of others, they offer",
        TESTS => "these tests talk to processes and read files; what an adapter does is tested beside it",
        _adapter => {
            "an adapter speaks one vendor's protocol in core's words; what two adapters share belongs in core"
        }
    }
}

#[test]
fn crates_depend_downwards() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        for used in package.dependencies.iter().filter(|used| is_ours(used)) {
            if !may_use(&package.name, &used.name, used.kind) {
                let (user, used) = (&package.name, &used.name);
                wrong.push(format!("{user} depends on {used}, but {}.", why(user)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_that_has_to_be_used_is() {
    let metadata = metadata();
    let package = |name: &str| {
        let found = metadata.workspace_packages().into_iter().find(|package| package.name == name);
        found.unwrap_or_else(|| panic!("there is no package {name}"))
    };
    let used_by = |name: &str| -> BTreeSet<String> {
        let used = package(name).dependencies.iter().filter(|used| used.kind == DependencyKind::Normal);
        used.filter(|used| is_ours(used)).map(|used| used.name.clone()).collect()
    };
    for adapter in adapters(&metadata) {
        let name = adapter.name.as_str();
        assert!(
            used_by(GATEWAY).contains(name),
            "nobody uses {name}: an adapter is a dependency of {GATEWAY} and has an arm in {VENDORS}"
        );
        let module = name.replace('-', "_");
        assert!(read(VENDORS).contains(&module), "{VENDORS} has no arm for {name}");
    }
    assert!(used_by(GATEWAY).contains(STORE) && used_by(PROGRAM).contains(GATEWAY));
}

/// The lines of a source that are no comments, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether a line names a crate: as a word of its own, followed by `::`, or in a `use`.
fn names_crate(line: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        !before.ends_with(is_word)
            && (after.starts_with("::") || (before.contains("use ") && !after.starts_with(is_word)))
    })
}

/// Fails for each line below `directory`, outside of `allowed`, that names one of the crates.
fn assert_named_only_in(directory: &str, crates: &[String], allowed: &[&str], lesson: &str) {
    let mut wrong = Vec::new();
    for file in files(directory, &[".rs"]) {
        if allowed.iter().any(|allowed| file.starts_with(allowed)) {
            continue;
        }
        for (number, line) in code_lines(&read(&file)) {
            if crates.iter().any(|name| names_crate(line, name)) {
                wrong.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{lesson}\n{}", wrong.join("\n"));
}

#[test]
fn only_one_file_of_the_gateway_names_adapters() {
    let metadata = metadata();
    let names: Vec<String> =
        adapters(&metadata).iter().map(|package| package.name.replace('-', "_")).collect();
    let lesson = format!(
        "Only {VENDORS} names adapters; everybody else asks the Vendor trait, so that a new vendor is one arm there:"
    );
    assert_named_only_in("crates/gateway", &names, &[VENDORS], &lesson);
    assert_named_only_in("crates/cli", &names, &[], &lesson);
    assert_named_only_in("crates/store", &names, &[], &lesson);
}

#[test]
fn web_server_types_stay_in_the_http_layer() {
    let crates = ["actix_web", "actix_multipart"].map(str::to_owned);
    assert_named_only_in(
        "crates/gateway/src",
        &crates,
        &["crates/gateway/src/http"],
        "Types of actix belong to gateway/src/http: a handler unpacks the request and calls a use case without them:",
    );
}

#[test]
fn http_client_types_stay_in_the_upstream_layer() {
    assert_named_only_in(
        "crates/gateway/src",
        // awc's connections are of actix_rt's kind, and what they carry is of actix_http's.
        &["awc", "actix_rt", "actix_http"].map(str::to_owned),
        &["crates/gateway/src/upstream"],
        "Types of awc belong to gateway/src/upstream, where limits, time-outs and cut bodies are dealt with once:",
    );
}

#[test]
fn core_and_adapters_do_no_input_or_output() {
    const FORBIDDEN: &[&str] = &[
        "actix-web",
        "actix-rt",
        "awc",
        "reqwest",
        "tokio",
        "futures-util",
        "async-trait",
        "redis",
        "rusqlite",
    ];
    const MODULES: &[&str] = &["std::net", "std::fs", "std::env", "std::process", "std::thread"];
    let metadata = metadata();
    let core = metadata.workspace_packages().into_iter().filter(|package| package.name == CORE);
    for package in core.chain(adapters(&metadata)) {
        for used in package.dependencies.iter().filter(|used| used.kind != DependencyKind::Development) {
            assert!(
                !FORBIDDEN.contains(&used.name.as_str()),
                "{} depends on {}: adapters turn requests into bytes and bytes into records; the gateway moves the bytes",
                package.name,
                used.name
            );
        }
        let manifest = package.manifest_path.parent().and_then(|path| path.strip_prefix(root()).ok());
        let sources = manifest.expect("the crate lies in the checkout").join("src");
        for file in files(sources.as_str(), &[".rs"]) {
            for (number, line) in code_lines(&read(&file)) {
                let found = MODULES.iter().find(|module| line.contains(*module));
                let place = file.display();
                assert!(
                    found.is_none(),
                    "{place}:{number} uses {}: this crate does no I/O",
                    found.unwrap_or(&"")
                );
            }
        }
    }
}

/// Whoever knows one adapter finds the same thing in the same file of the next.
#[test]
fn adapters_have_the_same_files() {
    for adapter in adapters(&metadata()) {
        for name in ["lib.rs", "settings.rs", "token.rs", "wire.rs", "normalize.rs", "push.rs", "reply.rs"] {
            let path = adapter.manifest_path.with_file_name("src").join(name);
            assert!(
                path.exists(),
                "{} has no src/{name}; CONTRIBUTING.md says what belongs there",
                adapter.name
            );
        }
    }
}

#[test]
fn no_file_is_long() {
    for file in ["crates", "tests", "fuzz"].iter().flat_map(|directory| files(directory, &[".rs"])) {
        let lines = read(&file).lines().count();
        let place = file.display();
        assert!(lines <= LINES_LIMIT, "{place} has {lines} lines; split it by meaning before {LINES_LIMIT}");
    }
}

#[test]
fn every_version_stands_in_the_root_manifest() {
    let manifests = files("crates", &["Cargo.toml"]);
    assert!(!manifests.is_empty());
    for file in manifests.iter().map(AsRef::as_ref).chain([Path::new("tests/Cargo.toml")]) {
        let manifest: toml::Table = read(file).parse().expect("the manifest is TOML");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for (name, value) in table {
                let from_workspace = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(
                    from_workspace,
                    "{}: {name} has its own version; write `{name}.workspace = true` and the version into the \
                     [workspace.dependencies] of the root Cargo.toml, so that the workspace has one of each",
                    file.display()
                );
            }
        }
        let inherits = manifest["lints"].get("workspace").and_then(toml::Value::as_bool) == Some(true);
        assert!(inherits, "{}: `[lints] workspace = true` is missing", file.display());
    }
}
