//! Deployments that the sweep came upon: an alarm that is red while one of them can still be undone, and
//! ends that the ledger has not heard of.
//!
//! The sweep does not decide a rollback. It only says which alarm roll-back has to hear of again; there the
//! one arbiter ([`crate::rollback::decide`]) reads everything afresh. So [`unheard`] must let through all
//! that the arbiter would act upon (a test holds the two together), and may let through more.

use jiff::{SignedDuration, Timestamp};

use crate::names::{AlarmName, DeploymentGroupName, DeploymentId};
use crate::rollback::moments::{certainly_before, is_within_bake};
use crate::timeline::State;
use crate::validation::preflight::Override;

/// A deployment, as CodeDeploy describes it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// CodeDeploy's id.
    pub id: DeploymentId,
    /// Its state.
    pub state: State,
    /// Whether it rolls another one back.
    pub is_rollback: bool,
    /// Which of the group's alarms are overridden for it: a hotfix under a red alarm.
    pub overrides: Override,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
}

/// A deployment group, with the deployments that can still be of interest, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: DeploymentGroupName,
    /// The alarms that speak for it: it lists them, or their tag names it.
    pub alarms: Vec<AlarmName>,
    /// Its deployments.
    pub releases: Vec<Release>,
}

/// An alarm that is red now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedAlarm {
    /// The alarm.
    pub name: AlarmName,
    /// Since when: with the name, this names the event that told of it.
    pub since: Timestamp,
    /// Whether its actions are suppressed.
    pub suppressed: bool,
    /// CloudWatch's reason, for people.
    pub reason: String,
}

/// A red alarm, and the deployments whose rollback it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard<'a> {
    /// The alarm.
    pub alarm: &'a RedAlarm,
    /// One of each group that the alarm speaks for and whose window is open.
    pub releases: Vec<&'a Release>,
}

/// The alarms that are red while a deployment or bake window of theirs is open, oldest first. Whether a
/// rollback was recorded is the ledger's to say.
#[must_use]
pub fn unheard<'a>(
    now: Timestamp,
    bake: SignedDuration,
    groups: &'a [Group],
    alarms: &'a [RedAlarm],
) -> Vec<Unheard<'a>> {
    let mut all: Vec<Unheard<'a>> = alarms
        .iter()
        .filter(|alarm| !alarm.suppressed)
        .map(|alarm| Unheard {
            alarm,
            releases: groups
                .iter()
                .filter(|group| group.alarms.contains(&alarm.name))
                .filter_map(|group| open(now, bake, group, alarm))
                .collect(),
        })
        .filter(|unheard| !unheard.releases.is_empty())
        .collect();
    all.sort_by(|one, other| (one.alarm.since, &one.alarm.name).cmp(&(other.alarm.since, &other.alarm.name)));
    all
}

/// The group's newest deployment that is no rollback, if the alarm can speak of it.
fn open<'a>(now: Timestamp, bake: SignedDuration, group: &'a Group, alarm: &RedAlarm) -> Option<&'a Release> {
    let newest = group.releases.iter().max_by_key(|release| release.created)?;
    let release = group
        .releases
        .iter()
        .filter(|release| !release.is_rollback)
        .max_by_key(|release| release.created)?;
    if release.overrides.covers(alarm.name.as_str()) || certainly_before(alarm.since, release.created) {
        return None;
    }
    if !release.state.is_final() {
        return Some(release);
    }
    // What failed was somebody's finding already, and its run has failed with it.
    if release.state == State::Failed {
        return None;
    }
    let ended = release.ended.unwrap_or(release.created);
    // Once it is rolled back, only what follows from that (the freeze, the notice) is open.
    let is_undone = newest.is_rollback || release.state != State::Succeeded;
    let is_open = if is_undone {
        alarm.since.duration_since(ended) <= bake
    } else {
        is_within_bake(alarm.since, ended, bake, now)
    };
    is_open.then_some(release)
}

/// Whether the ledger is behind about a deployment. `known` is the furthest state in which any timeline
/// has it: events that arrived while the sweep was reading may have brought the ledger ahead.
#[must_use]
pub fn is_behind(release: &Release, known: Option<&State>) -> bool {
    known.is_none_or(|known| *known < release.state)
}

#[cfg(test)]
mod tests;
