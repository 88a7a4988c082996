//! How a deployment group stands, and the pipeline around it.

use aws_sdk_codepipeline::types::StageState;
use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::names::{DeploymentGroupName, DeploymentId, FunctionName, VersionNumber};
use signalbox_decision::rollback::good::Standing;
use signalbox_decision::rollback::{Deployment, manual};

use crate::app::App;
use crate::error::Error;
use crate::facts::{deployment, recent};
use crate::groups::groups;
use crate::handler::Outcome;
use crate::run::Attributed;
use crate::versions;

/// How many of the last commands a status tells.
const COMMANDS: usize = 20;

/// A group, as a command needs it.
pub(crate) struct Found {
    pub(crate) group: DeploymentGroupName,
    pub(crate) facts: manual::Facts,
    /// The newest deployment, however old: where there was none lately, the last one that succeeded.
    pub(crate) known: Option<Deployment>,
    pub(crate) run: Attributed,
}

/// Reads how a group stands, and what is known of the version that is asked for; `Err` says, for people, why
/// there is nothing to be commanded.
pub(crate) async fn find(
    app: &App,
    group: &DeploymentGroupName,
    version: Option<&VersionNumber>,
    now: Timestamp,
) -> Result<Result<Found, String>, Error> {
    let answer = app
        .deployments
        .get_deployment_group()
        .application_name(app.config.application.as_str())
        .deployment_group_name(group.as_str())
        .send()
        .await;
    let info = match answer {
        Ok(answer) => answer.deployment_group_info,
        Err(error) => match Error::aws("GetDeploymentGroup", &error) {
            Error::Aws { failure, .. } if failure.is("DeploymentGroupDoesNotExistException") => {
                return Ok(Err(format!(
                    "application {} has no deployment group {group}",
                    app.config.application
                )));
            }
            error => return Err(error),
        },
    };
    let recent = recent(app, group, now).await?;
    // A command may come long after the last deployment, which then tells function and alias.
    let last = info
        .as_ref()
        .and_then(|info| info.last_successful_deployment())
        .and_then(|last| DeploymentId::new(last.deployment_id()?).ok());
    let known = match (recent.newest.clone(), last) {
        (Some(newest), _) => Some(newest),
        (None, Some(last)) => Some(deployment(app, last.as_str()).await?),
        (None, None) => None,
    };
    let Some((function, alias)) = named(app, group, known.as_ref()) else {
        return Ok(Err(format!(
            "deployment group {group} has had no deployment, so that nobody knows its function"
        )));
    };
    let answer = app
        .functions
        .get_alias()
        .function_name(function.as_str())
        .name(&alias)
        .send()
        .await;
    let current = match answer {
        Ok(alias) => alias.function_version.unwrap_or_default(),
        Err(error) => match Error::aws("GetAlias", &error) {
            Error::Aws { failure, .. } if failure.is("ResourceNotFoundException") => {
                return Ok(Err(format!("function {function} has no alias {alias}")));
            }
            error => return Err(error),
        },
    };
    let Ok(current) = VersionNumber::new(current.clone()) else {
        return Ok(Err(format!(
            "alias {alias} of {function} names {current:?}, which is no published version"
        )));
    };
    let standing = match version {
        Some(version) => versions::standing(app, &function, version).await?,
        None => Standing::Good,
    };
    Ok(Ok(Found {
        group: group.clone(),
        facts: manual::Facts {
            function,
            alias,
            current,
            standing,
            newest: recent.newest,
        },
        known,
        run: recent.run,
    }))
}

fn named(
    app: &App,
    group: &DeploymentGroupName,
    known: Option<&Deployment>,
) -> Option<(FunctionName, String)> {
    let configured = || (app.config.function.clone(), app.config.alias.clone());
    match known {
        Some(known) => Some((known.function.clone(), known.alias.clone())),
        None => (*group == app.config.group).then(configured),
    }
}

/// Everything at a glance: which stages are frozen, what each group runs, what is held against which
/// version, and the last commands.
pub(crate) async fn status(app: &App, now: Timestamp) -> Result<Outcome, Error> {
    let pipeline = app.config.pipeline.as_str();
    let state = app
        .pipelines
        .get_pipeline_state()
        .name(pipeline)
        .send()
        .await
        .map_err(|error| Error::aws("GetPipelineState", &error))?;
    let stages: Vec<Value> = state.stage_states().iter().map(stage).collect();
    let mut standing = Vec::new();
    for group in groups(app).await? {
        standing.push(match find(app, &group.name, None, now).await? {
            Ok(found) => shown(&found),
            Err(problem) => json!({ "group": group.name, "problem": problem }),
        });
    }
    let bad = app.ledger.bad_versions().await?;
    let mut commands = app.ledger.commands(pipeline).await?;
    let commands = commands.split_off(commands.len().saturating_sub(COMMANDS));
    Ok(Outcome::Status {
        status: json!({
            "pipeline": pipeline, "release_stage": app.config.release_stage, "stages": stages,
            "groups": standing, "bad_versions": bad, "commands": commands,
        }),
    })
}

fn stage(state: &StageState) -> Value {
    let transition = state.inbound_transition_state();
    json!({
        "stage": state.stage_name(),
        "frozen": transition.is_some_and(|transition| !transition.enabled()),
        "reason": transition.and_then(|transition| transition.disabled_reason()),
        "by": transition.and_then(|transition| transition.last_changed_by()),
    })
}

fn shown(found: &Found) -> Value {
    let facts = &found.facts;
    let newest = facts.newest.as_ref().map(|newest| {
        json!({
            "deployment": newest.id, "status": newest.status, "from": newest.from, "to": newest.to,
            "is_rollback": newest.is_rollback, "created": newest.created,
        })
    });
    json!({
        "group": found.group, "function": facts.function, "alias": facts.alias,
        "version": facts.current, "newest": newest,
    })
}
