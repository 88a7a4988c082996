//! Approvals: what was asked, every attempt to answer, and the one decision.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signalbox_decision::approval::{ApprovalAction, TokenHash};
use signalbox_decision::names::PipelineName;

use crate::table::{RowKey, Step};
use crate::{Ledger, LedgerError};

/// Whoever has a link can open and post it as often as they like; the row must still take the decision.
const MAX_ATTEMPTS: usize = 200;
/// Bytes of one attempt's JSON.
const MAX_ATTEMPT: usize = 1500;
/// Bytes of one vote's JSON: a person, a way, a time and a comment.
const MAX_VOTE: usize = 8000;
/// Attempts by links that nobody can vouch for are kept for so long.
const STRANGERS_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// One asking: an approval action of a run, and its token's hash, since a retried stage asks anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalKey {
    row: RowKey,
}

impl ApprovalKey {
    /// The asking of `approval` with that token.
    #[must_use]
    pub fn new(approval: &ApprovalAction, token: TokenHash) -> Self {
        let ApprovalAction {
            pipeline,
            execution,
            stage,
            action,
        } = approval;
        Self {
            row: RowKey::new(
                format!("APPROVAL#{pipeline}#{execution}"),
                format!("{stage}#{action}#{token}"),
            ),
        }
    }
}

/// An approval as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredApproval {
    /// What was asked, as given to [`Ledger::open_approval`].
    pub record: Value,
    /// What was decided, if it was.
    pub decision: Option<Value>,
    /// The approvals so far, oldest first, one for each person.
    pub votes: Vec<Value>,
    /// Every attempt to answer, oldest first; the first 200.
    pub attempts: Vec<Value>,
    /// How many attempts came after those.
    pub attempts_not_kept: u64,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "another decision may stand"]
pub enum DecisionOutcome {
    /// It is the decision.
    Recorded,
    /// There was one, and it stands.
    AlreadyDecided(Value),
}

/// What became of a vote.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "only all votes together say whether it is decided"]
pub enum VoteOutcome {
    /// It counts, or this person's earlier one does; here are all, oldest first.
    Counted(Vec<Value>),
    /// There is a decision, and it stands.
    AlreadyDecided(Value),
}

/// The attempts of one day whose links nobody can vouch for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Strangers {
    /// The first 200 of the day, oldest first.
    pub attempts: Vec<Value>,
    /// How many came after those.
    pub attempts_not_kept: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Body {
    record: Option<Value>,
    decision: Option<Value>,
    decided: Option<Timestamp>,
    votes: Vec<Value>,
    attempts: Vec<Value>,
    attempts_not_kept: u64,
    expires: Option<Timestamp>,
}

impl Ledger {
    /// Writes what is asked, before anybody is; `false` if it was written before, and is left as it is.
    ///
    /// # Errors
    /// If the ledger cannot write it; then nobody is asked.
    pub async fn open_approval(
        &self,
        key: &ApprovalKey,
        record: &Value,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, LedgerError> {
        let decide = |found: Option<Body>| {
            Ok(match found {
                Some(Body { record: Some(_), .. }) => Step::Leave(false),
                found => Step::Write {
                    body: Body {
                        record: Some(record.clone()),
                        expires: Some(expires),
                        ..found.unwrap_or_default()
                    },
                    expires: Some(expires),
                    then: true,
                },
            })
        };
        Ok(self.table.change(&key.row, now, true, decide).await?.0)
    }

    /// What is known of an asking; `None` if it was never opened.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn load_approval(&self, key: &ApprovalKey) -> Result<Option<StoredApproval>, LedgerError> {
        let found = self.table.read::<Body>(&key.row, None).await?;
        Ok(found.and_then(|(body, _)| {
            Some(StoredApproval {
                record: body.record?,
                decision: body.decision,
                votes: body.votes,
                attempts: body.attempts,
                attempts_not_kept: body.attempts_not_kept,
            })
        }))
    }

    /// Adds a line to the audit of an asking, whether or not it was opened. Past the 200th, lines are
    /// counted and not kept.
    ///
    /// # Errors
    /// If the ledger cannot write it, or the line is longer than 1,500 bytes; then nothing is decided.
    pub async fn record_attempt(
        &self,
        key: &ApprovalKey,
        attempt: Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        bounded(&key.row, &attempt, MAX_ATTEMPT)?;
        let decide = |found: Option<Body>| {
            let mut body = found.unwrap_or_default();
            if body.attempts.len() < MAX_ATTEMPTS {
                body.attempts.push(attempt.clone());
            } else {
                body.attempts_not_kept += 1;
            }
            let expires = body.expires;
            Ok(Step::Write {
                body,
                expires,
                then: (),
            })
        };
        self.table.change(&key.row, now, false, decide).await.map(drop)
    }

    /// Adds one person's approval, once: `vote` names them in its field `person`, in which ASCII case makes
    /// no difference, and their first one stands. Nothing is added once it is decided.
    ///
    /// # Errors
    /// If the ledger cannot write it, the vote names nobody, or it is longer than 8,000 bytes; then it does
    /// not count.
    pub async fn record_vote(
        &self,
        key: &ApprovalKey,
        vote: Value,
        now: Timestamp,
    ) -> Result<VoteOutcome, LedgerError> {
        bounded(&key.row, &vote, MAX_VOTE)?;
        let Some(person) = person(&vote).map(str::to_owned) else {
            return Err(LedgerError::Unreadable {
                row: key.row.shown(),
                problem: "a vote that names nobody".to_owned(),
            });
        };
        let decide = |found: Option<Body>| {
            let mut body = found.unwrap_or_default();
            if let Some(stands) = body.decision {
                return Ok(Step::Leave(VoteOutcome::AlreadyDecided(stands)));
            }
            let has_voted =
                |known: &Value| self::person(known).is_some_and(|known| known.eq_ignore_ascii_case(&person));
            if body.votes.iter().any(has_voted) {
                return Ok(Step::Leave(VoteOutcome::Counted(body.votes)));
            }
            body.votes.push(vote.clone());
            Ok(Step::Write {
                expires: body.expires,
                then: VoteOutcome::Counted(body.votes.clone()),
                body,
            })
        };
        Ok(self.table.change(&key.row, now, false, decide).await?.0)
    }

    /// Adds a line to the day's audit of attempts whose link nobody can vouch for: forged, or signed with a
    /// key that is retired. Past the day's 200th, lines are counted and not kept; days are kept for 90 days.
    ///
    /// # Errors
    /// If the ledger cannot write it, or the line is longer than 1,500 bytes.
    pub async fn record_stranger(
        &self,
        pipeline: &PipelineName,
        attempt: Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let row = strangers(pipeline, now);
        bounded(&row, &attempt, MAX_ATTEMPT)?;
        let decide = |found: Option<Strangers>| {
            let mut body = found.unwrap_or_default();
            if body.attempts.len() < MAX_ATTEMPTS {
                body.attempts.push(attempt.clone());
            } else {
                body.attempts_not_kept += 1;
            }
            Ok(Step::Write {
                body,
                expires: now.saturating_add(STRANGERS_KEPT).ok(),
                then: (),
            })
        };
        self.table.change(&row, now, false, decide).await.map(drop)
    }

    /// The attempts of `day` (UTC) whose links nobody could vouch for.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn strangers(&self, pipeline: &PipelineName, day: Timestamp) -> Result<Strangers, LedgerError> {
        let found = self.table.read(&strangers(pipeline, day), None).await?;
        Ok(found.map(|(body, _)| body).unwrap_or_default())
    }

    /// Writes the decision, once: the first one stands.
    ///
    /// # Errors
    /// If the ledger cannot write it.
    pub async fn record_decision(
        &self,
        key: &ApprovalKey,
        decision: Value,
        now: Timestamp,
    ) -> Result<DecisionOutcome, LedgerError> {
        let decide = |found: Option<Body>| {
            let body = found.unwrap_or_default();
            Ok(match body.decision {
                Some(stands) => Step::Leave(DecisionOutcome::AlreadyDecided(stands)),
                None => Step::Write {
                    expires: body.expires,
                    body: Body {
                        decision: Some(decision.clone()),
                        decided: Some(now),
                        ..body
                    },
                    then: DecisionOutcome::Recorded,
                },
            })
        };
        Ok(self.table.change(&key.row, now, false, decide).await?.0)
    }
}

fn strangers(pipeline: &PipelineName, day: Timestamp) -> RowKey {
    RowKey::new(
        format!("STRANGERS#{pipeline}"),
        day.strftime("%Y-%m-%d").to_string(),
    )
}

fn person(vote: &Value) -> Option<&str> {
    vote.get("person")
        .and_then(Value::as_str)
        .filter(|person| !person.is_empty())
}

fn bounded(row: &RowKey, line: &Value, max: usize) -> Result<(), LedgerError> {
    let bytes = line.to_string().len();
    if bytes > max {
        return Err(LedgerError::TooLarge {
            row: row.shown(),
            bytes,
            max,
        });
    }
    Ok(())
}
