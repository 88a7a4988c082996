//! `PutApprovalResult`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};

use super::{no_stage, pipeline_mut};
use crate::engine::Inner;
use crate::lifecycle;
use crate::schedule;
use crate::state::{ActionStatus, Pipeline, epoch};
use crate::task::{Failure, Success};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutInput {
    pipeline_name: String,
    stage_name: String,
    action_name: String,
    result: ApprovalResult,
    token: String,
}

#[derive(Deserialize)]
struct ApprovalResult {
    summary: String,
    status: ApprovalStatus,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum ApprovalStatus {
    Approved,
    Rejected,
}

pub(super) fn put(inner: &Arc<Inner>, caller: &Caller, input: &PutInput) -> Result<Value, AwsError> {
    inner.change(|state, change| {
        let by = caller.display_arn(&change.account.id);
        let known = pipeline_mut(inner, state, &input.pipeline_name)?;
        check_names(known, input)?;
        let (execution, action_execution) = claim(known, input)?;
        let said = |verb: &str| {
            if input.result.summary.is_empty() {
                format!("{verb} by {by}")
            } else {
                input.result.summary.clone()
            }
        };
        let outcome = match input.result.status {
            ApprovalStatus::Approved => Ok(Success {
                summary: Some(said("Approved")),
                ..Success::default()
            }),
            ApprovalStatus::Rejected => Err(Failure::job(said("Rejected"))),
        };
        lifecycle::complete(
            known,
            &execution,
            &action_execution,
            outcome,
            Some(by.clone()),
            change,
        );
        schedule::advance(known, change);
        Ok(json!({ "approvedAt": epoch(change.now) }))
    })
}

fn check_names(known: &Pipeline, input: &PutInput) -> Result<(), AwsError> {
    let at = known
        .current
        .stage_index(&input.stage_name)
        .ok_or_else(|| no_stage(&input.pipeline_name, &input.stage_name))?;
    match known.current.stages[at].action(&input.action_name) {
        Some(_) => Ok(()),
        None => Err(AwsError::new(
            "ActionNotFoundException",
            format!(
                "Stage '{}' of pipeline '{}' does not have an action '{}'",
                input.stage_name, input.pipeline_name, input.action_name
            ),
        )),
    }
}

/// The request that the token belongs to, marked as answered: from here on nobody else can answer.
fn claim(known: &mut Pipeline, input: &PutInput) -> Result<(String, String), AwsError> {
    let found = known.executions.iter_mut().find_map(|run| {
        let action = run.actions.iter_mut().find(|action| {
            action.stage == input.stage_name
                && action.action == input.action_name
                && action.token.as_deref() == Some(input.token.as_str())
        })?;
        Some((run.id.clone(), action))
    });
    match found {
        Some((execution, action)) if action.status == ActionStatus::InProgress => {
            action.answered = true;
            Ok((execution, action.id.clone()))
        }
        Some((_, action)) if action.answered => Err(AwsError::new(
            "ApprovalAlreadyCompletedException",
            "The approval action has already been approved or rejected.",
        )),
        Some(_) | None => Err(AwsError::new(
            "InvalidApprovalTokenException",
            "The approval request already received a response or has expired.",
        )),
    }
}
