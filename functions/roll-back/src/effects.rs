//! Carries a decision out. Every step may be repeated: claims keep what AWS does not make safe
//! (`CreateDeployment` has no token, a mail cannot be taken back) to one effect.
//!
//! Before the first effect the ledger notes what is about to be rolled back. A crash anywhere after
//! that is made good by the event's retry, even if the alarm has calmed down by then: either the
//! effect did not happen, and the facts are judged anew, or it did, and what follows from it is done.

use aws_sdk_codedeploy::types::{AlarmConfiguration, AppSpecContent, RevisionLocation, RevisionLocationType};
use aws_sdk_codepipeline::types::StageTransitionType;
use jiff::Timestamp;
use serde_json::json;
use signalbox_bootstrap::{Invocation, aws_failure};
use signalbox_decision::names::{DeploymentId, VersionNumber};
use signalbox_decision::rollback::{Decision, Deployment, Facts, Status, freeze_reason};
use signalbox_events::alarm::AlarmChange;
use signalbox_ledger::ClaimKey;

use crate::app::App;
use crate::error::Error;
use crate::facts::ROLLBACK_MARK;
use crate::handler::Outcome;
use crate::once::{Claimed, REMEMBERED, once};
use crate::tell::{Action, page, tell};

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
            begin(app, change, &deployment, invocation).await?;
            if !told_if_refused(app, change, &deployment, stop(app, &deployment).await, invocation).await? {
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
            begin(app, change, &undone, invocation).await?;
            let made = redeploy(app, change, &undone, &version, invocation).await;
            let deployment = told_if_refused(app, change, &undone, made, invocation).await?;
            let by = Action::Redeployed {
                by: deployment.clone(),
            };
            aftermath(app, change, facts, &undone, by, invocation).await?;
            Outcome::Redeployed {
                undone: undone.id.to_string(),
                deployment,
            }
        }
        Decision::Finish { deployment, by } => {
            let id = deployment.id.to_string();
            let (action, outcome) = match by.map(|by| by.to_string()) {
                None => (Action::Stopped, Outcome::Stopped { deployment: id }),
                Some(by) => (
                    Action::Redeployed { by: by.clone() },
                    Outcome::Redeployed {
                        undone: id,
                        deployment: by,
                    },
                ),
            };
            aftermath(app, change, facts, &deployment, action, invocation).await?;
            outcome
        }
        Decision::ReportOnly { deployment, reason } => {
            // A failed deployment was somebody's finding already, and its run has failed with it;
            // a stopped one still has to be frozen and told, whoever stopped it first.
            if deployment.status != Status::Failed {
                begin(app, change, &deployment, invocation).await?;
                aftermath(app, change, facts, &deployment, Action::Reported, invocation).await?;
            }
            Outcome::Reported {
                deployment: deployment.id.to_string(),
                reason,
            }
        }
        Decision::Page { deployment, reason } => {
            page(app, change, "page", deployment.as_str(), &reason, invocation).await?;
            Outcome::Paged { reason }
        }
        Decision::Nothing { reason } => Outcome::Ignored { reason },
    };
    Ok(Effect::Done(done))
}

const BEGUN: &str = "rollback-begun";

/// Notes that this event is about to roll a deployment back, or to say that somebody did.
async fn begin(
    app: &App,
    change: &AlarmChange,
    deployment: &Deployment,
    invocation: &Invocation,
) -> Result<(), Error> {
    let expires = invocation.now.saturating_add(REMEMBERED).ok();
    app.ledger
        .put_value(
            BEGUN,
            &event_name(change),
            &json!(deployment.id),
            invocation.now,
            expires,
        )
        .await?;
    Ok(())
}

/// What an earlier try of the same event was about to roll back.
pub(crate) async fn begun(
    app: &App,
    change: &AlarmChange,
    invocation: &Invocation,
) -> Result<Option<DeploymentId>, Error> {
    let begun = app
        .ledger
        .get_value(BEGUN, &event_name(change), invocation.now)
        .await?;
    Ok(begun.and_then(|begun| serde_json::from_value(begun).ok()))
}

/// The same for every delivery of one change of one alarm.
fn event_name(change: &AlarmChange) -> String {
    let at = change.at.map_or_else(|| "?".to_owned(), |at| at.to_string());
    format!("{}@{at}", change.alarm)
}

/// Where AWS refuses a rollback for good, the bad version keeps its traffic: a person is told, and the
/// refusal goes on to the dead-letter queue.
async fn told_if_refused<T>(
    app: &App,
    change: &AlarmChange,
    deployment: &Deployment,
    result: Result<T, Error>,
    invocation: &Invocation,
) -> Result<T, Error> {
    if let Err(Error::Aws { call, failure }) = &result
        && !failure.retryable
    {
        let reason = format!("{call} for deployment {} was refused: {failure}", deployment.id);
        page(
            app,
            change,
            "page-refused",
            deployment.id.as_str(),
            &reason,
            invocation,
        )
        .await?;
    }
    result
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
    undone: &Deployment,
    version: &VersionNumber,
    invocation: &Invocation,
) -> Result<String, Error> {
    let claimed = Claimed {
        key: ClaimKey::new("redeploy", undone.id.as_str()),
        what: undone.id.as_str(),
        payload: version.as_str(),
    };
    once(app, claimed, invocation, async |_| {
        create(app, change, undone, version).await
    })
    .await
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
    answer
        .deployment_id()
        .map(str::to_owned)
        .ok_or_else(|| Error::Unsettled("CodeDeploy did not say which deployment it created".to_owned()))
}

/// What follows a rollback, whoever did it: the stage is frozen, since the pipeline still holds the bad
/// revision; the ledger remembers; people are told. Each once: whoever enables the transition again has
/// decided, and the alarm's next flutter must not undo that.
async fn aftermath(
    app: &App,
    change: &AlarmChange,
    facts: &Facts,
    deployment: &Deployment,
    action: Action,
    invocation: &Invocation,
) -> Result<(), Error> {
    let acted_at = match action {
        Action::Stopped | Action::Reported => deployment.completed,
        Action::Redeployed { .. } => None,
    };
    let acted_at = acted_at.unwrap_or_else(Timestamp::now);
    let id = deployment.id.as_str();
    let claimed = |kind| Claimed {
        key: ClaimKey::new(kind, id),
        what: id,
        payload: "",
    };
    let frozen = once(app, claimed("freeze"), invocation, async |_| {
        freeze(app, change, deployment).await
    })
    .await;
    // That the stage could not be frozen is one thing more to tell people, and no reason to tell nothing.
    let not_frozen = match &frozen {
        Ok(_) => None,
        Err(Error::Aws { failure, .. }) => Some(failure.to_string()),
        Err(_) => return frozen.map(drop),
    };
    once(app, claimed("rollback"), invocation, async |_| {
        let alarm_at = facts.alarm.as_ref().map(|alarm| alarm.since).or(change.at);
        let record = json!({
            "deployment": deployment.id, "alarm": change.alarm, "alarm_at": alarm_at,
            "stopped_at": acted_at, "action": action.verb(),
            "function": deployment.function, "alias": deployment.alias,
            "from_version": deployment.to, "to_version": deployment.from,
            "frozen_stage": not_frozen.is_none().then_some(&app.config.release_stage),
        });
        app.ledger.record_rollback(id, record).await?;
        tell(app, change, facts, deployment, &action, not_frozen.as_deref()).await?;
        Ok(action.verb().to_owned())
    })
    .await?;
    frozen.map(drop)
}

async fn freeze(app: &App, change: &AlarmChange, deployment: &Deployment) -> Result<String, Error> {
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
    Ok("frozen".to_owned())
}
