//! The settings of one WellCloud account.

use outdial_core::{SecretString, SettingsSource, read_url, with_default_path};

const DEFAULT_BASE_URL: &str = "http://ocm.wellcloud.cc:8099";
const DEFAULT_TOKEN_URL: &str = "http://tpiag.wellcloud.cc";
const TOKEN_PATH: &str = "/p/api/operation/operation/apply/token";

/// The documents give no limit for the JSON form; more than this at once was never tried.
const DEFAULT_JSON_ENTRIES: u64 = 1_000;

/// How the account shows who it is.
pub enum Authentication {
    /// A token that never expires.
    Fixed(SecretString),
    /// A token fetched with these.
    App {
        /// `appId`.
        id: SecretString,
        /// `appSecret`.
        secret: SecretString,
    },
}

/// The settings of one account.
pub struct Settings {
    /// Without a trailing slash and without `/ocm`.
    pub base_url: String,
    /// The whole URL of the token service.
    pub token_url: String,
    /// How the account shows who it is.
    pub authentication: Authentication,
    /// `prdType` of entries that name none.
    pub default_product_type: Option<String>,
    /// Name of the file's form field.
    pub file_field: String,
    /// Most entries in one JSON request.
    pub json_entries_max: usize,
}

impl Settings {
    /// Reads and checks the settings; every mistake is reported to `source`.
    pub fn read(source: &mut dyn SettingsSource) -> Option<Self> {
        let base_url = read_url(source, "base_url", DEFAULT_BASE_URL);
        let token_url = read_url(source, "token_url", DEFAULT_TOKEN_URL);
        let default_product_type = source.text("default_product_type");
        let file_field = source.text("file_field").unwrap_or_else(|| "file".to_owned());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let field_is_plain = !file_field.is_empty() && file_field.bytes().all(plain);
        if !field_is_plain {
            source.reject("file_field", "holds something besides letters, digits, '_', '-' and '.'");
        }
        let json_entries_max = source.integer("json_entries_max", 1..=10_000).unwrap_or(DEFAULT_JSON_ENTRIES);
        let authentication = read_authentication(source);
        let base_url = base_url?;
        Some(Self {
            base_url: base_url.strip_suffix("/ocm").unwrap_or(&base_url).to_owned(),
            token_url: with_default_path(&token_url?, TOKEN_PATH),
            authentication: authentication?,
            default_product_type,
            file_field: field_is_plain.then_some(file_field)?,
            json_entries_max: usize::try_from(json_entries_max).ok()?,
        })
    }
}

fn read_authentication(source: &mut dyn SettingsSource) -> Option<Authentication> {
    let token = source.secret("token");
    let (id, secret) = (source.secret("app_id"), source.secret("app_secret"));
    match (token, id, secret) {
        (Some(token), None, None) => Some(Authentication::Fixed(token)),
        (None, Some(id), Some(secret)) => Some(Authentication::App { id, secret }),
        (Some(_), _, _) => {
            source.reject("token", "stands beside app_id or app_secret; give one of the two ways");
            None
        }
        (None, Some(_), None) => {
            source.reject("app_secret", "is missing beside app_id");
            None
        }
        (None, None, Some(_)) => {
            source.reject("app_id", "is missing beside app_secret");
            None
        }
        (None, None, None) => {
            source.reject("token", "is missing: give token, or app_id and app_secret");
            None
        }
    }
}
