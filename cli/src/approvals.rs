//! Who was asked about a run, and who has answered: from the ledger.

use serde::Serialize;
use serde_json::Value;
use signalbox_decision::names::{ExecutionId, PipelineName};
use signalbox_ledger::{AuditedApproval, Ledger, LedgerError};

/// One asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asking {
    /// The stage.
    #[serde(skip)]
    pub(crate) stage: String,
    /// The action.
    #[serde(skip)]
    pub(crate) action: String,
    /// Who was asked.
    pub(crate) asked: Vec<String>,
    /// Who has approved so far.
    pub(crate) approved: Vec<String>,
    #[serde(skip)]
    decided: bool,
}

/// Every asking of a run.
pub(crate) async fn of_run(
    ledger: &Ledger,
    pipeline: &PipelineName,
    run: &ExecutionId,
) -> Result<Vec<Asking>, LedgerError> {
    let all = ledger.approvals_of_run(pipeline, run).await?;
    Ok(all.iter().filter_map(Asking::of).collect())
}

/// The open asking of an action: a retried stage has asked before.
pub(crate) fn open<'a>(askings: &'a [Asking], stage: &str, action: &str) -> Option<&'a Asking> {
    let of_action = |asking: &&Asking| asking.stage == stage && asking.action == action;
    askings.iter().find(|asking| of_action(asking) && !asking.decided)
}

impl Asking {
    fn of(approval: &AuditedApproval) -> Option<Self> {
        let record = approval.record.as_ref()?;
        let texts = |list: &Value| -> Vec<String> {
            let list = list.as_array().into_iter().flatten();
            list.filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let people = approval
            .votes
            .iter()
            .filter_map(|vote| vote.get("person")?.as_str());
        Some(Self {
            stage: approval.approval.stage.to_string(),
            action: approval.approval.action.to_string(),
            asked: record.get("asked").map(texts).unwrap_or_default(),
            approved: people.map(str::to_owned).collect(),
            decided: approval.decision.is_some(),
        })
    }

    /// An open asking of somebody.
    #[cfg(test)]
    pub(crate) fn for_test(asked: &[&str], approved: &[&str]) -> Self {
        let all = |people: &[&str]| people.iter().map(|one| (*one).to_owned()).collect();
        Self {
            stage: "Approval".to_owned(),
            action: "Approve".to_owned(),
            asked: all(asked),
            approved: all(approved),
            decided: false,
        }
    }

    /// For a person: `ann@example.com, ben@example.com (ann@example.com has approved)`.
    pub(crate) fn people(&self) -> String {
        let asked = self.asked.join(", ");
        if self.approved.is_empty() {
            return asked;
        }
        let have = if self.approved.len() == 1 { "has" } else { "have" };
        format!("{asked} ({} {have} approved)", self.approved.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use signalbox_decision::approval::{ApprovalAction, Token};
    use signalbox_decision::names::{ActionName, StageName};

    use super::*;

    fn audited(decision: Option<Value>, votes: Vec<Value>) -> AuditedApproval {
        AuditedApproval {
            approval: ApprovalAction {
                pipeline: PipelineName::new("p").unwrap(),
                execution: ExecutionId::new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
                stage: StageName::new("Approval").unwrap(),
                action: ActionName::new("Approve").unwrap(),
            },
            token_hash: Token::new("t").hash(),
            record: Some(json!({ "asked": ["ann@example.com", "ben@example.com"] })),
            decision,
            decided: None,
            votes,
            attempts: Vec::new(),
            attempts_not_kept: 0,
        }
    }

    #[test]
    fn the_open_asking_says_who_was_asked_and_who_has_approved() {
        let votes = vec![json!({ "person": "ann@example.com" })];
        let askings: Vec<Asking> = [
            audited(Some(json!({ "verdict": "rejected" })), Vec::new()),
            audited(None, votes),
        ]
        .iter()
        .filter_map(Asking::of)
        .collect();
        let open = open(&askings, "Approval", "Approve").unwrap();
        assert_eq!(
            open.people(),
            "ann@example.com, ben@example.com (ann@example.com has approved)"
        );
        assert_eq!(super::open(&askings, "Approval", "Other"), None);
    }
}
