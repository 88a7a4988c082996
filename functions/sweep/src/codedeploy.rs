//! What CodeDeploy shows now: the application's deployment groups, and their deployments that can still be of
//! interest.

use aws_sdk_codedeploy::operation::list_deployment_groups::ListDeploymentGroupsError;
use aws_sdk_codedeploy::types::{AlarmConfiguration, DeploymentGroupInfo, DeploymentInfo, TimeRange};
use aws_smithy_types::DateTime;
use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::{aws_failure, moment, unless_missing};
use signalbox_decision::names::{AlarmName, DeploymentGroupName, DeploymentId};
use signalbox_decision::rollback::ROLLBACK_MARK;
use signalbox_decision::rollback::moments::HEARD_WITHIN;
use signalbox_decision::sweep::releases::{Group, Release};
use signalbox_decision::timeline::State;
use signalbox_decision::validation::preflight::Override;

use crate::app::App;
use crate::error::Error;

/// A Lambda deployment is over after that, hooks included (CodeDeploy user guide, "Quotas": 48 hours of
/// shifting and an hour for each hook); with an hour to spare for clocks.
const LONGEST_DEPLOYMENT: SignedDuration = SignedDuration::from_hours(51);
/// An application has at most 1,000 groups (CodeDeploy user guide, "Quotas"), 100 a page.
const MAX_GROUP_PAGES: usize = 10;
/// 100 deployments a page: more than start one after the other in the days that matter.
const MAX_PAGES: usize = 10;
/// What `BatchGetDeployments` takes.
const BATCH: usize = 25;

/// The application's groups, each with its deployments. None where there is no such application (yet).
pub(crate) async fn groups(app: &App, now: Timestamp) -> Result<Vec<Group>, Error> {
    let mut all = Vec::new();
    for name in group_names(app).await? {
        let Ok(name) = DeploymentGroupName::new(name) else {
            continue;
        };
        let answer = app
            .deployments
            .get_deployment_group()
            .application_name(app.config.application.as_str())
            .deployment_group_name(name.as_str())
            .send()
            .await
            .map_err(|error| Error::Aws {
                call: "GetDeploymentGroup",
                failure: aws_failure(&error),
            })?;
        all.push(Group {
            alarms: answer.deployment_group_info().map(alarms).unwrap_or_default(),
            releases: releases(app, &name, now).await?,
            name,
        });
    }
    Ok(all)
}

async fn group_names(app: &App) -> Result<Vec<String>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    for _ in 0..MAX_GROUP_PAGES {
        let answer = app
            .deployments
            .list_deployment_groups()
            .application_name(app.config.application.as_str())
            .set_next_token(next)
            .send()
            .await;
        let is_missing = ListDeploymentGroupsError::is_application_does_not_exist_exception;
        let answer = unless_missing(answer, is_missing).map_err(Error::of("ListDeploymentGroups"))?;
        let Some(answer) = answer else {
            // The application's stack makes it, at the pipeline's first run.
            return Ok(Vec::new());
        };
        next = answer.next_token().map(str::to_owned);
        all.extend(answer.deployment_groups.unwrap_or_default());
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(Error::TooMany(
        "ListDeploymentGroups",
        MAX_GROUP_PAGES * 100,
        "groups",
    ))
}

fn alarms(group: &DeploymentGroupInfo) -> Vec<AlarmName> {
    let listed = group
        .alarm_configuration()
        .map(|configuration| configuration.alarms());
    listed
        .unwrap_or_default()
        .iter()
        .filter_map(|alarm| AlarmName::new(alarm.name()?).ok())
        .collect()
}

async fn releases(app: &App, group: &DeploymentGroupName, now: Timestamp) -> Result<Vec<Release>, Error> {
    let ids = ids(app, group, now).await?;
    let mut all = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        let answer = app
            .deployments
            .batch_get_deployments()
            .set_deployment_ids(Some(ids.to_vec()))
            .send()
            .await
            .map_err(|error| Error::Aws {
                call: "BatchGetDeployments",
                failure: aws_failure(&error),
            })?;
        all.extend(answer.deployments_info().iter().filter_map(release));
    }
    Ok(all)
}

async fn ids(app: &App, group: &DeploymentGroupName, now: Timestamp) -> Result<Vec<String>, Error> {
    let start = now
        .saturating_sub(LONGEST_DEPLOYMENT + app.config.bake + HEARD_WITHIN)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let range = TimeRange::builder()
        .start(DateTime::from_secs(start.as_second()))
        .build();
    let (mut all, mut next) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let answer = app
            .deployments
            .list_deployments()
            .application_name(app.config.application.as_str())
            .deployment_group_name(group.as_str())
            .create_time_range(range.clone())
            .set_next_token(next)
            .send()
            .await
            .map_err(|error| Error::Aws {
                call: "ListDeployments",
                failure: aws_failure(&error),
            })?;
        next = answer.next_token().map(str::to_owned);
        all.extend(answer.deployments.unwrap_or_default());
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(Error::TooMany(
        "ListDeployments",
        MAX_PAGES * 100,
        "deployments of one group in the last days",
    ))
}

fn release(info: &DeploymentInfo) -> Option<Release> {
    let by_itself = info
        .creator()
        .is_some_and(|creator| creator.as_str().ends_with("Rollback"))
        || info
            .rollback_info()
            .is_some_and(|rollback| rollback.rollback_triggering_deployment_id().is_some());
    let by_us = info
        .description()
        .is_some_and(|description| description.starts_with(ROLLBACK_MARK));
    Some(Release {
        id: DeploymentId::new(info.deployment_id()?).ok()?,
        state: State::of(info.status()?.as_str()),
        is_rollback: by_itself || by_us,
        overrides: Override::of(info.override_alarm_configuration().map(overrides)),
        created: moment(info.create_time()?)?,
        ended: info.complete_time().and_then(moment),
    })
}

fn overrides(configuration: &AlarmConfiguration) -> (bool, Vec<String>) {
    let names = configuration.alarms().iter().filter_map(|alarm| alarm.name());
    (configuration.enabled(), names.map(str::to_owned).collect())
}
