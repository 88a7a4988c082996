//! What is to be validated: read from the deployment itself, never guessed.

use std::time::Duration;

use aws_sdk_codedeploy::types::{AlarmConfiguration, DeploymentInfo, RevisionLocation};
use jiff::Timestamp;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::names::{DeploymentId, VersionNumber};
use signalbox_decision::rollback::ROLLBACK_MARK;
use signalbox_decision::validation::policy::Policy;
use signalbox_decision::validation::preflight::{Deployment, Override};
use signalbox_events::appspec::AppSpec;

use crate::app::App;
use crate::error::Error;

/// A deployment under validation.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// What the preflight judges by.
    pub(crate) deployment: Deployment,
    /// Its application and deployment group.
    pub(crate) application: String,
    pub(crate) group: String,
    /// The version before.
    pub(crate) old: Option<VersionNumber>,
    /// Whether all traffic moves at once: no two versions ever serve side by side.
    pub(crate) all_at_once: bool,
    /// Since when the new version may have been called.
    pub(crate) since: Timestamp,
}

impl Subject {
    pub(crate) fn new_version(&self) -> &VersionNumber {
        &self.deployment.version
    }

    /// How long what may still change is waited for. A rollback waits for nothing.
    pub(crate) fn patience(&self, policy: &Policy) -> Duration {
        if self.deployment.is_rollback {
            return Duration::ZERO;
        }
        Duration::from_secs(u64::from(policy.canary.wait_seconds))
    }

    pub(crate) async fn of_deployment(app: &App, id: &DeploymentId) -> Result<Self, Error> {
        let answer = app
            .deployments
            .get_deployment()
            .deployment_id(id.as_str())
            .send()
            .await
            .map_err(|error| Error::Aws {
                call: "GetDeployment",
                failure: aws_failure(&error),
            })?;
        let unknown = || {
            Error::Foreign(format!(
                "deployment {id} has no AppSpec content, so the version it brings is unknown"
            ))
        };
        let info = answer.deployment_info().ok_or_else(unknown)?;
        let revision = info.revision().ok_or_else(unknown)?;
        let application = info.application_name().unwrap_or_default();
        let content = match content(revision) {
            Some(content) => content.to_owned(),
            None => registered_content(app, application, revision)
                .await?
                .ok_or_else(unknown)?,
        };
        let spec = AppSpec::parse(&content)?;
        if spec.function != app.config.function {
            return Err(Error::Foreign(format!(
                "deployment {id} is of function {}, but this validates {}; set FUNCTION_NAME",
                spec.function, app.config.function
            )));
        }
        let created = info.create_time().map(aws_smithy_types::DateTime::as_nanos);
        Ok(Self {
            application: application.to_owned(),
            group: info.deployment_group_name().unwrap_or_default().to_owned(),
            all_at_once: info.deployment_config_name() == Some("CodeDeployDefault.LambdaAllAtOnce"),
            old: spec.current,
            since: created
                .and_then(|at| Timestamp::from_nanosecond(at).ok())
                .unwrap_or_else(Timestamp::now),
            deployment: Deployment {
                id: id.to_string(),
                function: spec.function,
                alias: spec.alias,
                version: spec.target,
                is_rollback: is_rollback(info),
                overrides: Override::of(
                    info.override_alarm_configuration()
                        .map(|configuration| (configuration.enabled(), names(configuration))),
                ),
                made_by: made_by(info),
            },
        })
    }
}

/// CodeDeploy's, CloudFormation's, and our own.
fn is_rollback(info: &DeploymentInfo) -> bool {
    let creator = info.creator().map(|creator| creator.as_str()).unwrap_or_default();
    let description = info.description().unwrap_or_default();
    let of = info
        .rollback_info()
        .and_then(|rollback| rollback.rollback_triggering_deployment_id());
    of.is_some() || creator.ends_with("Rollback") || description.starts_with(ROLLBACK_MARK)
}

/// Who made the deployment, as CodeDeploy tells: the kind of its creator, and what they wrote. Which person
/// it was is in CloudTrail.
fn made_by(info: &DeploymentInfo) -> String {
    let creator = info.creator().map_or("unknown", |creator| creator.as_str());
    match info.description() {
        Some(description) => format!("{creator}: {description}"),
        None => creator.to_owned(),
    }
}

/// The alarms that a configuration lists.
pub(crate) fn names(configuration: &AlarmConfiguration) -> Vec<String> {
    let names = configuration.alarms().iter().filter_map(|alarm| alarm.name());
    names.map(str::to_owned).collect()
}

fn content(revision: &RevisionLocation) -> Option<&str> {
    revision
        .app_spec_content()
        .and_then(|content| content.content())
        .or_else(|| revision.string().and_then(|string| string.content()))
        .filter(|content| !content.is_empty())
}

/// `GetDeployment` may answer with the digest of an AppSpec alone; the application keeps the text.
async fn registered_content(
    app: &App,
    application: &str,
    revision: &RevisionLocation,
) -> Result<Option<String>, Error> {
    let answer = app
        .deployments
        .get_application_revision()
        .application_name(application)
        .revision(revision.clone())
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "GetApplicationRevision",
            failure: aws_failure(&error),
        })?;
    Ok(answer.revision().and_then(content).map(str::to_owned))
}
