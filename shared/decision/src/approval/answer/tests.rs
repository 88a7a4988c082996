use proptest::prelude::*;

use super::*;
use crate::approval::link::Link;
use crate::approval::link::tests::{keys, link};
use crate::approval::request::tests::record;
use crate::approval::tests::{approver, at, token};

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
            facts.policy.unwrap().superseded,
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
