//! Carries a decision out. Every step may be repeated: claims keep what AWS does not make safe
//! (`CreateDeployment` has no token, a mail cannot be taken back) to one effect.
//!
//! Before the first effect the ledger notes what is about to be rolled back. A crash anywhere after
//! that is made good by the event's retry, even if the alarm has calmed down by then: either the
//! effect did not happen, and the facts are judged anew, or it did, and what follows from it is done.

use std::collections::BTreeMap;

use aws_sdk_codedeploy::types::{AlarmConfiguration, AppSpecContent, RevisionLocation, RevisionLocationType};
use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_bootstrap::{Invocation, OnlyRefused};
use signalbox_decision::names::{DeploymentGroupName, DeploymentId, FunctionName, VersionNumber};
use signalbox_decision::rollback::moments::spellings;
use signalbox_decision::rollback::words::{Action, Cause};
use signalbox_decision::rollback::{Begun, Decision, Deployment, ROLLBACK_MARK, Status};
use signalbox_decision::text::cut;
use signalbox_events::alarm::AlarmChange;
use signalbox_ledger::ClaimKey;
use tracing::error;

use crate::aftermath::{After, follow};
use crate::app::App;
use crate::error::Error;
use crate::facts::Seen;
use crate::handler::Outcome;
use crate::once::{Claimed, REMEMBERED, once};
use crate::tell::page;

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
    seen: &Seen,
    decision: Decision,
    invocation: &Invocation,
) -> Result<Effect, Error> {
    let group = &seen.facts.group.name;
    let alarm = seen.facts.alarm.as_ref();
    let cause = Cause::Alarm {
        alarm: change.alarm.clone(),
        reason: alarm.map_or_else(|| change.reason.clone(), |alarm| alarm.reason.clone()),
    };
    let cause_at = alarm.map(|alarm| alarm.since).or(change.at);
    let after = |undone, action| After {
        group,
        undone,
        action,
        cause: &cause,
        cause_at,
        run: &seen.run,
        since: seen
            .facts
            .begun
            .as_ref()
            .and_then(|begun| begun.since)
            .unwrap_or(invocation.now),
    };
    let done = match decision {
        Decision::StopDeployment { deployment } => {
            begin(app, change, group, begun_at(&deployment, false), invocation).await?;
            let stopped = stop(app, &deployment.id).await;
            if !told_if_refused(app, change, &deployment, stopped, invocation).await? {
                return Ok(Effect::Overtaken {
                    deployment: deployment.id.to_string(),
                });
            }
            follow(app, &after(&deployment, &Action::Stopped), invocation).await?;
            Outcome::Stopped {
                deployment: deployment.id.to_string(),
            }
        }
        Decision::Redeploy { undone, version } => {
            begin(app, change, group, begun_at(&undone, false), invocation).await?;
            let claimed = Claimed {
                key: ClaimKey::new("redeploy", undone.id.as_str()),
                what: undone.id.as_str(),
                payload: version.as_str(),
            };
            let way = Way {
                group,
                function: &undone.function,
                alias: &undone.alias,
                from: &undone.to,
                to: &version,
                why: format!("{}: alarm {}", undone.id, change.alarm),
            };
            let made = once(app, claimed, invocation, async |_| create(app, &way).await).await;
            let made = told_if_refused(app, change, &undone, made, invocation).await?;
            let by = Action::Redeployed {
                by: deployment_id(&made)?,
                version,
            };
            follow(app, &after(&undone, &by), invocation).await?;
            Outcome::Redeployed {
                undone: undone.id.to_string(),
                deployment: made,
            }
        }
        Decision::Finish {
            deployment,
            is_report,
            by,
        } => {
            let id = deployment.id.to_string();
            let (action, outcome) = match by {
                None if is_report => (
                    Action::Reported,
                    Outcome::Reported {
                        deployment: id,
                        reason: "an earlier try of this event found it stopped".to_owned(),
                    },
                ),
                None => (Action::Stopped, Outcome::Stopped { deployment: id }),
                Some((by, version)) => (
                    Action::Redeployed {
                        by: by.clone(),
                        version,
                    },
                    Outcome::Redeployed {
                        undone: id,
                        deployment: by.to_string(),
                    },
                ),
            };
            follow(app, &after(&deployment, &action), invocation).await?;
            outcome
        }
        Decision::ReportOnly { deployment, reason } => {
            // A failed deployment was somebody's finding already, and its run has failed with it;
            // a stopped one still has to be frozen and told, whoever stopped it first.
            if deployment.status != Status::Failed {
                begin(app, change, group, begun_at(&deployment, true), invocation).await?;
                let action = reported(seen, &deployment);
                follow(app, &after(&deployment, &action), invocation).await?;
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

/// What a report is about. Several events come at once, and the one that only reports may be the first to
/// tell: what had succeeded, a deployment takes back.
fn reported(seen: &Seen, deployment: &Deployment) -> Action {
    match &seen.facts.newest {
        Some(newest) if newest.is_rollback && deployment.status == Status::Succeeded => Action::Redeployed {
            by: newest.id.clone(),
            version: newest.to.clone(),
        },
        _ => Action::Reported,
    }
}

const BEGUN: &str = "rollback-begun";

fn begun_at(deployment: &Deployment, is_report: bool) -> Begun {
    Begun {
        deployment: deployment.id.clone(),
        is_report,
        since: None,
    }
}

/// By deployment group.
type Notes = BTreeMap<String, Vec<Begun>>;

/// Notes that this event is about to roll a deployment back, or to say that somebody did: beside what other deliveries
/// of the event set out to do about other deployments, also in the same instant.
async fn begin(
    app: &App,
    change: &AlarmChange,
    group: &DeploymentGroupName,
    what: Begun,
    invocation: &Invocation,
) -> Result<(), Error> {
    let expires = invocation.now.saturating_add(REMEMBERED).ok();
    let event = event_name(change, change.at);
    let add = |found: Option<Value>| {
        let mut notes = read(&event, found);
        let of_group = notes.entry(group.to_string()).or_default();
        let mut what = what.clone();
        what.since = Some(invocation.now);
        if let Some(earlier) = of_group
            .iter()
            .find(|earlier| earlier.deployment == what.deployment)
        {
            what.since = earlier.since.or(what.since);
        }
        of_group.retain(|earlier| earlier.deployment != what.deployment);
        of_group.push(what);
        json!(notes)
    };
    app.ledger
        .change_value(BEGUN, &event, add, invocation.now, expires)
        .await?;
    Ok(())
}

/// What earlier tries of the same event were about to roll back, by deployment group: also those of a delivery that the
/// sweep made up for, or that comes after the sweep's.
pub(crate) async fn begun(app: &App, change: &AlarmChange, invocation: &Invocation) -> Result<Notes, Error> {
    let moments = match change.at {
        Some(at) => spellings(at).into_iter().flatten().map(Some).collect(),
        None => vec![None],
    };
    let mut all = Notes::new();
    for at in moments {
        let event = event_name(change, at);
        let found = app.ledger.get_value(BEGUN, &event, invocation.now).await?;
        for (group, of_group) in read(&event, found) {
            let known = all.entry(group).or_default();
            for begun in of_group {
                if known.iter().all(|known| known.deployment != begun.deployment) {
                    known.push(begun);
                }
            }
        }
    }
    Ok(all)
}

/// A note that cannot be read must not keep a bad version in production: the event is then judged as new.
fn read(event: &str, notes: Option<Value>) -> Notes {
    notes.map_or_else(Notes::new, |notes| {
        serde_json::from_value(notes).unwrap_or_else(|problem| {
            error!(%event, %problem, "the ledger's note of what was begun cannot be read; judging as if there were none");
            Notes::new()
        })
    })
}

/// The same for every delivery of one change of one alarm that names it by the same moment.
fn event_name(change: &AlarmChange, at: Option<Timestamp>) -> String {
    let at = at.map_or_else(|| "?".to_owned(), |at| at.to_string());
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
pub(crate) async fn stop(app: &App, deployment: &DeploymentId) -> Result<bool, Error> {
    let answer = app
        .deployments
        .stop_deployment()
        .deployment_id(deployment.as_str())
        .auto_rollback_enabled(true)
        .send()
        .await;
    match answer {
        Ok(_) => Ok(true),
        Err(error) => match Error::aws("StopDeployment", &error) {
            Error::Aws { failure, .. } if failure.is("DeploymentAlreadyCompletedException") => Ok(false),
            error => Err(error),
        },
    }
}

/// From which version to which.
pub(crate) struct Way<'a> {
    pub(crate) group: &'a DeploymentGroupName,
    pub(crate) function: &'a FunctionName,
    pub(crate) alias: &'a str,
    pub(crate) from: &'a VersionNumber,
    pub(crate) to: &'a VersionNumber,
    /// What is rolled back, and why; for the deployment's description.
    pub(crate) why: String,
}

/// Creates the deployment that brings a version back, all at once: every request on the way there meets
/// the bad version.
pub(crate) async fn create(app: &App, way: &Way<'_>) -> Result<String, Error> {
    let spec = json!({
        "version": 0.0,
        "Resources": [{ way.function.as_str(): {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Name": way.function, "Alias": way.alias,
                "CurrentVersion": way.from, "TargetVersion": way.to,
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
        .deployment_group_name(way.group.as_str())
        .deployment_config_name("CodeDeployDefault.LambdaAllAtOnce")
        .description(cut(&format!("{ROLLBACK_MARK}{}", way.why), 512))
        // The alarm is still red, for the version that is being removed.
        .override_alarm_configuration(AlarmConfiguration::builder().enabled(false).build())
        .revision(revision)
        .customize()
        .config_override(aws_sdk_codedeploy::config::Builder::new().retry_classifier(OnlyRefused))
        .send()
        .await
        .map_err(|error| Error::aws("CreateDeployment", &error))?;
    answer
        .deployment_id()
        .map(str::to_owned)
        .ok_or_else(|| Error::Unsettled("CodeDeploy did not say which deployment it created".to_owned()))
}

/// A deployment's id as CodeDeploy answered it.
pub(crate) fn deployment_id(id: &str) -> Result<DeploymentId, Error> {
    DeploymentId::new(id).map_err(|error| Error::Deployment {
        deployment: id.to_owned(),
        problem: error.to_string(),
    })
}
