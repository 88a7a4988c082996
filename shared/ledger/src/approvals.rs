//! Approvals: what was asked, every attempt to answer, and the one decision.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signalbox_decision::approval::{ApprovalAction, TokenHash};

use crate::table::{RowKey, Step};
use crate::{Ledger, LedgerError};

/// Whoever has a link can open and post it as often as they like; the row must still take the decision.
const MAX_ATTEMPTS: usize = 200;
/// Bytes of one attempt's JSON.
const MAX_ATTEMPT: usize = 1500;

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

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Body {
    record: Option<Value>,
    decision: Option<Value>,
    decided: Option<Timestamp>,
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
        let bytes = attempt.to_string().len();
        if bytes > MAX_ATTEMPT {
            return Err(LedgerError::TooLarge {
                row: key.row.shown(),
                bytes,
                max: MAX_ATTEMPT,
            });
        }
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
