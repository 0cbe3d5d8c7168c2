//! The log of every gateway in this process, kept, so that it can be searched for what must not stand there.

use std::{
    io,
    sync::{Mutex, Once, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::secrets::{find_number, find_secret};

/// What is logged: everything of ours, but not of the simulator, which knows no secrets but its own.
const FILTER: &str = "info,outdial_gateway=trace,outdial_store=trace,outdial_wellcloud=trace,outdial_icsoc=trace,\
                      outdial_simulator=off";

static LINES: Mutex<String> = Mutex::new(String::new());
static START: Once = Once::new();

struct Keeper;

impl io::Write for Keeper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Keeper {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Keeps the log from now on.
pub fn keep() {
    START.call_once(|| {
        let subscriber =
            tracing_subscriber::fmt().json().with_env_filter(FILTER).with_writer(Keeper).finish();
        // Where somebody else has set one, there is nothing to keep.
        let _ = tracing_subscriber::util::SubscriberInitExt::try_init(subscriber);
    });
}

/// Every line so far.
pub fn kept() -> String {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Searches every line so far.
///
/// # Panics
/// When one holds a secret or a whole number.
pub fn assert_clean() {
    for line in kept().lines() {
        assert_clean_text(line);
    }
}

/// Searches a text.
///
/// # Panics
/// When it holds a secret or a whole number.
pub fn assert_clean_text(text: &str) {
    assert!(find_secret(text).is_none(), "a secret stands in: {text}");
    assert!(find_number(text).is_none(), "a number stands in: {text}");
}
