//! The simulator's clock, and China Standard Time as both vendors write it.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{
    OffsetDateTime, PrimitiveDateTime, UtcOffset,
    format_description::BorrowedFormatItem,
    macros::{format_description, offset},
};

const BEIJING: UtcOffset = offset!(+8);
/// `Y-m-d H:i:s`.
const WRITTEN: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
/// The second half of a WellCloud `batchId`, to the millisecond.
const COMPACT: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day][hour][minute][second][subsecond digits:3]");

/// Where the times in tokens, calls and pushes come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clock {
    /// The machine's clock.
    Machine,
    /// Stands still at this many milliseconds since the epoch.
    Fixed(i64),
}

impl Clock {
    /// Milliseconds since the epoch.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate that reads the machine's clock; it shares none with the gateway"
    )]
    pub(crate) fn now_ms(self) -> i64 {
        match self {
            Self::Fixed(millis) => millis,
            Self::Machine => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }
}

/// `Y-m-d H:i:s` in China Standard Time.
pub(crate) fn write_beijing(millis: i64) -> String {
    beijing(millis).and_then(|moment| moment.format(WRITTEN).ok()).unwrap_or_default()
}

/// `YmdHis` and milliseconds in China Standard Time.
pub(crate) fn write_beijing_compact(millis: i64) -> String {
    beijing(millis).and_then(|moment| moment.format(COMPACT).ok()).unwrap_or_default()
}

/// Seconds since the epoch of a `Y-m-d H:i:s` text in China Standard Time.
pub(crate) fn read_beijing(text: &str) -> Option<i64> {
    let moment = PrimitiveDateTime::parse(text, WRITTEN).ok()?;
    Some(moment.assume_offset(BEIJING).unix_timestamp())
}

fn beijing(millis: i64) -> Option<OffsetDateTime> {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()?;
    Some(moment.to_offset(BEIJING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beijing_is_eight_hours_ahead_of_the_contracts_seconds() {
        // ICSOC contract 1.4: a call of 1616491476 is found between 17:24:35 and 17:24:36.
        assert_eq!(write_beijing(1_616_491_476_000), "2021-03-23 17:24:36");
        assert_eq!(read_beijing("2021-03-23 17:24:36"), Some(1_616_491_476));
        assert_eq!(read_beijing("2021-03-23"), None);
        assert_eq!(write_beijing_compact(1_510_192_200_391), "20171109095000391");
    }
}
