//! How much of a vendor one account may use: calls at once, and calls a second.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use outdial_core::{Error, ErrorClass};
use tokio::sync::Semaphore;

use super::turn::{Priority, Turn};
use crate::accounts::UpstreamLimits;

/// The limits of one account in this replica.
pub struct Limiter {
    slots: Arc<Semaphore>,
    rate: DefaultDirectRateLimiter,
    /// Whether the last call failed because the vendor could not be reached or was broken.
    failing: Arc<AtomicBool>,
}

impl Limiter {
    /// Limits as configured.
    pub fn new(limits: &UpstreamLimits) -> Self {
        let gap = Duration::from_secs_f64(1.0 / limits.max_rps.max(0.000_1));
        let one = Quota::with_period(gap.max(Duration::from_nanos(1)));
        // A second's worth may go at once, as callers expect of a limit per second.
        let burst = (1..=100_000u32).rev().find(|burst| f64::from(*burst) <= limits.max_rps).unwrap_or(1);
        let quota = one.unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
        let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        let slots = Arc::new(Semaphore::new(limits.max_concurrency));
        Self { slots, rate: RateLimiter::direct(quota), failing: Arc::default() }
    }

    /// Whether the last call failed because the vendor could not be reached or was broken.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Waits for a turn, at most until the deadline.
    ///
    /// # Errors
    /// `RateLimited` when no turn came in time.
    pub async fn turn(&self, _priority: Priority, deadline: Instant) -> Result<Turn, Error> {
        let busy = || {
            let message = "Too many calls to this vendor are waiting already.";
            Error::new(ErrorClass::RateLimited, "upstream-rate-limited", message)
                .with_retry_after(Duration::from_secs(1))
        };
        let slot = tokio::time::timeout_at(deadline.into(), Arc::clone(&self.slots).acquire_owned()).await;
        let permit = slot.ok().and_then(Result::ok).ok_or_else(busy)?;
        loop {
            let Err(not_until) = self.rate.check() else {
                return Ok(Turn::new(permit, Arc::clone(&self.failing)));
            };
            let wait = not_until.wait_time_from(governor::clock::DefaultClock::default().now());
            if Instant::now() + wait >= deadline {
                return Err(busy());
            }
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_rps: f64, max_concurrency: usize) -> UpstreamLimits {
        UpstreamLimits { max_rps, max_concurrency, timeout: Duration::from_secs(1) }
    }

    #[tokio::test]
    async fn a_turn_that_comes_too_late_is_refused() {
        let limiter = Limiter::new(&limits(1_000.0, 1));
        let held =
            limiter.turn(Priority::Interactive, Instant::now() + Duration::from_secs(5)).await.unwrap();
        let refused =
            limiter.turn(Priority::Interactive, Instant::now() + Duration::from_millis(5)).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::RateLimited);
        drop(held);
        drop(limiter.turn(Priority::Interactive, Instant::now() + Duration::from_secs(5)).await.unwrap());
    }

    #[tokio::test]
    async fn the_rate_holds_calls_back() {
        let limiter = Limiter::new(&limits(2.0, 10));
        let soon = || Instant::now() + Duration::from_millis(50);
        drop(limiter.turn(Priority::Interactive, soon()).await.unwrap());
        drop(limiter.turn(Priority::Interactive, soon()).await.unwrap());
        assert_eq!(
            limiter.turn(Priority::Interactive, soon()).await.unwrap_err().class,
            ErrorClass::RateLimited
        );
    }
}
