//! Carries a decision out. Every step may be repeated: claims keep what AWS does not make safe
//! (`CreateDeployment` has no token, a mail cannot be taken back) to one effect.

use aws_sdk_codedeploy::types::{AlarmConfiguration, AppSpecContent, RevisionLocation, RevisionLocationType};
use aws_sdk_codepipeline::types::StageTransitionType;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signalbox_bootstrap::{Invocation, aws_failure};
use signalbox_decision::names::VersionNumber;
use signalbox_decision::rollback::{Decision, Deployment, Facts, Status, freeze_reason};
use signalbox_decision::text::{shown, subject};
use signalbox_events::alarm::AlarmChange;
use signalbox_ledger::{Claim, ClaimKey, ClaimOutcome};

use crate::app::App;
use crate::error::Error;
use crate::facts::ROLLBACK_MARK;
use crate::handler::Outcome;

/// How long a claim on a finished effect is remembered: far longer than any event is redelivered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What carrying a decision out came to.
pub(crate) enum Effect {
    /// It is done.
    Done(Outcome),
    /// The deployment ended before it could be stopped: the facts have changed.
    Overtaken {
        /// The deployment.
        deployment: String,
    },
}

pub(crate) async fn execute(
    app: &App,
    change: &AlarmChange,
    facts: &Facts,
    decision: Decision,
    invocation: &Invocation,
) -> Result<Effect, Error> {
    let done = match decision {
        Decision::StopDeployment { deployment } => {
            if !stop(app, &deployment).await? {
                return Ok(Effect::Overtaken {
                    deployment: deployment.id.to_string(),
                });
            }
            aftermath(app, change, facts, &deployment, Action::Stopped, invocation).await?;
            Outcome::Stopped {
                deployment: deployment.id.to_string(),
            }
        }
        Decision::Redeploy { undone, version } => {
            redeploy(app, change, facts, &undone, &version, invocation).await?
        }
        Decision::ReportOnly { deployment, reason } => {
            // A failed deployment was somebody's finding already, and its run has failed with it;
            // a stopped one still has to be frozen and told, whoever stopped it first.
            if deployment.status != Status::Failed {
                aftermath(app, change, facts, &deployment, Action::Reported, invocation).await?;
            }
            Outcome::Reported {
                deployment: deployment.id.to_string(),
                reason,
            }
        }
        Decision::Page { reason } => {
            page(app, change, &reason, invocation).await?;
            Outcome::Paged { reason }
        }
        Decision::Nothing { reason } => Outcome::Ignored { reason },
    };
    Ok(Effect::Done(done))
}

/// Stops a deployment and lets CodeDeploy move the traffic back; false where it had already ended.
/// Stopping twice is stopping once, so no claim is needed.
async fn stop(app: &App, deployment: &Deployment) -> Result<bool, Error> {
    let answer = app
        .deployments
        .stop_deployment()
        .deployment_id(deployment.id.as_str())
        .auto_rollback_enabled(true)
        .send()
        .await;
    match answer {
        Ok(_) => Ok(true),
        Err(error) => {
            let failure = aws_failure(&error);
            if failure.is("DeploymentAlreadyCompletedException") {
                return Ok(false);
            }
            Err(Error::Aws {
                call: "StopDeployment",
                failure,
            })
        }
    }
}

async fn redeploy(
    app: &App,
    change: &AlarmChange,
    facts: &Facts,
    undone: &Deployment,
    version: &VersionNumber,
    invocation: &Invocation,
) -> Result<Outcome, Error> {
    let key = ClaimKey::new("redeploy", undone.id.as_str());
    let deployment = match claim(app, &key, undone.id.as_str(), version.as_str(), invocation).await? {
        Held::Done(deployment) => deployment,
        Held::Won(claim) => {
            let deployment = create(app, change, undone, version).await?;
            app.ledger.complete(claim, &deployment, invocation.now).await?;
            deployment
        }
    };
    aftermath(
        app,
        change,
        facts,
        undone,
        Action::Redeployed {
            by: deployment.clone(),
        },
        invocation,
    )
    .await?;
    Ok(Outcome::Redeployed {
        undone: undone.id.to_string(),
        deployment,
    })
}

async fn create(
    app: &App,
    change: &AlarmChange,
    undone: &Deployment,
    version: &VersionNumber,
) -> Result<String, Error> {
    let spec = json!({
        "version": 0.0,
        "Resources": [{ undone.function.as_str(): {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Name": undone.function, "Alias": undone.alias,
                "CurrentVersion": undone.to, "TargetVersion": version,
            },
        }}],
    });
    let revision = RevisionLocation::builder()
        .revision_type(RevisionLocationType::AppSpecContent)
        .app_spec_content(AppSpecContent::builder().content(spec.to_string()).build())
        .build();
    let answer = app
        .deployments
        .create_deployment()
        .application_name(app.config.application.as_str())
        .deployment_group_name(app.config.group.as_str())
        .deployment_config_name("CodeDeployDefault.LambdaAllAtOnce")
        .description(format!("{ROLLBACK_MARK}{}: alarm {}", undone.id, change.alarm))
        // The alarm is still red, for the version that is being removed.
        .override_alarm_configuration(AlarmConfiguration::builder().enabled(false).build())
        .revision(revision)
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "CreateDeployment",
            failure: aws_failure(&error),
        })?;
    Ok(answer.deployment_id().unwrap_or_default().to_owned())
}

/// Who undid the deployment, and how.
#[derive(Debug, Clone)]
enum Action {
    Stopped,
    Redeployed { by: String },
    Reported,
}

/// What follows a rollback, whoever did it: the stage is frozen, since the pipeline still holds the bad
/// revision; the ledger remembers; people are told, once.
async fn aftermath(
    app: &App,
    change: &AlarmChange,
    facts: &Facts,
    deployment: &Deployment,
    action: Action,
    invocation: &Invocation,
) -> Result<(), Error> {
    let acted_at = Timestamp::now();
    freeze(app, change, deployment).await?;
    let alarm_at = facts.alarm.as_ref().map(|alarm| alarm.since).or(change.at);
    let verb = match &action {
        Action::Stopped => "stopped",
        Action::Redeployed { .. } => "redeployed",
        Action::Reported => "reported",
    };
    let key = ClaimKey::new("rollback", deployment.id.as_str());
    if let Held::Won(claim) = claim(app, &key, deployment.id.as_str(), "", invocation).await? {
        let record = json!({
            "deployment": deployment.id, "alarm": change.alarm, "alarm_at": alarm_at,
            "stopped_at": acted_at, "action": verb,
            "function": deployment.function, "alias": deployment.alias,
            "from_version": deployment.to, "to_version": deployment.from,
            "frozen_stage": app.config.release_stage,
        });
        app.ledger.record_rollback(deployment.id.as_str(), record).await?;
        tell(app, change, facts, deployment, &action).await?;
        app.ledger.complete(claim, verb, invocation.now).await?;
    }
    Ok(())
}

async fn freeze(app: &App, change: &AlarmChange, deployment: &Deployment) -> Result<(), Error> {
    app.pipelines
        .disable_stage_transition()
        .pipeline_name(app.config.pipeline.as_str())
        .stage_name(app.config.release_stage.as_str())
        .transition_type(StageTransitionType::Inbound)
        .reason(freeze_reason(&change.alarm, deployment))
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "DisableStageTransition",
            failure: aws_failure(&error),
        })?;
    Ok(())
}

async fn tell(
    app: &App,
    change: &AlarmChange,
    facts: &Facts,
    deployment: &Deployment,
    action: &Action,
) -> Result<(), Error> {
    let good = deployment.from.as_ref().map_or("none", VersionNumber::as_str);
    let what = match action {
        Action::Stopped => format!(
            "Deployment {} was stopped, and its traffic went back.",
            deployment.id
        ),
        Action::Redeployed { by } => {
            format!(
                "Deployment {} had succeeded; deployment {by} brings the previous version back.",
                deployment.id
            )
        }
        Action::Reported => format!(
            "Deployment {} was stopped by CodeDeploy or a person; nothing was added to that.",
            deployment.id
        ),
    };
    let reason = facts
        .alarm
        .as_ref()
        .map_or(change.reason.as_str(), |alarm| alarm.reason.as_str());
    let body = format!(
        "{what}\n\nFunction: {} (alias {})\nBad version: {}\nGood version: {good}\nAlarm: {}\nReason: {}\n\n\
         Stage {} of pipeline {} is frozen: the pipeline still holds the bad revision. When a good one is on its \
         way, enable the stage's inbound transition:\n\n  aws codepipeline enable-stage-transition --pipeline-name {} \
         --stage-name {} --transition-type Inbound\n",
        deployment.function,
        deployment.alias,
        deployment.to,
        shown(change.alarm.as_str(), 255),
        shown(reason, 1000),
        app.config.release_stage,
        app.config.pipeline,
        app.config.pipeline,
        app.config.release_stage,
    );
    let title = format!(
        "Rolled back: {} version {} ({})",
        deployment.function, deployment.to, change.alarm
    );
    publish(app, &title, &body).await
}

async fn page(app: &App, change: &AlarmChange, reason: &str, invocation: &Invocation) -> Result<(), Error> {
    let since = change.at.map_or_else(String::new, |at| at.to_string());
    let key = ClaimKey::new("page", format!("{}/{since}", change.alarm));
    if let Held::Won(claim) = claim(app, &key, change.alarm.as_str(), reason, invocation).await? {
        let body = format!(
            "Alarm {} fired, and nothing was rolled back: {reason}. A person must decide.\n",
            change.alarm
        );
        publish(app, &format!("Needs a person: alarm {}", change.alarm), &body).await?;
        app.ledger.complete(claim, "paged", invocation.now).await?;
    }
    Ok(())
}

async fn publish(app: &App, title: &str, body: &str) -> Result<(), Error> {
    app.topics
        .publish()
        .topic_arn(&app.config.notice_topic)
        .subject(subject(title))
        .message(body)
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "Publish",
            failure: aws_failure(&error),
        })?;
    Ok(())
}

enum Held {
    Won(Claim),
    Done(String),
}

/// The right to perform one effect of this rollback; an error where another invocation holds it now.
async fn claim(
    app: &App,
    key: &ClaimKey,
    what: &str,
    payload: &str,
    invocation: &Invocation,
) -> Result<Held, Error> {
    let until_deadline = invocation.deadline.duration_since(invocation.now);
    let outcome = app
        .ledger
        .claim(
            key,
            &invocation.request_id,
            invocation.now,
            until_deadline,
            REMEMBERED,
            payload,
        )
        .await?;
    match outcome {
        ClaimOutcome::Won(claim) => Ok(Held::Won(claim)),
        ClaimOutcome::Done(result) => Ok(Held::Done(result)),
        ClaimOutcome::InProgress { .. } => Err(Error::Busy(what.to_owned())),
        ClaimOutcome::Conflict => Err(Error::Deployment {
            deployment: what.to_owned(),
            problem: "the ledger holds the same rollback with another version".to_owned(),
        }),
    }
}
