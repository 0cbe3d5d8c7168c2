//! Vocabulary of the gateway and the [`Vendor`] trait that adapters implement. No I/O, no async, no framework.

mod account;
mod clock;
mod error;
mod event;
pub mod json;
mod lifecycle;
mod merge;
mod number;
mod outcome;
mod push;
mod query;
mod record;
mod roster;
mod search;
mod settings;
mod timestamp;
mod token;
mod url;
mod vendor;

pub use account::{AccountId, InvalidAccountId, VendorId};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorClass, UpstreamFailure};
pub use event::{Event, EventData, EventDraft, Position, RosterEvent, event_type, record_event};
pub use lifecycle::{DeliveriesExhausted, ExhaustedDelivery, PushOverdue, SubscriptionDisabled};
pub use merge::{Merged, merge};
pub use number::{PhoneNumber, mask_number, mask_numbers_in_text};
pub use outcome::{Disposition, EndedBy, Outcome, ReceivedVia, UnknownWord};
pub use push::{
    DecodedPush, DecodedRecord, PushItem, PushOutcome, PushRefusal, PushReply, QuarantineReason, RawPush,
    VerifiedPush, Warning,
};
pub use query::RecordQuery;
pub use record::{Agent, AgentLeg, CallRecord, Record, Region, UserData, VendorCodes};
pub use roster::{PartForm, Refusal, RosterEncoder, RosterEntry, RosterPart};
pub use search::{FoundRecord, SearchPage, SearchRequest};
pub use secrecy::{ExposeSecret, SecretString};
pub use settings::{SettingsSource, read_url, with_default_path};
pub use timestamp::{Precision, Timestamp};
pub use token::{Token, TokenBudget};
pub use url::{encode_path_segment, encode_query_value};
pub use vendor::{Capabilities, Descriptor, Vendor};
