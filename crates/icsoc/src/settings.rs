//! The settings of one ICSOC account.

use outdial_core::{ExposeSecret, SecretString, SettingsSource, read_url, with_default_path};

const DEFAULT_BASE_URL: &str = "https://autocall.icsoc.net";
const DEFAULT_TOKEN_URL: &str = "https://account.icsoc.net";
const TOKEN_PATH: &str = "/oauth2/token";
const GRANTS: &str = "\"password\" or \"client_credentials\"";

/// Shorter secrets than this can be found by trying.
const PUSH_SECRET_BYTES: usize = 8;

/// How the account gets a token.
pub enum Grant {
    /// It has one that never expires.
    Fixed(SecretString),
    /// As an agent.
    Password {
        /// Who asks.
        client: Client,
        /// `{enterprise code}|{agent no.}`.
        username: SecretString,
        /// The agent's password.
        password: SecretString,
    },
    /// As the enterprise.
    ClientCredentials {
        /// Who asks.
        client: Client,
    },
}

/// An OAuth 2 client.
pub struct Client {
    /// `client_id`. No secret, but it often comes out of the same file or variable as one.
    pub id: SecretString,
    /// `client_secret`.
    pub secret: SecretString,
}

/// The settings of one account.
pub struct Settings {
    /// Without a trailing slash.
    pub base_url: String,
    /// The whole URL of the token service.
    pub token_url: String,
    /// How the account gets a token.
    pub grant: Grant,
    /// OAuth 2 scope.
    pub scope: String,
    /// What pushes are signed and encrypted with; each is tried.
    pub push_secrets: Vec<SecretString>,
}

impl Settings {
    /// Reads and checks the settings; every mistake is reported to `source`.
    pub fn read(source: &mut dyn SettingsSource) -> Option<Self> {
        let base_url = read_url(source, "base_url", DEFAULT_BASE_URL);
        let token_url = read_url(source, "token_url", DEFAULT_TOKEN_URL);
        let scope = source.text("scope").unwrap_or_else(|| "openid".to_owned());
        let push_secrets = source.secrets("push_secrets");
        let long_enough = push_secrets.iter().all(|secret| secret.expose_secret().len() >= PUSH_SECRET_BYTES);
        if !long_enough {
            source.reject("push_secrets", &format!("holds a secret of less than {PUSH_SECRET_BYTES} bytes"));
        }
        let grant = read_grant(source);
        Some(Self {
            base_url: base_url?,
            token_url: with_default_path(&token_url?, TOKEN_PATH),
            grant: grant?,
            scope,
            push_secrets: long_enough.then_some(push_secrets)?,
        })
    }
}

fn read_grant(source: &mut dyn SettingsSource) -> Option<Grant> {
    let token = source.secret("token");
    let (id, secret) = (source.secret("client_id"), source.secret("client_secret"));
    let (username, password) = (source.secret("username"), source.secret("password"));
    let named = source.text("grant");
    if let Some(token) = token {
        if id.is_some() || secret.is_some() {
            source.reject("token", "stands beside client_id or client_secret; give one of the two ways");
            return None;
        }
        return Some(Grant::Fixed(token));
    }
    let mut demand = |key: &str, present: bool| {
        if !present {
            source.reject(key, "is missing: give token, or client_id and client_secret");
        }
    };
    demand("client_id", id.is_some());
    demand("client_secret", secret.is_some());
    let client = id.zip(secret).map(|(id, secret)| Client { id, secret });
    match named.as_deref().unwrap_or(if username.is_some() { "password" } else { "client_credentials" }) {
        "client_credentials" => Some(Grant::ClientCredentials { client: client? }),
        "password" => {
            if username.is_none() {
                source
                    .reject("username", "is missing: the password grant needs {enterprise code}|{agent no.}");
            }
            if password.is_none() {
                source.reject("password", "is missing: the password grant needs it");
            }
            Some(Grant::Password { client: client?, username: username?, password: password? })
        }
        _ => {
            source.reject("grant", &format!("is neither {GRANTS}"));
            None
        }
    }
}
