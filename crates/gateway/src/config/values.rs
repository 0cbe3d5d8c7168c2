//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads `250ms`, `15s`, `3m`, `24h` or `7d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that it is a whole number of.
pub fn format_duration(millis: u64) -> String {
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fitting = units.into_iter().find(|(_, size)| millis > 0 && millis.is_multiple_of(*size));
    let (unit, size) = fitting.unwrap_or(("ms", 1));
    format!("{}{unit}", millis / size)
}

/// Reads `512B`, `64KiB`, `16MiB` or `2GiB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_demanded_and_understood() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(604_800)));
        for text in ["250ms", "5s", "90s", "15m", "24h", "0ms"] {
            let millis = parse_duration(text).unwrap().as_millis();
            assert_eq!(format_duration(u64::try_from(millis).unwrap()), text);
        }
        assert_eq!(parse_size("64 MiB"), Some(67_108_864));
        for bad in ["", "5", "s", "-1s", "1.5s", "5 weeks", "99999999999999999999s", "18446744073709551615d"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        for bad in ["64", "64MB", "1kb", "99999999999GiB9"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
