//! Gathers what the arbiter needs: everything is read afresh, nothing is taken from the event.

use aws_sdk_codedeploy::operation::get_deployment::GetDeploymentOutput;
use aws_sdk_codedeploy::types::{DeploymentInfo, DeploymentStatus, RevisionLocation, TimeRange};
use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::aws_failure;
use signalbox_decision::names::{AlarmName, DeploymentId};
use signalbox_decision::rollback::{AlarmNow, Deployment, Facts, Group, Status};
use signalbox_events::appspec::AppSpec;

use crate::app::App;
use crate::error::Error;

/// Marks the deployments that this function makes, so that none of them is ever rolled back:
/// `CreateDeployment` cannot set `creator`.
pub(crate) const ROLLBACK_MARK: &str = "Signalbox rollback of ";

/// A Lambda deployment is over after that, hooks included (CodeDeploy user guide, "Quotas": 48 hours of
/// shifting and an hour for each hook); with an hour to spare for clocks.
const LONGEST_DEPLOYMENT: SignedDuration = SignedDuration::from_hours(51);
/// Pages of deployments that are read, of up to a hundred each: more than start one after the other in
/// the days that matter.
const MAX_PAGES: usize = 20;
/// What `BatchGetDeployments` takes.
const BATCH: usize = 25;

pub(crate) async fn gather(
    app: &App,
    alarm: &AlarmName,
    begun: Option<DeploymentId>,
    now: Timestamp,
) -> Result<Facts, Error> {
    let (alarm, group, (newest, undone)) =
        tokio::try_join!(alarm_now(app, alarm), group(app), newest_deployments(app, now))?;
    Ok(Facts {
        alarm,
        group,
        newest,
        undone,
        begun,
    })
}

async fn alarm_now(app: &App, name: &AlarmName) -> Result<Option<AlarmNow>, Error> {
    use aws_sdk_cloudwatch::types::{ActionsSuppressedBy, AlarmType, StateValue};
    let answer = app
        .alarms
        .describe_alarms()
        .alarm_names(name.as_str())
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "DescribeAlarms",
            failure: aws_failure(&error),
        })?;
    if let Some(metric) = answer.metric_alarms().first() {
        return Ok(Some(AlarmNow {
            in_alarm: metric.state_value() == Some(&StateValue::Alarm),
            since: time(
                metric
                    .state_transitioned_timestamp()
                    .or(metric.state_updated_timestamp()),
            ),
            suppressed: metric.actions_enabled() == Some(false),
            reason: metric.state_reason().unwrap_or_default().to_owned(),
        }));
    }
    Ok(answer.composite_alarms().first().map(|composite| AlarmNow {
        in_alarm: composite.state_value() == Some(&StateValue::Alarm),
        since: time(
            composite
                .state_transitioned_timestamp()
                .or(composite.state_updated_timestamp()),
        ),
        suppressed: composite.actions_enabled() == Some(false)
            || matches!(
                composite.actions_suppressed_by(),
                Some(
                    ActionsSuppressedBy::Alarm
                        | ActionsSuppressedBy::WaitPeriod
                        | ActionsSuppressedBy::ExtensionPeriod
                )
            ),
        reason: composite.state_reason().unwrap_or_default().to_owned(),
    }))
}

async fn group(app: &App) -> Result<Group, Error> {
    let answer = app
        .deployments
        .get_deployment_group()
        .application_name(app.config.application.as_str())
        .deployment_group_name(app.config.group.as_str())
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "GetDeploymentGroup",
            failure: aws_failure(&error),
        })?;
    let configuration = answer
        .deployment_group_info()
        .and_then(|info| info.alarm_configuration());
    Ok(Group {
        alarms: configuration
            .map(|c| {
                c.alarms()
                    .iter()
                    .filter_map(|a| AlarmName::new(a.name()?).ok())
                    .collect()
            })
            .unwrap_or_default(),
        codedeploy_acts: configuration.is_some_and(|c| c.enabled()),
    })
}

/// The newest deployment, and where it is a rollback, the newest that is none.
async fn newest_deployments(
    app: &App,
    now: Timestamp,
) -> Result<(Option<Deployment>, Option<Deployment>), Error> {
    let ids = recent_ids(app, now).await?;
    let mut recent = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        recent.extend(details(app, ids).await?);
    }
    // AWS does not say in which order deployments are listed.
    recent.sort_by_key(|info| std::cmp::Reverse(time(info.create_time())));
    let id = |info: &DeploymentInfo| info.deployment_id().unwrap_or_default().to_owned();
    let Some(newest) = recent.first() else {
        return Ok((None, None));
    };
    let undone = recent.iter().find(|info| !is_rollback(info));
    match undone.filter(|_| is_rollback(newest)) {
        None => Ok((Some(deployment(app, &id(newest)).await?), None)),
        Some(undone) => {
            let (newest, undone) = (id(newest), id(undone));
            let (newest, undone) = tokio::try_join!(deployment(app, &newest), deployment(app, &undone))?;
            Ok((Some(newest), Some(undone)))
        }
    }
}

/// The deployments that an alarm of now could still speak of: under way, or within the bake window.
async fn recent_ids(app: &App, now: Timestamp) -> Result<Vec<String>, Error> {
    let start = now
        .saturating_sub(LONGEST_DEPLOYMENT + app.config.bake)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let range = TimeRange::builder()
        .start(aws_smithy_types::DateTime::from_secs(start.as_second()))
        .build();
    let mut ids = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let answer = app
            .deployments
            .list_deployments()
            .application_name(app.config.application.as_str())
            .deployment_group_name(app.config.group.as_str())
            .create_time_range(range.clone())
            .set_next_token(next)
            .send()
            .await
            .map_err(|error| Error::Aws {
                call: "ListDeployments",
                failure: aws_failure(&error),
            })?;
        ids.extend(answer.deployments().iter().cloned());
        next = answer.next_token().map(str::to_owned);
        if next.is_none() {
            return Ok(ids);
        }
    }
    Err(Error::Deployment {
        deployment: app.config.group.to_string(),
        problem: format!("the group has more than {MAX_PAGES} pages of deployments since {start}"),
    })
}

async fn details(app: &App, ids: &[String]) -> Result<Vec<DeploymentInfo>, Error> {
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
    let found = answer.deployments_info.unwrap_or_default();
    if found.len() == ids.len() {
        Ok(found)
    } else {
        Err(Error::Unsettled(format!(
            "CodeDeploy lists {} deployments and describes {} of them",
            ids.len(),
            found.len()
        )))
    }
}

async fn deployment(app: &App, id: &str) -> Result<Deployment, Error> {
    let answer: GetDeploymentOutput = app
        .deployments
        .get_deployment()
        .deployment_id(id)
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "GetDeployment",
            failure: aws_failure(&error),
        })?;
    let lacking = |problem: &str| Error::Deployment {
        deployment: id.to_owned(),
        problem: problem.to_owned(),
    };
    let info = answer
        .deployment_info()
        .ok_or_else(|| lacking("CodeDeploy answered nothing about it"))?;
    let revision = info.revision().ok_or_else(|| lacking("it has no revision"))?;
    let content = match content(revision) {
        Some(content) => content.to_owned(),
        None => registered_content(app, revision)
            .await?
            .ok_or_else(|| lacking("its revision has no AppSpec content"))?,
    };
    let spec = AppSpec::parse(&content)?;
    Ok(Deployment {
        id: DeploymentId::new(id).map_err(|error| lacking(&error.to_string()))?,
        status: status(info.status()),
        is_rollback: is_rollback(info),
        alarms_overridden: info.override_alarm_configuration().is_some_and(|c| !c.enabled()),
        created: time(info.create_time()),
        completed: info.complete_time().map(|at| time(Some(at))),
        function: spec.function,
        alias: spec.alias,
        from: spec.current,
        to: spec.target,
    })
}

fn content(revision: &RevisionLocation) -> Option<&str> {
    revision
        .app_spec_content()
        .and_then(|content| content.content())
        .or_else(|| revision.string().and_then(|string| string.content()))
        .filter(|content| !content.is_empty())
}

/// `GetDeployment` may answer with the digest of an AppSpec alone; the application keeps the text.
async fn registered_content(app: &App, revision: &RevisionLocation) -> Result<Option<String>, Error> {
    let answer = app
        .deployments
        .get_application_revision()
        .application_name(app.config.application.as_str())
        .revision(revision.clone())
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "GetApplicationRevision",
            failure: aws_failure(&error),
        })?;
    Ok(answer.revision().and_then(content).map(str::to_owned))
}

fn is_rollback(info: &DeploymentInfo) -> bool {
    info.creator()
        .is_some_and(|creator| creator.as_str().ends_with("Rollback"))
        || info
            .rollback_info()
            .is_some_and(|rollback| rollback.rollback_triggering_deployment_id().is_some())
        || info
            .description()
            .is_some_and(|description| description.starts_with(ROLLBACK_MARK))
}

fn status(status: Option<&DeploymentStatus>) -> Status {
    match status {
        Some(DeploymentStatus::Succeeded) => Status::Succeeded,
        Some(DeploymentStatus::Failed) => Status::Failed,
        Some(DeploymentStatus::Stopped) => Status::Stopped,
        // A state that AWS adds later is taken to be in flight: to stop what has ended is refused and
        // does no harm, to leave alone what still runs would.
        _ => Status::InFlight,
    }
}

fn time(at: Option<&aws_smithy_types::DateTime>) -> Timestamp {
    at.and_then(|at| Timestamp::from_nanosecond(at.as_nanos()).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
