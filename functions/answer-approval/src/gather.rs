//! Reads what AWS and the ledger know about a link's approval, just now.

use std::sync::Arc;

use aws_sdk_codepipeline::operation::get_pipeline_state::{GetPipelineStateError, GetPipelineStateOutput};
use aws_sdk_codepipeline::operation::list_action_executions::ListActionExecutionsError;
use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types::{
    ActionExecutionDetail, ActionExecutionFilter, ActionExecutionStatus, StageExecutionStatus,
};
use jiff::Timestamp;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::policy::Policy;
use signalbox_decision::approval::quorum::Vote;
use signalbox_decision::approval::standing::{ActionReading, ActionStatus, Reading, RunStatus, Standing};
use signalbox_decision::approval::{ApprovalAction, Decision, Record, Token, answer};
use signalbox_decision::names::ExecutionId;
use signalbox_ledger::ApprovalKey;

use crate::app::App;
use crate::error::Error;

/// What was read.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) record: Option<Record>,
    pub(crate) decision: Option<Decision>,
    pub(crate) standing: Standing,
    pub(crate) votes: Vec<Vote>,
    pub(crate) policy: Option<Arc<Policy>>,
    /// The newer runs that wait in front of the stage.
    pub(crate) newer: Vec<ExecutionId>,
}

impl Facts {
    /// As decisions take them.
    pub(crate) fn for_answer<'a>(&'a self, app: &'a App) -> answer::Facts<'a> {
        answer::Facts {
            pipeline: &app.config.pipeline,
            policy: self.policy.as_deref(),
            record: self.record.as_ref(),
            decision: self.decision.as_ref(),
            votes: &self.votes,
            standing: &self.standing,
            newer_waiting: self.newer.len(),
        }
    }
}

/// Reads ledger, pipeline and policy at the same time.
pub(crate) async fn gather(app: &App, link: &Link) -> Result<Facts, Error> {
    let key = key(link);
    let (stored, state, policy) = tokio::join!(
        app.ledger.load_approval(&key),
        state(app, &link.approval),
        app.policy()
    );
    let (mut record, decision, votes): (Option<Record>, _, _) = match stored? {
        None => (None, None, Vec::new()),
        Some(stored) => (
            Some(read("record", stored.record)?),
            stored
                .decision
                .map(|decision| read("decision", decision))
                .transpose()?,
            votes(stored.votes)?,
        ),
    };
    let (reading, newer) = state?;
    let standing = Standing::of(reading, &link.approval.execution);
    // What waited when somebody was asked is of the past: everything that is shown says what waits now.
    if let (Some(record), Standing::Waiting { .. }) = (&mut record, &standing) {
        record.evidence.newer_waiting.clone_from(&newer);
    }
    Ok(Facts {
        record,
        decision,
        standing,
        votes,
        policy: policy?,
        newer,
    })
}

/// The ledger's votes. One that cannot be read is not left out: then nobody knows how it stands.
pub(crate) fn votes(stored: Vec<serde_json::Value>) -> Result<Vec<Vote>, Error> {
    stored.into_iter().map(|vote| read("votes", vote)).collect()
}

/// The ledger's key of the asking that a link belongs to.
pub(crate) fn key(link: &Link) -> ApprovalKey {
    ApprovalKey::new(&link.approval, link.token)
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(
    what: &'static str,
    value: serde_json::Value,
) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::Record {
        what,
        problem: format!("{:?}", error.classify()),
    })
}

/// The pipeline's state shows a stage's latest run only. Where that is another run, and in a pipeline
/// whose runs go side by side (`PARALLEL`), the run's own list of actions is asked.
async fn state(app: &App, approval: &ApprovalAction) -> Result<(Reading, Vec<ExecutionId>), Error> {
    let state = match app
        .pipelines
        .get_pipeline_state()
        .name(approval.pipeline.as_str())
        .send()
        .await
    {
        Ok(state) => state,
        Err(error) => {
            if matches!(
                error.as_service_error(),
                Some(GetPipelineStateError::PipelineNotFoundException(_))
            ) {
                return Ok((Reading::NoPipeline, Vec::new()));
            }
            return Err(Error::Aws {
                call: "GetPipelineState",
                failure: aws_failure(&error),
            });
        }
    };
    match latest(&state, approval) {
        Some(found) => Ok(found),
        None => Ok((listed(app, approval).await?, Vec::new())),
    }
}

/// The action in the pipeline's state, if its stage's latest run is the one asked about.
fn latest(state: &GetPipelineStateOutput, approval: &ApprovalAction) -> Option<(Reading, Vec<ExecutionId>)> {
    let stage = state
        .stage_states()
        .iter()
        .find(|stage| stage.stage_name() == Some(approval.stage.as_str()))?;
    let run = stage.latest_execution()?;
    if run.pipeline_execution_id() != approval.execution.as_str() {
        return None;
    }
    let latest = stage
        .action_states()
        .iter()
        .find(|action| action.action_name() == Some(approval.action.as_str()))
        .and_then(|action| action.latest_execution());
    let action = latest.map(|latest| ActionReading {
        execution: Some(approval.execution.clone()),
        status: status(latest.status()),
        // Where runs go side by side, the external execution id is the token.
        token: latest.token().or(latest.external_execution_id()).map(Token::new),
        summary: latest.summary().map(str::to_owned),
        updated_by: latest.last_updated_by().map(str::to_owned),
        changed: latest.last_status_change().and_then(time),
        error: latest.error_details().map(|error| {
            format!(
                "{} {}",
                error.code().unwrap_or_default(),
                error.message().unwrap_or_default()
            )
        }),
    });
    let run = match run.status() {
        StageExecutionStatus::InProgress => RunStatus::InProgress,
        StageExecutionStatus::Stopped | StageExecutionStatus::Stopping | StageExecutionStatus::Cancelled => {
            RunStatus::Stopped
        }
        _ => RunStatus::Ended,
    };
    let newer = stage
        .inbound_executions()
        .iter()
        .map(|run| run.pipeline_execution_id());
    let newer = newer
        .filter(|id| *id != approval.execution.as_str())
        .filter_map(|id| ExecutionId::new(id).ok())
        .collect();
    Some((Reading::Read { run, action }, newer))
}

async fn listed(app: &App, approval: &ApprovalAction) -> Result<Reading, Error> {
    let filter = ActionExecutionFilter::builder()
        .pipeline_execution_id(approval.execution.as_str())
        .build();
    let mut pages = app
        .pipelines
        .list_action_executions()
        .pipeline_name(approval.pipeline.as_str())
        .filter(filter)
        .into_paginator()
        .send();
    // Newest first: the first match is the latest attempt.
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                return match error.as_service_error() {
                    Some(ListActionExecutionsError::PipelineNotFoundException(_)) => Ok(Reading::NoPipeline),
                    Some(ListActionExecutionsError::PipelineExecutionNotFoundException(_)) => {
                        Ok(Reading::NoRun)
                    }
                    _ => Err(Error::Aws {
                        call: "ListActionExecutions",
                        failure: aws_failure(&error),
                    }),
                };
            }
        };
        let found = page.action_execution_details().iter().find(|detail| {
            detail.stage_name() == Some(approval.stage.as_str())
                && detail.action_name() == Some(approval.action.as_str())
        });
        if let Some(detail) = found {
            return Ok(Reading::Read {
                run: RunStatus::InProgress,
                action: Some(of_detail(detail, approval)),
            });
        }
    }
    Ok(Reading::Read {
        run: RunStatus::Ended,
        action: None,
    })
}

/// In a `PARALLEL` pipeline the token is the action's external execution id (user guide, "Approve or
/// reject an approval action").
fn of_detail(detail: &ActionExecutionDetail, approval: &ApprovalAction) -> ActionReading {
    let result = detail.output().and_then(|output| output.execution_result());
    let error = result.and_then(|result| result.error_details());
    ActionReading {
        execution: Some(approval.execution.clone()),
        status: status(detail.status()),
        token: result
            .and_then(|result| result.external_execution_id())
            .map(Token::new),
        summary: result
            .and_then(|result| result.external_execution_summary())
            .map(str::to_owned),
        updated_by: detail.updated_by().map(str::to_owned),
        changed: detail.last_update_time().and_then(time),
        error: error.map(|error| {
            format!(
                "{} {}",
                error.code().unwrap_or_default(),
                error.message().unwrap_or_default()
            )
        }),
    }
}

fn status(status: Option<&ActionExecutionStatus>) -> ActionStatus {
    match status {
        Some(ActionExecutionStatus::InProgress) => ActionStatus::InProgress,
        Some(ActionExecutionStatus::Succeeded) => ActionStatus::Succeeded,
        Some(ActionExecutionStatus::Failed) => ActionStatus::Failed,
        Some(ActionExecutionStatus::Abandoned) => ActionStatus::Abandoned,
        _ => ActionStatus::Unknown,
    }
}

fn time(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use aws_sdk_codepipeline::types::{ActionExecution, ActionState, StageExecution, StageState};
    use signalbox_decision::names::{ActionName, ExecutionId, PipelineName, StageName};

    use super::*;

    const RUN: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

    fn approval(execution: &str) -> ApprovalAction {
        ApprovalAction {
            pipeline: PipelineName::new("p").unwrap(),
            execution: ExecutionId::new(execution).unwrap(),
            stage: StageName::new("Approval").unwrap(),
            action: ActionName::new("Approve").unwrap(),
        }
    }

    fn state(status: StageExecutionStatus) -> GetPipelineStateOutput {
        let run = |id: &str, status| {
            StageExecution::builder()
                .pipeline_execution_id(id)
                .status(status)
                .build()
                .unwrap()
        };
        let action = ActionExecution::builder()
            .status(ActionExecutionStatus::InProgress)
            .token("TOKEN")
            .last_status_change(DateTime::from_secs(1_800_000_000))
            .build();
        let stage = StageState::builder()
            .stage_name("Approval")
            .latest_execution(run(RUN, status))
            .inbound_executions(run("ffff", StageExecutionStatus::InProgress))
            .action_states(
                ActionState::builder()
                    .action_name("Approve")
                    .latest_execution(action)
                    .build(),
            )
            .build();
        GetPipelineStateOutput::builder().stage_states(stage).build()
    }

    #[test]
    fn the_stage_of_this_run_is_read_with_what_waits_behind_it() {
        let (reading, newer) = latest(&state(StageExecutionStatus::InProgress), &approval(RUN)).unwrap();
        let standing = Standing::of(reading, &approval(RUN).execution);
        let Standing::Waiting { token, since } = standing else {
            panic!("{standing:?}")
        };
        assert_eq!(
            (token.reveal(), since.map(Timestamp::as_second), newer.len()),
            ("TOKEN", Some(1_800_000_000), 1)
        );
    }

    #[test]
    fn the_stage_of_another_run_says_nothing_about_this_one() {
        assert!(latest(&state(StageExecutionStatus::InProgress), &approval("abcd")).is_none());
    }

    #[test]
    fn where_runs_go_side_by_side_the_external_id_is_the_token() {
        let mut state = state(StageExecutionStatus::InProgress);
        let stages = state.stage_states.as_mut().unwrap();
        let latest = stages[0].action_states.as_mut().unwrap()[0]
            .latest_execution
            .as_mut()
            .unwrap();
        latest.token = None;
        latest.external_execution_id = Some("EXTERNAL".to_owned());
        let (reading, _) = super::latest(&state, &approval(RUN)).unwrap();
        let Standing::Waiting { token, .. } = Standing::of(reading, &approval(RUN).execution) else {
            panic!("not open")
        };
        assert_eq!(token.reveal(), "EXTERNAL");
    }

    #[test]
    fn a_run_that_is_being_stopped_does_not_wait() {
        let (reading, _) = latest(&state(StageExecutionStatus::Stopping), &approval(RUN)).unwrap();
        assert!(matches!(
            Standing::of(reading, &approval(RUN).execution),
            Standing::Gone(_)
        ));
    }
}
