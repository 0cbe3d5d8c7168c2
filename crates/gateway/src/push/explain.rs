//! What a kept push would be today: which secret and which rule its proof fits, or at which step it fails.

use outdial_core::{PushRefusal, RawPush};
use outdial_store::QuarantineDraft;
use serde::Serialize;

use crate::accounts::Account;

/// What the proof of a push is worth today; openapi.yaml describes each field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub verdict: &'static str,
    pub secret: Option<usize>,
    pub proof: Option<&'static str>,
    pub step: Option<&'static str>,
}

/// Checks the proof with the secrets and the code of today. Nothing is taken or changed.
pub fn explain(account: &Account, draft: &QuarantineDraft) -> Explanation {
    let push = RawPush {
        body: draft.raw.clone(),
        content_type: draft.content_type.clone(),
        received_at: draft.received_at,
    };
    match account.vendor.verify(push) {
        Ok(verified) => Explanation {
            verdict: "authentic",
            secret: verified.secret_index,
            proof: Some(verified.proof),
            step: None,
        },
        Err(PushRefusal::NotAuthentic { reason }) => refused("not_authentic", reason),
        Err(PushRefusal::Malformed { reason }) => refused("malformed", reason),
    }
}

const fn refused(verdict: &'static str, step: &'static str) -> Explanation {
    Explanation { verdict, secret: None, proof: None, step: Some(step) }
}
