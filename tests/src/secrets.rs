//! What the tests plant and nobody may ever read in a log line or an answer: secrets and telephone numbers.

/// Signs tokens for the API.
pub const HS256_SECRET: &str = "canary-hs256-9d1f0c7e5b3a48d2b6e1";
/// The secret part of WellCloud's push path.
pub const WELLCLOUD_PUSH_TOKEN: &str = "canary-push-wc-4b7d21aa90";
/// The secret part of ICSOC's push path.
pub const ICSOC_PUSH_TOKEN: &str = "canary-push-ic-c81e33f0d7";
/// WellCloud's `appId`.
pub const APP_ID: &str = "canary-app-id-77aa";
/// WellCloud's `appSecret`.
pub const APP_SECRET: &str = "canary-app-secret-5f2e";
/// ICSOC's `client_id`.
pub const CLIENT_ID: &str = "tests-client";
/// ICSOC's `client_secret`.
pub const CLIENT_SECRET: &str = "canary-client-secret-18c4";
/// ICSOC's agent.
pub const USERNAME: &str = "tests|1001";
/// The agent's password.
pub const PASSWORD: &str = "canary-password-e09b";
/// Signs and encrypts ICSOC's pushes.
pub const PUSH_SECRET: &str = "canaryPushSecret0123456789abcdef";

const ALL: [&str; 8] = [
    HS256_SECRET,
    WELLCLOUD_PUSH_TOKEN,
    ICSOC_PUSH_TOKEN,
    APP_ID,
    APP_SECRET,
    CLIENT_SECRET,
    PASSWORD,
    PUSH_SECRET,
];

/// How the numbers begin that the tests upload; the simulator's calls go to the second and come from the third.
const NUMBER_PREFIXES: [&str; 3] = ["13977", "1330000", "0100000"];
/// Digits of a number.
const NUMBER_LENGTH: usize = 11;

/// The `index`th number that a test uploads.
pub fn number(index: usize) -> String {
    format!("13977{index:06}")
}

/// The first secret in a text.
pub fn find_secret(text: &str) -> Option<&'static str> {
    ALL.into_iter().find(|secret| text.contains(secret))
}

/// The first whole telephone number in a text.
pub fn find_number(text: &str) -> Option<&str> {
    let runs = text.split(|c: char| !c.is_ascii_alphanumeric());
    runs.filter(|run| run.len() == NUMBER_LENGTH)
        .find(|run| NUMBER_PREFIXES.iter().any(|prefix| run.starts_with(prefix)))
}
