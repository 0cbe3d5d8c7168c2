//! The names of the keys. All begin with the store's prefix in braces, the hash tag that keeps them on one node of a cluster.
//!
//! | key | what |
//! |---|---|
//! | `events` | stream: ids `{position}-0`, field `event` = the CloudEvents JSON |
//! | `log` | hash: `last`, `trimmed`, and how many events were `added` and `removed` |
//! | `event:{id}` | marker of an event that no record caused |
//! | `record:{id}` | `{revision} {json}`, for the retention time |
//! | `facts` | hash: what is counted of each record, see `lua/shared.lua` |
//! | `changed` | sorted set of record ids by last change |
//! | `records:{account}`, `records:{account}:{campaign}` | sorted sets of record ids by start, newest first |
//! | `arrivals:{account}`, `arrivals:{account}:{campaign}` | hashes: records by `{hour}|{push or search}` |
//! | `outcomes:` `reached:` `dialled:{account}:{campaign}` | hashes: records by round and outcome, and by entry |
//! | `results:{account}:{campaign}` | hash: entry id to the round and outcome of each of its records |
//! | `entries:{account}:{campaign}` | hash: entry id to `{roster}\n{json}` |
//! | `entries-of:{group}`, `entries` | set of a roster's entry ids; sorted set of groups by age |
//! | `withheld:{group}` | hash: a roster's entries that the vendor did not take |
//! | `body:{roster}/{part}`, `bodies` | hash: number to bytes of a chunk; sorted set of bodies by age |
//! | `roster:{id}`, `rosters:{account}`, `rosters` | JSON; ids by name; `{account}/{id}` by age |
//! | `quarantine:{id}` | hash: `account`, `reason`, `facts` (JSON), `raw` |
//! | `quarantined:{account}`, `quarantined:{account}:{reason}`, `quarantined` | ids by name, by name, by age |
//! | `suspects` | hash: bytes of suspects by account |
//! | `value:{name}`, `lease:{name}`, `fence` | values and leases with a life time; the last fence that was given |
//! | `subscriptions`, `progress` | hashes by subscription: `{version}\n{json}`, `{fence}\n{json}` |
//! | `delivery:{subscription}` | hash: delivery id to `{status} {attempts} {due or -}\n{json}`; what stands before the JSON counts |
//! | `pending:` `delivered:` `dead:{subscription}` | delivery ids by name |
//! | `turn-slots:` `turn-half-slots:{account}` | calls under way, by when their slot is free again |
//! | `turn-starts:{account}` | list of when the last calls began, in microseconds, the newest first |
//! | `turn-places:{account}` | hash: who waits for a turn to `{since} {until}` |
//! | `turn-replicas:` `turn-pause:{account}` | replicas by when they last asked; there while the vendor is to be spared |
//! | `due:{subscription}`, `finished:{subscription}` | pending ones by when they are due, the others by when they were first tried |

/// The names of a store's keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

/// What a prefix may be: it stands in every key, inside the braces of the hash tag.
pub(super) fn is_valid_prefix(prefix: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&prefix.len()) && prefix.bytes().all(allowed)
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{{{prefix}}}:") }
    }

    /// What every key begins with; the scripts make keys of it.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key by its name.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A key of a kind with one owner.
    pub(super) fn of(&self, kind: &str, owner: impl std::fmt::Display) -> String {
        format!("{}{kind}:{owner}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_share_the_hash_tag() {
        let keys = Keys::new("outdial");
        assert_eq!(keys.key("events"), "{outdial}:events");
        assert_eq!(keys.of("record", "ic-1/68"), "{outdial}:record:ic-1/68");
    }

    #[test]
    fn a_prefix_cannot_break_the_tag() {
        assert!(is_valid_prefix("outdial") && is_valid_prefix("a.b-C_9"));
        for bad in ["", "a}b", "{a", "a b", "a*", "名", &"a".repeat(65)] {
            assert!(!is_valid_prefix(bad), "{bad:?}");
        }
    }
}
