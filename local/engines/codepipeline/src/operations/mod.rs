//! The API's operations: inputs in, state changed or read, outputs out. None of them waits.

mod answers;
mod executions;
mod history;
mod jobs;
mod paging;
mod pipelines;
mod tags;
mod transitions;
mod view;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use signalbox_local_core::{AwsError, Caller};

use crate::action_types;
use crate::engine::Inner;
use crate::state::{Pipeline, State};

/// Every operation, as AWS spells it.
pub(crate) const ALL: &[&str] = &[
    "CreatePipeline",
    "DeletePipeline",
    "DisableStageTransition",
    "EnableStageTransition",
    "GetJobDetails",
    "GetPipeline",
    "GetPipelineExecution",
    "GetPipelineState",
    "ListActionExecutions",
    "ListActionTypes",
    "ListPipelineExecutions",
    "ListPipelines",
    "ListRuleExecutions",
    "ListTagsForResource",
    "PutApprovalResult",
    "PutJobFailureResult",
    "PutJobSuccessResult",
    "RetryStageExecution",
    "RollbackStage",
    "StartPipelineExecution",
    "StopPipelineExecution",
    "TagResource",
    "UntagResource",
    "UpdatePipeline",
];

/// Performs an operation.
pub(crate) fn call(
    inner: &Arc<Inner>,
    caller: &Caller,
    operation: &str,
    input: Value,
) -> Result<Value, AwsError> {
    match operation {
        "CreatePipeline" => pipelines::create(inner, parse(input)?),
        "UpdatePipeline" => pipelines::update(inner, parse(input)?),
        "GetPipeline" => pipelines::get(inner, &parse(input)?),
        "ListPipelines" => pipelines::list(inner, &parse(input)?),
        "DeletePipeline" => Ok(pipelines::delete(inner, &parse(input)?)),
        "StartPipelineExecution" => executions::start(inner, caller, parse(input)?),
        "StopPipelineExecution" => executions::stop(inner, parse(input)?),
        "RetryStageExecution" => executions::retry(inner, &parse(input)?),
        "RollbackStage" => executions::roll_back(inner, caller, &parse(input)?),
        "GetPipelineState" => view::pipeline_state(inner, &parse(input)?),
        "GetPipelineExecution" => history::pipeline_execution(inner, &parse(input)?),
        "ListPipelineExecutions" => history::pipeline_executions(inner, &parse(input)?),
        "ListActionExecutions" => history::action_executions(inner, &parse(input)?),
        "ListRuleExecutions" => history::rule_executions(inner, &parse(input)?),
        "ListActionTypes" => Ok(action_types::list(
            input.pointer("/actionOwnerFilter").and_then(Value::as_str),
        )),
        "PutApprovalResult" => answers::put(inner, caller, &parse(input)?),
        "GetJobDetails" => jobs::details(inner, &parse(input)?),
        "PutJobSuccessResult" => jobs::succeed(inner, parse(input)?),
        "PutJobFailureResult" => jobs::fail(inner, parse(input)?),
        "DisableStageTransition" => transitions::set(inner, caller, parse(input)?, false),
        "EnableStageTransition" => transitions::set(inner, caller, parse(input)?, true),
        "TagResource" => tags::add(inner, parse(input)?),
        "UntagResource" => tags::remove(inner, &parse(input)?),
        "ListTagsForResource" => tags::list(inner, &parse(input)?),
        other => Err(AwsError::unknown_operation("codepipeline", other)),
    }
}

fn parse<T: DeserializeOwned>(input: Value) -> Result<T, AwsError> {
    Ok(serde_json::from_value(input)?)
}

fn no_pipeline(inner: &Inner, name: &str) -> AwsError {
    AwsError::new(
        "PipelineNotFoundException",
        format!(
            "Account '{}' does not have a pipeline with name '{name}'",
            inner.cloud.account().id
        ),
    )
}

fn no_stage(pipeline: &str, stage: &str) -> AwsError {
    AwsError::new(
        "StageNotFoundException",
        format!("Pipeline '{pipeline}' does not have a stage '{stage}'"),
    )
}

fn no_execution(pipeline: &str, execution: &str) -> AwsError {
    AwsError::new(
        "PipelineExecutionNotFoundException",
        format!("Pipeline '{pipeline}' does not have an execution '{execution}'"),
    )
}

fn pipeline<'a>(inner: &Inner, state: &'a State, name: &str) -> Result<&'a Pipeline, AwsError> {
    state.pipelines.get(name).ok_or_else(|| no_pipeline(inner, name))
}

fn pipeline_mut<'a>(inner: &Inner, state: &'a mut State, name: &str) -> Result<&'a mut Pipeline, AwsError> {
    state
        .pipelines
        .get_mut(name)
        .ok_or_else(|| no_pipeline(inner, name))
}
