//! Jobs of Lambda functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::actions::{JobParts, job_data};
use crate::engine::Inner;
use crate::launch;
use crate::lifecycle;
use crate::schedule;
use crate::state::{ActionExecution, Execution, Pipeline, State};
use crate::task::{Failure, Outcome, Success};

/// The most that output variables may weigh, keys and values together.
const MAX_VARIABLES: usize = 122_880;

fn no_job(id: &str) -> AwsError {
    AwsError::new(
        "JobNotFoundException",
        format!("The job with id '{id}' was not found"),
    )
}

fn closed(id: &str) -> AwsError {
    AwsError::new(
        "InvalidJobStateException",
        format!("The job with id '{id}' has already received a result, or its action is over"),
    )
}

fn find<'a>(state: &'a State, id: &str) -> Option<(&'a Execution, &'a ActionExecution)> {
    let (pipeline, execution, action_execution) = state.jobs.get(id)?;
    let run = state.pipelines.get(pipeline)?.execution(execution)?;
    Some((
        run,
        run.actions.iter().find(|action| action.id == *action_execution)?,
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DetailsInput {
    job_id: String,
}

pub(super) fn details(inner: &Arc<Inner>, input: &DetailsInput) -> Result<Value, AwsError> {
    let id = &input.job_id;
    inner.read(|state| {
        let (run, action) = find(state, id).ok_or_else(|| no_job(id))?;
        let declared = run
            .action_declaration(&action.stage, &action.action)
            .ok_or_else(|| no_job(id))?;
        let role_arn = declared.role_arn.as_deref().unwrap_or(&run.declaration.role_arn);
        let parts = JobParts {
            role_arn,
            action_execution: &action.id,
            configuration: &action.configuration,
            inputs: &action.inputs,
            outputs: &action.outputs,
            continuation: action.job.as_ref().and_then(|job| job.continuation.as_deref()),
        };
        let mut data = job_data(inner.cloud.as_ref(), &parts);
        data.insert("actionTypeId".to_owned(), json!(declared.action_type_id));
        data.insert(
            "pipelineContext".to_owned(),
            json!({
                "pipelineName": run.declaration.name,
                "stage": { "name": action.stage },
                "action": { "name": action.action, "actionExecutionId": action.id },
                "pipelineArn": Pipeline::arn(inner.cloud.account(), &run.declaration.name),
                "pipelineExecutionId": run.id,
            }),
        );
        Ok(json!({ "jobDetails": { "id": id, "accountId": inner.cloud.account().id, "data": data } }))
    })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ExecutionDetails {
    summary: Option<String>,
    external_execution_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SuccessInput {
    job_id: String,
    continuation_token: Option<String>,
    #[serde(default)]
    execution_details: ExecutionDetails,
    #[serde(default)]
    output_variables: BTreeMap<String, String>,
}

pub(super) fn succeed(inner: &Arc<Inner>, input: SuccessInput) -> Result<Value, AwsError> {
    let weight: usize = input
        .output_variables
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if weight > MAX_VARIABLES {
        return Err(AwsError::new(
            "OutputVariablesSizeExceededException",
            format!(
                "The output variables exceed the {MAX_VARIABLES} bytes that an action may give: {weight} bytes"
            ),
        ));
    }
    let success = Success {
        summary: input.execution_details.summary,
        external_id: input.execution_details.external_execution_id,
        variables: input.output_variables,
        ..Success::default()
    };
    finish(inner, &input.job_id, Ok(success), input.continuation_token)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailureInput {
    job_id: String,
    failure_details: FailureDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailureDetails {
    #[serde(rename = "type")]
    kind: String,
    message: String,
    external_execution_id: Option<String>,
}

pub(super) fn fail(inner: &Arc<Inner>, input: FailureInput) -> Result<Value, AwsError> {
    let details = input.failure_details;
    let failure = Failure {
        external_id: details.external_execution_id,
        ..Failure::new(&details.kind, details.message)
    };
    finish(inner, &input.job_id, Err(failure), None)
}

fn finish(
    inner: &Arc<Inner>,
    id: &str,
    outcome: Outcome,
    continuation: Option<String>,
) -> Result<Value, AwsError> {
    inner.change(|state, change| {
        let (_, action) = find(state, id).ok_or_else(|| no_job(id))?;
        if action.job.as_ref().is_none_or(|job| job.id != id || !job.open) {
            return Err(closed(id));
        }
        let (pipeline, execution, action_execution) =
            state.jobs.get(id).cloned().ok_or_else(|| no_job(id))?;
        let known = state.pipelines.get_mut(&pipeline).ok_or_else(|| no_job(id))?;
        match continuation {
            Some(token) => {
                if let Some(run) = known.executions.iter_mut().find(|run| run.id == execution) {
                    launch::continue_job(run, &action_execution, token, change);
                }
            }
            None => {
                lifecycle::complete(known, &execution, &action_execution, outcome, None, change);
                schedule::advance(known, change);
            }
        }
        Ok(json!({}))
    })
}
