//! What actions do, one file a provider.

mod approval;
mod artifacts;
mod cloudformation;
mod codebuild;
mod lambda;
mod parameters;
mod s3;

use std::sync::Arc;
use std::time::Duration;

use crate::action_types::Provider;
use crate::engine::Inner;
use crate::task::{ActionTask, Failure, Outcome};

pub(crate) use lambda::{JobParts, job_data};

/// How often a runner asks the service that works for it. Real time, not scaled: the answer comes
/// from a real process.
const POLL: Duration = Duration::from_millis(200);

/// Runs an action to its end. Approvals and jobs never end here by themselves: they are answered
/// through the API.
pub(crate) async fn run(inner: &Arc<Inner>, task: &ActionTask) -> Outcome {
    let configuration = match &task.configuration {
        Ok(configuration) => configuration,
        Err(message) => return Err(Failure::configuration(message.clone())),
    };
    match task.provider {
        Provider::S3Source => s3::run(inner, task, configuration).await,
        Provider::CodeBuild => codebuild::run(inner, task, configuration).await,
        Provider::CloudFormation => cloudformation::run(inner, task, configuration).await,
        Provider::Manual => approval::run(inner, task, configuration).await,
        Provider::Lambda => lambda::run(inner, task, configuration).await,
    }
}

/// The pipeline no longer waits for the action: stops what would go on for nothing.
pub(crate) async fn abandon(inner: &Arc<Inner>, task: &ActionTask) {
    match task.provider {
        Provider::CodeBuild => codebuild::stop(inner, task).await,
        // A stack's update cannot be taken back half-way, and nothing runs for the others.
        Provider::CloudFormation | Provider::S3Source | Provider::Manual | Provider::Lambda => {}
    }
}

/// The message of an action whose time is up.
pub(crate) fn timed_out(task: &ActionTask) -> String {
    let minutes = task.timeout.as_secs() / 60;
    match task.provider {
        Provider::Manual => {
            format!("The approval request expired: it received no response within {minutes} minutes")
        }
        Provider::S3Source | Provider::CodeBuild | Provider::CloudFormation | Provider::Lambda => {
            format!("The action timed out: it did not complete within {minutes} minutes")
        }
    }
}
