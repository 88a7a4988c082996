//! What executions and their actions look like: one, or all, newest first.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use signalbox_local_core::AwsError;

use super::view::{error_details, put};
use super::{no_execution, no_stage, paging, pipeline};
use crate::engine::Inner;
use crate::state::{
    ActionExecution, ActionStatus, Artifact, Execution, ExecutionType, Pipeline, StageStatus, epoch,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExecutionInput {
    pipeline_name: String,
    pipeline_execution_id: String,
}

pub(super) fn pipeline_execution(inner: &Arc<Inner>, input: &ExecutionInput) -> Result<Value, AwsError> {
    inner.read(|state| {
        let known = pipeline(inner, state, &input.pipeline_name)?;
        let run = known
            .execution(&input.pipeline_execution_id)
            .ok_or_else(|| no_execution(&input.pipeline_name, &input.pipeline_execution_id))?;
        let revisions: Vec<Value> = run
            .revisions
            .iter()
            .map(|revision| {
                json!({
                    "name": revision.artifact,
                    "revisionId": revision.id,
                    "revisionSummary": revision.summary,
                    "revisionUrl": revision.url,
                    "created": epoch(revision.created),
                })
            })
            .collect();
        let variables: Vec<Value> = run
            .variables
            .iter()
            .map(|(name, value)| json!({ "name": name, "resolvedValue": value }))
            .collect();
        let mut shown = common(run);
        shown.insert("pipelineName".to_owned(), json!(input.pipeline_name));
        shown.insert("pipelineVersion".to_owned(), json!(run.declaration.version));
        shown.insert("artifactRevisions".to_owned(), Value::Array(revisions));
        shown.insert("variables".to_owned(), Value::Array(variables));
        Ok(json!({ "pipelineExecution": shown }))
    })
}

/// What `GetPipelineExecution` and `ListPipelineExecutions` have in common.
fn common(run: &Execution) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("pipelineExecutionId".to_owned(), json!(run.id));
    shown.insert("status".to_owned(), json!(run.status.as_str()));
    put(&mut shown, "statusSummary", run.summary.clone());
    let trigger = json!({ "triggerType": run.trigger.kind, "triggerDetail": run.trigger.detail });
    shown.insert("trigger".to_owned(), trigger);
    shown.insert("executionMode".to_owned(), json!(run.mode().as_str()));
    shown.insert("executionType".to_owned(), json!(run.kind.as_str()));
    if let ExecutionType::Rollback { target } = &run.kind {
        shown.insert(
            "rollbackMetadata".to_owned(),
            json!({ "rollbackTargetPipelineExecutionId": target }),
        );
    }
    shown
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExecutionsInput {
    pipeline_name: String,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filter: ExecutionsFilter,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ExecutionsFilter {
    succeeded_in_stage: SucceededInStage,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SucceededInStage {
    stage_name: Option<String>,
}

pub(super) fn pipeline_executions(inner: &Arc<Inner>, input: &ExecutionsInput) -> Result<Value, AwsError> {
    let wanted = input.filter.succeeded_in_stage.stage_name.as_deref();
    let all = inner.read(|state| {
        let known = pipeline(inner, state, &input.pipeline_name)?;
        if let Some(stage) = wanted.filter(|stage| known.current.stage_index(stage).is_none()) {
            return Err(no_stage(&input.pipeline_name, stage));
        }
        let succeeded = |run: &&Execution| {
            wanted.is_none_or(|stage| {
                let at = run.declaration.stage_index(stage);
                at.and_then(|at| run.stages[at].status) == Some(StageStatus::Succeeded)
            })
        };
        let newest_first = known.executions.iter().rev().filter(succeeded);
        Ok::<_, AwsError>(
            newest_first
                .map(|run| (run.id.clone(), execution_summary(run)))
                .collect(),
        )
    })?;
    let limit = input.max_results.unwrap_or(100);
    paging::page(
        "pipelineExecutionSummaries",
        all,
        limit,
        input.next_token.as_deref(),
    )
}

fn execution_summary(run: &Execution) -> Value {
    let mut shown = common(run);
    shown.insert("startTime".to_owned(), epoch(run.started));
    shown.insert("lastUpdateTime".to_owned(), epoch(run.updated));
    let revisions: Vec<Value> = run
        .revisions
        .iter()
        .map(|revision| {
            json!({
                "actionName": revision.action,
                "revisionId": revision.id,
                "revisionSummary": revision.summary,
                "revisionUrl": revision.url,
            })
        })
        .collect();
    shown.insert("sourceRevisions".to_owned(), Value::Array(revisions));
    if let Some(stop) = &run.stop {
        shown.insert(
            "stopTrigger".to_owned(),
            json!({ "reason": stop.reason.clone().unwrap_or_default() }),
        );
    }
    Value::Object(shown)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActionsInput {
    pipeline_name: String,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filter: ActionsFilter,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ActionsFilter {
    pipeline_execution_id: Option<String>,
    latest_in_pipeline_execution: Option<LatestInExecution>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LatestInExecution {
    pipeline_execution_id: String,
    start_time_range: String,
}

impl ActionsFilter {
    /// The one execution that is asked for, and whether only its newest attempt is.
    fn execution(&self) -> (Option<&str>, bool) {
        match &self.latest_in_pipeline_execution {
            Some(latest) => (
                Some(&latest.pipeline_execution_id),
                latest.start_time_range == "Latest",
            ),
            None => (self.pipeline_execution_id.as_deref(), false),
        }
    }
}

/// Pipeline, execution and newest-attempt filter, checked.
fn filtered<'a>(known: &'a Pipeline, input: &ActionsInput) -> Result<Vec<&'a Execution>, AwsError> {
    match input.filter.execution().0 {
        None => Ok(known.executions.iter().collect()),
        Some(id) => match known.execution(id) {
            Some(run) => Ok(vec![run]),
            None => Err(no_execution(&input.pipeline_name, id)),
        },
    }
}

pub(super) fn action_executions(inner: &Arc<Inner>, input: &ActionsInput) -> Result<Value, AwsError> {
    let latest = input.filter.execution().1;
    let all = inner.read(|state| {
        let known = pipeline(inner, state, &input.pipeline_name)?;
        let mut found: Vec<(&Execution, &ActionExecution)> = filtered(known, input)?
            .into_iter()
            .flat_map(|run| run.actions.iter().map(move |action| (run, action)))
            .filter(|(run, action)| !latest || action.attempt == run.attempt)
            .collect();
        // Stable, so that actions of one instant stay in the order in which they were started.
        found.sort_by_key(|(_, action)| action.started);
        let region = &inner.cloud.account().region;
        let newest_first = found.into_iter().rev();
        Ok::<_, AwsError>(
            newest_first
                .map(|(run, action)| (action.id.clone(), action_detail(run, action, region)))
                .collect(),
        )
    })?;
    let limit = input.max_results.unwrap_or(100);
    paging::page("actionExecutionDetails", all, limit, input.next_token.as_deref())
}

fn action_detail(run: &Execution, action: &ActionExecution, region: &str) -> Value {
    let mut shown = Map::new();
    shown.insert("pipelineExecutionId".to_owned(), json!(run.id));
    shown.insert("actionExecutionId".to_owned(), json!(action.id));
    shown.insert("pipelineVersion".to_owned(), json!(run.declaration.version));
    shown.insert("stageName".to_owned(), json!(action.stage));
    shown.insert("actionName".to_owned(), json!(action.action));
    shown.insert("startTime".to_owned(), epoch(action.started));
    shown.insert("lastUpdateTime".to_owned(), epoch(action.updated));
    put(&mut shown, "updatedBy", action.updated_by.clone());
    shown.insert("status".to_owned(), json!(action.status.as_str()));

    let mut input = Map::new();
    if let Some(declared) = run.action_declaration(&action.stage, &action.action) {
        input.insert("actionTypeId".to_owned(), json!(declared.action_type_id));
        input.insert("configuration".to_owned(), json!(declared.configuration));
        put(&mut input, "roleArn", declared.role_arn.clone());
        put(&mut input, "namespace", declared.namespace.clone());
        input.insert(
            "region".to_owned(),
            json!(declared.region.as_deref().unwrap_or(region)),
        );
    }
    input.insert("resolvedConfiguration".to_owned(), json!(action.configuration));
    input.insert(
        "inputArtifacts".to_owned(),
        action.inputs.iter().map(Artifact::detail).collect(),
    );
    shown.insert("input".to_owned(), Value::Object(input));

    let mut result = Map::new();
    put(&mut result, "externalExecutionId", action.external_id.clone());
    put(&mut result, "externalExecutionSummary", action.summary.clone());
    put(&mut result, "externalExecutionUrl", action.external_url.clone());
    put(&mut result, "errorDetails", error_details(action));
    let outputs: Value = match action.status {
        ActionStatus::Succeeded => action.outputs.iter().map(Artifact::detail).collect(),
        ActionStatus::InProgress | ActionStatus::Failed | ActionStatus::Abandoned => json!([]),
    };
    shown.insert(
        "output".to_owned(),
        json!({
            "outputArtifacts": outputs,
            "executionResult": result,
            "outputVariables": action.variables,
        }),
    );
    Value::Object(shown)
}

/// Without conditions, which are refused here, there are no rules to list.
pub(super) fn rule_executions(inner: &Arc<Inner>, input: &ActionsInput) -> Result<Value, AwsError> {
    inner.read(|state| {
        filtered(pipeline(inner, state, &input.pipeline_name)?, input)?;
        Ok(json!({ "ruleExecutionDetails": [] }))
    })
}
