//! What is done to an execution from outside, or to a stage that failed: stop, retry, cancel.

use signalbox_local_core::AwsError;

use crate::declaration::{ExecutionMode, RetryMode};
use crate::events;
use crate::lifecycle;
use crate::rollback;
use crate::schedule;
use crate::state::{
    ActionStatus, Change, Execution, ExecutionStatus, ExecutionType, Pipeline, Position, StageStatus, Stop,
    Trigger,
};
use crate::task::Effect;

/// `StopPipelineExecution`.
///
/// # Errors
/// `PipelineExecutionNotStoppableException`, `DuplicatedStopRequestException`.
pub(crate) fn stop(
    pipeline: &mut Pipeline,
    index: usize,
    request: Stop,
    change: &mut Change<'_>,
) -> Result<(), AwsError> {
    let Some(run) = pipeline.executions.get_mut(index) else {
        return Ok(());
    };
    if !run.status.is_live() {
        return Err(AwsError::new(
            "PipelineExecutionNotStoppableException",
            format!(
                "Unable to stop pipeline execution {}: it is in {} status and no longer in progress",
                run.id,
                run.status.as_str()
            ),
        ));
    }
    let again = run.status == ExecutionStatus::Stopping;
    if again && !request.abandon {
        return Err(AwsError::new(
            "DuplicatedStopRequestException",
            format!("The pipeline execution {} is already in a Stopping state", run.id),
        ));
    }
    let abandon = request.abandon;
    run.status = ExecutionStatus::Stopping;
    run.updated = change.now;
    run.summary.clone_from(&request.reason);
    run.stop = Some(request);
    if !again {
        events::pipeline(change, run, "STOPPING");
    }
    match run.position {
        Position::Inside(stage) => {
            if !again {
                if let Some(stage_run) = run.stages.get_mut(stage) {
                    stage_run.status = Some(StageStatus::Stopping);
                }
                events::stage(change, run, stage, "STOPPING");
            }
            if abandon {
                abandon_actions(run, stage, change);
            }
            if !run.has_running_actions(stage) {
                finish_stop(pipeline, index, stage, change);
            }
        }
        Position::Waiting(_) | Position::Ended => end(run, ExecutionStatus::Stopped, "STOPPED", change),
    }
    Ok(())
}

fn abandon_actions(run: &mut Execution, stage: usize, change: &mut Change<'_>) {
    let latest: Vec<usize> = run
        .stages
        .get(stage)
        .map(|stage_run| stage_run.latest.values().copied().collect())
        .unwrap_or_default();
    for at in latest {
        let Some(action) = run
            .actions
            .get_mut(at)
            .filter(|action| action.status == ActionStatus::InProgress)
        else {
            continue;
        };
        action.status = ActionStatus::Abandoned;
        action.updated = change.now;
        if let Some(job) = action.job.as_mut() {
            job.open = false;
        }
        let action = action.clone();
        events::action(change, run, &action);
        change.effects.push(Effect::Release {
            action_execution: action.id,
        });
    }
}

fn end(run: &mut Execution, status: ExecutionStatus, state: &str, change: &mut Change<'_>) {
    run.status = status;
    run.position = Position::Ended;
    run.updated = change.now;
    events::pipeline(change, run, state);
}

fn end_stage(run: &mut Execution, stage: usize, status: StageStatus, state: &str, change: &mut Change<'_>) {
    if let Some(stage_run) = run.stages.get_mut(stage) {
        stage_run.status = Some(status);
    }
    events::stage(change, run, stage, state);
}

/// The last action of an execution that is being stopped has ended.
pub(crate) fn finish_stop(pipeline: &mut Pipeline, index: usize, stage: usize, change: &mut Change<'_>) {
    let Some(run) = pipeline.executions.get_mut(index) else {
        return;
    };
    end_stage(run, stage, StageStatus::Stopped, "STOPPED", change);
    end(run, ExecutionStatus::Stopped, "STOPPED", change);
}

/// An action of the stage has failed and none runs any more.
pub(crate) fn fail_stage(pipeline: &mut Pipeline, index: usize, stage: usize, change: &mut Change<'_>) {
    let Some(run) = pipeline.executions.get_mut(index) else {
        return;
    };
    end_stage(run, stage, StageStatus::Failed, "FAILED", change);
    let on_failure = run.stage(stage).and_then(|declared| declared.on_failure.clone());
    let result = on_failure.as_ref().and_then(|failure| failure.result.as_deref());
    let retried = run
        .stages
        .get(stage)
        .map_or(0, |stage_run| stage_run.automatic_retries);
    if result == Some("RETRY") && retried == 0 {
        let mode = on_failure
            .as_ref()
            .and_then(|failure| failure.retry_configuration.as_ref()?.retry_mode);
        resume(
            pipeline,
            index,
            stage,
            mode.unwrap_or(RetryMode::FailedActions),
            true,
            change,
        );
        return;
    }
    let failed = run.id.clone();
    let standard = run.kind == ExecutionType::Standard;
    end(run, ExecutionStatus::Failed, "FAILED", change);
    if result == Some("ROLLBACK")
        && standard
        && let Some(target) = rollback::last_success(pipeline, index, stage)
    {
        let trigger = Trigger {
            kind: "AutomatedRollback",
            detail: failed,
        };
        rollback::roll_back(pipeline, &target, stage, trigger, change);
    }
}

/// `RetryStageExecution`.
///
/// # Errors
/// `ConflictException`, `StageNotRetryableException`, `NotLatestPipelineExecutionException`.
pub(crate) fn retry(
    pipeline: &mut Pipeline,
    execution: &str,
    stage_name: &str,
    mode: RetryMode,
    change: &mut Change<'_>,
) -> Result<(), AwsError> {
    let not_latest = || {
        AwsError::new(
            "NotLatestPipelineExecutionException",
            format!(
                "The stage {stage_name} has been entered by a later execution than {execution}, or {execution} is \
                 unknown: the pipelineExecutionId of the request is out of date"
            ),
        )
    };
    let index = pipeline.index_of(execution).ok_or_else(not_latest)?;
    let run = &pipeline.executions[index];
    let latest = pipeline
        .slots
        .get(stage_name)
        .and_then(|slot| slot.latest.as_deref());
    if run.mode() != ExecutionMode::Parallel && latest != Some(execution) {
        return Err(not_latest());
    }
    let not_retryable = |why: &str| {
        AwsError::new(
            "StageNotRetryableException",
            format!("Unable to retry the stage {stage_name}: {why}"),
        )
    };
    let stage = run
        .declaration
        .stage_index(stage_name)
        .ok_or_else(|| not_retryable("the pipeline has changed"))?;
    if run.declaration.version != pipeline.current.version {
        return Err(not_retryable(
            "the pipeline structure has changed since the execution started",
        ));
    }
    let status = run.stages.get(stage).and_then(|it| it.status);
    match status {
        Some(StageStatus::Failed | StageStatus::Stopped) if !run.status.is_live() => {}
        Some(StageStatus::InProgress | StageStatus::Stopping) => {
            return Err(busy());
        }
        _ => return Err(not_retryable("it contains no failed actions")),
    }
    let has_failed = run.stages.get(stage).is_some_and(|it| {
        it.latest
            .keys()
            .any(|action| run.action_status(stage, action) != Some(ActionStatus::Succeeded))
    });
    if !has_failed {
        return Err(not_retryable("it contains no failed actions"));
    }
    if run.mode() != ExecutionMode::Parallel && schedule::is_occupied(pipeline, stage_name) {
        return Err(busy());
    }
    resume(pipeline, index, stage, mode, false, change);
    Ok(())
}

fn busy() -> AwsError {
    AwsError::new(
        "ConflictException",
        "Your request cannot be handled because the pipeline is busy handling ongoing activities. Try again later.",
    )
    .with_status(409)
}

/// Runs a failed stage again.
fn resume(
    pipeline: &mut Pipeline,
    index: usize,
    stage: usize,
    mode: RetryMode,
    automatic: bool,
    change: &mut Change<'_>,
) {
    let Some(run) = pipeline.executions.get_mut(index) else {
        return;
    };
    let kept: Vec<String> = match mode {
        RetryMode::AllActions => Vec::new(),
        RetryMode::FailedActions => run.stages[stage]
            .latest
            .keys()
            .filter(|action| run.action_status(stage, action) == Some(ActionStatus::Succeeded))
            .cloned()
            .collect(),
    };
    run.attempt += 1;
    run.status = ExecutionStatus::InProgress;
    run.position = Position::Inside(stage);
    run.updated = change.now;
    run.stop = None;
    run.summary = None;
    let stage_run = &mut run.stages[stage];
    stage_run.status = Some(StageStatus::InProgress);
    stage_run.latest.retain(|action, _| kept.contains(action));
    if automatic {
        stage_run.automatic_retries += 1;
        stage_run.last_retry = Some((change.now, "AutomatedStageRetry"));
    } else {
        stage_run.manual_retries += 1;
        stage_run.last_retry = Some((change.now, "ManualStageRetry"));
        events::pipeline(change, run, "RESUMED");
    }
    events::stage(change, run, stage, "RESUMED");
    lifecycle::start_ready(pipeline, index, stage, change);
}

/// The pipeline's structure has changed: executions of the old one end here, as AWS ends them.
pub(crate) fn cancel_all(pipeline: &mut Pipeline, change: &mut Change<'_>) {
    for run in pipeline.executions.iter_mut().filter(|run| run.status.is_live()) {
        if let Position::Inside(stage) = run.position {
            abandon_actions(run, stage, change);
            end_stage(run, stage, StageStatus::Cancelled, "CANCELED", change);
        }
        run.summary =
            Some("The pipeline's definition was updated before the execution could be completed".to_owned());
        end(run, ExecutionStatus::Cancelled, "CANCELED", change);
    }
}
