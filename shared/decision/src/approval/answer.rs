//! Somebody opened a link or sent its form: what may happen.
//!
//! Everything that does not allow a decision closes it, in the same order for page and form, so that
//! the page never offers what the form would refuse. Only [`decide`] makes an [`Effect`], and it asks
//! for a [`VerifiedLink`]: without a checked signature there is no way to an answer.

use jiff::Timestamp;

use super::link::VerifiedLink;
use super::policy::{Policy, Superseded};
use super::quorum::{Tally, Vote, counts};
use super::standing::{Gone, Standing};
use super::{Decision, Record, Token, Verdict, Via, same_person};
use crate::names::PipelineName;
use crate::text::shown;

mod closed;
mod effect;
mod settle;

pub use closed::{Closed, Refusal};
pub use effect::{Effect, of_policy};
pub use settle::{Settled, settle};

use effect::{effect, rejection_of_superseded};

/// What was read for this link, just now.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The pipeline that this installation serves.
    pub pipeline: &'a PipelineName,
    /// Today's policy: somebody taken off its list has lost their links. `None` where there is none, or
    /// none that is valid: then nobody may decide.
    pub policy: Option<&'a Policy>,
    /// The ledger's record of the asking.
    pub record: Option<&'a Record>,
    /// The ledger's decision.
    pub decision: Option<&'a Decision>,
    /// The approvals that the ledger has.
    pub votes: &'a [Vote],
    /// What AWS says.
    pub standing: &'a Standing,
    /// How many newer runs wait in front of the stage.
    pub newer_waiting: usize,
}

/// A form that was sent, or a button that was pressed.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// What its button says.
    pub verdict: Verdict,
    /// The comment, as sent.
    pub comment: &'a str,
    /// By which way it came.
    pub via: Via,
    /// Whether the browser says that our own page sent it.
    pub same_origin: bool,
    /// Whether cookie and form belong together.
    pub nonce_fits: bool,
    /// Whether it is the second step, by which somebody means the older revision although newer ones wait.
    pub older_confirmed: bool,
}

/// What the page offers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum View {
    /// The form.
    Open(Ballot),
    /// No form.
    Closed(Closed),
}

/// An open approval, as one person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// Why this person can only reject it; `None` where they can approve it.
    pub only_reject: Option<OnlyReject>,
    /// Who has approved, and who is missing.
    pub tally: Tally,
    /// How many newer runs wait.
    pub newer_waiting: usize,
}

/// Why somebody can reject and not approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyReject {
    /// They made the change or started the run.
    OwnChange,
    /// They approved it; others are missing.
    Approved,
    /// A newer revision waits, and the policy rejects the older one.
    Superseded,
}

/// What follows from a form.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an answer that is not carried out is lost"]
pub enum Answer {
    /// Tell CodePipeline.
    Send(Effect),
    /// Write the approval into the ledger, then ask [`counted`] with all that it has.
    Count(Vote),
    /// The approval was counted before, and others are missing.
    Counted(Tally),
    /// Ask again: newer revisions wait, and this is the first step.
    ConfirmOlder,
    /// Tell the person why not.
    Closed(Closed),
}

/// What the page of `link` shows.
pub fn view(link: &VerifiedLink, facts: Facts<'_>, now: Timestamp) -> View {
    let open = match examine(link, facts, now) {
        Ok(open) => open,
        Err(closed) => return View::Closed(closed),
    };
    let approver = &link.link().approver;
    let tally = open.tally(facts);
    let only_reject = if open.is_superseded(facts) {
        Some(OnlyReject::Superseded)
    } else if !counts(approver, open.policy, open.record) {
        Some(OnlyReject::OwnChange)
    } else if tally.has(approver) && !tally.is_reached() {
        Some(OnlyReject::Approved)
    } else {
        None
    };
    View::Open(Ballot {
        only_reject,
        tally,
        newer_waiting: facts.newer_waiting,
    })
}

/// What a form sent through `link` does.
pub fn decide(link: &VerifiedLink, attempt: Attempt<'_>, facts: Facts<'_>, now: Timestamp) -> Answer {
    if !attempt.same_origin {
        return Answer::Closed(Closed::Refused(Refusal::ForeignOrigin));
    }
    if !attempt.nonce_fits {
        return Answer::Closed(Closed::Refused(Refusal::Nonce));
    }
    let open = match examine(link, facts, now) {
        Ok(open) => open,
        Err(closed) => return Answer::Closed(closed),
    };
    let approver = &link.link().approver;
    let comment = comment(attempt.comment);
    if attempt.verdict == Verdict::Rejected {
        let by = approver.to_string();
        return Answer::Send(effect(
            &link.link().approval,
            open.token,
            Verdict::Rejected,
            by,
            attempt.via,
            comment,
            now,
        ));
    }
    if open.is_superseded(facts) {
        return Answer::Send(rejection_of_superseded(&link.link().approval, open.token, now));
    }
    if !counts(approver, open.policy, open.record) {
        return Answer::Closed(Closed::Refused(Refusal::OwnChange));
    }
    let tally = open.tally(facts);
    if tally.has(approver) && !tally.is_reached() {
        return Answer::Counted(tally);
    }
    if facts.newer_waiting > 0 && !attempt.older_confirmed {
        return Answer::ConfirmOlder;
    }
    if tally.has(approver) {
        // All have approved, and CodePipeline has not taken it yet.
        let by = tally.people();
        return Answer::Send(effect(
            &link.link().approval,
            open.token,
            Verdict::Approved,
            by,
            attempt.via,
            comment,
            now,
        ));
    }
    Answer::Count(Vote {
        person: approver.clone(),
        via: attempt.via,
        at: now,
        comment,
    })
}

/// What follows from an approval that the ledger has taken: `facts.votes` are all that it has now. Where
/// that is not enough yet, [`Answer::Counted`].
pub fn counted(link: &VerifiedLink, vote: &Vote, facts: Facts<'_>, now: Timestamp) -> Answer {
    let open = match examine(link, facts, now) {
        Ok(open) => open,
        Err(closed) => return Answer::Closed(closed),
    };
    let tally = open.tally(facts);
    if !tally.is_reached() {
        return Answer::Counted(tally);
    }
    let by = tally.people();
    let comment = vote.comment.clone();
    Answer::Send(effect(
        &link.link().approval,
        open.token,
        Verdict::Approved,
        by,
        vote.via,
        comment,
        now,
    ))
}

/// An approval that can be decided.
struct Open<'a> {
    token: &'a Token,
    record: &'a Record,
    policy: &'a Policy,
}

impl Open<'_> {
    fn tally(&self, facts: Facts<'_>) -> Tally {
        Tally::of(facts.votes, self.policy, self.record)
    }

    fn is_superseded(&self, facts: Facts<'_>) -> bool {
        self.policy.superseded == Superseded::Reject && facts.newer_waiting > 0
    }
}

/// The one list of what must hold. Who asks comes first: a stranger learns nothing about the run.
fn examine<'a>(link: &VerifiedLink, facts: Facts<'a>, now: Timestamp) -> Result<Open<'a>, Closed> {
    let link = link.link();
    if link.approval.pipeline != *facts.pipeline {
        return Err(Closed::Refused(Refusal::OtherPipeline));
    }
    let policy = facts.policy.ok_or(Closed::Refused(Refusal::NoPolicy))?;
    if !policy.lists(&link.approver) {
        return Err(Closed::Refused(Refusal::NotListed));
    }
    // The pipeline's end is told before the ledger is believed: the record may be gone with it.
    if let Standing::Gone(why @ (Gone::Pipeline | Gone::Run)) = facts.standing {
        return Err(Closed::Gone(*why));
    }
    let asked = facts
        .record
        .filter(|record| record.approval == link.approval && record.token_hash == link.token);
    let record = asked
        .filter(|record| {
            record
                .asked
                .iter()
                .any(|asked| same_person(asked, &link.approver))
        })
        .ok_or(Closed::Refused(Refusal::NotAsked))?;
    if let Some(decision) = facts.decision.cloned() {
        return Err(Closed::Decided(decision));
    }
    // The token tells one asking from the next: a decision that AWS shows for a *retried* stage is not
    // this link's, but then neither is the approval.
    if let Standing::Waiting { token, .. } = facts.standing
        && token.hash() != link.token
    {
        return Err(Closed::Gone(Gone::AskedAgain));
    }
    if let Some(decision) = facts.standing.decision() {
        return Err(Closed::Decided(decision));
    }
    let expired = Closed::Expired { at: link.expires };
    match facts.standing {
        Standing::Lapsed => Err(expired),
        _ if now >= link.expires.min(record.expires) => Err(expired),
        Standing::Gone(why) => Err(Closed::Gone(*why)),
        Standing::NotReady | Standing::Decided { .. } => Err(Closed::NotReady),
        Standing::Waiting { token, .. } => Ok(Open {
            token,
            record,
            policy,
        }),
    }
}

/// A comment on one line, fit to be shown: what CodePipeline's console, a mail or a log makes of control
/// characters is not the commenter's to choose.
fn comment(text: &str) -> String {
    shown(&text.split_whitespace().collect::<Vec<_>>().join(" "), 512)
}
#[cfg(test)]
mod tests;
