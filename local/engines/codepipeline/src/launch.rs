//! Starting one action: its artifacts, its variables, its token or job, and the task that runs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::action_types::{self, Provider};
use crate::declaration::ActionDeclaration;
use crate::events;
use crate::state::{ActionExecution, ActionStatus, Artifact, Change, Execution, Job, Pipeline};
use crate::task::{ActionTask, Effect};
use crate::variables;

/// Starts an action of the stage that the execution is in.
pub(crate) fn start_action(
    pipeline: &mut Pipeline,
    index: usize,
    stage: usize,
    declared: &ActionDeclaration,
    change: &mut Change<'_>,
) {
    let Some(run) = pipeline.executions.get_mut(index) else {
        return;
    };
    let Some(stage_name) = run.stage(stage).map(|stage| stage.name.clone()) else {
        return;
    };
    let Some(kind) = action_types::find(&declared.action_type_id) else {
        return;
    };
    let id = Uuid::new_v4().to_string();
    let region = declared.region.as_deref().unwrap_or(&change.account.region);
    let bucket = run
        .declaration
        .artifact_bucket(region)
        .unwrap_or_default()
        .to_owned();
    let outputs: Vec<Artifact> = declared
        .output_artifacts
        .iter()
        .map(|output| Artifact {
            name: output.name.clone(),
            bucket: bucket.clone(),
            key: artifact_key(&run.declaration.name, &output.name),
        })
        .collect();
    let inputs: Vec<Artifact> = declared
        .input_artifacts
        .iter()
        .filter_map(|input| run.artifacts.get(&input.name))
        .cloned()
        .collect();
    let mut configuration = variables::resolve(&declared.configuration, &run.namespaces);
    if inputs.len() < declared.input_artifacts.len() {
        configuration = Err("An input artifact of the action does not exist in this execution".to_owned());
    }
    let own_id = || Some(Uuid::new_v4().to_string());
    let token = if kind.provider == Provider::Manual {
        own_id()
    } else {
        None
    };
    let job = if kind.provider == Provider::Lambda {
        own_id()
    } else {
        None
    };
    let action = ActionExecution {
        id,
        stage: stage_name.clone(),
        action: declared.name.clone(),
        status: ActionStatus::InProgress,
        attempt: run.attempt,
        started: change.now,
        updated: change.now,
        updated_by: None,
        summary: None,
        external_id: token.clone(),
        external_url: None,
        error: None,
        configuration: configuration.clone().unwrap_or_default(),
        inputs,
        outputs,
        variables: BTreeMap::new(),
        token,
        answered: false,
        job: job.map(|id| Job {
            id,
            open: true,
            continuation: None,
        }),
        revision: None,
    };
    if let Some(stage_run) = run.stages.get_mut(stage) {
        stage_run.latest.insert(declared.name.clone(), run.actions.len());
    }
    let task = task(run, &action, declared, configuration, change);
    run.actions.push(action.clone());
    events::action(change, run, &action);
    change
        .effects
        .extend(task.map(|task| Effect::Run(Box::new(task))));
    let execution = run.id.clone();
    pipeline
        .slot(&stage_name)
        .actions
        .insert(declared.name.clone(), execution);
}

/// What the action's runner needs to know.
fn task(
    run: &Execution,
    action: &ActionExecution,
    declared: &ActionDeclaration,
    configuration: Result<BTreeMap<String, String>, String>,
    change: &Change<'_>,
) -> Option<ActionTask> {
    let kind = action_types::find(&declared.action_type_id)?;
    let timeout = declared
        .timeout_in_minutes
        .map_or(kind.timeout, |minutes| Duration::from_mins(u64::from(minutes)));
    Some(ActionTask {
        pipeline: run.declaration.name.clone(),
        pipeline_arn: Pipeline::arn(change.account, &run.declaration.name),
        execution: run.id.clone(),
        stage: action.stage.clone(),
        action: action.action.clone(),
        action_execution: action.id.clone(),
        provider: kind.provider,
        role_arn: declared
            .role_arn
            .clone()
            .unwrap_or_else(|| run.declaration.role_arn.clone()),
        configuration,
        inputs: action.inputs.clone(),
        outputs: action.outputs.clone(),
        pin: run.pins.get(&declared.name).cloned().unwrap_or_default(),
        token: action
            .token
            .clone()
            .or_else(|| action.job.as_ref().map(|job| job.id.clone())),
        continuation: action.job.as_ref().and_then(|job| job.continuation.clone()),
        timeout,
        started: Arc::default(),
    })
}

/// A job's result was "ask me again": the action gets a new job, which carries the continuation token.
pub(crate) fn continue_job(
    run: &mut Execution,
    action_execution: &str,
    continuation: String,
    change: &mut Change<'_>,
) {
    let Some(action) = run
        .actions
        .iter_mut()
        .find(|action| action.id == action_execution)
    else {
        return;
    };
    action.updated = change.now;
    action.job = Some(Job {
        id: Uuid::new_v4().to_string(),
        open: true,
        continuation: Some(continuation),
    });
    let action = action.clone();
    let Some(declared) = run.action_declaration(&action.stage, &action.action) else {
        return;
    };
    let task = task(run, &action, declared, Ok(action.configuration.clone()), change);
    change.effects.push(Effect::Release {
        action_execution: action.id,
    });
    change
        .effects
        .extend(task.map(|task| Effect::Run(Box::new(task))));
}

/// `{pipeline's first 20 characters}/{artifact's first 10}/{7 random ones}`, as AWS lays out its bucket.
fn artifact_key(pipeline: &str, artifact: &str) -> String {
    const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let random = Uuid::new_v4();
    let suffix: String = random
        .as_bytes()
        .iter()
        .take(7)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect();
    let head = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    format!("{}/{}/{suffix}", head(pipeline, 20), head(artifact, 10))
}
