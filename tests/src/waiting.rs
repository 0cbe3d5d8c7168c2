//! Waiting for what comes about by itself, and no longer than that.

use std::time::Duration;

/// How often it is looked.
const TICK: Duration = Duration::from_millis(20);
/// How often at most.
const TICKS: usize = 1_500;

/// Looks until there is something, for half a minute at most.
///
/// # Panics
/// When it did not come about.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(TICK);
    for _ in 0..TICKS {
        ticks.tick().await;
        if let Some(found) = look().await {
            return found;
        }
    }
    panic!("did not come about: {what}");
}

/// Ends what would go on for ever.
///
/// # Panics
/// When it did not end in half a minute.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let limit = TICK * u32::try_from(TICKS).unwrap_or(u32::MAX);
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => panic!("did not end: {what}"),
    }
}
