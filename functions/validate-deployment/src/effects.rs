//! Tells whoever waits. AWS takes the first report and refuses a second one: that refusal means that
//! the verdict stands, and is no failure.

use aws_sdk_codedeploy::types::LifecycleEventStatus;
use aws_sdk_codepipeline::types::{FailureDetails, FailureType};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use signalbox_bootstrap::{AwsFailure, Invocation, aws_failure};
use signalbox_decision::text::cut;
use signalbox_decision::validation::Report;
use signalbox_events::job::Asked;
use tracing::warn;

use crate::app::{App, Hook};
use crate::error::Error;
use crate::measure::Notes;
use crate::record::{self, KEPT, TO_NOTE};

/// What the hook before traffic leaves to the one after it.
const NOTES: &str = "validation-notes";

/// What CodePipeline takes of a summary or a message (API reference of `ExecutionDetails`,
/// `FailureDetails`), in characters.
const MAX_SUMMARY: usize = 2000;

/// How the report was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Told {
    /// It is the verdict.
    Accepted,
    /// An earlier verdict stands.
    TooLate,
}

/// Keeps what the hook after traffic has to know: when this one was done, and which requests were meant to be refused.
/// Before the report, whose answer may be lost: the deployment then goes on all the same.
pub(crate) async fn note(app: &App, asked: &Asked, notes: &Notes, invocation: &Invocation) {
    let (Asked::Hook { deployment, .. }, Hook::BeforeAllowTraffic) = (asked, app.config.hook) else {
        return;
    };
    let expires = invocation.now.saturating_add(KEPT).ok();
    let name = record::name(deployment.as_str(), app.config.hook);
    let add = |found: Option<Value>| {
        // An earlier try's requests are in the log as well.
        let mut excused = notes.excused();
        let earlier_end = found.as_ref().and_then(|found| found.get("ended").cloned());
        let earlier = found.and_then(|found| found.get("excused").cloned());
        excused.extend(
            earlier
                .and_then(|ids| serde_json::from_value::<Vec<String>>(ids).ok())
                .unwrap_or_default(),
        );
        // The first time counts: its report may have arrived, and traffic have moved since.
        let ended = earlier_end.unwrap_or_else(|| json!(Timestamp::now()));
        json!({ "ended": ended, "excused": excused })
    };
    let kept = app
        .ledger
        .change_value(NOTES, &name, add, invocation.now, expires);
    match tokio::time::timeout(TO_NOTE, kept).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(cause = %error, "what the next hook has to know could not be kept"),
        Err(_) => warn!("what the next hook has to know could not be kept in time"),
    }
}

/// What the hook before traffic noted of the same deployment; nothing where there was none.
#[derive(Default)]
pub(crate) struct Before {
    /// When it was done: what came later was traffic.
    pub(crate) ended: Option<Timestamp>,
    /// Its requests that were meant to be refused.
    pub(crate) excused: Vec<String>,
}

pub(crate) async fn before(app: &App, deployment: &str, now: Timestamp) -> Result<Before, Error> {
    let name = record::name(deployment, Hook::BeforeAllowTraffic);
    let found = app.ledger.get_value(NOTES, &name, now).await?.unwrap_or_default();
    let part = |name: &str| found.get(name).cloned().unwrap_or(Value::Null);
    Ok(Before {
        ended: serde_json::from_value(part("ended")).ok(),
        excused: serde_json::from_value(part("excused")).unwrap_or_default(),
    })
}

/// Reports the verdict. Of a job CodePipeline is told its own id as the action's external one too: that is how the
/// run's timeline finds the report, which is kept by that id.
pub(crate) async fn report(app: &App, asked: &Asked, report: &Report) -> Result<Told, Error> {
    let (passes, summary) = (report.lets_traffic_on(), report.summary(MAX_SUMMARY));
    match asked {
        Asked::Hook {
            deployment,
            hook_execution,
        } => {
            let status = if passes {
                LifecycleEventStatus::Succeeded
            } else {
                LifecycleEventStatus::Failed
            };
            hook(app, deployment.as_str(), hook_execution, status).await
        }
        Asked::Job { id, .. } if passes => {
            let details = aws_sdk_codepipeline::types::ExecutionDetails::builder()
                .summary(summary)
                .external_execution_id(id)
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
        Asked::Job { id, .. } => fail_job(app, id, &summary).await,
    }
}

/// Asks CodePipeline to call again.
pub(crate) async fn call_again(app: &App, asked: &Asked, token: &str) -> Result<Told, Error> {
    let Asked::Job { id, .. } = asked else {
        return Err(Error::Foreign("only a job can be called again".to_owned()));
    };
    let answer = app
        .pipelines
        .put_job_success_result()
        .job_id(id)
        .continuation_token(token)
        .send()
        .await;
    told(
        "PutJobSuccessResult",
        answer.map(drop).map_err(|error| aws_failure(&error)),
    )
}

async fn fail_job(app: &App, id: &str, why: &str) -> Result<Told, Error> {
    let details = FailureDetails::builder()
        .r#type(FailureType::JobFailed)
        .message(cut(why, MAX_SUMMARY))
        .external_execution_id(id)
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
    const STANDS: [&str; 3] = [
        "LifecycleEventAlreadyCompletedException",
        "InvalidJobStateException",
        "JobNotFoundException",
    ];
    match answer {
        Ok(()) => Ok(Told::Accepted),
        Err(failure) if STANDS.iter().any(|code| failure.is(code)) => Ok(Told::TooLate),
        Err(failure) => Err(Error::Aws { call, failure }),
    }
}
