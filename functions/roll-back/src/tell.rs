//! Tells people what was done, or that somebody must do it.

use signalbox_bootstrap::{Invocation, aws_failure};
use signalbox_decision::names::VersionNumber;
use signalbox_decision::rollback::{Deployment, Facts};
use signalbox_decision::text::{shown, subject};
use signalbox_events::alarm::AlarmChange;
use signalbox_ledger::ClaimKey;

use crate::app::App;
use crate::error::Error;
use crate::once::{Claimed, once};

/// Who undid the deployment, and how.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Stopped,
    Redeployed { by: String },
    Reported,
}

impl Action {
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Redeployed { .. } => "redeployed",
            Self::Reported => "reported",
        }
    }
}

/// Says what was rolled back, why, and how it goes on from there.
pub(crate) async fn tell(
    app: &App,
    change: &AlarmChange,
    facts: &Facts,
    deployment: &Deployment,
    action: &Action,
    not_frozen: Option<&str>,
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
            "Deployment {} is stopped by CodeDeploy or a person; nothing was added to that.",
            deployment.id
        ),
    };
    let reason = facts
        .alarm
        .as_ref()
        .map_or(change.reason.as_str(), |alarm| alarm.reason.as_str());
    let (pipeline, stage) = (&app.config.pipeline, &app.config.release_stage);
    let frozen = match not_frozen {
        None => format!(
            "Stage {stage} of pipeline {pipeline} is frozen: the pipeline still holds the bad revision. When a \
             good one is on its way, enable the stage's inbound transition:\n\n  aws codepipeline \
             enable-stage-transition --pipeline-name {pipeline} --stage-name {stage} --transition-type Inbound\n"
        ),
        Some(problem) => format!(
            "Stage {stage} of pipeline {pipeline} could NOT be frozen ({}), and the pipeline still holds the bad \
             revision. Disable the stage's inbound transition, or the next run may bring it back:\n\n  aws \
             codepipeline disable-stage-transition --pipeline-name {pipeline} --stage-name {stage} \
             --transition-type Inbound --reason \"Rolled back\"\n",
            shown(problem, 500)
        ),
    };
    let body = format!(
        "{what}\n\nFunction: {} (alias {})\nBad version: {}\nGood version: {good}\nAlarm: {}\nReason: {}\n\n\
         {frozen}",
        deployment.function,
        shown(&deployment.alias, 128),
        deployment.to,
        shown(change.alarm.as_str(), 255),
        shown(reason, 1000),
    );
    let title = format!(
        "Rolled back: {} version {} ({})",
        deployment.function, deployment.to, change.alarm
    );
    publish(app, &title, &body).await
}

/// Calls a person, once for each kind of trouble with a deployment, however often the alarm flutters.
pub(crate) async fn page(
    app: &App,
    change: &AlarmChange,
    kind: &str,
    deployment: &str,
    reason: &str,
    invocation: &Invocation,
) -> Result<(), Error> {
    let claimed = Claimed {
        key: ClaimKey::new(kind, deployment),
        what: deployment,
        payload: "",
    };
    once(app, claimed, invocation, async |_| {
        let body = format!(
            "Alarm {} fired, and nothing was rolled back: {}. A person must decide.\n",
            shown(change.alarm.as_str(), 255),
            shown(reason, 1000)
        );
        publish(app, &format!("Needs a person: alarm {}", change.alarm), &body).await?;
        Ok("paged".to_owned())
    })
    .await
    .map(drop)
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
