//! An approval action has started: who is asked, and how.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::answer::{Effect, of_policy};
use super::keys::Keys;
use super::link::Link;
use super::message::{self, Message, Rules};
use super::policy::Superseded;
use super::standing::{Gone, Standing};
use super::{ApprovalAction, Decision, Evidence, Record, Token, Verdict};
use crate::names::Approver;

/// What was read after the event came.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What AWS says of the action now.
    pub standing: &'a Standing,
    /// What is known of the run.
    pub evidence: Evidence,
    /// The ledger's decision about this very asking, if there is one.
    pub decision: Option<&'a Decision>,
}

/// What is configured.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// Who may be asked.
    pub approvers: &'a [Approver],
    /// Why nobody may be, where that is so: a sentence.
    pub why_nobody: &'a str,
    /// What is asked of them.
    pub rules: Rules,
    /// What happens where a newer revision waits.
    pub superseded: Superseded,
    /// AWS's own time-out of the approval action (5 to 86,400 minutes): no link outlives it.
    pub timeout: SignedDuration,
    /// Where the page is; ends in `/`.
    pub answer_url: &'a str,
    /// What links are signed with.
    pub keys: &'a Keys,
}

/// What is to be done about an approval action that has started.
#[derive(Debug)]
#[must_use = "an approver who is not asked cannot answer"]
pub enum Request {
    /// Write the record, then send every letter, once each.
    Ask {
        /// For the ledger, before anybody can answer.
        record: Record,
        /// One for each approver, with a link of their own.
        letters: Vec<Letter>,
    },
    /// Tell everybody that nobody can be asked.
    AskNobody {
        /// For the ledger.
        record: Record,
        /// Says why, and points to the console.
        notice: Message,
    },
    /// Write the record, then tell CodePipeline: a newer revision waits, and the policy rejects the older one.
    /// Nobody is asked.
    Reject {
        /// For the ledger.
        record: Record,
        /// The policy's answer.
        effect: Effect,
    },
    /// AWS does not show the token yet: come back.
    Later,
    /// Nothing is to be done.
    Ignore(Ignored),
}

/// Why nobody is asked, and rightly so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It was decided before anybody was asked, or the event came late.
    #[error("already {0}")]
    Decided(Verdict),
    /// It ended unanswered.
    #[error("expired")]
    Expired,
    /// There is nothing left to decide.
    #[error("{0}")]
    Gone(Gone),
}

/// A message with its approver. The body holds a credential: `Debug` shows the address only.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// Whom it is for.
    pub approver: Approver,
    /// What it says.
    pub message: Message,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("approver", &self.approver.as_str())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Decides whom to ask about `approval`.
pub fn decide(approval: &ApprovalAction, facts: Facts<'_>, policy: Policy<'_>, now: Timestamp) -> Request {
    if let Some(decision) = facts.decision {
        return Request::Ignore(Ignored::Decided(decision.verdict));
    }
    let (token, since) = match facts.standing {
        Standing::Waiting { token, since } => (token, *since),
        Standing::NotReady => return Request::Later,
        Standing::Decided { verdict, .. } => return Request::Ignore(Ignored::Decided(*verdict)),
        Standing::Lapsed => return Request::Ignore(Ignored::Expired),
        Standing::Gone(why) => return Request::Ignore(Ignored::Gone(*why)),
    };
    let record = record(approval, token, since.unwrap_or(now), facts.evidence, policy);
    if record.expires <= now {
        return Request::Ignore(Ignored::Expired);
    }
    let newer = record.evidence.newer_waiting.len();
    if let Some(effect) = of_policy(approval, policy.superseded, facts.standing, newer, now) {
        return Request::Reject { record, effect };
    }
    if record.asked.is_empty() {
        let notice = message::nobody(&record, policy.why_nobody);
        return Request::AskNobody { record, notice };
    }
    let letters = record
        .asked
        .iter()
        .map(|approver| letter(&record, approver, policy, now))
        .collect();
    Request::Ask { record, letters }
}

fn record(
    approval: &ApprovalAction,
    token: &Token,
    opened: Timestamp,
    evidence: Evidence,
    policy: Policy<'_>,
) -> Record {
    // Down to the second, as links carry it: never later than AWS's own end.
    let end = opened.saturating_add(policy.timeout).unwrap_or(opened);
    let expires = Timestamp::from_second(end.as_second()).unwrap_or(opened);
    let mut asked: Vec<Approver> = Vec::new();
    for approver in policy.approvers {
        if !asked
            .iter()
            .any(|known| known.as_str().eq_ignore_ascii_case(approver.as_str()))
        {
            asked.push(approver.clone());
        }
    }
    Record {
        approval: approval.clone(),
        token_hash: token.hash(),
        asked,
        opened,
        expires,
        evidence,
    }
}

fn letter(record: &Record, approver: &Approver, policy: Policy<'_>, now: Timestamp) -> Letter {
    let link = Link {
        approval: record.approval.clone(),
        token: record.token_hash,
        approver: approver.clone(),
        expires: record.expires,
    };
    let url = format!("{}a/{}", policy.answer_url, link.sign(policy.keys));
    Letter {
        approver: approver.clone(),
        message: message::ask(record, approver, &url, policy.rules, now),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::Via;
    use super::super::evidence::Preview;
    use super::super::link::tests::keys;
    use super::super::tests::{approver, at, token, waiting_action};
    use super::*;
    use crate::names::Revision;

    pub(crate) fn evidence() -> Evidence {
        Evidence {
            environment: "production".to_owned(),
            revision: Some(Revision::new("3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY").unwrap()),
            revision_summary: Some("Round the totals".to_owned()),
            author: Some("carol@example.com".to_owned()),
            started_by: Some(
                "StartPipelineExecution arn:aws:sts::1:assumed-role/start-run/start-run".to_owned(),
            ),
            passed: ["Source", "Build", "Deploy"].map(str::to_owned).to_vec(),
            newer_waiting: Vec::new(),
            custom_data: None,
            console: "https://console.aws.amazon.com/run".to_owned(),
            preview: Preview::default(),
        }
    }

    pub(crate) fn record() -> Record {
        Record {
            approval: waiting_action(),
            token_hash: token().hash(),
            asked: vec![approver("ann@example.com"), approver("bob@example.com")],
            opened: at("2026-05-29T14:05:00Z"),
            expires: at("2026-06-05T14:05:00Z"),
            evidence: evidence(),
        }
    }

    fn requested(standing: &Standing, approvers: &[&str], decision: Option<&Decision>, now: &str) -> Request {
        asked_with(standing, approvers, decision, now, evidence(), Superseded::Warn)
    }

    fn asked_with(
        standing: &Standing,
        approvers: &[&str],
        decision: Option<&Decision>,
        now: &str,
        evidence: Evidence,
        superseded: Superseded,
    ) -> Request {
        let approvers: Vec<Approver> = approvers.iter().map(|address| approver(address)).collect();
        let policy = Policy {
            approvers: &approvers,
            why_nobody: "no approval policy is configured.",
            rules: Rules {
                quorum: 1,
                author_may_approve: false,
            },
            superseded,
            timeout: SignedDuration::from_hours(7 * 24),
            answer_url: "https://answer.example/",
            keys: &keys(),
        };
        decide(
            &waiting_action(),
            Facts {
                standing,
                evidence,
                decision,
            },
            policy,
            at(now),
        )
    }

    fn waiting() -> Standing {
        Standing::Waiting {
            token: token(),
            since: Some(at("2026-05-29T14:05:00.9Z")),
        }
    }

    const SOON: &str = "2026-05-29T14:06:00Z";

    #[test]
    fn each_approver_gets_a_link_of_their_own_that_ends_with_the_approval() {
        let Request::Ask { record, letters } = requested(
            &waiting(),
            &["ann@example.com", "bob@example.com", "Ann@example.com"],
            None,
            SOON,
        ) else {
            panic!("somebody is to be asked");
        };
        assert_eq!(record.asked.len(), 2);
        assert_eq!(record.expires, at("2026-06-05T14:05:00Z"));
        for (letter, address) in letters.iter().zip(["ann@example.com", "bob@example.com"]) {
            let (_, rest) = letter
                .message
                .body
                .split_once("https://answer.example/a/")
                .unwrap();
            let segment = rest.lines().next().unwrap();
            let verified = Link::verify(segment, &keys()).unwrap();
            let link = verified.link();
            assert_eq!((link.approver.as_str(), link.expires), (address, record.expires));
            assert_eq!((&link.approval, link.token), (&waiting_action(), token().hash()));
            assert!(!format!("{letter:?}").contains(segment));
        }
    }

    #[test]
    fn an_older_revision_is_rejected_where_the_policy_says_so_and_nobody_is_asked() {
        let newer = || Evidence {
            newer_waiting: vec!["aaaa".parse().unwrap()],
            ..evidence()
        };
        let ask = |evidence, superseded| {
            asked_with(&waiting(), &["ann@example.com"], None, SOON, evidence, superseded)
        };
        let Request::Reject { record, effect } = ask(newer(), Superseded::Reject) else {
            panic!("not rejected");
        };
        assert_eq!((&record.approval, &effect.token), (&effect.approval, &token()));
        assert_eq!(
            effect.summary,
            "Rejected by signalbox via policy: a newer revision is waiting behind this one"
        );
        assert!(matches!(ask(newer(), Superseded::Warn), Request::Ask { .. }));
        assert!(matches!(ask(evidence(), Superseded::Reject), Request::Ask { .. }));
    }

    #[test]
    fn without_approvers_nobody_is_asked_and_everybody_told() {
        assert!(matches!(
            requested(&waiting(), &[], None, SOON),
            Request::AskNobody { .. }
        ));
    }

    #[test]
    fn an_event_that_comes_too_late_asks_nobody() {
        let late = requested(&waiting(), &["ann@example.com"], None, "2026-06-05T14:05:00Z");
        assert!(matches!(late, Request::Ignore(Ignored::Expired)));
        let gone = requested(&Standing::Gone(Gone::MovedOn), &["ann@example.com"], None, SOON);
        assert!(matches!(gone, Request::Ignore(Ignored::Gone(Gone::MovedOn))));
    }

    #[test]
    fn what_is_decided_is_not_asked_again() {
        let decided = Standing::Decided {
            verdict: Verdict::Rejected,
            summary: String::new(),
            by: None,
            at: None,
        };
        assert!(matches!(
            requested(&decided, &["ann@example.com"], None, SOON),
            Request::Ignore(Ignored::Decided(Verdict::Rejected))
        ));
        // AWS may still show the approval as open where our own record is newer than the state it serves.
        let decision = Decision {
            verdict: Verdict::Approved,
            by: "ann@example.com".to_owned(),
            via: Via::Link,
            at: None,
            comment: String::new(),
        };
        assert!(matches!(
            requested(&waiting(), &["ann@example.com"], Some(&decision), SOON),
            Request::Ignore(Ignored::Decided(Verdict::Approved))
        ));
    }

    #[test]
    fn a_token_that_is_not_there_yet_is_waited_for() {
        assert!(matches!(
            requested(&Standing::NotReady, &["ann@example.com"], None, SOON),
            Request::Later
        ));
    }
}
