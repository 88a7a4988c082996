//! What is sent to CodePipeline, and what the policy sends by itself.

use jiff::Timestamp;

use crate::approval::policy::Superseded;
use crate::approval::standing::{Standing, summary};
use crate::approval::{ApprovalAction, Decision, Token, Verdict, Via};

/// What is sent to CodePipeline, whole: carrying it out leaves nothing to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// What is answered.
    pub approval: ApprovalAction,
    /// With what.
    pub token: Token,
    /// What CodePipeline will show, naming the decider.
    pub summary: String,
    /// For the ledger.
    pub decision: Decision,
}

/// What the policy decides about `approval` by itself: a request behind which a newer revision waits is
/// rejected where the policy says so. `None` leaves it to people.
#[must_use]
pub fn of_policy(
    approval: &ApprovalAction,
    superseded: Superseded,
    standing: &Standing,
    newer_waiting: usize,
    now: Timestamp,
) -> Option<Effect> {
    let Standing::Waiting { token, .. } = standing else {
        return None;
    };
    (superseded == Superseded::Reject && newer_waiting > 0)
        .then(|| rejection_of_superseded(approval, token, now))
}

pub(super) fn rejection_of_superseded(approval: &ApprovalAction, token: &Token, now: Timestamp) -> Effect {
    let comment = "a newer revision is waiting behind this one".to_owned();
    effect(
        approval,
        token,
        Verdict::Rejected,
        "signalbox".to_owned(),
        Via::Policy,
        comment,
        now,
    )
}

pub(super) fn effect(
    approval: &ApprovalAction,
    token: &Token,
    verdict: Verdict,
    by: String,
    via: Via,
    comment: String,
    now: Timestamp,
) -> Effect {
    Effect {
        approval: approval.clone(),
        token: token.clone(),
        summary: summary(verdict, &by, via, &comment),
        decision: Decision {
            verdict,
            by,
            via,
            at: Some(now),
            comment,
        },
    }
}
