//! Carries out what was decided, each effect under its claim.

use aws_sdk_codebuild::types::{
    ArtifactsType, CacheType, EnvironmentVariable, EnvironmentVariableType, ProjectArtifacts, ProjectCache,
    SourceType,
};
use aws_sdk_codepipeline::types::{SourceRevisionOverride, SourceRevisionType};
use aws_sdk_sns::types::MessageAttributeValue;
use jiff::SignedDuration;
use signalbox_bootstrap::{AwsFailure, Invocation, aws_failure};
use signalbox_decision::names::{ActionName, ObjectKey, PipelineName, VersionId};
use signalbox_decision::notice;
use signalbox_decision::start::{Candidate, Decision, Refusal, token};
use signalbox_ledger::{Claim, ClaimKey, ClaimOutcome};

use crate::app::App;
use crate::error::Error;
use crate::gather::Found;
use crate::handler::Done;

/// Longer than any route delivers late: SNS tries a Lambda for 23 days.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a repeated delivery waits for the first one before it fails and comes again.
const PATIENCE: SignedDuration = SignedDuration::from_secs(4);

/// The right to act on an upload, or what was done about it before.
pub(crate) enum Right {
    Won(Claim),
    Done(String),
}

/// Claims an upload: whatever is done about it is done once.
pub(crate) async fn claim_upload(
    app: &App,
    candidate: &Candidate,
    found: &Found,
    invocation: &Invocation,
) -> Result<Right, Error> {
    let settings = &app.config.settings;
    let name = token(
        &settings.pipeline,
        &candidate.bucket,
        &candidate.key,
        candidate.version.as_str(),
    );
    // Read from S3, not from the event: by whichever route it came, it is the same.
    let content = format!("{} {}", found.size, found.etag.as_deref().unwrap_or_default());
    claim(app, &name, &content, invocation).await
}

async fn claim(app: &App, name: &str, content: &str, invocation: &Invocation) -> Result<Right, Error> {
    let outcome = app
        .ledger
        .claim_patiently(
            &ClaimKey::new("start-run", name),
            &invocation.request_id,
            invocation.now,
            invocation.deadline.duration_since(invocation.now),
            REMEMBERED,
            content,
            PATIENCE,
        )
        .await?;
    match outcome {
        ClaimOutcome::Won(claim) => Ok(Right::Won(claim)),
        ClaimOutcome::Done(before) => Ok(Right::Done(before)),
        ClaimOutcome::InProgress { until } => Err(Error::InHand(until)),
        ClaimOutcome::Conflict => Err(Error::Conflict),
    }
}

/// What needs no claim of the upload: nothing, counting, or a notice under a claim of its own.
pub(crate) async fn execute_unclaimed(
    app: &App,
    decision: Decision,
    invocation: &Invocation,
) -> Result<Done, Error> {
    match decision {
        Decision::Deny { reason } => {
            let today = app.ledger.count("denied-uploads", invocation.now).await?;
            tracing::warn!(reason, today, "denied");
            Ok(Done::Denied { reason, today })
        }
        Decision::Ignore { reason } => Ok(Done::Ignored { reason }),
        Decision::Reject(refusal) => match claim(app, &refusal.token, "", invocation).await? {
            Right::Won(claim) => execute(app, Decision::Reject(refusal), claim, invocation).await,
            Right::Done(before) => Ok(Done::AlreadyDone { before }),
        },
        Decision::Start { .. } | Decision::Build { .. } => Ok(Done::Ignored {
            reason: "nothing is started without the upload's claim".to_owned(),
        }),
    }
}

/// Performs the decision's effect and completes the claim.
///
/// A crash in between is made good by the retry: `StartPipelineExecution` answers the same token with the
/// same run; `StartBuild` does so for five minutes, after which the build of a branch may run twice,
/// harmlessly; a notice goes out again under the same id.
pub(crate) async fn execute(
    app: &App,
    decision: Decision,
    claim: Claim,
    invocation: &Invocation,
) -> Result<Done, Error> {
    let performed = match decision {
        Decision::Start {
            pipeline,
            source_action,
            token,
            key,
            version,
            branch,
        } => {
            let started = start(app, &pipeline, &source_action, &token, &key, &version, &claim).await;
            started.map(|execution| Done::Started {
                execution,
                branch: branch.to_string(),
            })
        }
        Decision::Build {
            project,
            token,
            location,
            version,
            branch,
        } => {
            let built = build(
                app,
                &project,
                &token,
                &location,
                &version,
                branch.as_str(),
                &claim,
            )
            .await;
            built.map(|build| Done::Built {
                build,
                branch: branch.to_string(),
            })
        }
        Decision::Reject(refusal) => tell(app, &refusal, &claim).await.map(|()| Done::Rejected {
            reasons: refusal.reasons.iter().map(ToString::to_string).collect(),
        }),
        Decision::Ignore { reason } => Ok(Done::Ignored { reason }),
        // Whoever sent it must not use up the right of the real event.
        Decision::Deny { reason } => {
            app.ledger.release(claim, invocation.now).await?;
            return execute_denied(app, reason, invocation).await;
        }
    };
    match performed {
        Ok(done) => {
            let result = serde_json::to_string(&done).unwrap_or_default();
            app.ledger.complete(claim, &result, invocation.now).await?;
            Ok(done)
        }
        Err((call, failure)) => {
            // AWS refused: the effect did not happen, and the retry need not wait for the claim's deadline.
            // After a fault of AWS's, or without an answer, nobody knows, and it waits.
            if failure.refused {
                app.ledger.release(claim, invocation.now).await?;
            }
            Err(Error::Aws { call, failure })
        }
    }
}

async fn execute_denied(app: &App, reason: String, invocation: &Invocation) -> Result<Done, Error> {
    let today = app.ledger.count("denied-uploads", invocation.now).await?;
    Ok(Done::Denied { reason, today })
}

type Refused = (&'static str, AwsFailure);

/// Starts the run, pinned to key and version. (The key needs `AllowOverrideForS3ObjectKey` on the source
/// action.)
async fn start(
    app: &App,
    pipeline: &PipelineName,
    action: &ActionName,
    token: &str,
    key: &ObjectKey,
    version: &VersionId,
    _claim: &Claim,
) -> Result<String, Refused> {
    let call = "StartPipelineExecution";
    let revision = |kind: SourceRevisionType, value: &str| {
        SourceRevisionOverride::builder()
            .action_name(action.as_str())
            .revision_type(kind)
            .revision_value(value)
            .build()
            .map_err(|_| (call, AwsFailure::incomplete()))
    };
    let answer = app
        .pipelines
        .start_pipeline_execution()
        .name(pipeline.as_str())
        .client_request_token(token)
        .source_revisions(revision(SourceRevisionType::S3ObjectKey, key.as_str())?)
        .source_revisions(revision(SourceRevisionType::S3ObjectVersionId, version.as_str())?)
        .send()
        .await
        .map_err(|error| (call, aws_failure(&error)))?;
    Ok(answer.pipeline_execution_id().unwrap_or_default().to_owned())
}

/// Builds the package as it is; nothing of it is kept or deployed.
async fn build(
    app: &App,
    project: &str,
    token: &str,
    location: &str,
    version: &VersionId,
    branch: &str,
    _claim: &Claim,
) -> Result<String, Refused> {
    let call = "StartBuild";
    let variable = |name: &str, value: &str| {
        EnvironmentVariable::builder()
            .name(name)
            .value(value)
            .r#type(EnvironmentVariableType::Plaintext)
            .build()
            .map_err(|_| (call, AwsFailure::incomplete()))
    };
    let no_artifacts = ProjectArtifacts::builder()
        .r#type(ArtifactsType::NoArtifacts)
        .build()
        .map_err(|_| (call, AwsFailure::incomplete()))?;
    // The deployed branch's build runs tools out of the project's cache: what others may not deploy, they may not
    // put there either.
    let no_cache = ProjectCache::builder()
        .r#type(CacheType::NoCache)
        .build()
        .map_err(|_| (call, AwsFailure::incomplete()))?;
    let answer = app
        .builds
        .start_build()
        .project_name(project)
        .idempotency_token(token)
        .source_type_override(SourceType::S3)
        .source_location_override(location)
        .source_version(version.as_str())
        .artifacts_override(no_artifacts)
        .cache_override(no_cache)
        .environment_variables_override(variable("SOURCE_BRANCH", branch)?)
        .environment_variables_override(variable("BUILD_ONLY", "true")?)
        .send()
        .await
        .map_err(|error| (call, aws_failure(&error)))?;
    Ok(answer
        .build_value()
        .and_then(|build| build.id())
        .unwrap_or_default()
        .to_owned())
}

async fn tell(app: &App, refusal: &Refusal, _claim: &Claim) -> Result<(), Refused> {
    let call = "Publish";
    let notice = notice::upload_rejected(refusal);
    let attribute = |value: &str| {
        MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|_| (call, AwsFailure::incomplete()))
    };
    app.topics
        .publish()
        .topic_arn(&app.config.notice_topic)
        .subject(&notice.subject)
        .message(&notice.body)
        .message_attributes("topic", attribute(notice.topic)?)
        .message_attributes("severity", attribute(notice.severity.as_str())?)
        .message_attributes("notice", attribute(&refusal.token)?)
        .send()
        .await
        .map_err(|error| (call, aws_failure(&error)))?;
    Ok(())
}
