//! Follows a run: tells each action's start and end, until the run has ended.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::summary::StageSummary;
use super::{DemoError, PATIENCE, Stage};

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// CodePipeline's status.
    pub(crate) status: String,
    /// Each stage's status and duration, in order.
    pub(crate) stages: Vec<StageSummary>,
    /// The approval's summary, where one was given.
    pub(crate) approval: Option<String>,
    /// The first failed action's message.
    pub(crate) failure: Option<String>,
    /// The name of its log, if it was a build.
    pub(crate) failed_build: Option<String>,
}

/// Follows the run to its end. Every action has [`PATIENCE`] of its own, so that a person's answer takes nothing from
/// the steps before and after it.
pub(crate) async fn follow(stage: &Stage<'_>, run: &str) -> Result<Ended, DemoError> {
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut changed = Instant::now();
    loop {
        let actions = actions(stage, run).await?;
        for action in &actions {
            let text = |name: &str| action.get(name).and_then(Value::as_str).unwrap_or_default();
            let status = text("status");
            let before = seen.insert(text("actionExecutionId").to_owned(), status.to_owned());
            if before.as_deref() != Some(status) {
                tell(stage, action, status);
                changed = Instant::now();
            }
        }
        if changed.elapsed() > PATIENCE {
            let at = actions.last().and_then(|action| action.get("stageName"));
            let step = at.and_then(Value::as_str).unwrap_or("following the run");
            let cause = format!(
                "run {run} has not gone on for {} minutes",
                PATIENCE.as_secs() / 60
            );
            return Err(DemoError::new(step, cause));
        }
        let input = json!({ "pipelineName": stage.installed.pipeline, "pipelineExecutionId": run });
        let answer = stage
            .running
            .call("codepipeline", "GetPipelineExecution", input)
            .await?;
        let status = answer
            .pointer("/pipelineExecution/status")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !matches!(status, "InProgress" | "Stopping") {
            return Ok(ended(status, &self::actions(stage, run).await?));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

/// The run's action executions, oldest first.
async fn actions(stage: &Stage<'_>, run: &str) -> Result<Vec<Value>, DemoError> {
    let input = json!({ "pipelineName": stage.installed.pipeline, "filter": { "pipelineExecutionId": run } });
    let answer = stage
        .running
        .call("codepipeline", "ListActionExecutions", input)
        .await?;
    let mut actions = answer
        .get("actionExecutionDetails")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    actions.reverse();
    Ok(actions)
}

fn seconds(action: &Value) -> f64 {
    let at = |name: &str| action.get(name).and_then(Value::as_f64).unwrap_or_default();
    (at("lastUpdateTime") - at("startTime")).max(0.0)
}

fn tell(stage: &Stage<'_>, action: &Value, status: &str) {
    let name = action
        .get("stageName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let message = failure_of(action).unwrap_or_default();
    match status {
        "InProgress" => stage.console.waiting(&format!("{name} is in progress")),
        "Succeeded" => {
            let scans = action
                .pointer("/output/outputVariables/SCANS")
                .and_then(Value::as_str);
            stage
                .console
                .good(&format!("{name} succeeded in {:.1} s", seconds(action)));
            if let Some(scans) = scans {
                tell_scans(stage, scans);
            }
        }
        other => stage.console.bad(&format!(
            "{name} {} after {:.1} s: {message}",
            other.to_lowercase(),
            seconds(action)
        )),
    }
}

/// A scan that could not run warns here, where a registry or a database may be out of reach, and fails a build in AWS.
fn tell_scans(stage: &Stage<'_>, scans: &str) {
    if scans.contains("not-run") {
        stage.console.bad(&format!(
            "scans: {scans} (what has not run would fail this build in AWS)"
        ));
    } else {
        stage.console.good(&format!("scans: {scans}"));
    }
}

fn failure_of(action: &Value) -> Option<String> {
    let result = action.pointer("/output/executionResult")?;
    let text = |pointer: &str| result.pointer(pointer).and_then(Value::as_str);
    text("/errorDetails/message")
        .or_else(|| text("/externalExecutionSummary"))
        .map(str::to_owned)
}

fn ended(status: &str, actions: &[Value]) -> Ended {
    let mut stages: Vec<StageSummary> = Vec::new();
    let mut approval = None;
    let mut failure = None;
    let mut failed_build = None;
    for action in actions {
        let text = |name: &str| action.get(name).and_then(Value::as_str).unwrap_or_default();
        let category = action
            .pointer("/input/actionTypeId/category")
            .and_then(Value::as_str);
        if category == Some("Approval") {
            let summary = action.pointer("/output/executionResult/externalExecutionSummary");
            approval = summary.and_then(Value::as_str).map(str::to_owned);
        }
        if text("status") == "Failed" && failure.is_none() {
            failure = failure_of(action);
            let provider = action
                .pointer("/input/actionTypeId/provider")
                .and_then(Value::as_str);
            let build = action.pointer("/output/executionResult/externalExecutionId");
            // The engine names a build's log after its id, `project:uuid`.
            failed_build = build
                .and_then(Value::as_str)
                .filter(|_| provider == Some("CodeBuild"))
                .map(|build| format!("{}.log", build.replace(':', "-")));
        }
        let (name, status, seconds) = (text("stageName"), text("status").to_owned(), seconds(action));
        match stages.iter_mut().find(|stage| stage.name == name) {
            Some(stage) => {
                stage.seconds += seconds;
                stage.status = status;
            }
            None => stages.push(StageSummary {
                name: name.to_owned(),
                status,
                seconds,
            }),
        }
    }
    Ended {
        status: status.to_owned(),
        stages,
        approval,
        failure,
        failed_build,
    }
}
