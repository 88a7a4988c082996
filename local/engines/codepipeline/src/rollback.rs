//! Rolling a stage back to what an earlier execution had brought there.

use signalbox_local_core::AwsError;

use crate::declaration::ExecutionMode;
use crate::lifecycle::{self, Start};
use crate::schedule;
use crate::state::{Change, ExecutionType, Pipeline, Position, StageStatus, Trigger};
use crate::variables;

/// `RollbackStage`, once its target is found: the new execution's id.
///
/// # Errors
/// `UnableToRollbackStageException`.
pub(crate) fn request_rollback(
    pipeline: &mut Pipeline,
    target: &str,
    stage_name: &str,
    trigger: Trigger,
    change: &mut Change<'_>,
) -> Result<String, AwsError> {
    let unable = |why: String| {
        AwsError::new(
            "UnableToRollbackStageException",
            format!("Unable to roll back the stage {stage_name}: {why}"),
        )
    };
    let current = pipeline.current.clone();
    let Some((stage, run)) = current.stage_index(stage_name).zip(pipeline.execution(target)) else {
        return Err(unable(format!("the target {target} does not exist")));
    };
    if current.execution_mode == ExecutionMode::Parallel {
        return Err(unable(
            "stage rollback is not available in PARALLEL mode".to_owned(),
        ));
    }
    if stage == 0 {
        return Err(unable(
            "a stage with source actions cannot be rolled back".to_owned(),
        ));
    }
    if run.kind != ExecutionType::Standard {
        return Err(unable(format!(
            "the target {target} is of type ROLLBACK; name one of type STANDARD"
        )));
    }
    if run.declaration.version != current.version {
        return Err(unable(format!(
            "the pipeline has version {} now, but the target {target} ran version {}",
            current.version, run.declaration.version
        )));
    }
    if run
        .stages
        .get(stage)
        .is_none_or(|it| it.status != Some(StageStatus::Succeeded))
    {
        return Err(unable(format!(
            "the target {target} did not succeed in this stage"
        )));
    }
    if schedule::is_occupied(pipeline, stage_name) {
        return Err(unable("the stage is currently running".to_owned()));
    }
    roll_back(pipeline, target, stage, trigger, change)
        .ok_or_else(|| unable(format!("the target {target} does not exist")))
}

/// Starts the rollback execution, which waits before the stage; the caller advances the schedule.
pub(crate) fn roll_back(
    pipeline: &mut Pipeline,
    target: &str,
    stage: usize,
    trigger: Trigger,
    change: &mut Change<'_>,
) -> Option<String> {
    let source = pipeline.execution(target)?;
    let start = Start {
        kind: ExecutionType::Rollback {
            target: target.to_owned(),
        },
        trigger,
        pins: source.pins.clone(),
        variables: source.variables.clone(),
    };
    let mut run = lifecycle::new_execution(pipeline.current.clone(), start, change);
    let own = run
        .namespaces
        .get(variables::SERVICE)
        .cloned()
        .unwrap_or_default();
    run.namespaces.clone_from(&source.namespaces);
    run.namespaces.insert(variables::SERVICE.to_owned(), own);
    run.artifacts.clone_from(&source.artifacts);
    run.revisions.clone_from(&source.revisions);
    run.position = Position::Waiting(stage);
    Some(lifecycle::admit(pipeline, run, change))
}

/// The newest execution that may serve as a rollback's target for the stage.
pub(crate) fn last_success(pipeline: &Pipeline, before: usize, stage: usize) -> Option<String> {
    let version = pipeline.current.version;
    pipeline
        .executions
        .iter()
        .take(before)
        .rev()
        .find(|run| {
            run.kind == ExecutionType::Standard
                && run.declaration.version == version
                && run
                    .stages
                    .get(stage)
                    .is_some_and(|it| it.status == Some(StageStatus::Succeeded))
        })
        .map(|run| run.id.clone())
}
