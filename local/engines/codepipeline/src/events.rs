//! The events that executions, stages and actions send to EventBridge.
//!
//! Shapes after the samples in "Monitoring CodePipeline events" of AWS's user guide: versions and
//! attempts are JSON numbers with a fraction (`3.0`), an action type's version is text (`"1"`).

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use signalbox_local_core::AwsEvent;

use crate::state::{ActionExecution, ActionStatus, Artifact, Change, Execution, Pipeline};
use crate::task::Effect;

/// `2023-10-26T13:49:39.208Z`.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn number(value: u32) -> Value {
    json!(f64::from(value))
}

fn send(change: &mut Change<'_>, run: &Execution, level: &str, detail: Map<String, Value>) {
    change.effects.push(Effect::Emit(AwsEvent {
        source: "aws.codepipeline".to_owned(),
        detail_type: format!("CodePipeline {level} Execution State Change"),
        resources: vec![Pipeline::arn(change.account, &run.declaration.name)],
        detail: Value::Object(detail),
    }));
}

fn common(run: &Execution, state: &str, start: Timestamp) -> Map<String, Value> {
    let mut detail = Map::new();
    detail.insert("pipeline".to_owned(), json!(run.declaration.name));
    detail.insert("execution-id".to_owned(), json!(run.id));
    detail.insert("start-time".to_owned(), json!(time(start)));
    detail.insert("state".to_owned(), json!(state));
    detail.insert("version".to_owned(), number(run.declaration.version));
    detail.insert("pipeline-execution-attempt".to_owned(), number(run.attempt));
    detail
}

/// `STARTED`, `SUCCEEDED`, `FAILED`, `SUPERSEDED`, `STOPPING`, `STOPPED`, `RESUMED`, `CANCELED`.
pub(crate) fn pipeline(change: &mut Change<'_>, run: &Execution, state: &str) {
    let mut detail = common(run, state, run.started);
    if state == "STARTED" {
        let trigger = json!({ "trigger-type": run.trigger.kind, "trigger-detail": run.trigger.detail });
        detail.insert("execution-trigger".to_owned(), trigger);
    }
    if let Some(reason) = run.stop.as_ref().and_then(|stop| stop.reason.as_deref())
        && matches!(state, "STOPPING" | "STOPPED")
    {
        detail.insert("stop-execution-comments".to_owned(), json!(reason));
    }
    send(change, run, "Pipeline", detail);
}

/// `STARTED`, `SUCCEEDED`, `FAILED`, `STOPPING`, `STOPPED`, `RESUMED`, `CANCELED`.
pub(crate) fn stage(change: &mut Change<'_>, run: &Execution, index: usize, state: &str) {
    let (Some(declared), Some(stage_run)) = (run.stage(index), run.stages.get(index)) else {
        return;
    };
    let mut detail = common(run, state, stage_run.started.unwrap_or(run.started));
    detail.insert("stage".to_owned(), json!(declared.name));
    if let Some((at, _)) = stage_run.last_retry {
        detail.insert("stage-last-retry-attempt-time".to_owned(), json!(time(at)));
    }
    send(change, run, "Stage", detail);
}

/// The event for the state that the action execution is in.
pub(crate) fn action(change: &mut Change<'_>, run: &Execution, action: &ActionExecution) {
    let Some(declared) = run.action_declaration(&action.stage, &action.action) else {
        return;
    };
    let state = match action.status {
        ActionStatus::InProgress => "STARTED",
        ActionStatus::Succeeded => "SUCCEEDED",
        ActionStatus::Failed => "FAILED",
        ActionStatus::Abandoned => "ABANDONED",
    };
    let mut detail = common(run, state, action.started);
    detail.insert("stage".to_owned(), json!(action.stage));
    detail.insert("action".to_owned(), json!(action.action));
    detail.insert("action-execution-id".to_owned(), json!(action.id));
    let region = declared.region.as_deref().unwrap_or(&change.account.region);
    detail.insert("region".to_owned(), json!(region));
    let kind = &declared.action_type_id;
    detail.insert(
        "type".to_owned(),
        json!({ "owner": kind.owner, "provider": kind.provider, "category": kind.category, "version": kind.version }),
    );
    if !action.inputs.is_empty() {
        detail.insert(
            "input-artifacts".to_owned(),
            action.inputs.iter().map(Artifact::detail).collect(),
        );
    }
    if action.status == ActionStatus::Succeeded && !action.outputs.is_empty() {
        detail.insert(
            "output-artifacts".to_owned(),
            action.outputs.iter().map(Artifact::detail).collect(),
        );
    }
    if let Some(result) = result(action) {
        detail.insert("execution-result".to_owned(), result);
    }
    send(change, run, "Action", detail);
}

fn result(action: &ActionExecution) -> Option<Value> {
    if !matches!(action.status, ActionStatus::Succeeded | ActionStatus::Failed) {
        return None;
    }
    let mut result = Map::new();
    let summary = action
        .summary
        .as_ref()
        .or(action.error.as_ref().map(|error| &error.message));
    let members = [
        ("external-execution-url", action.external_url.as_ref()),
        ("external-execution-summary", summary),
        ("external-execution-id", action.external_id.as_ref()),
        ("error-code", action.error.as_ref().map(|error| &error.code)),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            result.insert(name.to_owned(), json!(value));
        }
    }
    (!result.is_empty()).then_some(Value::Object(result))
}
