//! What an alarm means for one deployment group.

use jiff::{SignedDuration, Timestamp};

use super::facts::{AlarmNow, Deployment, Facts, Overtaken, Status};
use super::good::good_version;
use super::mapping::Link;
use super::moments::{certainly_before, is_within_bake};
use crate::names::{AlarmName, DeploymentId, VersionNumber};
use crate::validation::preflight::Override;

/// What to do.
#[must_use = "an unread decision rolls nothing back"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Stop the deployment in flight and let CodeDeploy move the traffic back.
    StopDeployment {
        /// The deployment.
        deployment: Box<Deployment>,
    },
    /// The deployment has succeeded and still bakes: bring the previous good version back by a new one.
    Redeploy {
        /// The deployment that brought the bad version.
        undone: Box<Deployment>,
        /// The version to bring back.
        version: VersionNumber,
    },
    /// An earlier try of this event has rolled it back, or found it rolled back, and may have crashed before
    /// all that follows from that (the freeze, the notice) was done.
    Finish {
        /// What was rolled back.
        deployment: Box<Deployment>,
        /// Whether somebody else had done it.
        is_report: bool,
        /// The deployment that brings a good version back, and which one, where the undone one had
        /// succeeded.
        by: Option<(DeploymentId, VersionNumber)>,
    },
    /// Somebody else is already at it; say so and do nothing.
    ReportOnly {
        /// The deployment.
        deployment: Box<Deployment>,
        /// Who, and since when.
        reason: String,
    },
    /// There is something to roll back and no way to do it: a person must decide.
    Page {
        /// The deployment that brought the bad version.
        deployment: DeploymentId,
        /// What is wrong and what was left alone.
        reason: String,
    },
    /// Nothing to do.
    Nothing {
        /// Why.
        reason: String,
    },
}

/// An alarm still speaks of a deployment that was stopped when it fires no later than this after the stop: no new
/// traffic comes to what was stopped, but metrics are late, and an alarm looks back over its periods.
const AFTERGLOW: SignedDuration = SignedDuration::from_mins(15);

/// Decides what `alarm` means, at `now`. `bake` is how long after its success a deployment is still
/// taken to be the cause of an alarm.
pub fn decide(alarm: &AlarmName, facts: &Facts, bake: SignedDuration, now: Timestamp) -> Decision {
    let nothing = |reason: String| Decision::Nothing { reason };
    if let Some(finish) = begun_before(facts) {
        return finish;
    }
    let group = &facts.group.name;
    if facts.link.is_none() {
        return nothing(format!(
            "alarm {alarm} does not speak for deployment group {group}: it is not one of the group's alarms"
        ));
    }
    let Some(state) = &facts.alarm else {
        return nothing(format!("alarm {alarm} no longer exists"));
    };
    if !state.in_alarm {
        return nothing(format!("alarm {alarm} is no longer in state ALARM"));
    }
    if state.suppressed {
        return nothing(format!("the actions of alarm {alarm} are suppressed"));
    }
    let Some(newest) = &facts.newest else {
        return nothing(format!(
            "deployment group {group} has had no deployment that alarms could speak of"
        ));
    };
    if newest.is_rollback {
        if let Some(undone) = &facts.undone
            && undone.status != Status::Failed
            && !is_overridden(alarm, facts.link.as_ref(), undone)
            && speaks_of(state, undone, bake)
        {
            if let Some(page) = failed_rollback(undone, newest) {
                return page;
            }
            return Decision::ReportOnly {
                deployment: Box::new(undone.clone()),
                reason: format!("deployment {} rolls it back already", newest.id),
            };
        }
        return nothing(format!(
            "deployment {} is itself a rollback, and no rollback is rolled back",
            newest.id
        ));
    }
    if certainly_before(state.since, newest.created) {
        return nothing(format!(
            "alarm {alarm} was red (since {}) before deployment {} began (at {}), so it speaks of an earlier one",
            state.since, newest.id, newest.created
        ));
    }
    if is_overridden(alarm, facts.link.as_ref(), newest) {
        return nothing(format!(
            "the alarms are overridden for deployment {}: a person decided that",
            newest.id
        ));
    }
    match newest.status {
        // CodeDeploy looks only at the alarms that the group itself lists.
        Status::InFlight if facts.group.codedeploy_acts && facts.link != Some(Link::Tagged) => {
            Decision::ReportOnly {
                deployment: Box::new(newest.clone()),
                reason: "CodeDeploy itself stops deployments of this group on its alarms".to_owned(),
            }
        }
        Status::InFlight => Decision::StopDeployment {
            deployment: Box::new(newest.clone()),
        },
        Status::Stopped if !speaks_of(state, newest, bake) => nothing(format!(
            "alarm {alarm} fired long after deployment {} had been stopped",
            newest.id
        )),
        Status::Stopped => Decision::ReportOnly {
            deployment: Box::new(newest.clone()),
            reason: "the deployment is already stopped".to_owned(),
        },
        Status::Failed => Decision::ReportOnly {
            deployment: Box::new(newest.clone()),
            reason: "the deployment has already failed".to_owned(),
        },
        Status::Succeeded => after_success(newest, facts, state.since, bake, now),
    }
}

/// Whether a person has decided that the alarm does not count for this deployment.
fn is_overridden(alarm: &AlarmName, link: Option<&Link>, deployment: &Deployment) -> bool {
    match link {
        // Where only a child of a composite alarm is the group's, an override of the group's alarms is about the child.
        Some(Link::Child(child)) => deployment.overrides.covers(child.as_str()),
        // A list in the place of the group's says nothing of alarms that were never on that.
        Some(Link::Tagged) => deployment.overrides == Override::All,
        Some(Link::Listed) | None => deployment.overrides.covers(alarm.as_str()),
    }
}

/// What is left to do where an earlier try of this event has had its effect. Where it has had none (it
/// crashed before, or the deployment finished first), everything is decided anew.
fn begun_before(facts: &Facts) -> Option<Decision> {
    let begun = facts.begun.as_ref()?;
    let is_begun = |deployment: &&Deployment| deployment.id == begun.deployment;
    let finish = |deployment: &Deployment, by: Option<(DeploymentId, VersionNumber)>| Decision::Finish {
        deployment: Box::new(deployment.clone()),
        is_report: begun.is_report,
        // What was stopped had an earlier version to go back to by itself.
        by: by.filter(|_| deployment.status == Status::Succeeded),
    };
    // Newer deployments, of which an alarm of that time says nothing, change nothing in what is left to do.
    if let Some(Overtaken { deployment, by }) = &facts.overtaken
        && is_begun(&deployment)
    {
        let had_its_effect = by.is_some() || deployment.status == Status::Stopped;
        return had_its_effect.then(|| finish(deployment, by.clone()));
    }
    let newest = facts.newest.as_ref()?;
    if newest.is_rollback {
        let undone = facts.undone.as_ref().filter(is_begun)?;
        if newest.to == undone.to {
            return failed_rollback(undone, newest);
        }
        return Some(finish(undone, Some((newest.id.clone(), newest.to.clone()))));
    }
    (is_begun(&newest) && newest.status == Status::Stopped).then(|| finish(newest, None))
}

/// Where a rollback has failed or was stopped, or CodeDeploy took it back in its turn: the bad version may have its
/// traffic, and no rollback is rolled back, so that a person has to see to it.
fn failed_rollback(undone: &Deployment, rollback: &Deployment) -> Option<Decision> {
    let how = match rollback.status {
        _ if rollback.to == undone.to => "brings it again",
        Status::Failed => "has failed",
        Status::Stopped => "was stopped",
        Status::InFlight | Status::Succeeded => return None,
    };
    Some(Decision::Page {
        deployment: undone.id.clone(),
        reason: format!(
            "deployment {}, which was to take version {} of {} back, {how}: it may still have its traffic",
            rollback.id, undone.to, undone.function
        ),
    })
}

/// Whether the alarm fired while the deployment was under way, or soon enough after its end.
fn speaks_of(alarm: &AlarmNow, deployment: &Deployment, bake: SignedDuration) -> bool {
    let window = match deployment.status {
        Status::Stopped => bake.min(AFTERGLOW),
        Status::InFlight | Status::Succeeded | Status::Failed => bake,
    };
    let long_over = deployment
        .completed
        .is_some_and(|completed| alarm.since.duration_since(completed) > window);
    !certainly_before(alarm.since, deployment.created) && !long_over
}

fn after_success(
    newest: &Deployment,
    facts: &Facts,
    since: Timestamp,
    bake: SignedDuration,
    now: Timestamp,
) -> Decision {
    let completed = newest.completed.unwrap_or(newest.created);
    if !is_within_bake(since, completed, bake, now) {
        return Decision::Nothing {
            reason: format!(
                "deployment {} succeeded {} minutes before the alarm fired, and {} minutes ago: past its bake window of \
                 {} minutes",
                newest.id,
                since.duration_since(completed).as_mins(),
                now.duration_since(completed).as_mins(),
                bake.as_mins()
            ),
        };
    }
    match good_version(&newest.to, &facts.candidates) {
        Ok(version) => Decision::Redeploy {
            undone: Box::new(newest.clone()),
            version: version.clone(),
        },
        Err(why) => Decision::Page {
            deployment: newest.id.clone(),
            reason: format!("version {} of {} is bad, and {why}", newest.to, newest.function),
        },
    }
}

#[cfg(test)]
mod tests;
