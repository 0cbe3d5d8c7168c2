//! When pushes usually come to an account, learned from when they came: by the hour, because that is how often WellCloud pushes
//! while a campaign runs (WellCloud contract 3), and an ICSOC campaign without one call that ends for an hour has stopped.

use std::collections::BTreeSet;

use outdial_core::Timestamp;
use serde::{Deserialize, Serialize};

const HOUR: i64 = 60 * 60 * 1_000;
const DAY: i64 = 24;
const WEEK: i64 = 7 * DAY;
/// Weeks that are looked back on.
const WEEKS: i64 = 4;
/// Fewer hours with pushes make nothing usual.
const LEAST_HOURS: usize = 3;
/// How much later than usual a push may come.
const GRACE: i64 = 15 * 60 * 1_000;

/// When pushes came to an account: at most as many hours as there are in [`WEEKS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rhythm {
    /// The last push.
    pub last_push_at: Timestamp,
    /// The last push of which it was told that none followed in time.
    pub told_of: Option<Timestamp>,
    /// The first hour that is known of, as hours since the epoch.
    first: i64,
    /// Hours with a push.
    hours: BTreeSet<i64>,
}

impl Rhythm {
    /// That of an account whose first push is this.
    pub fn new(push_at: Timestamp) -> Self {
        let hour = hour_of(push_at);
        Self { last_push_at: push_at, told_of: None, first: hour, hours: BTreeSet::from([hour]) }
    }

    /// Takes in a push. Answers whether it says something new.
    pub fn note(&mut self, push_at: Timestamp) -> bool {
        if push_at <= self.last_push_at {
            return false;
        }
        let hour = hour_of(push_at);
        self.last_push_at = push_at;
        self.hours.insert(hour);
        self.hours = self.hours.split_off(&(hour - WEEKS * WEEK));
        true
    }

    /// By when the next push comes as usual: an hour after the last one, or, where that hour is usually silent, with the next
    /// hour that is not. `None` when no hour of the coming week is known for its pushes.
    pub fn expected_by(&self) -> Option<Timestamp> {
        if self.hours.len() < LEAST_HOURS {
            return None;
        }
        let next = self.last_push_at.plus_millis(HOUR);
        let next_hour = hour_of(next);
        if self.is_usual(next_hour) {
            return Some(next.plus_millis(GRACE));
        }
        let usual = (next_hour + 1..=next_hour + WEEK).find(|hour| self.is_usual(*hour))?;
        Some(Timestamp::from_millis((usual + 1) * HOUR + GRACE))
    }

    /// Whether an hour is one with pushes: by at least half of the same hours of the weeks before, else by the day before, else by the
    /// two hours before.
    fn is_usual(&self, hour: i64) -> bool {
        let had = |back: i64| self.hours.contains(&(hour - back));
        let known = hour - self.first;
        if known >= WEEK {
            let weeks = (known / WEEK).min(WEEKS);
            let with_push = (1..=weeks).filter(|week| had(week * WEEK)).count();
            return i64::try_from(with_push).is_ok_and(|count| count * 2 >= weeks);
        }
        if known >= DAY { had(DAY) } else { had(1) && had(2) }
    }
}

const fn hour_of(at: Timestamp) -> i64 {
    at.millis().div_euclid(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 2026-11-02, 00:00 UTC.
    const MONDAY: i64 = 1_793_577_600_000;

    fn at(day: i64, hour: i64, minute: i64) -> Timestamp {
        Timestamp::from_millis(MONDAY + (day * DAY + hour) * HOUR + minute * 60_000)
    }

    /// That of an account with a push at 5 minutes past each hour from 1 to 10, on these days.
    fn rhythm(days: impl IntoIterator<Item = i64>) -> Rhythm {
        let mut pushes = days.into_iter().flat_map(|day| (1..=10).map(move |hour| at(day, hour, 5)));
        let mut rhythm = Rhythm::new(pushes.next().unwrap());
        assert!(pushes.all(|push| rhythm.note(push)));
        rhythm
    }

    #[test]
    fn on_the_first_day_three_hours_with_pushes_let_the_next_expect_one() {
        let mut rhythm = Rhythm::new(at(0, 1, 5));
        assert_eq!(rhythm.expected_by(), None);
        assert!(rhythm.note(at(0, 2, 5)) && !rhythm.note(at(0, 2, 5)) && !rhythm.note(at(0, 1, 50)));
        assert_eq!(rhythm.expected_by(), None);
        rhythm.note(at(0, 3, 10));
        assert_eq!(rhythm.expected_by(), Some(at(0, 4, 25)));
        rhythm.note(at(0, 6, 0));
        assert_eq!(rhythm.expected_by(), Some(at(1, 2, 15)), "there was a pause before, so tomorrow");
    }

    #[test]
    fn later_the_day_before_tells() {
        let mut rhythm = rhythm([0]);
        rhythm.note(at(1, 1, 5));
        assert_eq!(rhythm.expected_by(), Some(at(1, 2, 20)));
        for hour in 2..=10 {
            rhythm.note(at(1, hour, 5));
        }
        assert_eq!(
            rhythm.expected_by(),
            Some(at(2, 2, 15)),
            "nothing is expected at night, and then in the first hour"
        );
    }

    #[test]
    fn after_a_week_the_same_day_of_the_week_tells() {
        let monday_to_friday = |week: i64| (0..5).map(move |day| week * 7 + day);
        let three_weeks = rhythm((0..3).flat_map(monday_to_friday));
        assert_eq!(three_weeks.expected_by(), Some(at(21, 2, 15)), "not on Saturday");
        let mut with_holiday = rhythm((0..3).flat_map(monday_to_friday).filter(|day| *day != 14));
        assert_eq!(with_holiday.expected_by(), Some(at(21, 2, 15)), "two Mondays of three had pushes");
        with_holiday.note(at(19, 12, 0));
        assert_eq!(with_holiday.expected_by(), Some(at(21, 2, 15)), "one Saturday is none");
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut rhythm = rhythm(0..60);
        assert!(rhythm.hours.len() <= usize::try_from(WEEKS * WEEK + 1).unwrap());
        assert_eq!(rhythm.expected_by(), Some(at(60, 2, 15)));
        rhythm.note(at(200, 3, 0));
        assert_eq!((rhythm.hours.len(), rhythm.expected_by()), (1, None));
        let text = serde_json::to_string(&rhythm).unwrap();
        assert_eq!(serde_json::from_str::<Rhythm>(&text).unwrap(), rhythm);
    }
}
