//! Starting, stopping, retrying and rolling back executions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};

use super::{no_execution, no_stage, pipeline_mut};
use crate::control;
use crate::declaration::{ExecutionMode, PipelineDeclaration, RetryMode};
use crate::engine::Inner;
use crate::lifecycle::{self, Start};
use crate::rollback;
use crate::schedule;
use crate::state::{ExecutionType, SourcePin, Stop, Trigger};

/// "Maximum number of executions" of AWS's quotas, for QUEUED and PARALLEL mode alike.
const MAX_CONCURRENT: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartInput {
    name: String,
    #[serde(default)]
    variables: Vec<Variable>,
    client_request_token: Option<String>,
    #[serde(default)]
    source_revisions: Vec<SourceRevision>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceRevision {
    action_name: String,
    revision_type: String,
    revision_value: String,
}

pub(super) fn start(inner: &Arc<Inner>, caller: &Caller, input: StartInput) -> Result<Value, AwsError> {
    inner.change(|state, change| {
        let known = pipeline_mut(inner, state, &input.name)?;
        if let Some(run) = input
            .client_request_token
            .as_ref()
            .and_then(|token| known.tokens.get(token))
        {
            return Ok(json!({ "pipelineExecutionId": run }));
        }
        let declaration = known.current.clone();
        let pins = pins(&declaration, &input.source_revisions)?;
        let variables = variables(&declaration, &input.variables)?;
        let live = known.executions.iter().filter(|run| run.status.is_live()).count();
        if declaration.execution_mode != ExecutionMode::Superseded && live >= MAX_CONCURRENT {
            return Err(AwsError::new(
                "ConcurrentPipelineExecutionsLimitExceededException",
                format!(
                    "The pipeline has reached the limit of {MAX_CONCURRENT} concurrent pipeline executions"
                ),
            ));
        }
        let trigger = trigger(caller, &change.account.id);
        let run = lifecycle::new_execution(
            declaration,
            Start {
                kind: ExecutionType::Standard,
                trigger,
                pins,
                variables,
            },
            change,
        );
        let id = lifecycle::admit(known, run, change);
        if let Some(token) = input.client_request_token {
            known.tokens.insert(token, id.clone());
        }
        schedule::advance(known, change);
        Ok(json!({ "pipelineExecutionId": id }))
    })
}

fn trigger(caller: &Caller, account: &str) -> Trigger {
    match caller {
        Caller::Service {
            principal,
            source_arn,
        } if principal == "events.amazonaws.com" => Trigger {
            kind: "CloudWatchEvent",
            detail: source_arn.clone().unwrap_or_default(),
        },
        Caller::Admin | Caller::Role { .. } | Caller::Service { .. } => Trigger {
            kind: "StartPipelineExecution",
            detail: caller.display_arn(account),
        },
    }
}

fn pins(
    declaration: &PipelineDeclaration,
    revisions: &[SourceRevision],
) -> Result<BTreeMap<String, SourcePin>, AwsError> {
    let mut pins: BTreeMap<String, SourcePin> = BTreeMap::new();
    for revision in revisions {
        let source = declaration
            .stages
            .first()
            .and_then(|stage| stage.action(&revision.action_name));
        let Some(source) = source else {
            return Err(AwsError::validation(format!(
                "Source revision override names the action {}, which is not a source action of the pipeline",
                revision.action_name
            )));
        };
        let pin = pins.entry(revision.action_name.clone()).or_default();
        let slot = match revision.revision_type.as_str() {
            "S3_OBJECT_VERSION_ID" => &mut pin.version,
            "S3_OBJECT_KEY" => {
                let allowed = source.configuration.get("AllowOverrideForS3ObjectKey");
                if allowed.is_none_or(|value| value != "true") {
                    return Err(AwsError::validation(format!(
                        "Source revision type S3_OBJECT_KEY is not allowed for the action {}: set \
                         AllowOverrideForS3ObjectKey to true in its configuration",
                        revision.action_name
                    )));
                }
                &mut pin.key
            }
            other => {
                return Err(AwsError::validation(format!(
                    "Source revision type {other} does not fit the S3 source action {}",
                    revision.action_name
                )));
            }
        };
        if slot.replace(revision.revision_value.clone()).is_some() {
            return Err(AwsError::validation(format!(
                "Source revision type {} is given more than once for the action {}",
                revision.revision_type, revision.action_name
            )));
        }
    }
    Ok(pins)
}

fn variables(
    declaration: &PipelineDeclaration,
    given: &[Variable],
) -> Result<Vec<(String, String)>, AwsError> {
    if let Some(unknown) = given
        .iter()
        .find(|it| declaration.variables.iter().all(|known| known.name != it.name))
    {
        return Err(AwsError::validation(format!(
            "The variable {} is not declared by the pipeline {}",
            unknown.name, declaration.name
        )));
    }
    declaration
        .variables
        .iter()
        .map(|declared| {
            let value = given
                .iter()
                .find(|it| it.name == declared.name)
                .map(|it| it.value.clone());
            let value = value.or_else(|| declared.default_value.clone()).ok_or_else(|| {
                AwsError::validation(format!(
                    "The variable {} of the pipeline {} has no default value: give it one",
                    declared.name, declaration.name
                ))
            })?;
            Ok((declared.name.clone(), value))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StopInput {
    pipeline_name: String,
    pipeline_execution_id: String,
    #[serde(default)]
    abandon: bool,
    reason: Option<String>,
}

pub(super) fn stop(inner: &Arc<Inner>, input: StopInput) -> Result<Value, AwsError> {
    inner.change(|state, change| {
        let known = pipeline_mut(inner, state, &input.pipeline_name)?;
        let index = known.index_of(&input.pipeline_execution_id).ok_or_else(|| {
            AwsError::new(
                "PipelineExecutionNotStoppableException",
                format!(
                    "Unable to stop pipeline execution {}: the pipeline {} does not have it",
                    input.pipeline_execution_id, input.pipeline_name
                ),
            )
        })?;
        control::stop(
            known,
            index,
            Stop {
                reason: input.reason,
                abandon: input.abandon,
            },
            change,
        )?;
        schedule::advance(known, change);
        Ok(json!({ "pipelineExecutionId": input.pipeline_execution_id }))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetryInput {
    pipeline_name: String,
    stage_name: String,
    pipeline_execution_id: String,
    retry_mode: RetryMode,
}

pub(super) fn retry(inner: &Arc<Inner>, input: &RetryInput) -> Result<Value, AwsError> {
    inner.change(|state, change| {
        let known = pipeline_mut(inner, state, &input.pipeline_name)?;
        if known.current.stage_index(&input.stage_name).is_none() {
            return Err(no_stage(&input.pipeline_name, &input.stage_name));
        }
        control::retry(
            known,
            &input.pipeline_execution_id,
            &input.stage_name,
            input.retry_mode,
            change,
        )?;
        schedule::advance(known, change);
        Ok(json!({ "pipelineExecutionId": input.pipeline_execution_id }))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RollbackInput {
    pipeline_name: String,
    stage_name: String,
    target_pipeline_execution_id: String,
}

pub(super) fn roll_back(
    inner: &Arc<Inner>,
    caller: &Caller,
    input: &RollbackInput,
) -> Result<Value, AwsError> {
    inner.change(|state, change| {
        let known = pipeline_mut(inner, state, &input.pipeline_name)?;
        let target = &input.target_pipeline_execution_id;
        if known.current.stage_index(&input.stage_name).is_none() {
            return Err(no_stage(&input.pipeline_name, &input.stage_name));
        }
        if known.execution(target).is_none() {
            return Err(no_execution(&input.pipeline_name, target));
        }
        let trigger = Trigger {
            kind: "ManualRollback",
            detail: caller.display_arn(&change.account.id),
        };
        let id = rollback::request_rollback(known, target, &input.stage_name, trigger, change)?;
        schedule::advance(known, change);
        Ok(json!({ "pipelineExecutionId": id }))
    })
}
