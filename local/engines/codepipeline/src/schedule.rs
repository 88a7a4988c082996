//! Which execution may enter which stage now. Pure: everything follows from the pipeline's state.

use crate::declaration::ExecutionMode;
use crate::events;
use crate::lifecycle;
use crate::state::{Change, Execution, ExecutionStatus, ExecutionType, Pipeline, Position};

/// Lets every execution go on that may, until none is left that can.
pub(crate) fn advance(pipeline: &mut Pipeline, change: &mut Change<'_>) {
    loop {
        supersede(pipeline, change);
        let Some((index, stage)) = next_entry(pipeline) else {
            return;
        };
        lifecycle::enter(pipeline, index, stage, change);
    }
}

/// The stage before which an execution waits.
pub(crate) fn waiting_before(run: &Execution) -> Option<usize> {
    match run.position {
        Position::Waiting(stage) if run.status == ExecutionStatus::InProgress => Some(stage),
        Position::Waiting(_) | Position::Inside(_) | Position::Ended => None,
    }
}

/// Of several that wait before one stage in SUPERSEDED mode, only the newest goes on.
fn supersede(pipeline: &mut Pipeline, change: &mut Change<'_>) {
    let waits = |run: &Execution| {
        let standard = run.kind == ExecutionType::Standard && run.mode() == ExecutionMode::Superseded;
        waiting_before(run).filter(|_| standard)
    };
    let overtaken: Vec<usize> = pipeline
        .executions
        .iter()
        .enumerate()
        .filter_map(|(index, run)| {
            let stage = waits(run)?;
            let newer = pipeline
                .executions
                .iter()
                .skip(index + 1)
                .any(|other| waits(other) == Some(stage));
            newer.then_some(index)
        })
        .collect();
    for index in overtaken {
        let Some(run) = pipeline.executions.get_mut(index) else {
            continue;
        };
        run.status = ExecutionStatus::Superseded;
        run.position = Position::Ended;
        run.updated = change.now;
        events::pipeline(change, run, "SUPERSEDED");
    }
}

/// The oldest execution that may enter the stage before which it waits.
fn next_entry(pipeline: &Pipeline) -> Option<(usize, usize)> {
    pipeline.executions.iter().enumerate().find_map(|(index, run)| {
        let stage = waiting_before(run)?;
        may_enter(pipeline, run, stage).then_some((index, stage))
    })
}

fn may_enter(pipeline: &Pipeline, run: &Execution, stage: usize) -> bool {
    let Some(name) = run.stage(stage).map(|declared| declared.name.as_str()) else {
        return false;
    };
    // A rollback is a person's or the stage's own decision about that very stage: a disabled
    // transition keeps new revisions out, and a rollback brings none.
    let open = matches!(run.kind, ExecutionType::Rollback { .. })
        || pipeline
            .slots
            .get(name)
            .is_none_or(|slot| slot.transition.enabled);
    open && (run.mode() == ExecutionMode::Parallel || !is_occupied(pipeline, name))
}

/// Whether an execution is inside the stage, so that no other may enter.
pub(crate) fn is_occupied(pipeline: &Pipeline, stage: &str) -> bool {
    pipeline.executions.iter().any(|run| match run.position {
        Position::Inside(index) => {
            run.mode() != ExecutionMode::Parallel
                && run.stage(index).is_some_and(|declared| declared.name == stage)
        }
        Position::Waiting(_) | Position::Ended => false,
    })
}
