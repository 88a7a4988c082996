//! `PutApprovalResult`.

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{ApprovalResult, ApprovalStatus};
use signalbox_bootstrap::{AwsFailure, aws_failure};
use signalbox_decision::approval::answer::Effect;
use signalbox_decision::approval::{Token, Verdict};

/// Tells CodePipeline. The SDK's error is read by its code and message alone: the `Debug` form of the
/// input would print the token.
///
/// # Errors
/// If CodePipeline did not take it, or nobody knows: what it shows then is what counts.
pub async fn put_approval_result(pipelines: &Client, effect: &Effect) -> Result<(), AwsFailure> {
    let status = match effect.decision.verdict {
        Verdict::Approved => ApprovalStatus::Approved,
        Verdict::Rejected => ApprovalStatus::Rejected,
    };
    let result = ApprovalResult::builder()
        .summary(&effect.summary)
        .status(status)
        .build()
        .map_err(|_| AwsFailure::incomplete())?;
    let approval = &effect.approval;
    pipelines
        .put_approval_result()
        .pipeline_name(approval.pipeline.as_str())
        .stage_name(approval.stage.as_str())
        .action_name(approval.action.as_str())
        .token(effect.token.reveal())
        .result(result)
        .send()
        .await
        .map(drop)
        .map_err(|error| without(&effect.token, aws_failure(&error)))
}

/// AWS repeats a refused value in its message, and this one is a credential.
fn without(token: &Token, mut failure: AwsFailure) -> AwsFailure {
    if !token.reveal().is_empty() {
        failure.message = failure.message.replace(token.reveal(), "(token)");
    }
    failure
}
