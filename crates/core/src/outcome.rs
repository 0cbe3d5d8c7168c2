//! What came of a call, in words shared by all vendors.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A word that is not one of a closed set; `allowed` lists the set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not one of: {}", allowed.join(", "))]
pub struct UnknownWord {
    /// Every word of the set.
    pub allowed: &'static [&'static str],
}

macro_rules! closed_words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every word of the set, in the order of its declaration.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Every value, in the order of its declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(UnknownWord { allowed: Self::WORDS }) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
    };
}

closed_words! {
    /// How far a call got.
    Disposition {
        /// The customer answered.
        Connected = "connected",
        /// Dialled, but the customer did not answer.
        NotConnected = "not_connected",
        /// Never dialled.
        NotDialled = "not_dialled",
    }
}

closed_words! {
    /// Why a call ended as it did.
    Outcome {
        /// Customer and agent talked.
        Bridged = "bridged",
        /// The customer answered; whether an agent talked is unknown or did not happen.
        Answered = "answered",
        /// Nobody answered.
        NoAnswer = "no_answer",
        /// Subscriber busy.
        Busy = "busy",
        /// The subscriber is on another call.
        OnAnotherCall = "on_another_call",
        /// Call waiting was announced.
        CallWaiting = "call_waiting",
        /// The subscriber cannot be reached.
        Unreachable = "unreachable",
        /// The handset is powered off.
        PoweredOff = "powered_off",
        /// The number is suspended.
        Suspended = "suspended",
        /// The number does not exist.
        InvalidNumber = "invalid_number",
        /// The subscriber restricts incoming calls.
        Restricted = "restricted",
        /// The call was forwarded.
        Forwarded = "forwarded",
        /// The network is busy.
        NetworkBusy = "network_busy",
        /// Nothing came in time.
        Timeout = "timeout",
        /// A short busy tone.
        ShortBusyTone = "short_busy_tone",
        /// A long busy tone.
        LongBusyTone = "long_busy_tone",
        /// A fault of the line.
        LineError = "line_error",
        /// Hung up before anything else.
        HungUp = "hung_up",
        /// A business rule forbade the call.
        Blocked = "blocked",
        /// The roster entry expired before it was dialled.
        Expired = "expired",
        /// The vendor's own "other".
        Other = "other",
        /// A code that no document of the vendor lists, or none at all.
        Unknown = "unknown",
    }
}

closed_words! {
    /// Which side ended the call.
    EndedBy {
        /// The person who was called.
        Customer = "customer",
        /// The agent.
        Agent = "agent",
        /// The dialler or the network.
        System = "system",
    }
}

closed_words! {
    /// How a record first reached us.
    ReceivedVia {
        /// The vendor pushed it.
        Push = "push",
        /// A search found it.
        Search = "search",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_unknown_ones_name_the_set() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse::<Outcome>(), Ok(*outcome));
            assert_eq!(serde_json::to_string(outcome).unwrap(), format!("\"{outcome}\""));
        }
        assert_eq!("lost".parse::<EndedBy>().unwrap_err().to_string(), "not one of: customer, agent, system");
    }
}
