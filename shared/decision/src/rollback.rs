//! The one arbiter of rollbacks: from freshly read facts, what an alarm means for a deployment.
//!
//! It never stops another deployment than the one the alarm speaks of, never rolls a rollback back,
//! and never acts where CodeDeploy is already acting. What it cannot be sure of, it leaves alone and
//! says why, or pages a person.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::{AlarmName, DeploymentId, FunctionName, VersionNumber};
use crate::text;

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

/// How the deployment group treats alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The alarms that the group lists, whether CodeDeploy acts on them or not.
    pub alarms: Vec<AlarmName>,
    /// Whether CodeDeploy itself stops a deployment on these alarms.
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
    /// Whether it is itself a rollback: `creator` says so, or `rollbackInfo` names what triggered it.
    pub is_rollback: bool,
    /// Whether the group's alarms are overridden for it: a hotfix under a red alarm.
    pub alarms_overridden: bool,
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

/// All that the decision rests on, read after the event arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The alarm, if it still exists.
    pub alarm: Option<AlarmNow>,
    /// The group's alarms.
    pub group: Group,
    /// The group's newest deployment, if it had one that an alarm could still speak of.
    pub newest: Option<Deployment>,
    /// Where the newest is a rollback: the newest deployment that is none, so what was rolled back.
    pub undone: Option<Deployment>,
    /// The deployment that an earlier try of this very event set out to roll back. That try may have
    /// crashed anywhere, and the alarm may have calmed down since.
    pub begun: Option<DeploymentId>,
}

/// What to do.
#[must_use = "an unread decision rolls nothing back"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Stop the deployment in flight and let CodeDeploy move the traffic back.
    StopDeployment {
        /// The deployment.
        deployment: Box<Deployment>,
    },
    /// The deployment has succeeded and still bakes: bring the previous version back by a new one.
    Redeploy {
        /// The deployment that brought the bad version.
        undone: Box<Deployment>,
        /// The version to bring back.
        version: VersionNumber,
    },
    /// An earlier try of this event has rolled it back, and may have crashed before all that follows
    /// from that (the freeze, the notice) was done.
    Finish {
        /// What was rolled back.
        deployment: Box<Deployment>,
        /// The deployment that brings the previous version back, where the undone one had succeeded.
        by: Option<DeploymentId>,
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

/// Decides what `alarm` means, at `now`. `bake` is how long after its success a deployment is still
/// taken to be the cause of an alarm.
pub fn decide(alarm: &AlarmName, facts: &Facts, bake: SignedDuration, now: Timestamp) -> Decision {
    let nothing = |reason: String| Decision::Nothing { reason };
    if let Some(finish) = begun_before(facts) {
        return finish;
    }
    if !facts.group.alarms.contains(alarm) {
        return nothing(format!(
            "alarm {alarm} is not one of the deployment group's alarms"
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
        return nothing("the deployment group has had no deployment that alarms could speak of".to_owned());
    };
    if newest.is_rollback {
        if let Some(undone) = &facts.undone
            && speaks_of(state, undone, bake)
        {
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
    if state.since < newest.created {
        return nothing(format!(
            "alarm {alarm} was red before deployment {} began, so it speaks of an earlier one",
            newest.id
        ));
    }
    if newest.alarms_overridden {
        return nothing(format!(
            "the alarms are overridden for deployment {}: a person decided that",
            newest.id
        ));
    }
    match newest.status {
        Status::InFlight if facts.group.codedeploy_acts => Decision::ReportOnly {
            deployment: Box::new(newest.clone()),
            reason: "CodeDeploy itself stops deployments of this group on its alarms".to_owned(),
        },
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
        Status::Succeeded => after_success(newest, bake, now),
    }
}

/// What is left to do where an earlier try of this event has had its effect. Where it has had none (it
/// crashed before, or the deployment finished first), everything is decided anew.
fn begun_before(facts: &Facts) -> Option<Decision> {
    let begun = facts.begun.as_ref()?;
    let newest = facts.newest.as_ref()?;
    let deployment = if newest.is_rollback {
        facts.undone.as_ref()?
    } else {
        newest
    };
    if deployment.id != *begun || !(newest.is_rollback || deployment.status == Status::Stopped) {
        return None;
    }
    let by = (deployment.status == Status::Succeeded).then(|| newest.id.clone());
    Some(Decision::Finish {
        deployment: Box::new(deployment.clone()),
        by,
    })
}

/// Whether the alarm fired while the deployment was under way, or within the bake window after its end.
fn speaks_of(alarm: &AlarmNow, deployment: &Deployment, bake: SignedDuration) -> bool {
    let long_over = deployment
        .completed
        .is_some_and(|completed| alarm.since.duration_since(completed) > bake);
    !deployment.alarms_overridden && deployment.created <= alarm.since && !long_over
}

fn after_success(newest: &Deployment, bake: SignedDuration, now: Timestamp) -> Decision {
    let completed = newest.completed.unwrap_or(newest.created);
    let age = now.duration_since(completed);
    if age > bake {
        return Decision::Nothing {
            reason: format!(
                "deployment {} succeeded {} minutes ago, past its bake window of {} minutes",
                newest.id,
                age.as_mins(),
                bake.as_mins()
            ),
        };
    }
    match &newest.from {
        Some(version) if *version != newest.to => Decision::Redeploy {
            undone: Box::new(newest.clone()),
            version: version.clone(),
        },
        _ => Decision::Page {
            deployment: newest.id.clone(),
            reason: format!(
                "version {} of {} is bad, and there is no earlier version to go back to",
                newest.to, newest.function
            ),
        },
    }
}

/// The reason that stands at a frozen transition. CodePipeline takes at most 300 of
/// `[a-zA-Z0-9!@ ().*?-]` (API reference of `DisableStageTransition`); an alarm's name may hold anything.
#[must_use]
pub fn freeze_reason(alarm: &AlarmName, deployment: &Deployment) -> String {
    let text = format!(
        "Rolled back by Signalbox - alarm {alarm} fired during deployment {} of version {}. \
         The pipeline still holds that revision. Enable the transition when a good one is on its way",
        deployment.id, deployment.to
    );
    let allowed: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "!@ ().*?-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    text::cut(&allowed, 300).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn alarm() -> AlarmName {
        AlarmName::new("errors").unwrap()
    }

    fn deployment(status: Status) -> Deployment {
        Deployment {
            id: DeploymentId::new("d-NEWEST").unwrap(),
            status,
            is_rollback: false,
            alarms_overridden: false,
            created: at(0),
            completed: (status != Status::InFlight).then(|| at(60)),
            function: FunctionName::new("app").unwrap(),
            alias: "live".to_owned(),
            from: Some(VersionNumber::new("3").unwrap()),
            to: VersionNumber::new("4").unwrap(),
        }
    }

    fn facts(newest: Deployment) -> Facts {
        Facts {
            alarm: Some(AlarmNow {
                in_alarm: true,
                since: at(30),
                suppressed: false,
                reason: "5 > 1".to_owned(),
            }),
            group: Group {
                alarms: vec![alarm()],
                codedeploy_acts: false,
            },
            newest: Some(newest),
            undone: None,
            begun: None,
        }
    }

    /// `undone`, and the deployment that rolled it back.
    fn rolled_back(undone: Deployment) -> Facts {
        let mut rollback = deployment(Status::Succeeded);
        rollback.id = DeploymentId::new("d-ROLLBACK").unwrap();
        rollback.is_rollback = true;
        rollback.created = at(61);
        Facts {
            undone: Some(undone),
            ..facts(rollback)
        }
    }

    fn decided(facts: &Facts, now: Timestamp) -> Decision {
        decide(&alarm(), facts, SignedDuration::from_mins(30), now)
    }

    fn reason(decision: Decision) -> String {
        match decision {
            Decision::Nothing { reason } => reason,
            other => panic!("expected nothing, got {other:?}"),
        }
    }

    #[test]
    fn a_deployment_in_flight_is_stopped() {
        let decision = decided(&facts(deployment(Status::InFlight)), at(31));
        assert!(
            matches!(decision, Decision::StopDeployment { deployment } if deployment.id.as_str() == "d-NEWEST")
        );
    }

    #[test]
    fn within_the_bake_window_the_previous_version_comes_back() {
        let decision = decided(&facts(deployment(Status::Succeeded)), at(60 + 30 * 60));
        assert!(matches!(decision, Decision::Redeploy { version, .. } if version.as_str() == "3"));
        assert!(
            reason(decided(&facts(deployment(Status::Succeeded)), at(61 + 30 * 60))).contains("bake window")
        );
    }

    #[test]
    fn without_a_good_version_a_person_is_paged() {
        let mut first = deployment(Status::Succeeded);
        first.from = None;
        assert!(matches!(decided(&facts(first), at(70)), Decision::Page { .. }));
    }

    #[test]
    fn where_codedeploy_acts_it_is_only_reported() {
        let mut facts = facts(deployment(Status::InFlight));
        facts.group.codedeploy_acts = true;
        assert!(matches!(decided(&facts, at(31)), Decision::ReportOnly { .. }));
        for status in [Status::Stopped, Status::Failed] {
            assert!(matches!(
                decided(&self::facts(deployment(status)), at(70)),
                Decision::ReportOnly { .. }
            ));
        }
    }

    #[test]
    fn each_reason_to_do_nothing_is_said() {
        let base = facts(deployment(Status::InFlight));
        let mut other_group = base.clone();
        other_group.group.alarms.clear();
        assert!(reason(decided(&other_group, at(31))).contains("not one of"));
        let mut deleted = base.clone();
        deleted.alarm = None;
        assert!(reason(decided(&deleted, at(31))).contains("no longer exists"));
        let mut stale = base.clone();
        stale.alarm.as_mut().unwrap().in_alarm = false;
        assert!(reason(decided(&stale, at(31))).contains("no longer in state"));
        let mut suppressed = base.clone();
        suppressed.alarm.as_mut().unwrap().suppressed = true;
        assert!(reason(decided(&suppressed, at(31))).contains("suppressed"));
        let mut earlier = base.clone();
        earlier.alarm.as_mut().unwrap().since = at(-1);
        assert!(reason(decided(&earlier, at(31))).contains("earlier one"));
        let mut hotfix = base.clone();
        hotfix.newest.as_mut().unwrap().alarms_overridden = true;
        assert!(reason(decided(&hotfix, at(31))).contains("overridden"));
        let mut none = base;
        none.newest = None;
        assert!(reason(decided(&none, at(31))).contains("had no deployment"));
    }

    #[test]
    fn a_freeze_reason_is_what_codepipeline_takes() {
        let mut long = deployment(Status::InFlight);
        long.id = DeploymentId::new("d".repeat(100)).unwrap();
        let reason = freeze_reason(
            &AlarmName::new(format!("a:/_,'=é{}", "x".repeat(240))).unwrap(),
            &long,
        );
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!@ ().*?-".contains(c);
        assert!(
            reason.chars().count() <= 300 && reason.chars().all(allowed),
            "{reason}"
        );
    }

    #[test]
    fn what_codedeploy_rolled_back_first_is_reported_and_its_rollback_left_alone() {
        let decision = decided(&rolled_back(deployment(Status::Stopped)), at(70));
        assert!(
            matches!(&decision, Decision::ReportOnly { deployment, .. } if deployment.id.as_str() == "d-NEWEST"),
            "{decision:?}"
        );
        let mut late = rolled_back(deployment(Status::Stopped));
        late.alarm.as_mut().unwrap().since = at(61 + 30 * 60);
        assert!(reason(decided(&late, at(62 + 30 * 60))).contains("itself a rollback"));
    }

    #[test]
    fn a_deployment_that_was_stopped_long_ago_is_not_the_cause_of_todays_alarm() {
        let mut facts = facts(deployment(Status::Stopped));
        facts.alarm.as_mut().unwrap().since = at(60 + 30 * 60);
        assert!(matches!(
            decided(&facts, at(62 + 30 * 60)),
            Decision::ReportOnly { .. }
        ));
        facts.alarm.as_mut().unwrap().since = at(61 + 30 * 60);
        assert!(reason(decided(&facts, at(62 + 30 * 60))).contains("long after"));
    }

    #[test]
    fn what_an_earlier_try_began_is_finished_even_if_the_alarm_has_calmed_down() {
        for (mut facts, by) in [
            (facts(deployment(Status::Stopped)), None),
            (rolled_back(deployment(Status::Stopped)), None),
            (rolled_back(deployment(Status::Succeeded)), Some("d-ROLLBACK")),
        ] {
            facts.alarm.as_mut().unwrap().in_alarm = false;
            assert!(matches!(decided(&facts, at(90)), Decision::Nothing { .. }));
            facts.begun = Some(DeploymentId::new("d-NEWEST").unwrap());
            let Decision::Finish {
                deployment,
                by: found,
            } = decided(&facts, at(90))
            else {
                panic!("{:?}", decided(&facts, at(90)));
            };
            assert_eq!(deployment.id.as_str(), "d-NEWEST");
            assert_eq!(found.as_ref().map(DeploymentId::as_str), by);
        }
    }

    #[test]
    fn what_was_begun_without_effect_is_decided_anew() {
        let mut facts = facts(deployment(Status::InFlight));
        facts.begun = Some(DeploymentId::new("d-NEWEST").unwrap());
        assert!(matches!(decided(&facts, at(90)), Decision::StopDeployment { .. }));
        facts.begun = Some(DeploymentId::new("d-OLDER").unwrap());
        facts.newest = Some(deployment(Status::Stopped));
        assert!(matches!(decided(&facts, at(90)), Decision::ReportOnly { .. }));
    }

    proptest! {
        #[test]
        fn no_rollback_is_ever_rolled_back(
            status in prop::sample::select(vec![Status::InFlight, Status::Succeeded, Status::Failed, Status::Stopped]),
            acts: bool, knows_undone: bool, begun: bool, since in -100i64..100, now in 0i64..10_000,
        ) {
            let mut rollback = deployment(status);
            rollback.is_rollback = true;
            let mut facts = facts(rollback);
            facts.group.codedeploy_acts = acts;
            facts.alarm.as_mut().unwrap().since = at(since);
            facts.undone = knows_undone.then(|| deployment(Status::Stopped));
            facts.begun = begun.then(|| DeploymentId::new("d-NEWEST").unwrap());
            facts.newest.as_mut().unwrap().id = DeploymentId::new("d-ROLLBACK").unwrap();
            let touched = match decided(&facts, at(now)) {
                Decision::Nothing { .. } => false,
                Decision::ReportOnly { deployment, .. } | Decision::Finish { deployment, .. } => deployment.is_rollback,
                _ => true,
            };
            prop_assert!(!touched);
        }
    }
}
