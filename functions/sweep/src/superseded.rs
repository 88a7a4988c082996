//! Whether a newer revision waits behind an approval.

use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use signalbox_decision::approval::ApprovalAction;

/// What waits in front of a stage waits behind the run that is in it, and behind no other; in a PARALLEL
/// pipeline nothing waits.
pub(crate) fn newer_waits(state: &GetPipelineStateOutput, approval: &ApprovalAction) -> bool {
    let own = approval.execution.as_str();
    let stage = state
        .stage_states()
        .iter()
        .find(|stage| stage.stage_name() == Some(approval.stage.as_str()));
    stage.is_some_and(|stage| {
        stage
            .latest_execution()
            .is_some_and(|run| run.pipeline_execution_id() == own)
            && stage
                .inbound_executions()
                .iter()
                .any(|run| run.pipeline_execution_id() != own)
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_codepipeline::types::{StageExecution, StageExecutionStatus, StageState};
    use signalbox_decision::names::{ActionName, ExecutionId, PipelineName, StageName};

    use super::*;

    fn state(in_stage: &str, inbound: &[&str]) -> GetPipelineStateOutput {
        let run = |id: &str| {
            StageExecution::builder()
                .pipeline_execution_id(id)
                .status(StageExecutionStatus::InProgress)
                .build()
                .unwrap()
        };
        let stage = StageState::builder()
            .stage_name("Approval")
            .latest_execution(run(in_stage))
            .set_inbound_executions(Some(inbound.iter().map(|id| run(id)).collect()))
            .build();
        GetPipelineStateOutput::builder().stage_states(stage).build()
    }

    #[test]
    fn only_what_waits_behind_this_very_run_is_newer() {
        let approval = ApprovalAction {
            pipeline: PipelineName::new("p").unwrap(),
            execution: ExecutionId::new("aaaa").unwrap(),
            stage: StageName::new("Approval").unwrap(),
            action: ActionName::new("Approve").unwrap(),
        };
        assert!(newer_waits(&state("aaaa", &["bbbb"]), &approval));
        assert!(!newer_waits(&state("aaaa", &[]), &approval));
        assert!(!newer_waits(&state("aaaa", &["aaaa"]), &approval), "itself");
        assert!(
            !newer_waits(&state("bbbb", &["cccc"]), &approval),
            "another run's stage"
        );
    }
}
