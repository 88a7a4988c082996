//! Somebody opened a link or sent its form: what may happen.
//!
//! Everything that does not allow a decision closes it, in the same order for page and form, so that
//! the page never offers what the form would refuse. Only [`decide`] makes an [`Effect`], and it asks
//! for a [`VerifiedLink`]: without a checked signature there is no way to an answer.

use std::fmt;

use jiff::Timestamp;

use super::link::VerifiedLink;
use super::policy::{Policy, Superseded};
use super::quorum::{Tally, Vote, counts};
use super::standing::{Gone, Standing, summary};
use super::{ApprovalAction, Decision, Record, Token, Verdict, Via, same_person};
use crate::names::PipelineName;
use crate::text::shown;

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

/// Why nothing can be decided by this link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Not by this person or not in this way.
    Refused(Refusal),
    /// It was decided.
    Decided(Decision),
    /// It ended unanswered.
    Expired {
        /// When the link ended.
        at: Timestamp,
    },
    /// There is nothing left to decide.
    Gone(Gone),
    /// AWS does not show the approval as open yet, or did not take the answer: to be tried again.
    NotReady,
}

/// Why a person or a way is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The form came from another site.
    #[error("the form was sent from another site")]
    ForeignOrigin,
    /// The form does not belong to this browser's page.
    #[error("the form does not belong to the page that this browser was shown")]
    Nonce,
    /// Another installation's link.
    #[error("the link is for another pipeline")]
    OtherPipeline,
    /// There is no policy, or none that is valid.
    #[error("there is no valid approval policy")]
    NoPolicy,
    /// Not on the list (any more).
    #[error("this address is not on the list of approvers")]
    NotListed,
    /// We never asked this person about this, so far as the ledger knows.
    #[error("this address was not asked about this run")]
    NotAsked,
    /// The author of the change.
    #[error("the author of a change cannot approve it")]
    OwnChange,
}

impl Closed {
    /// The HTTP status for a form that met this.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused(Refusal::OtherPipeline) => 404,
            Self::Refused(_) => 403,
            Self::Decided(_) => 409,
            Self::Expired { .. } | Self::Gone(_) => 410,
            Self::NotReady => 503,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Decided(decision) => write!(f, "already {} by {}", decision.verdict, decision.by),
            Self::Expired { at } => write!(f, "expired at {at}"),
            Self::Gone(why) => write!(f, "gone: {why}"),
            Self::NotReady => f.write_str("not ready"),
        }
    }
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

/// What the policy decides about `approval` by itself: a request behind which a newer revision waits is
/// rejected where the policy says so. `None` leaves it to people.
#[must_use]
pub fn of_policy(
    approval: &ApprovalAction,
    policy: &Policy,
    standing: &Standing,
    newer_waiting: usize,
    now: Timestamp,
) -> Option<Effect> {
    let Standing::Waiting { token, .. } = standing else {
        return None;
    };
    (policy.superseded == Superseded::Reject && newer_waiting > 0)
        .then(|| rejection_of_superseded(approval, token, now))
}

fn rejection_of_superseded(approval: &ApprovalAction, token: &Token, now: Timestamp) -> Effect {
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

fn effect(
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

/// What the form's answer came to, after CodePipeline did not plainly accept it: refused because
/// somebody was faster, or an error after which nobody knows whether it arrived. Only what AWS and the
/// ledger say *now* counts.
pub fn settle(link: &VerifiedLink, effect: &Effect, facts: Facts<'_>, now: Timestamp) -> Settled {
    // A summary of our very own words means that our answer arrived, even if its confirmation did not.
    // Two identical forms of one person at once may both say so: it is true for both.
    if let Standing::Decided { summary, verdict, .. } = facts.standing
        && *summary == effect.summary
        && *verdict == effect.decision.verdict
        && facts.decision.is_none_or(|known| known.by == effect.decision.by)
    {
        return Settled::Arrived;
    }
    match examine(link, facts, now) {
        Ok(_) => Settled::Closed(Closed::NotReady),
        Err(closed) => Settled::Closed(closed),
    }
}

/// What an unconfirmed answer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// It is the decision.
    Arrived,
    /// It is not.
    Closed(Closed),
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
mod tests {
    use proptest::prelude::*;

    use super::super::link::Link;
    use super::super::link::tests::{keys, link};
    use super::super::request::tests::record;
    use super::super::tests::{approver, at, token};
    use super::*;

    struct Case {
        link: Link,
        policy: Option<Policy>,
        votes: Vec<Vote>,
        newer_waiting: usize,
        record: Option<Record>,
        decision: Option<Decision>,
        standing: Standing,
        attempt: Attempt<'static>,
        now: &'static str,
    }

    fn policy(quorum: usize, superseded: &str) -> Policy {
        Policy::parse(&format!(
            r#"{{"version":1,"approvers":[{{"email":"ann@example.com"}},{{"email":"bob@example.com"}}],
                "quorum":{quorum},"superseded":"{superseded}"}}"#
        ))
        .unwrap()
    }

    /// Everything as it should be.
    fn good() -> Case {
        Case {
            link: link(),
            policy: Some(policy(1, "warn")),
            votes: Vec::new(),
            newer_waiting: 0,
            record: Some(record()),
            decision: None,
            standing: Standing::Waiting {
                token: token(),
                since: None,
            },
            attempt: Attempt {
                verdict: Verdict::Approved,
                comment: "",
                via: Via::Link,
                same_origin: true,
                nonce_fits: true,
                older_confirmed: false,
            },
            now: "2026-05-29T15:00:00Z",
        }
    }

    impl Case {
        fn with<T>(&self, then: impl FnOnce(&VerifiedLink, Facts<'_>, Timestamp) -> T) -> T {
            let verified = Link::verify(&self.link.sign(&keys()), &keys()).unwrap();
            let pipeline = record().approval.pipeline;
            let facts = Facts {
                pipeline: &pipeline,
                policy: self.policy.as_ref(),
                record: self.record.as_ref(),
                decision: self.decision.as_ref(),
                votes: &self.votes,
                standing: &self.standing,
                newer_waiting: self.newer_waiting,
            };
            then(&verified, facts, at(self.now))
        }

        /// What follows in the end: an approval that is to be counted is.
        fn answer(&mut self) -> Answer {
            match self.with(|link, facts, now| decide(link, self.attempt, facts, now)) {
                Answer::Count(vote) => {
                    self.votes.push(vote.clone());
                    self.with(|link, facts, now| counted(link, &vote, facts, now))
                }
                answer => answer,
            }
        }

        fn only_reject(&self) -> Option<OnlyReject> {
            match self.with(view) {
                View::Open(ballot) => ballot.only_reject,
                View::Closed(closed) => panic!("closed: {closed}"),
            }
        }

        fn closed(&mut self) -> Closed {
            match self.answer() {
                Answer::Closed(closed) => closed,
                other => panic!("not closed: {other:?}"),
            }
        }

        fn view(&self) -> View {
            self.with(view)
        }
    }

    fn by_bob() -> Decision {
        Decision {
            verdict: Verdict::Rejected,
            by: "bob@example.com".to_owned(),
            via: Via::Link,
            at: Some(at("2026-05-29T14:30:00Z")),
            comment: "not today".to_owned(),
        }
    }

    #[test]
    fn an_asked_person_decides_and_is_named() {
        let mut case = good();
        case.attempt.comment = "looks\r\ngood\u{1b}[2J";
        let Answer::Send(effect) = case.answer() else {
            panic!("refused")
        };
        assert_eq!(
            effect.summary,
            "Approved by ann@example.com via link: looks good\\u{1b}[2J"
        );
        assert_eq!(
            (effect.token.reveal(), effect.decision.at),
            (token().reveal(), Some(at(case.now)))
        );
        assert!(!format!("{effect:?}").contains(token().reveal()));
        case.attempt.verdict = Verdict::Rejected;
        assert!(matches!(
            case.answer(),
            Answer::Send(Effect {
                decision: Decision {
                    verdict: Verdict::Rejected,
                    ..
                },
                ..
            })
        ));
    }

    #[test]
    fn another_site_or_another_browser_is_refused() {
        let mut case = good();
        case.attempt.nonce_fits = false;
        assert_eq!(case.closed(), Closed::Refused(Refusal::Nonce));
        case.attempt.same_origin = false;
        assert_eq!(case.closed(), Closed::Refused(Refusal::ForeignOrigin));
    }

    #[test]
    fn who_is_not_listed_or_was_not_asked_is_refused() {
        let mut case = good();
        case.policy.as_mut().unwrap().approvers.remove(0);
        assert_eq!(case.closed(), Closed::Refused(Refusal::NotListed));
        case.policy = None;
        assert_eq!(case.closed(), Closed::Refused(Refusal::NoPolicy));
        let mut case = good();
        case.record.as_mut().unwrap().asked.remove(0);
        assert_eq!(case.closed(), Closed::Refused(Refusal::NotAsked));
        case.record = None;
        assert_eq!(case.closed(), Closed::Refused(Refusal::NotAsked));
    }

    #[test]
    fn the_author_can_only_reject() {
        let mut case = good();
        case.record.as_mut().unwrap().evidence.author = Some("ANN@example.com".to_owned());
        assert_eq!(case.only_reject(), Some(OnlyReject::OwnChange));
        assert_eq!(case.closed(), Closed::Refused(Refusal::OwnChange));
        case.attempt.verdict = Verdict::Rejected;
        assert!(matches!(case.answer(), Answer::Send(_)));
    }

    #[test]
    fn a_decision_is_told_with_its_maker_and_time() {
        let mut case = good();
        case.decision = Some(by_bob());
        assert_eq!(case.closed(), Closed::Decided(by_bob()));
        // Also after the stage has moved on, and after the link's own end.
        case.standing = Standing::Gone(Gone::MovedOn);
        case.now = "2027-01-01T00:00:00Z";
        assert_eq!(case.closed(), Closed::Decided(by_bob()));
    }

    fn vote(email: &str) -> Vote {
        Vote {
            person: approver(email),
            via: Via::Link,
            at: at("2026-05-29T14:50:00Z"),
            comment: String::new(),
        }
    }

    #[test]
    fn of_two_who_have_to_approve_the_second_decides_for_both() {
        let mut case = good();
        case.policy = Some(policy(2, "warn"));
        let Answer::Counted(tally) = case.answer() else {
            panic!("not counted")
        };
        assert_eq!(
            (tally.open(), tally.missing),
            (1, vec![approver("bob@example.com")])
        );
        // Sent again by the same person it stays one.
        assert!(matches!(case.answer(), Answer::Counted(_)));
        assert_eq!(
            (case.votes.len(), case.only_reject()),
            (1, Some(OnlyReject::Approved))
        );
        case.link.approver = approver("bob@example.com");
        let Answer::Send(effect) = case.answer() else {
            panic!("not decided")
        };
        assert_eq!(
            effect.summary,
            "Approved by ann@example.com, bob@example.com via link"
        );
        // Where CodePipeline did not take it, either can send it again.
        assert!(matches!(case.answer(), Answer::Send(_)));
    }

    #[test]
    fn one_rejection_ends_it_whoever_has_approved() {
        let mut case = good();
        case.policy = Some(policy(2, "warn"));
        case.votes = vec![vote("bob@example.com")];
        case.attempt.verdict = Verdict::Rejected;
        let Answer::Send(effect) = case.answer() else {
            panic!("not decided")
        };
        assert_eq!(
            (effect.decision.verdict, effect.decision.by.as_str()),
            (Verdict::Rejected, "ann@example.com")
        );
    }

    #[test]
    fn an_older_revision_takes_a_second_step_to_approve_and_none_to_reject() {
        let mut case = good();
        case.newer_waiting = 1;
        assert_eq!((case.answer(), case.votes.len()), (Answer::ConfirmOlder, 0));
        case.attempt.older_confirmed = true;
        assert!(matches!(case.answer(), Answer::Send(_)));
        case.attempt = Attempt {
            verdict: Verdict::Rejected,
            older_confirmed: false,
            ..case.attempt
        };
        assert!(matches!(case.answer(), Answer::Send(_)));
    }

    #[test]
    fn where_the_policy_rejects_older_revisions_nobody_approves_them() {
        let mut case = good();
        (case.policy, case.newer_waiting) = (Some(policy(1, "reject")), 1);
        case.attempt.older_confirmed = true;
        assert_eq!(case.only_reject(), Some(OnlyReject::Superseded));
        let Answer::Send(effect) = case.answer() else {
            panic!("not rejected")
        };
        assert_eq!(
            (effect.decision.verdict, effect.decision.via),
            (Verdict::Rejected, Via::Policy)
        );
        let by_itself = case.with(|link, facts, now| {
            of_policy(
                &link.link().approval,
                facts.policy.unwrap(),
                facts.standing,
                facts.newer_waiting,
                now,
            )
        });
        assert_eq!(by_itself, Some(effect));
        (case.policy, case.newer_waiting) = (Some(policy(1, "reject")), 0);
        assert!(case.only_reject().is_none());
    }

    #[test]
    fn an_expired_link_decides_nothing() {
        let mut case = good();
        case.now = "2026-06-05T14:05:00Z";
        assert_eq!(case.closed(), Closed::Expired { at: at(case.now) });
        case.now = "2026-06-05T14:04:59Z";
        assert!(matches!(case.answer(), Answer::Send(_)));
        case.standing = Standing::Lapsed;
        assert!(matches!(case.closed(), Closed::Expired { .. }));
    }

    #[test]
    fn a_link_of_an_older_asking_points_to_the_newer() {
        let mut case = good();
        case.standing = Standing::Waiting {
            token: Token::new("another"),
            since: None,
        };
        assert_eq!(case.closed(), Closed::Gone(Gone::AskedAgain));
    }

    #[test]
    fn a_deleted_pipeline_is_told_even_without_a_record() {
        let mut case = good();
        case.record = None;
        case.standing = Standing::Gone(Gone::Pipeline);
        assert_eq!(
            (case.closed(), case.closed().status()),
            (Closed::Gone(Gone::Pipeline), 410)
        );
    }

    #[test]
    fn a_link_of_another_installation_is_unknown_here() {
        let mut case = good();
        case.link.approval.pipeline = PipelineName::new("staging").unwrap();
        assert_eq!(
            (case.closed(), case.closed().status()),
            (Closed::Refused(Refusal::OtherPipeline), 404)
        );
    }

    fn settled(standing: Standing, decision: Option<Decision>) -> Settled {
        let mut case = good();
        let Answer::Send(effect) = case.answer() else {
            panic!("refused")
        };
        case.votes.clear();
        (case.standing, case.decision) = (standing, decision);
        case.with(|link, facts, now| settle(link, &effect, facts, now))
    }

    fn decided(verdict: Verdict, summary: &str) -> Standing {
        Standing::Decided {
            verdict,
            summary: summary.to_owned(),
            by: None,
            at: None,
        }
    }

    #[test]
    fn an_unconfirmed_answer_is_settled_by_what_aws_shows() {
        let ours = decided(Verdict::Approved, "Approved by ann@example.com via link");
        assert_eq!(settled(ours, None), Settled::Arrived);
        let other = decided(Verdict::Rejected, "Rejected by bob@example.com via link: no");
        let Settled::Closed(Closed::Decided(decision)) = settled(other, None) else {
            panic!("not told")
        };
        assert_eq!(
            (decision.by.as_str(), decision.verdict),
            ("bob@example.com", Verdict::Rejected)
        );
        let open = Standing::Waiting {
            token: token(),
            since: None,
        };
        assert_eq!(settled(open.clone(), None), Settled::Closed(Closed::NotReady));
        assert_eq!(
            settled(open, Some(by_bob())),
            Settled::Closed(Closed::Decided(by_bob()))
        );
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        prop_oneof![
            Just(Standing::Waiting {
                token: token(),
                since: None
            }),
            Just(Standing::Waiting {
                token: Token::new("another"),
                since: None
            }),
            Just(Standing::NotReady),
            Just(Standing::Lapsed),
            Just(decided(Verdict::Approved, "ok")),
            Just(Standing::Gone(Gone::MovedOn)),
            Just(Standing::Gone(Gone::Pipeline)),
        ]
    }

    proptest! {
        /// Fails closed: an answer goes out only if every single condition holds.
        #[test]
        fn nothing_is_sent_unless_everything_holds(
            standing in any_standing(),
            (listed, asked, recorded, own) in any::<(bool, bool, bool, bool)>(),
            (same_origin, nonce_fits, known, late) in any::<(bool, bool, bool, bool)>(),
            approve in any::<bool>(),
        ) {
            let mut case = good();
            let holds = standing == case.standing && listed && asked && recorded && same_origin && nonce_fits
                && !known && !late && !(own && approve);
            case.standing = standing;
            if !listed { case.policy.as_mut().unwrap().approvers.remove(0); }
            let record = case.record.as_mut().unwrap();
            if !asked { record.asked.remove(0); }
            if own { record.evidence.author = Some("ann@example.com".to_owned()); }
            if !recorded { case.record = None; }
            if known { case.decision = Some(by_bob()); }
            if late { case.now = "2026-07-01T00:00:00Z"; }
            let verdict = if approve { Verdict::Approved } else { Verdict::Rejected };
            case.attempt = Attempt { verdict, same_origin, nonce_fits, ..case.attempt };
            let view = case.view();
            prop_assert_eq!(matches!(case.answer(), Answer::Send(_)), holds);
            // The page offers the form exactly where the form would be taken.
            let offered = matches!(view, View::Open(ballot) if ballot.only_reject.is_none() || !approve);
            prop_assert!(!holds || offered);
            prop_assert_eq!(offered && same_origin && nonce_fits, holds);
        }
    }
}
