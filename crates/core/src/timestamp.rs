//! Moments in time, with the precision the vendor gave them.

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Whether a moment was given in seconds or in milliseconds; it decides how the moment is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Printed without a fraction.
    Seconds,
    /// Printed with three digits of fraction.
    Millis,
}

/// A moment in UTC. Printed as RFC 3339 with `Z`. Two moments are equal when they name the same millisecond, whatever
/// their precision.
#[derive(Clone, Copy)]
pub struct Timestamp {
    millis: i64,
    precision: Precision,
}

/// The years 0000 to 9999, which RFC 3339 can print.
const PRINTABLE_MILLIS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

impl Timestamp {
    /// A moment given in milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self { millis, precision: Precision::Millis }
    }

    /// A moment given in seconds since the epoch. `None` outside the years that RFC 3339 can print.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        let millis = seconds.checked_mul(1000).filter(|millis| PRINTABLE_MILLIS.contains(millis))?;
        Some(Self { millis, precision: Precision::Seconds })
    }

    /// Reads RFC 3339, any offset.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()?;
        let precision = if text.contains('.') { Precision::Millis } else { Precision::Seconds };
        PRINTABLE_MILLIS.contains(&millis).then_some(Self { millis, precision })
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.millis
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.millis.div_euclid(1000)
    }

    /// This moment moved by `millis`, saturating.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self { millis: self.millis.saturating_add(millis), precision: self.precision }
    }
}

/// Room for `2026-11-21T12:00:00.000Z`.
type Text = [u8; 24];

impl Timestamp {
    /// Writes the moment into `text`, and answers the part that it takes. A record has ten of them, and a page a hundred
    /// records: formatting them piece by piece was the larger part of writing a page.
    fn write(self, text: &mut Text) -> Option<&str> {
        let millis = self.millis.clamp(*PRINTABLE_MILLIS.start(), *PRINTABLE_MILLIS.end());
        let seconds = millis.div_euclid(1000);
        let (year, month, day) = civil_date(seconds.div_euclid(DAY_SECONDS))?;
        let of_day = u32::try_from(seconds.rem_euclid(DAY_SECONDS)).ok()?;
        *text = *b"0000-00-00T00:00:00.000Z";
        put_digits(&mut text[0..4], year);
        let parts = [month, day, of_day / 3600, of_day / 60 % 60, of_day % 60];
        for (part, at) in parts.into_iter().zip([5, 8, 11, 14, 17]) {
            put_digits(&mut text[at..at + 2], part);
        }
        let length = match self.precision {
            Precision::Millis => {
                put_digits(&mut text[20..23], u32::try_from(millis.rem_euclid(1000)).ok()?);
                24
            }
            Precision::Seconds => {
                text[19] = b'Z';
                20
            }
        };
        std::str::from_utf8(&text[..length]).ok()
    }

    /// Appends the moment as JSON.
    pub(crate) fn write_quoted(self, out: &mut Vec<u8>) {
        match self.write(&mut Text::default()) {
            Some(text) => {
                out.push(b'"');
                out.extend_from_slice(text.as_bytes());
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
    }
}

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Year, month and day of a day counted from the epoch, for the years from 0 on. Years are counted from March here, so that
/// the day that only some of them have is their last, and in eras of 400 years, which are all alike.
fn civil_date(day: i64) -> Option<(u32, u32, u32)> {
    const ERA_DAYS: u32 = 146_097;
    /// From the first of March of the year 400 before our count to the epoch.
    const OFFSET: i64 = 719_468 + 146_097;
    let day = u32::try_from(day + OFFSET).ok()?;
    let (era, day) = (day / ERA_DAYS, day % ERA_DAYS);
    // Each fourth year has a day more, but not each hundredth, but the four hundredth.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March on have 153 days, and so have the five behind them.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    Some(((era * 400 + year + later).checked_sub(400)?, month, day))
}

/// The last digits of a number, as many as there is room for.
fn put_digits(room: &mut [u8], mut number: u32) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(&mut Text::default()).ok_or(fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.millis == other.millis
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        self.millis.cmp(&other.millis)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = &mut Text::default();
        serializer.serialize_str(self.write(text).ok_or_else(|| S::Error::custom("not a printable time"))?)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_precision_it_was_given() {
        let seconds = Timestamp::from_seconds(1_616_491_476).unwrap();
        assert_eq!(seconds.to_string(), "2021-03-23T09:24:36Z");
        let millis = Timestamp::from_millis(1_559_124_413_101);
        assert_eq!(millis.to_string(), "2019-05-29T10:06:53.101Z");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn reads_what_it_prints_and_other_offsets() {
        for text in ["2021-03-23T09:24:36Z", "2019-05-29T10:06:53.101Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Timestamp::parse("2021-03-23T17:24:36+08:00"), Timestamp::from_seconds(1_616_491_476));
        assert!(Timestamp::parse("2021-03-23 17:24:36").is_none());
    }

    #[test]
    fn every_day_has_the_date_that_the_calendar_gives_it() {
        let days =
            PRINTABLE_MILLIS.start().div_euclid(86_400_000)..=PRINTABLE_MILLIS.end().div_euclid(86_400_000);
        for day in days {
            let date = OffsetDateTime::from_unix_timestamp(day * DAY_SECONDS).unwrap().date();
            let expected =
                (date.year().unsigned_abs(), u32::from(u8::from(date.month())), u32::from(date.day()));
            assert_eq!(civil_date(day), Some(expected), "{date}");
        }
        for millis in [-1, 86_399_999, 951_827_696_789] {
            let moment = Timestamp::from_millis(millis);
            assert_eq!(Timestamp::parse(&moment.to_string()).map(Timestamp::millis), Some(millis));
        }
    }

    #[test]
    fn refuses_seconds_that_no_year_holds() {
        assert!(Timestamp::from_seconds(i64::MAX).is_none());
        assert!(Timestamp::from_seconds(253_402_300_800).is_none());
    }
}
