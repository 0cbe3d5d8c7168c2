//! Who may sign tokens for the API.

use std::{collections::BTreeSet, path::PathBuf};

use outdial_core::{ExposeSecret, SecretString, SettingsSource};

use super::section::Section;

/// Shorter HMAC keys than the digest can be found by trying (RFC 7518, 3.2).
const HS256_SECRET_BYTES: usize = 32;

/// One who may sign tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must hold one of; never empty.
    pub audience: Vec<String>,
    /// Where the keys are.
    pub keys: KeySource,
    /// The claim that lists accounts.
    pub accounts_claim: String,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// One shared secret, for HS256 alone.
    Hs256(SecretString),
    /// Public keys in a file.
    File(PathBuf),
    /// Public keys behind a URL.
    Url(String),
}

/// Reads the section `auth`.
pub(super) fn read(mut auth: Section<'_>) -> Vec<Issuer> {
    let sections = auth.sections("issuers");
    if sections.is_empty() {
        auth.refuse("issuers", "is missing: name at least one issuer of tokens in [[auth.issuers]]");
    }
    auth.finish();
    let mut seen = BTreeSet::new();
    let mut issuers = Vec::new();
    for mut section in sections {
        let issuer = read_one(&mut section);
        if let Some(issuer) = issuer {
            if !seen.insert(issuer.issuer.clone()) {
                section.refuse("issuer", "stands twice: each issuer has one section");
            }
            issuers.push(issuer);
        }
        section.finish();
    }
    issuers
}

fn read_one(section: &mut Section<'_>) -> Option<Issuer> {
    let issuer = section.text("issuer");
    if issuer.is_none() {
        section.refuse("issuer", "is missing");
    }
    let audience = section.texts("audience");
    if audience.is_empty() {
        section.refuse("audience", "is missing");
    }
    let accounts_claim = section.text("accounts_claim").unwrap_or_else(|| "accounts".to_owned());
    let keys = read_keys(section);
    (!audience.is_empty()).then_some(())?;
    Some(Issuer { issuer: issuer?, audience, keys: keys?, accounts_claim })
}

fn read_keys(section: &mut Section<'_>) -> Option<KeySource> {
    let given = ["jwks_url", "jwks_file", "hs256_secret"].iter().filter(|key| section.has(key)).count();
    let url = section.text("jwks_url");
    let file = section.text("jwks_file");
    let secret = section.secret("hs256_secret");
    if given != 1 {
        section.refuse("jwks_url", "or jwks_file or hs256_secret has to be given, and only one of them");
        return None;
    }
    if let Some(url) = url {
        let safe = is_safe_url(&url);
        if !safe {
            section.refuse("jwks_url", "is not an https URL (plain http is taken for loopback alone)");
        }
        return safe.then_some(KeySource::Url(url));
    }
    if let Some(secret) = secret {
        if secret.expose_secret().len() < HS256_SECRET_BYTES {
            section.refuse("hs256_secret", format!("is shorter than {HS256_SECRET_BYTES} bytes"));
            return None;
        }
        return Some(KeySource::Hs256(secret));
    }
    file.map(|path| KeySource::File(PathBuf::from(path)))
}

/// Keys that came over plain HTTP could be anybody's.
fn is_safe_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let loopback = matches!(uri.host(), Some("127.0.0.1" | "[::1]" | "localhost"));
    uri.host().is_some()
        && (uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && loopback))
}
