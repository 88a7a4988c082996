//! What a pipeline looks like now: `GetPipelineState`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use signalbox_local_core::AwsError;

use super::pipeline;
use crate::declaration::{ActionDeclaration, ExecutionMode, StageDeclaration};
use crate::engine::Inner;
use crate::schedule;
use crate::state::{ActionExecution, ActionStatus, Execution, Pipeline, StageSlot, StageStatus, epoch};

/// Puts a member where it has a value: AWS leaves absent ones out.
pub(super) fn put<T: Into<Value>>(object: &mut Map<String, Value>, name: &str, value: Option<T>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

#[derive(Deserialize)]
pub(super) struct StateInput {
    name: String,
}

pub(super) fn pipeline_state(inner: &Arc<Inner>, input: &StateInput) -> Result<Value, AwsError> {
    inner.read(|state| {
        let known = pipeline(inner, state, &input.name)?;
        let stages: Vec<Value> = known
            .current
            .stages
            .iter()
            .enumerate()
            .map(|(at, stage)| stage_state(known, at, stage))
            .collect();
        Ok(json!({
            "pipelineName": input.name,
            "pipelineVersion": known.current.version,
            "stageStates": stages,
            "created": epoch(known.created),
            "updated": epoch(known.updated),
        }))
    })
}

fn stage_execution(run: &Execution, status: &str) -> Value {
    json!({ "pipelineExecutionId": run.id, "status": status, "type": run.kind.as_str() })
}

fn stage_state(known: &Pipeline, at: usize, stage: &StageDeclaration) -> Value {
    let empty = StageSlot::default();
    let slot = known.slots.get(&stage.name).unwrap_or(&empty);
    let mut state = Map::new();
    state.insert("stageName".to_owned(), json!(stage.name));
    let inbound: Vec<Value> = known
        .executions
        .iter()
        .filter(|run| schedule::waiting_before(run) == Some(at))
        .map(|run| stage_execution(run, StageStatus::InProgress.as_str()))
        .collect();
    put(&mut state, "inboundExecution", inbound.first().cloned());
    state.insert("inboundExecutions".to_owned(), Value::Array(inbound));
    let mut transition = Map::new();
    transition.insert("enabled".to_owned(), json!(slot.transition.enabled));
    if let Some((by, when)) = &slot.transition.changed {
        transition.insert("lastChangedBy".to_owned(), json!(by));
        transition.insert("lastChangedAt".to_owned(), epoch(*when));
    }
    put(&mut transition, "disabledReason", slot.transition.reason.clone());
    state.insert("inboundTransitionState".to_owned(), Value::Object(transition));
    let actions: Vec<Value> = stage
        .actions
        .iter()
        .map(|action| action_state(known, slot, &stage.name, action))
        .collect();
    state.insert("actionStates".to_owned(), Value::Array(actions));
    let latest = slot.latest.as_deref().and_then(|id| known.execution(id));
    if let Some((run, at)) = latest.and_then(|run| Some((run, run.declaration.stage_index(&stage.name)?))) {
        let stage_run = &run.stages[at];
        let status = stage_run.status.unwrap_or(StageStatus::InProgress);
        state.insert(
            "latestExecution".to_owned(),
            stage_execution(run, status.as_str()),
        );
        if let Some((_, trigger)) = stage_run.last_retry {
            let mut retries = Map::new();
            put(
                &mut retries,
                "autoStageRetryAttempt",
                positive(stage_run.automatic_retries),
            );
            put(
                &mut retries,
                "manualStageRetryAttempt",
                positive(stage_run.manual_retries),
            );
            retries.insert("latestRetryTrigger".to_owned(), json!(trigger));
            state.insert("retryStageMetadata".to_owned(), Value::Object(retries));
        }
    }
    Value::Object(state)
}

fn positive(count: u32) -> Option<u32> {
    (count > 0).then_some(count)
}

fn action_state(known: &Pipeline, slot: &StageSlot, stage: &str, declared: &ActionDeclaration) -> Value {
    let mut state = Map::new();
    state.insert("actionName".to_owned(), json!(declared.name));
    let newest = slot
        .actions
        .get(&declared.name)
        .and_then(|id| known.execution(id))
        .and_then(|run| {
            let newest = run
                .actions
                .iter()
                .rev()
                .find(|it| it.stage == stage && it.action == declared.name)?;
            Some((run, newest))
        });
    if let Some((run, action)) = newest {
        if let Some(revision) = &action.revision {
            state.insert(
                "currentRevision".to_owned(),
                json!({
                    "revisionId": revision.id,
                    "revisionChangeId": revision.id,
                    "created": epoch(revision.created),
                }),
            );
            state.insert("revisionUrl".to_owned(), json!(revision.url));
        }
        state.insert("latestExecution".to_owned(), action_execution(run, action));
    }
    Value::Object(state)
}

/// Why an action failed, where it did.
pub(super) fn error_details(action: &ActionExecution) -> Option<Value> {
    action
        .error
        .as_ref()
        .map(|error| json!({ "code": error.code, "message": error.message }))
}

/// In PARALLEL mode several requests are open at once, and AWS shows no token here: the action
/// execution's external id serves as one.
fn action_execution(run: &Execution, action: &ActionExecution) -> Value {
    let parallel = run.mode() == ExecutionMode::Parallel;
    let open = action.status == ActionStatus::InProgress;
    let mut shown = Map::new();
    shown.insert("actionExecutionId".to_owned(), json!(action.id));
    shown.insert("status".to_owned(), json!(action.status.as_str()));
    shown.insert("lastStatusChange".to_owned(), epoch(action.updated));
    put(&mut shown, "summary", action.summary.clone());
    put(
        &mut shown,
        "token",
        action.token.clone().filter(|_| open && !parallel),
    );
    put(&mut shown, "lastUpdatedBy", action.updated_by.clone());
    let external = action
        .external_id
        .clone()
        .filter(|_| action.token.is_none() || parallel);
    put(&mut shown, "externalExecutionId", external);
    put(&mut shown, "externalExecutionUrl", action.external_url.clone());
    put(&mut shown, "errorDetails", error_details(action));
    Value::Object(shown)
}
