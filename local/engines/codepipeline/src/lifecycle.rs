//! An execution's way through its stages: entering, starting actions, taking their results.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::control;
use crate::declaration::{ActionDeclaration, PipelineDeclaration};
use crate::events;
use crate::launch;
use crate::state::{
    ActionStatus, Change, Execution, ExecutionStatus, ExecutionType, Pipeline, Position, SourcePin, StageRun,
    StageStatus, Trigger,
};
use crate::task::{Effect, Outcome};
use crate::variables;

/// How an execution comes to be.
pub(crate) struct Start {
    pub(crate) kind: ExecutionType,
    pub(crate) trigger: Trigger,
    pub(crate) pins: BTreeMap<String, SourcePin>,
    pub(crate) variables: Vec<(String, String)>,
}

/// A new execution of the current version, waiting before the first stage.
pub(crate) fn new_execution(
    declaration: Arc<PipelineDeclaration>,
    start: Start,
    change: &Change<'_>,
) -> Execution {
    let id = Uuid::new_v4().to_string();
    let own = BTreeMap::from([("PipelineExecutionId".to_owned(), id.clone())]);
    let namespaces = BTreeMap::from([
        (variables::SERVICE.to_owned(), own),
        (
            variables::PIPELINE.to_owned(),
            start.variables.iter().cloned().collect(),
        ),
    ]);
    Execution {
        id,
        stages: vec![StageRun::default(); declaration.stages.len()],
        declaration,
        kind: start.kind,
        status: ExecutionStatus::InProgress,
        summary: None,
        position: Position::Waiting(0),
        attempt: 1,
        started: change.now,
        updated: change.now,
        trigger: start.trigger,
        stop: None,
        pins: start.pins,
        variables: start.variables,
        namespaces,
        artifacts: BTreeMap::new(),
        revisions: Vec::new(),
        actions: Vec::new(),
    }
}

/// Takes an execution into the pipeline; the caller advances the schedule.
pub(crate) fn admit(pipeline: &mut Pipeline, run: Execution, change: &mut Change<'_>) -> String {
    let id = run.id.clone();
    events::pipeline(change, &run, "STARTED");
    pipeline.executions.push(run);
    id
}

/// An execution enters a stage.
pub(crate) fn enter(pipeline: &mut Pipeline, index: usize, stage: usize, change: &mut Change<'_>) {
    let Some(run) = pipeline.executions.get_mut(index) else {
        return;
    };
    run.position = Position::Inside(stage);
    run.updated = change.now;
    if let Some(stage_run) = run.stages.get_mut(stage) {
        stage_run.status = Some(StageStatus::InProgress);
        stage_run.started = Some(change.now);
    }
    events::stage(change, run, stage, "STARTED");
    if let (id, Some(name)) = (
        run.id.clone(),
        run.stage(stage).map(|declared| declared.name.clone()),
    ) {
        pipeline.slot(&name).latest = Some(id);
    }
    start_ready(pipeline, index, stage, change);
}

/// Starts the first group of actions that is not through; without one, the stage has succeeded.
pub(crate) fn start_ready(pipeline: &mut Pipeline, index: usize, stage: usize, change: &mut Change<'_>) {
    let Some(run) = pipeline.executions.get(index) else {
        return;
    };
    let Some(declared) = run.stage(stage) else { return };
    let open =
        |action: &&ActionDeclaration| run.action_status(stage, &action.name) != Some(ActionStatus::Succeeded);
    let group = declared.run_orders().into_iter().find_map(|order| {
        let open: Vec<ActionDeclaration> = declared
            .actions
            .iter()
            .filter(|action| action.run_order == order)
            .filter(open)
            .cloned()
            .collect();
        (!open.is_empty()).then_some(open)
    });
    match group {
        None => succeed_stage(pipeline, index, stage, change),
        Some(actions) => {
            for action in &actions {
                launch::start_action(pipeline, index, stage, action, change);
            }
        }
    }
}

/// Takes an action's result. A result for an action that is over already changes nothing: it was
/// abandoned, or answered first by somebody else; the answer then is `false`.
pub(crate) fn complete(
    pipeline: &mut Pipeline,
    execution: &str,
    action_execution: &str,
    outcome: Outcome,
    by: Option<String>,
    change: &mut Change<'_>,
) -> bool {
    let Some(index) = pipeline.index_of(execution) else {
        return false;
    };
    let Some(run) = pipeline.executions.get_mut(index) else {
        return false;
    };
    let Some(at) = run
        .actions
        .iter()
        .position(|action| action.id == action_execution)
    else {
        return false;
    };
    if run.actions[at].status != ActionStatus::InProgress {
        return false;
    }
    record(run, at, outcome, by, change);
    let action = run.actions[at].clone();
    events::action(change, run, &action);
    change.effects.push(Effect::Release {
        action_execution: action.id,
    });
    if let Position::Inside(stage) = run.position {
        settle(pipeline, index, stage, change);
    }
    true
}

fn record(run: &mut Execution, at: usize, outcome: Outcome, by: Option<String>, change: &Change<'_>) {
    run.updated = change.now;
    let action = &mut run.actions[at];
    action.updated = change.now;
    action.updated_by = by;
    if let Some(job) = action.job.as_mut() {
        job.open = false;
    }
    match outcome {
        Err(failure) => {
            action.status = ActionStatus::Failed;
            action.summary = Some(failure.error.message.clone());
            action.error = Some(failure.error);
            action.external_id = failure.external_id.or(action.external_id.take());
            action.external_url = failure.external_url.or(action.external_url.take());
        }
        Ok(success) => {
            action.status = ActionStatus::Succeeded;
            action.summary = success.summary.or(action.summary.take());
            action.external_id = success.external_id.or(action.external_id.take());
            action.external_url = success.external_url.or(action.external_url.take());
            action.variables.clone_from(&success.variables);
            action.revision.clone_from(&success.revision);
            let (stage, name, outputs) = (
                action.stage.clone(),
                action.action.clone(),
                action.outputs.clone(),
            );
            run.artifacts.extend(
                outputs
                    .into_iter()
                    .map(|artifact| (artifact.name.clone(), artifact)),
            );
            if let Some(revision) = success.revision {
                run.revisions.retain(|known| known.action != revision.action);
                run.revisions.push(revision);
            }
            if let Some(namespace) = run
                .action_declaration(&stage, &name)
                .and_then(|it| it.namespace.clone())
            {
                run.namespaces.insert(namespace, success.variables);
            }
        }
    }
}

/// Goes on after an action has ended.
fn settle(pipeline: &mut Pipeline, index: usize, stage: usize, change: &mut Change<'_>) {
    let Some(run) = pipeline.executions.get(index) else {
        return;
    };
    if run.has_running_actions(stage) {
        return;
    }
    if run.status == ExecutionStatus::Stopping {
        control::finish_stop(pipeline, index, stage, change);
        return;
    }
    let failed = run.stages.get(stage).is_some_and(|stage_run| {
        stage_run.latest.keys().any(|action| {
            matches!(
                run.action_status(stage, action),
                Some(ActionStatus::Failed | ActionStatus::Abandoned)
            )
        })
    });
    if failed {
        control::fail_stage(pipeline, index, stage, change);
    } else {
        start_ready(pipeline, index, stage, change);
    }
}

fn succeed_stage(pipeline: &mut Pipeline, index: usize, stage: usize, change: &mut Change<'_>) {
    let Some(run) = pipeline.executions.get_mut(index) else {
        return;
    };
    run.updated = change.now;
    if let Some(stage_run) = run.stages.get_mut(stage) {
        stage_run.status = Some(StageStatus::Succeeded);
    }
    events::stage(change, run, stage, "SUCCEEDED");
    let last = stage + 1 >= run.declaration.stages.len();
    if last || matches!(run.kind, ExecutionType::Rollback { .. }) {
        run.status = ExecutionStatus::Succeeded;
        run.position = Position::Ended;
        events::pipeline(change, run, "SUCCEEDED");
    } else {
        run.position = Position::Waiting(stage + 1);
    }
}
