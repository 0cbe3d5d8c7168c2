//! Outcome codes (WellCloud contract 3, field `state`).

use outdial_core::Outcome;

/// The outcome of a code; `None` for one that the document does not list.
pub const fn outcome(code: i64) -> Option<Outcome> {
    Some(match code {
        -10 => Outcome::Expired,
        -5 => Outcome::Blocked,
        -4 => Outcome::HungUp,
        -3 => Outcome::LineError,
        0 => Outcome::Answered,
        1 => Outcome::Busy,
        2 => Outcome::CallWaiting,
        3 => Outcome::Unreachable,
        4 => Outcome::Restricted,
        5 => Outcome::Forwarded,
        6 => Outcome::PoweredOff,
        7 => Outcome::Suspended,
        8 => Outcome::InvalidNumber,
        9 => Outcome::OnAnotherCall,
        10 => Outcome::NetworkBusy,
        11 => Outcome::Timeout,
        12 => Outcome::ShortBusyTone,
        13 => Outcome::LongBusyTone,
        14 => Outcome::Other,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as the contract prints it, word by word, against our words.
    #[test]
    fn the_table_of_the_contract() {
        let contract = [
            ("名单过期", -10, "expired"),
            ("业务禁播", -5, "blocked"),
            ("线路异常", -3, "line_error"),
            ("挂断", -4, "hung_up"),
            ("成功", 0, "answered"),
            ("用户忙", 1, "busy"),
            ("网络忙", 10, "network_busy"),
            ("超时", 11, "timeout"),
            ("短音忙", 12, "short_busy_tone"),
            ("长音忙", 13, "long_busy_tone"),
            ("其它", 14, "other"),
            ("来电提醒", 2, "call_waiting"),
            ("无法接通", 3, "unreachable"),
            ("呼叫限制", 4, "restricted"),
            ("呼叫转移", 5, "forwarded"),
            ("关机", 6, "powered_off"),
            ("停机", 7, "suspended"),
            ("空号", 8, "invalid_number"),
            ("正在通话中", 9, "on_another_call"),
        ];
        for (words, code, ours) in contract {
            assert_eq!(outcome(code).map(Outcome::as_str), Some(ours), "{words}");
        }
        for unlisted in [-11, -9, -2, -1, 15, 99] {
            assert_eq!(outcome(unlisted), None);
        }
    }
}
