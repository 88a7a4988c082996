//! Tells whoever waits. AWS takes the first report and refuses a second one: that refusal means that
//! the verdict stands, and is no failure.

use aws_sdk_codedeploy::types::LifecycleEventStatus;
use aws_sdk_codepipeline::types::{FailureDetails, FailureType};
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::json;
use signalbox_bootstrap::{AwsFailure, Invocation, aws_failure};
use signalbox_decision::text::cut;
use signalbox_decision::validation::Report;
use signalbox_events::job::Asked;
use tracing::warn;

use crate::app::App;
use crate::error::Error;

/// How long a report is kept: as long as a run's timeline.
const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// How the report was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Told {
    /// It is the verdict.
    Accepted,
    /// An earlier verdict stands.
    TooLate,
}

/// Reports the verdict, and keeps the numbers behind it.
pub(crate) async fn report(
    app: &App,
    asked: &Asked,
    report: &Report,
    invocation: &Invocation,
) -> Result<Told, Error> {
    let told = if report.lets_traffic_on() {
        pass(app, asked, report).await?
    } else {
        fail(app, asked, &report.summary(2000)).await?
    };
    // The numbers are for people who look later. They come after the verdict, so that a slow ledger
    // cannot keep it from being told within the function's time-out; and only with the one that stands.
    if told == Told::Accepted {
        let record =
            json!({ "hook": format!("{:?}", app.config.hook), "at": invocation.now, "report": report });
        let expires = invocation.now.saturating_add(KEPT).ok();
        let name = format!("{}/{:?}", key(asked), app.config.hook);
        if let Err(error) = app
            .ledger
            .put_value("validation", &name, &record, invocation.now, expires)
            .await
        {
            warn!(cause = %error, "the report could not be kept");
        }
    }
    Ok(told)
}

/// Reports that no verdict could be reached.
pub(crate) async fn report_failure(app: &App, asked: &Asked, why: &str) -> Result<Told, Error> {
    fail(app, asked, why).await
}

fn key(asked: &Asked) -> &str {
    match asked {
        Asked::Hook { deployment, .. } => deployment.as_str(),
        Asked::Job { id, .. } => id,
    }
}

async fn pass(app: &App, asked: &Asked, report: &Report) -> Result<Told, Error> {
    match asked {
        Asked::Hook {
            deployment,
            hook_execution,
        } => {
            hook(
                app,
                deployment.as_str(),
                hook_execution,
                LifecycleEventStatus::Succeeded,
            )
            .await
        }
        Asked::Job { id, .. } => {
            let details = aws_sdk_codepipeline::types::ExecutionDetails::builder()
                .summary(report.summary(2000))
                .build();
            let answer = app
                .pipelines
                .put_job_success_result()
                .job_id(id)
                .execution_details(details)
                .send()
                .await;
            told(
                "PutJobSuccessResult",
                answer.map(drop).map_err(|error| aws_failure(&error)),
            )
        }
    }
}

async fn fail(app: &App, asked: &Asked, why: &str) -> Result<Told, Error> {
    match asked {
        Asked::Hook {
            deployment,
            hook_execution,
        } => {
            hook(
                app,
                deployment.as_str(),
                hook_execution,
                LifecycleEventStatus::Failed,
            )
            .await
        }
        Asked::Job { id, .. } => {
            let details = FailureDetails::builder()
                .r#type(FailureType::JobFailed)
                .message(cut(why, 2000))
                .build()
                .map_err(|error| Error::Foreign(error.to_string()))?;
            let answer = app
                .pipelines
                .put_job_failure_result()
                .job_id(id)
                .failure_details(details)
                .send()
                .await;
            told(
                "PutJobFailureResult",
                answer.map(drop).map_err(|error| aws_failure(&error)),
            )
        }
    }
}

async fn hook(
    app: &App,
    deployment: &str,
    execution: &str,
    status: LifecycleEventStatus,
) -> Result<Told, Error> {
    let answer = app
        .deployments
        .put_lifecycle_event_hook_execution_status()
        .deployment_id(deployment)
        .lifecycle_event_hook_execution_id(execution)
        .status(status)
        .send()
        .await;
    told(
        "PutLifecycleEventHookExecutionStatus",
        answer.map(drop).map_err(|error| aws_failure(&error)),
    )
}

fn told(call: &'static str, answer: Result<(), AwsFailure>) -> Result<Told, Error> {
    match answer {
        Ok(()) => Ok(Told::Accepted),
        Err(failure)
            if [
                "LifecycleEventAlreadyCompletedException",
                "InvalidJobStateException",
                "JobNotFoundException",
            ]
            .iter()
            .any(|code| failure.is(code)) =>
        {
            Ok(Told::TooLate)
        }
        Err(failure) => Err(Error::Aws { call, failure }),
    }
}
