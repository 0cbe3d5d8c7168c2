//! Events delivered once more: what is asked for, how much that is, and the request that the worker then serves.

use outdial_core::{Position, Timestamp};
use outdial_store::{Replay, StoredSubscription, SubscriptionFilter};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    filter::{FilterOwner, read_narrowing},
    members::Members,
    service::{SubscriptionService, conflict},
    view::{first_of, is_running},
};
use crate::{api_error::ApiError, auth::Principal, events::EventFilter};

/// Events read of the log at once.
const READ: usize = 1_000;
/// Most events that are looked at to count those that are wanted.
const LOOKED_AT: usize = 1_000_000;

/// What is asked for.
struct ReplayDraft {
    after: Position,
    until: Option<Position>,
    filter: SubscriptionFilter,
    is_dry_run: bool,
}

/// What a replay will deliver; openapi.yaml describes each field.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedReplay {
    pub id: Option<String>,
    pub total: u64,
    pub from_sequence: String,
    pub to_sequence: String,
    pub starts_at_oldest: bool,
    pub dry_run: bool,
}

impl SubscriptionService {
    /// Counts what is asked for and, unless that is all, has it delivered.
    ///
    /// # Errors
    /// `invalid-members`, `not-found`, `replay-running`, `replay-too-large`, `subscription-changed`.
    pub async fn replay(
        &self,
        principal: &Principal,
        id: &str,
        body: Value,
    ) -> Result<PlannedReplay, ApiError> {
        let subscription = self.find(principal, id).await?;
        let known = Some(&subscription.filter.accounts);
        let owner = FilterOwner { accounts: &self.accounts, principal, known };
        let draft = ReplayDraft::read(body, &owner)?;
        let bounds = self.log.bounds().await?;
        let starts_at_oldest = draft.after < bounds.trimmed;
        let after = draft.after.max(bounds.trimmed);
        let until = draft.until.unwrap_or(bounds.last).min(bounds.last);
        if !draft.is_dry_run {
            self.refuse_second(&subscription).await?;
        }
        let total = self.count_wanted(&subscription.filter, &draft.filter, after, until).await?;
        let planned = |id: Option<String>| PlannedReplay {
            dry_run: id.is_none(),
            id,
            total,
            from_sequence: first_of(after).to_string(),
            to_sequence: until.to_string(),
            starts_at_oldest,
        };
        if draft.is_dry_run {
            return Ok(planned(None));
        }
        let replay = Replay {
            id: format!("rpl_{}", Uuid::now_v7().simple()),
            after,
            until,
            filter: draft.filter,
            total,
            requested_at: self.clock.now(),
        };
        self.begin(principal, id, &subscription, &replay).await?;
        tracing::info!(id, replay = replay.id, total, subject = principal.subject, "replay.requested");
        Ok(planned(Some(replay.id)))
    }

    /// Keeps the request. Another that came in the meantime wins.
    async fn begin(
        &self,
        principal: &Principal,
        id: &str,
        seen: &StoredSubscription,
        replay: &Replay,
    ) -> Result<(), ApiError> {
        let before = seen.replay.as_ref().map(|before| before.id.as_str());
        self.change(principal, id, |known, _| {
            if known.replay.as_ref().map(|now| now.id.as_str()) != before {
                return Err(running());
            }
            Ok(StoredSubscription { replay: Some(replay.clone()), ..known.clone() })
        })
        .await?;
        Ok(())
    }

    async fn refuse_second(&self, subscription: &StoredSubscription) -> Result<(), ApiError> {
        let Some(replay) = &subscription.replay else { return Ok(()) };
        let progress = self.subscriptions.get_progress(&subscription.id).await?;
        let progress = progress.ok_or_else(ApiError::not_found)?;
        if is_running(replay, &progress) { Err(running()) } else { Ok(()) }
    }

    /// How many events in a range both filters want.
    async fn count_wanted(
        &self,
        own: &SubscriptionFilter,
        narrower: &SubscriptionFilter,
        after: Position,
        until: Position,
    ) -> Result<u64, ApiError> {
        let filters = [own, narrower].map(|filter| EventFilter::of_subscription(filter, true));
        let (mut position, mut looked_at, mut total) = (after, 0, 0);
        while position < until {
            let events = self.log.read(position, READ).await?;
            looked_at += events.len();
            if looked_at > LOOKED_AT {
                return Err(too_large());
            }
            let within = events.iter().filter(|event| event.position <= until);
            for event in within {
                total += u64::from(filters.iter().all(|filter| filter.passes(event)));
            }
            match events.last() {
                Some(last) if events.len() == READ => position = last.position,
                _ => break,
            }
        }
        Ok(total)
    }
}

impl ReplayDraft {
    fn read(body: Value, owner: &FilterOwner<'_>) -> Result<Self, ApiError> {
        let mut members = Members::of_body(body)?;
        let time = members.parsed("from_time", "an RFC 3339 time", |value| Timestamp::parse(value.as_str()?));
        let from = read_position(&mut members, "from_sequence");
        let until = read_position(&mut members, "to_sequence");
        let filter = read_narrowing(&mut members, owner);
        let is_dry_run = members.flag("dry_run").unwrap_or(false);
        // Positions are microseconds; a time is behind every event before it.
        let from_time =
            time.map(|time| Position(u64::try_from(time.millis()).unwrap_or(0).saturating_mul(1_000)));
        let from = match (from_time, from) {
            (Some(_), Some(_)) => {
                members.refuse("from_sequence", "both", "A replay begins at a time or a position, not both.");
                Position(0)
            }
            (Some(from), None) | (None, Some(from)) => from,
            (None, None) => {
                members.refuse("from_time", "missing", "A replay begins at a time or a position.");
                Position(0)
            }
        };
        if until.is_some_and(|until| until < from) {
            members.refuse("to_sequence", "before-start", "The end is before the beginning.");
        }
        members.finish()?;
        Ok(Self { after: Position(from.0.saturating_sub(1)), until, filter, is_dry_run })
    }
}

fn read_position(members: &mut Members, name: &str) -> Option<Position> {
    members.parsed(name, "a position, such as the sequence of an event", |value| {
        let text = value.as_str()?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse().ok()).flatten()
    })
}

fn running() -> ApiError {
    conflict("replay-running", "Another replay of the subscription is under way.")
}

fn too_large() -> ApiError {
    let message = format!("More than {LOOKED_AT} events lie in the range; ask for a part of it.");
    outdial_core::Error::new(outdial_core::ErrorClass::InvalidInput, "replay-too-large", message).into()
}
