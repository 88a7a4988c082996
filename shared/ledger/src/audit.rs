//! The audit: every asking of a run or a pipeline, with who tried and who decided.
//!
//! A pipeline's runs are found by their timelines, which live longer than approvals do; the sweep makes the
//! one of a run whose every event was lost.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use signalbox_decision::approval::{ApprovalAction, TokenHash};
use signalbox_decision::names::{ActionName, ExecutionId, PipelineName, StageName};

use crate::approvals::Strangers;
use crate::table::RowKey;
use crate::{Ledger, LedgerError};

/// One asking, with everything that the ledger has of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditedApproval {
    /// What was asked about.
    pub approval: ApprovalAction,
    /// Which asking it was.
    pub token_hash: TokenHash,
    /// What was asked; `None` where somebody tried to answer what nobody was asked.
    pub record: Option<Value>,
    /// The decision.
    pub decision: Option<Value>,
    /// When it was recorded.
    pub decided: Option<Timestamp>,
    /// The approvals, oldest first.
    pub votes: Vec<Value>,
    /// The attempts, successful or not, oldest first; the first 200.
    pub attempts: Vec<Value>,
    /// How many attempts came after those.
    pub attempts_not_kept: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    record: Option<Value>,
    decision: Option<Value>,
    decided: Option<Timestamp>,
    votes: Vec<Value>,
    attempts: Vec<Value>,
    attempts_not_kept: u64,
}

impl Ledger {
    /// Every asking of one run, in the order of stage, action and token's hash.
    ///
    /// # Errors
    /// If the ledger cannot tell, or a row of it cannot be read.
    pub async fn approvals_of_run(
        &self,
        pipeline: &PipelineName,
        execution: &ExecutionId,
    ) -> Result<Vec<AuditedApproval>, LedgerError> {
        let pk = format!("APPROVAL#{pipeline}#{execution}");
        let rows = self.table.query(&pk, "").await?;
        let read = rows.into_iter().map(|(sk, row)| {
            let key = RowKey::new(pk.clone(), sk);
            let body: Body = row.read(&key)?;
            let (approval, token_hash) =
                parts(pipeline, execution, &key.sk).ok_or_else(|| LedgerError::Unreadable {
                    row: key.shown(),
                    problem: "its sort key is not <stage>#<action>#<token hash>".to_owned(),
                })?;
            Ok(AuditedApproval {
                approval,
                token_hash,
                record: body.record,
                decision: body.decision,
                decided: body.decided,
                votes: body.votes,
                attempts: body.attempts,
                attempts_not_kept: body.attempts_not_kept,
            })
        });
        read.collect()
    }

    /// The runs of a pipeline that the ledger knows, in the order of their ids.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn runs(&self, pipeline: &PipelineName) -> Result<Vec<ExecutionId>, LedgerError> {
        const PREFIX: &str = "RUN#";
        let keys = self
            .table
            .sort_keys(&format!("PIPELINE#{pipeline}"), PREFIX)
            .await?;
        let ids = keys
            .iter()
            .filter_map(|sk| ExecutionId::new(sk.strip_prefix(PREFIX)?).ok());
        Ok(ids.collect())
    }

    /// The attempts whose links nobody could vouch for, by day (`2026-05-29`, UTC), oldest first.
    ///
    /// # Errors
    /// If the ledger cannot tell, or a row of it cannot be read.
    pub async fn all_strangers(
        &self,
        pipeline: &PipelineName,
    ) -> Result<Vec<(String, Strangers)>, LedgerError> {
        let pk = format!("STRANGERS#{pipeline}");
        let rows = self.table.query(&pk, "").await?;
        let read = rows
            .into_iter()
            .map(|(day, row)| Ok((day.clone(), row.read(&RowKey::new(pk.clone(), day))?)));
        read.collect()
    }
}

/// Neither a stage's nor an action's name can hold a `#`.
fn parts(pipeline: &PipelineName, execution: &ExecutionId, sk: &str) -> Option<(ApprovalAction, TokenHash)> {
    let mut parts = sk.splitn(3, '#');
    let stage = StageName::new(parts.next()?).ok()?;
    let action = ActionName::new(parts.next()?).ok()?;
    let token_hash = TokenHash::try_from(parts.next()?.to_owned()).ok()?;
    let approval = ApprovalAction {
        pipeline: pipeline.clone(),
        execution: execution.clone(),
        stage,
        action,
    };
    Some((approval, token_hash))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use signalbox_decision::approval::Token;
    use signalbox_decision::timeline::{Subject, Timeline};

    use super::*;
    use crate::{ApprovalKey, Saved};

    fn action(execution: &str) -> ApprovalAction {
        ApprovalAction {
            pipeline: PipelineName::new("p").unwrap(),
            execution: ExecutionId::new(execution).unwrap(),
            stage: StageName::new("Approval").unwrap(),
            action: ActionName::new("Approve").unwrap(),
        }
    }

    #[tokio::test]
    async fn a_pipelines_approvals_are_found_and_no_others() {
        let ledger = Ledger::memory();
        let now: Timestamp = "2026-05-29T14:05:00Z".parse().unwrap();
        let pipeline = PipelineName::new("p").unwrap();
        // `aa1` begins with another run's id, and its approvals are not that one's.
        for run in ["aa", "aa1", "bb"] {
            let approval = action(run);
            let key = ApprovalKey::new(&approval, Token::new(run).hash());
            let record = json!({ "run": run });
            let opened = ledger.open_approval(&key, &record, now, Timestamp::MAX);
            assert!(opened.await.unwrap());
            ledger
                .record_attempt(&key, json!({ "person": "ann@example.com" }), now)
                .await
                .unwrap();
            let subject = Subject::Run {
                pipeline: pipeline.clone(),
                execution: approval.execution,
            };
            let saved = ledger
                .save_timeline(&subject, &Timeline::default(), None, now)
                .await
                .unwrap();
            assert_eq!(saved, Saved::Saved(1));
        }
        let runs = ledger.runs(&pipeline).await.unwrap();
        assert_eq!(
            runs.iter().map(ExecutionId::as_str).collect::<Vec<_>>(),
            ["aa", "aa1", "bb"]
        );
        let found = ledger.approvals_of_run(&pipeline, &runs[0]).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].record.clone(), found[0].attempts.len()),
            (Some(json!({ "run": "aa" })), 1)
        );
        assert_eq!(found[0].approval, action("aa"));
        let other = PipelineName::new("other").unwrap();
        assert_eq!(ledger.runs(&other).await.unwrap(), []);
    }

    #[tokio::test]
    async fn strangers_are_listed_by_day() {
        let ledger = Ledger::memory();
        let pipeline = PipelineName::new("p").unwrap();
        for day in ["2026-05-29T14:05:00Z", "2026-05-30T00:00:00Z"] {
            let now = day.parse().unwrap();
            ledger
                .record_stranger(&pipeline, json!({ "at": day }), now)
                .await
                .unwrap();
        }
        let days = ledger.all_strangers(&pipeline).await.unwrap();
        assert_eq!(
            days.iter().map(|(day, _)| day.as_str()).collect::<Vec<_>>(),
            ["2026-05-29", "2026-05-30"]
        );
    }
}
