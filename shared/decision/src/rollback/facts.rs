//! What a rollback is decided from. All of it is read after the event arrived.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::good::Candidate;
use super::mapping::Link;
use crate::names::{AlarmName, DeploymentGroupName, DeploymentId, FunctionName, VersionNumber};
use crate::validation::preflight::Override;

/// What CloudWatch says of the alarm now. Absent from [`Facts`]: the alarm no longer exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmNow {
    /// Whether its state is `ALARM` at this moment.
    pub in_alarm: bool,
    /// Since when it has this state.
    pub since: Timestamp,
    /// Whether its actions are suppressed: switched off, or by a composite alarm's suppressor.
    pub suppressed: bool,
    /// CloudWatch's reason, for people.
    pub reason: String,
}

/// A deployment group, and how it treats alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: DeploymentGroupName,
    /// The alarms that it lists, whether CodeDeploy acts on them or not.
    pub alarms: Vec<AlarmName>,
    /// Whether CodeDeploy itself stops a deployment on these alarms, and rolls it back.
    pub codedeploy_acts: bool,
}

/// Where a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Created, queued, shifting, baking, or waiting: it can still be stopped.
    InFlight,
    /// All traffic is on the new version.
    Succeeded,
    /// It failed, for whatever reason.
    Failed,
    /// Somebody or something stopped it.
    Stopped,
}

/// One deployment of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// CodeDeploy's id.
    pub id: DeploymentId,
    /// Where it stands.
    pub status: Status,
    /// Whether it is itself a rollback: `creator` says so, or `rollbackInfo` names what triggered it, or
    /// the run that made it is a rollback of the pipeline's stage.
    pub is_rollback: bool,
    /// Whether a stack's update made it: then the stack's idea of the alias goes with it.
    pub by_stack: bool,
    /// Which of the group's alarms are overridden for it: a hotfix under a red alarm.
    pub overrides: Override,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ended, if it has.
    pub completed: Option<Timestamp>,
    /// The function.
    pub function: FunctionName,
    /// The alias whose traffic it moves.
    pub alias: String,
    /// The version before; absent for a first deployment.
    pub from: Option<VersionNumber>,
    /// The version it brings.
    pub to: VersionNumber,
}

/// What an earlier try of an event set out to do about a group. That try may have crashed anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The deployment that it was about.
    pub deployment: DeploymentId,
    /// Whether somebody else had undone it, and there was only to be said so.
    pub is_report: bool,
    /// When the first try was; notes of an older version do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// The deployment of [`Begun`], where newer ones have come between the tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overtaken {
    /// As it is now.
    pub deployment: Deployment,
    /// The deployment that took it back, and the version that that brought, where one followed it.
    pub by: Option<(DeploymentId, VersionNumber)>,
}

/// All that the decision about one deployment group rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Why the alarm speaks for this group; `None` where it does not.
    pub link: Option<Link>,
    /// The alarm, if it still exists; where only a child of it is the group's, the child.
    pub alarm: Option<AlarmNow>,
    /// The group.
    pub group: Group,
    /// The group's newest deployment, if it had one that an alarm could still speak of.
    pub newest: Option<Deployment>,
    /// Where the newest is a rollback: the newest deployment that is none, so what was rolled back.
    pub undone: Option<Deployment>,
    /// Where the newest has succeeded: the versions that were there before it, newest first, up to the
    /// first good one.
    pub candidates: Vec<Candidate>,
    /// What an earlier try of this very event set out to do; the alarm may have calmed down since.
    pub begun: Option<Begun>,
    /// What that was about, where it is neither `newest` nor `undone`.
    pub overtaken: Option<Overtaken>,
}
