//! The application's deployment groups, and those that an alarm speaks for.

use aws_sdk_codedeploy::types::{AutoRollbackEvent, DeploymentGroupInfo};
use signalbox_decision::names::{AlarmName, DeploymentGroupName};
use signalbox_decision::rollback::mapping::{Link, Reading, judged, link};
use signalbox_decision::rollback::{AlarmNow, Group};

use crate::alarms::alarm_now;
use crate::app::App;
use crate::error::Error;

/// What `BatchGetDeploymentGroups` takes.
const BATCH: usize = 100;

/// A group, and what the alarm is to it.
pub(crate) struct Linked {
    pub(crate) group: Group,
    pub(crate) link: Option<Link>,
    pub(crate) alarm: Option<AlarmNow>,
}

/// Every group of the application, with what the alarm is to it.
///
/// Tags and children are asked for only where no group lists the alarm: whoever wrote the list has decided.
pub(crate) async fn linked(app: &App, alarm: &AlarmName) -> Result<Vec<Linked>, Error> {
    let (described, groups) = tokio::try_join!(alarm_now(app, alarm), groups(app))?;
    let mut reading = Reading {
        now: described.as_ref().map(|described| described.now.clone()),
        ..Reading::default()
    };
    if let Some(described) = &described
        && !groups.iter().any(|group| group.alarms.contains(alarm))
    {
        (reading.tagged, reading.children) =
            tokio::try_join!(described.tagged(app), described.children(app, alarm, &groups))?;
    }
    let of_group = |group: Group| {
        let link = link(alarm, &reading, &group);
        Linked {
            alarm: judged(&reading, link.as_ref()),
            link,
            group,
        }
    };
    Ok(groups.into_iter().map(of_group).collect())
}

/// The application's groups.
pub(crate) async fn groups(app: &App) -> Result<Vec<Group>, Error> {
    let mut names = Vec::new();
    let mut next = None;
    loop {
        let answer = app
            .deployments
            .list_deployment_groups()
            .application_name(app.config.application.as_str())
            .set_next_token(next)
            .send()
            .await
            .map_err(|error| Error::aws("ListDeploymentGroups", &error))?;
        names.extend(answer.deployment_groups().iter().cloned());
        next = answer.next_token().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    let mut groups = Vec::with_capacity(names.len());
    for names in names.chunks(BATCH) {
        groups.extend(described(app, names).await?);
    }
    Ok(groups)
}

async fn described(app: &App, names: &[String]) -> Result<Vec<Group>, Error> {
    let answer = app
        .deployments
        .batch_get_deployment_groups()
        .application_name(app.config.application.as_str())
        .set_deployment_group_names(Some(names.to_vec()))
        .send()
        .await
        .map_err(|error| Error::aws("BatchGetDeploymentGroups", &error))?;
    let found = answer.deployment_groups_info();
    // One that is deleted between the two calls has nothing left to roll back; that fewer are described
    // for another reason, AWS says.
    if found.is_empty() && !names.is_empty() {
        return Err(Error::Unsettled(format!(
            "CodeDeploy lists {} deployment groups and describes none of them: {}",
            names.len(),
            answer.error_message().unwrap_or("it does not say why")
        )));
    }
    Ok(found.iter().filter_map(group).collect())
}

fn group(info: &DeploymentGroupInfo) -> Option<Group> {
    let alarms = info.alarm_configuration();
    let rolls_back = info.auto_rollback_configuration().is_some_and(|rollback| {
        rollback.enabled()
            && rollback
                .events()
                .contains(&AutoRollbackEvent::DeploymentStopOnAlarm)
    });
    Some(Group {
        name: DeploymentGroupName::new(info.deployment_group_name()?).ok()?,
        alarms: alarms
            .map(|c| {
                c.alarms()
                    .iter()
                    .filter_map(|alarm| AlarmName::new(alarm.name()?).ok())
                    .collect()
            })
            .unwrap_or_default(),
        // Where it only stops, the bad version would keep its share of the traffic.
        codedeploy_acts: rolls_back && alarms.is_some_and(|c| c.enabled()),
    })
}
