//! request-approval and answer-approval, step by step.

use jiff::SignedDuration;
use serde_json::json;
use signalbox_decision::approval::answer::{self, Answer, Attempt, Effect};
use signalbox_decision::approval::keys::{Key, Keys};
use signalbox_decision::approval::link::{Link, VerifiedLink};
use signalbox_decision::approval::message::Rules;
use signalbox_decision::approval::policy::{Policy, Superseded};
use signalbox_decision::approval::quorum::Vote;
use signalbox_decision::approval::request::{self, Request};
use signalbox_decision::approval::standing::{ActionReading, ActionStatus, Reading, RunStatus, Standing};
use signalbox_decision::approval::{ApprovalAction, Decision, Evidence, Record, TokenHash, Verdict, Via};
use signalbox_decision::claim::digest;
use signalbox_decision::names::{ActionName, Approver, StageName};
use signalbox_decision::timeline::State;
use signalbox_ledger::{ApprovalKey, ClaimKey, VoteOutcome};

use crate::aws::{Aws, STAGES};
use crate::mutant::Mutant;
use crate::runs::pipeline;
use crate::shell::{Failed, Invocation, REMEMBERED};

pub(crate) const APPROVERS: [&str; 3] = ["ann@example.com", "ben@example.com", "dan@example.com"];
/// How many have to approve.
pub(crate) const QUORUM: usize = 2;
const URL: &str = "https://answer.example/";
const TIMEOUT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Who made a change: now one of the approvers, now another.
pub(crate) fn author(version: usize) -> &'static str {
    APPROVERS[version % APPROVERS.len()]
}

pub(crate) fn policy() -> Policy {
    let approvers: Vec<_> = APPROVERS.iter().map(|email| json!({ "email": email })).collect();
    Policy::parse(&json!({ "version": 1, "approvers": approvers, "quorum": QUORUM }).to_string()).unwrap()
}

pub(crate) fn keys() -> Keys {
    Keys::new(Key::new("k1", [7; 32]).unwrap(), None)
}

pub(crate) fn approval_of(aws: &Aws, run: usize) -> ApprovalAction {
    ApprovalAction {
        pipeline: pipeline(),
        execution: aws.runs[run].id.clone(),
        stage: StageName::new(STAGES[1]).unwrap(),
        action: ActionName::new(STAGES[1]).unwrap(),
    }
}

/// What the approval action of a run stands at, as CodePipeline shows it.
fn standing(aws: &Aws, run: usize) -> Standing {
    let it = &aws.runs[run];
    let action = it.actions.iter().find(|action| action.stage == 1);
    let reading = Reading::Read {
        run: if it.state.is_final() {
            RunStatus::Ended
        } else {
            RunStatus::InProgress
        },
        action: action.map(|action| ActionReading {
            execution: Some(it.id.clone()),
            status: match action.state {
                State::Succeeded => ActionStatus::Succeeded,
                State::Failed => ActionStatus::Failed,
                _ => ActionStatus::InProgress,
            },
            token: it.token.clone(),
            summary: it.answer.as_ref().map(|(_, summary)| summary.clone()),
            updated_by: it
                .answer
                .as_ref()
                .map(|_| "arn:aws:iam::1:role/answer".to_owned()),
            changed: Some(action.started),
            error: None,
        }),
    };
    Standing::of(reading, &it.id)
}

/// Asks every approver, once each, by a link of their own.
pub(crate) async fn request_approval(cx: &Invocation, run: usize) -> Result<(), Failed> {
    let (approval, standing, version) = cx
        .call(|aws| (approval_of(aws, run), standing(aws, run), aws.runs[run].version))
        .await;
    let decision: Option<Decision> = match &standing {
        Standing::Waiting { token, .. } => {
            let key = ApprovalKey::new(&approval, token.hash());
            let stored = cx.ledger.load_approval(&key).await?;
            stored
                .and_then(|stored| stored.decision)
                .map(|it| serde_json::from_value(it).unwrap())
        }
        _ => None,
    };
    let (approvers, keys) = (APPROVERS.map(|email| Approver::new(email).unwrap()), keys());
    let facts = request::Facts {
        standing: &standing,
        evidence: Evidence {
            author: Some(author(version).to_owned()),
            ..Evidence::default()
        },
        decision: decision.as_ref(),
    };
    let asking = request::Policy {
        approvers: &approvers,
        why_nobody: "",
        rules: Rules {
            quorum: QUORUM,
            author_may_approve: false,
        },
        timeout: TIMEOUT,
        superseded: Superseded::Warn,
        answer_url: URL,
        keys: &keys,
    };
    let (record, letters) = match request::decide(&approval, facts, asking, cx.now) {
        Request::Ask { record, letters } => (record, letters),
        Request::Later => return Err(Failed::Busy),
        Request::Ignore(_) => return Ok(()),
        Request::AskNobody { .. } => panic!("the policy names people"),
        Request::Reject { .. } => panic!("the policy only warns of what is superseded"),
    };
    let key = ApprovalKey::new(&approval, record.token_hash);
    cx.step().await;
    cx.ledger
        .open_approval(&key, &json!(record), cx.now, cx.now + REMEMBERED)
        .await?;
    let mut failed = None;
    for letter in letters {
        let person = letter.approver.to_string();
        let name = digest(&[&asking_name(&approval, record.token_hash), &person]);
        let text = &letter.message.body;
        let segment = text
            .split_once("/a/")
            .unwrap()
            .1
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned();
        let send = async || {
            cx.call(|aws| aws.letters.push((person.clone(), segment))).await;
            Ok(String::new())
        };
        if let Err(error) = cx
            .once(&ClaimKey::new("request", &name), &name, REMEMBERED, send)
            .await
        {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

pub(crate) fn asking_name(approval: &ApprovalAction, token: TokenHash) -> String {
    digest(&[approval.execution.as_str(), &token.to_string()])
}

/// Somebody sends the form of a link.
pub(crate) async fn answer_approval(cx: Invocation, segment: String, verdict: Verdict) -> Result<(), Failed> {
    let keys = keys();
    let Ok(link) = Link::verify(&segment, &keys) else {
        return Ok(());
    };
    let attempt = Attempt {
        verdict,
        comment: "",
        via: Via::Link,
        same_origin: true,
        nonce_fits: true,
        older_confirmed: true,
    };
    let read = gather(&cx, &link).await?;
    let effect = match answer::decide(&link, attempt, read.facts(), cx.now) {
        Answer::Send(effect) => effect,
        Answer::Count(vote) => {
            cx.step().await;
            let outcome = cx.ledger.record_vote(&read.key, json!(vote), cx.now).await?;
            let VoteOutcome::Counted(all) = outcome else {
                return Ok(());
            };
            let votes: Vec<Vote> = serde_json::from_value(json!(all)).unwrap();
            let mut read = gather(&cx, &link).await?;
            read.votes = votes;
            if cx.has(Mutant::OneVoteIsEnough) {
                read.policy = Policy::parse(
                    &json!({ "version": 1, "approvers": [{ "email": vote.person }], "quorum": 1 })
                        .to_string(),
                )
                .unwrap();
            }
            match answer::counted(&link, &vote, read.facts(), cx.now) {
                Answer::Send(effect) => effect,
                _ => return Ok(()),
            }
        }
        Answer::Counted(_) | Answer::ConfirmOlder | Answer::Closed(_) => return Ok(()),
    };
    send(&cx, &read.key, effect).await
}

async fn send(cx: &Invocation, key: &ApprovalKey, mut effect: Effect) -> Result<(), Failed> {
    if cx.has(Mutant::AnswersTheNewestRun) {
        let aws = cx.aws.borrow();
        if let Some(token) = aws.runs.iter().rev().find_map(|run| run.token.clone()) {
            effect.token = token;
        }
    }
    cx.call(|aws| aws.answer(&effect.token, effect.decision.verdict, &effect.summary))
        .await?;
    let _ = cx
        .ledger
        .record_decision(key, json!(effect.decision), cx.now)
        .await?;
    Ok(())
}

/// What was read for a link.
struct Read {
    key: ApprovalKey,
    pipeline: signalbox_decision::names::PipelineName,
    policy: Policy,
    record: Option<Record>,
    decision: Option<Decision>,
    votes: Vec<Vote>,
    standing: Standing,
}

impl Read {
    fn facts(&self) -> answer::Facts<'_> {
        answer::Facts {
            pipeline: &self.pipeline,
            policy: Some(&self.policy),
            record: self.record.as_ref(),
            decision: self.decision.as_ref(),
            votes: &self.votes,
            standing: &self.standing,
            newer_waiting: 0,
        }
    }
}

async fn gather(cx: &Invocation, link: &VerifiedLink) -> Result<Read, Failed> {
    let link = link.link();
    let standing = cx
        .call(|aws| {
            let run = aws.runs.iter().position(|run| run.id == link.approval.execution);
            standing(aws, run.unwrap())
        })
        .await;
    let key = ApprovalKey::new(&link.approval, link.token);
    let stored = cx.ledger.load_approval(&key).await?;
    let (record, decision, votes) = match stored {
        Some(stored) => (
            Some(serde_json::from_value(stored.record).unwrap()),
            stored.decision.map(|it| serde_json::from_value(it).unwrap()),
            serde_json::from_value(json!(stored.votes)).unwrap(),
        ),
        None => (None, None, Vec::new()),
    };
    Ok(Read {
        key,
        pipeline: pipeline(),
        policy: policy(),
        record,
        decision,
        votes,
        standing,
    })
}
