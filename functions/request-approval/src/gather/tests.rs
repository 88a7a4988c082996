//! What CodePipeline's answers mean.

use aws_sdk_codepipeline::types::{
    ActionExecutionInput, ActionExecutionOutput, ActionExecutionResult, ArtifactRevision, ExecutionTrigger,
    ResolvedPipelineVariable, StageExecution, TriggerType,
};
use signalbox_decision::names::{ActionName, PipelineName, StageName};

use super::*;

fn approval() -> ApprovalAction {
    ApprovalAction {
        pipeline: PipelineName::new("p").unwrap(),
        execution: ExecutionId::new("0f1e").unwrap(),
        stage: StageName::new("Approval").unwrap(),
        action: ActionName::new("Approve").unwrap(),
    }
}

fn stage_of(name: &str, run: &str, status: StageExecutionStatus) -> StageState {
    let run = StageExecution::builder()
        .pipeline_execution_id(run)
        .status(status)
        .build()
        .unwrap();
    StageState::builder()
        .stage_name(name)
        .latest_execution(run)
        .build()
}

#[test]
fn only_stages_that_this_very_run_has_passed_are_evidence() {
    let state = GetPipelineStateOutput::builder()
        .stage_states(stage_of("Source", "ffff", StageExecutionStatus::Succeeded))
        .stage_states(stage_of("Build", "0f1e", StageExecutionStatus::Succeeded))
        .stage_states(stage_of("Approval", "0f1e", StageExecutionStatus::InProgress))
        .build();
    let mut evidence = Evidence::default();
    of_state(&mut evidence, &state, &approval());
    assert_eq!(evidence.passed, ["Build"]);
}

#[test]
fn a_run_tells_its_revision_author_and_starter() {
    let run = PipelineExecution::builder()
        .artifact_revisions(
            ArtifactRevision::builder()
                .revision_id("v1")
                .revision_summary("Fix\n\nAuthor: carol@example.com")
                .build(),
        )
        .trigger(
            ExecutionTrigger::builder()
                .trigger_type(TriggerType::StartPipelineExecution)
                .trigger_detail("arn:x")
                .build(),
        )
        .build();
    let mut evidence = Evidence::default();
    of_run(&mut evidence, &run);
    assert_eq!(evidence.revision.unwrap().as_str(), "v1");
    assert_eq!(evidence.author.as_deref(), Some("carol@example.com"));
    assert_eq!(
        evidence.started_by.as_deref(),
        Some("StartPipelineExecution arn:x")
    );
}

#[test]
fn a_parallel_runs_token_and_note_come_from_its_own_list() {
    let result = ActionExecutionResult::builder()
        .external_execution_id("TOKEN")
        .build();
    let detail = ActionExecutionDetail::builder()
        .status(ActionExecutionStatus::InProgress)
        .input(
            ActionExecutionInput::builder()
                .resolved_configuration("CustomData", "of version 7")
                .build(),
        )
        .output(ActionExecutionOutput::builder().execution_result(result).build())
        .build();
    let run = PipelineExecution::builder()
        .execution_mode(ExecutionMode::Parallel)
        .build();
    let state = GetPipelineStateOutput::builder()
        .stage_states(stage_of("Approval", "ffff", StageExecutionStatus::InProgress))
        .build();
    let reading = reading(&approval(), &state, &run, Some(&detail));
    let Standing::Waiting { token, .. } = Standing::of(reading, &approval().execution) else {
        panic!("not found")
    };
    assert_eq!(
        (token.reveal(), custom_data(&detail).as_deref()),
        ("TOKEN", Some("of version 7"))
    );
}

#[test]
fn the_pipelines_variable_names_the_author() {
    let variable = ResolvedPipelineVariable::builder()
        .name("author")
        .resolved_value("dave@example.com")
        .build();
    let mut evidence = Evidence::default();
    of_run(
        &mut evidence,
        &PipelineExecution::builder().variables(variable).build(),
    );
    assert_eq!(evidence.author.as_deref(), Some("dave@example.com"));
}
