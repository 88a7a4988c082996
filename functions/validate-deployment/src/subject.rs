//! What is to be validated: read from the deployment itself, never guessed.

use aws_sdk_codedeploy::types::RevisionLocation;
use jiff::Timestamp;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::names::{DeploymentId, VersionNumber};
use signalbox_events::appspec::AppSpec;
use signalbox_events::job::Asked;

use crate::app::{App, Hook};
use crate::error::Error;

/// The version under validation.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// What to invoke: the version itself before traffic, the alias afterwards.
    pub(crate) qualifier: String,
    /// The version that the deployment brings; unknown in a job of the pipeline.
    pub(crate) new: Option<VersionNumber>,
    /// The version before it.
    pub(crate) old: Option<VersionNumber>,
    /// Since when the new version may have been called.
    pub(crate) since: Timestamp,
}

impl Subject {
    pub(crate) async fn find(app: &App, asked: &Asked) -> Result<Self, Error> {
        match asked {
            Asked::Job { .. } => Ok(Self {
                qualifier: app.config.alias.clone(),
                new: None,
                old: None,
                since: Timestamp::now(),
            }),
            Asked::Hook { deployment, .. } => Self::of_deployment(app, deployment).await,
        }
    }

    async fn of_deployment(app: &App, id: &DeploymentId) -> Result<Self, Error> {
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
        let info = answer.deployment_info();
        let unknown = || {
            Error::Foreign(format!(
                "deployment {id} has no AppSpec content, so the version it brings is unknown"
            ))
        };
        let revision = info.and_then(|info| info.revision()).ok_or_else(unknown)?;
        let application = info.and_then(|info| info.application_name()).unwrap_or_default();
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
        let created = info
            .and_then(|info| info.create_time())
            .map(aws_smithy_types::DateTime::as_nanos);
        let qualifier = match app.config.hook {
            Hook::BeforeAllowTraffic => spec.target.to_string(),
            Hook::AfterAllowTraffic | Hook::Job => spec.alias.clone(),
        };
        Ok(Self {
            qualifier,
            new: Some(spec.target),
            old: spec.current,
            since: created
                .and_then(|at| Timestamp::from_nanosecond(at).ok())
                .unwrap_or_else(Timestamp::now),
        })
    }
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
