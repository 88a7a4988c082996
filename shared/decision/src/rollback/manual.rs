//! Whether a version may be brought back because a person says so.
//!
//! The same rules as for an alarm, but for one: a person decides, so that no bake window and no alarm is
//! asked about. What is remembered as bad stays out also here; to allow it again is a command of its own.

use super::facts::{Deployment, Status};
use super::good::Standing;
use crate::names::{FunctionName, VersionNumber};
use crate::text::shown;

/// What is read before it is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The function.
    pub function: FunctionName,
    /// The alias whose traffic is meant.
    pub alias: String,
    /// The version that the alias names now; during a shift the one that the traffic leaves.
    pub current: VersionNumber,
    /// What is known of the version that is asked for.
    pub standing: Standing,
    /// The group's newest deployment, if it has one.
    pub newest: Option<Deployment>,
}

/// What to do.
#[must_use = "an unread decision rolls nothing back"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Stop the deployment in flight: its traffic goes back to the version that is asked for.
    StopDeployment {
        /// The deployment.
        deployment: Box<Deployment>,
    },
    /// Bring the version back by a new deployment.
    Redeploy {
        /// The deployment that brought the version that goes away, if it is known.
        undone: Option<Box<Deployment>>,
        /// The version that goes away.
        from: VersionNumber,
    },
    /// It is as it is asked for.
    Nothing {
        /// How so.
        reason: String,
    },
    /// It is not done.
    Refuse {
        /// Why not, and what to do instead.
        reason: String,
    },
}

/// Decides whether traffic goes back to `version`.
pub fn decide(version: &VersionNumber, facts: &Facts) -> Decision {
    let refuse = |reason: String| Decision::Refuse { reason };
    let in_flight = facts
        .newest
        .as_ref()
        .filter(|newest| newest.status == Status::InFlight);
    if let Some(newest) = in_flight {
        let id = &newest.id;
        if newest.to == *version {
            return Decision::Nothing {
                reason: format!("deployment {id} is bringing version {version} already"),
            };
        }
        if newest.is_rollback {
            return refuse(format!(
                "deployment {id} is itself a rollback and under way: ask again when it has ended"
            ));
        }
        return match &newest.from {
            Some(from) if from == version => Decision::StopDeployment {
                deployment: Box::new(newest.clone()),
            },
            Some(from) => refuse(format!(
                "deployment {id} is moving traffic from version {from} to version {}: roll back to version {from} \
                 first, which stops it",
                newest.to
            )),
            None => refuse(format!(
                "deployment {id} brings the first version: there is none to go back to"
            )),
        };
    }
    if facts.current == *version {
        return Decision::Nothing {
            reason: format!(
                "alias {} names version {version} already",
                shown(&facts.alias, 128)
            ),
        };
    }
    match &facts.standing {
        Standing::Missing => refuse(format!("version {version} of {} does not exist", facts.function)),
        Standing::Bad { alarm } => refuse(format!(
            "the code of version {version} is remembered as bad ({}): allow it first (command allow-version)",
            shown(alarm, 300)
        )),
        Standing::Good => {
            let undone = facts
                .newest
                .clone()
                .filter(|newest| newest.status == Status::Succeeded && newest.to == facts.current);
            Decision::Redeploy {
                undone: undone.map(Box::new),
                from: facts.current.clone(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::names::DeploymentId;
    use crate::validation::preflight::Override;

    fn version(number: &str) -> VersionNumber {
        VersionNumber::new(number).unwrap()
    }

    fn deployment(status: Status) -> Deployment {
        Deployment {
            id: DeploymentId::new("d-NEWEST").unwrap(),
            status,
            is_rollback: false,
            by_stack: false,
            overrides: Override::None,
            created: Timestamp::UNIX_EPOCH,
            completed: None,
            function: FunctionName::new("app").unwrap(),
            alias: "live".to_owned(),
            from: Some(version("3")),
            to: version("4"),
        }
    }

    fn facts(newest: Option<Deployment>, current: &str) -> Facts {
        Facts {
            function: FunctionName::new("app").unwrap(),
            alias: "live".to_owned(),
            current: version(current),
            standing: Standing::Good,
            newest,
        }
    }

    fn refusal(decision: Decision) -> String {
        match decision {
            Decision::Refuse { reason } => reason,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn what_is_in_flight_is_stopped_if_that_brings_the_version_back() {
        let flying = facts(Some(deployment(Status::InFlight)), "3");
        assert!(matches!(
            decide(&version("3"), &flying),
            Decision::StopDeployment { .. }
        ));
        assert!(refusal(decide(&version("2"), &flying)).contains("roll back to version 3 first"));
        assert!(matches!(decide(&version("4"), &flying), Decision::Nothing { .. }));
        let mut rollback = flying;
        rollback.newest.as_mut().unwrap().is_rollback = true;
        assert!(refusal(decide(&version("3"), &rollback)).contains("itself a rollback"));
    }

    #[test]
    fn after_success_any_good_version_comes_back_however_late() {
        let done = facts(Some(deployment(Status::Succeeded)), "4");
        let Decision::Redeploy { undone, from } = decide(&version("2"), &done) else {
            panic!("{:?}", decide(&version("2"), &done));
        };
        assert_eq!(undone.unwrap().id.as_str(), "d-NEWEST");
        assert_eq!(from.as_str(), "4");
        assert!(matches!(decide(&version("4"), &done), Decision::Nothing { .. }));
        let unknown = facts(None, "4");
        assert!(matches!(
            decide(&version("2"), &unknown),
            Decision::Redeploy { undone: None, .. }
        ));
    }

    #[test]
    fn what_is_bad_or_gone_does_not_come_back() {
        let mut bad = facts(Some(deployment(Status::Succeeded)), "4");
        bad.standing = Standing::Bad {
            alarm: "errors".to_owned(),
        };
        assert!(refusal(decide(&version("3"), &bad)).contains("allow-version"));
        bad.standing = Standing::Missing;
        assert!(refusal(decide(&version("3"), &bad)).contains("does not exist"));
    }
}
