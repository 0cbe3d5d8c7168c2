//! When a failed delivery is tried again.

use std::time::Duration;

/// Waits between attempts where the subscription names none.
const USUAL: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(3 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
];
/// Waits differ by up to this share either way, so that what failed together does not come back together.
const SPREAD: f64 = 0.2;

/// The waits of one subscription.
#[derive(Clone, Debug)]
pub struct Schedule {
    waits: Vec<Duration>,
}

impl Schedule {
    /// The waits in milliseconds; none means the usual ones.
    pub fn new(millis: &[u64]) -> Self {
        let waits = millis.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        Self { waits: if waits.is_empty() { USUAL.to_vec() } else { waits } }
    }

    /// How long to wait after so many failed attempts; `None` when there were enough. What the subscriber asked for counts
    /// between the wait and twice the wait. `chance` is from 0 to 1.
    pub fn wait_after(&self, attempts: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        let at = usize::try_from(attempts.checked_sub(1)?).ok()?;
        let base = *self.waits.get(at)?;
        match asked {
            Some(asked) => Some(asked.clamp(base, base * 2)),
            None => Some(base.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * chance.clamp(0.0, 1.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_usual_waits_end_after_eight() {
        let usual = Schedule::new(&[]);
        let waits: Vec<_> = (1..9).map(|n| usual.wait_after(n, None, 0.5).unwrap().as_secs()).collect();
        assert_eq!(waits, [5, 30, 120, 900, 3_600, 10_800, 21_600, 43_200]);
        assert_eq!(usual.wait_after(9, None, 0.5), None);
        assert_eq!(usual.wait_after(0, None, 0.5), None);
    }

    #[test]
    fn chance_spreads_by_a_fifth() {
        let own = Schedule::new(&[10_000]);
        assert_eq!(own.wait_after(1, None, 0.0), Some(8 * SECOND));
        assert_eq!(own.wait_after(1, None, 1.0), Some(12 * SECOND));
        assert_eq!(own.wait_after(2, None, 1.0), None);
    }

    #[test]
    fn what_the_subscriber_asks_for_counts_within_bounds() {
        let own = Schedule::new(&[10_000]);
        for (asked, expected) in [(0, 10), (3, 10), (15, 15), (1_000_000_000, 20)] {
            assert_eq!(own.wait_after(1, Some(asked * SECOND), 0.3), Some(expected * SECOND), "{asked}");
        }
    }
}
