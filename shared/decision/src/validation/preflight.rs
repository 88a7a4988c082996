//! Before traffic moves: can the deployment group's alarms see the new version at all?
//!
//! An alarm that watches another function, the version before, or dimensions that Lambda never sends will
//! stay green whatever happens, and nobody learns of it until the day it was needed. And one that is red
//! already will stop the deployment as soon as it begins.
//!
//! What brings the old version back (a rollback) is reported on and never held up. An alarm that the
//! deployment overrides (`overrideAlarmConfiguration`) may be red: that is how a fix goes out under a red
//! alarm, and CodeDeploy keeps the record of it.

mod parts;
mod rollback;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Check, Finding, Verdict};
use crate::names::{FunctionName, VersionNumber};
use crate::text::shown;

pub use parts::{LookedAt, Part, mentioned};

/// An alarm as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// `None` where there is no alarm of this name.
    pub found: Option<Found>,
    /// The composite alarm whose rule names it; the deployment group names the others.
    pub part_of: Option<String>,
}

/// What an alarm is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whether it is in `ALARM`.
    pub is_red: bool,
    /// When its definition changed last. Until it is evaluated again its state is that of the old one: a stack
    /// update that turns an alarm to the new version does not turn it green.
    pub changed: Option<Timestamp>,
    /// CloudWatch's own words for its state.
    pub reason: String,
    /// Whether its actions are enabled.
    pub actions_enabled: bool,
    /// What suppresses its actions now (composite alarms).
    pub suppressed_by: Option<String>,
    /// Whether it is made of other alarms: those are judged.
    pub is_composite: bool,
    /// The metrics that it watches; none where its definition names none, as a search or a query in SQL does not.
    pub metrics: Vec<Metric>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub dimensions: BTreeMap<String, String>,
}

/// What the deployment itself says of alarms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Override {
    /// Nothing: the group's alarms count.
    #[default]
    None,
    /// No alarm counts.
    All,
    /// Only these count.
    AllBut(Vec<String>),
}

impl Override {
    /// From a deployment's `overrideAlarmConfiguration`: whether it is enabled, and the alarms that it lists.
    #[must_use]
    pub fn of(configuration: Option<(bool, Vec<String>)>) -> Self {
        match configuration {
            None => Self::None,
            Some((false, _)) => Self::All,
            Some((true, alarms)) => Self::AllBut(alarms),
        }
    }

    /// Whether this alarm does not count.
    #[must_use]
    pub fn covers(&self, alarm: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::AllBut(counting) => !counting.iter().any(|one| one == alarm),
        }
    }
}

/// The deployment whose alarms are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// The function.
    pub function: FunctionName,
    /// The alias whose traffic moves.
    pub alias: String,
    /// The version that it brings.
    pub version: VersionNumber,
    /// Whether it takes another one back.
    pub is_rollback: bool,
    /// What it overrides.
    pub overrides: Override,
    /// Who made it, and what they wrote, for the report.
    pub made_by: String,
}

/// Judges the alarms of a deployment group.
#[must_use]
pub fn preflight(deployment: &Deployment, alarms: &[Alarm]) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Preflight, verdict, evidence);
    if alarms.is_empty() {
        let evidence = "the deployment group lists no alarm, so that none will roll this version back";
        return finding(Verdict::Passed, evidence.to_owned());
    }
    let (mut wrong, mut red, mut overridden, mut unclear) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut judged = 0;
    for alarm in alarms {
        let name = shown(&alarm.name, 100);
        let whole = alarm
            .part_of
            .as_ref()
            .map_or_else(String::new, |whole| format!(" (part of {})", shown(whole, 100)));
        let Some(found) = &alarm.found else {
            wrong.push(format!("{name}{whole} does not exist"));
            continue;
        };
        wrong.extend(
            blind_spots(deployment, found)
                .into_iter()
                .map(|problem| format!("{name}{whole} {problem}")),
        );
        match found.metrics.is_empty() {
            false => judged += 1,
            // Its parts are judged instead.
            true if found.is_composite => {}
            true => unclear.push(format!("{name}{whole}")),
        }
        // The parts of a composite alarm are red as they please: its rule decides.
        if alarm.part_of.is_some() {
            continue;
        }
        if !found.actions_enabled {
            wrong.push(format!(
                "{name} has its actions disabled; enable them (enable-alarm-actions)"
            ));
        }
        if let Some(by) = &found.suppressed_by {
            wrong.push(format!("{name} is suppressed by {}", shown(by, 100)));
        }
        if found.is_red && deployment.overrides.covers(&alarm.name) {
            overridden.push(name);
        } else if found.is_red {
            red.push(format!("{name} ({})", shown(&found.reason, 120)));
        }
    }
    let mut text = Vec::new();
    if !red.is_empty() {
        text.push(format!(
            "red already: {}; wait until it is green, or, where this version is the fix, deploy it with \
             create-deployment --override-alarm-configuration enabled=false, which CodeDeploy keeps on record",
            red.join(", ")
        ));
    }
    let is_blind = !wrong.is_empty();
    text.extend(wrong);
    if !overridden.is_empty() {
        let (which, by) = (overridden.join(", "), shown(&deployment.made_by, 200));
        text.push(format!(
            "{which} red, and overridden by deployment {} ({by})",
            deployment.id
        ));
    }
    if !unclear.is_empty() {
        text.push(format!(
            "{} cannot be judged: no metric of it could be read",
            unclear.join(", ")
        ));
    }
    let is_bad = is_blind || !red.is_empty();
    if deployment.is_rollback {
        text.insert(0, "a rollback is not held up by alarms".to_owned());
    } else if !is_bad {
        text.insert(0, seeing(alarms.len() - unclear.len(), judged > 0, deployment));
    }
    let verdict = if is_bad && !deployment.is_rollback {
        Verdict::Failed
    } else if judged == 0 && !deployment.is_rollback {
        Verdict::Inconclusive
    } else {
        Verdict::Passed
    };
    finding(verdict, text.join("; "))
}

/// How many of the alarms see the version, where any could be judged.
fn seeing(count: usize, is_judged: bool, deployment: &Deployment) -> String {
    let version = &deployment.version;
    let s = if count == 1 { "" } else { "s" };
    if is_judged {
        format!("{count} alarm{s} can see version {version}")
    } else {
        format!("whether any alarm sees version {version} is not known")
    }
}

/// How long ago a definition may have changed for its state to be that of the one before: evaluation comes
/// within a period, and is not put off for longer.
const UNSETTLED: SignedDuration = SignedDuration::from_mins(5);

/// Whether it is worth waiting: an alarm is red that may be so for what it watched before.
#[must_use]
pub fn may_settle(alarms: &[Alarm], now: Timestamp) -> bool {
    let found = alarms.iter().filter_map(|alarm| alarm.found.as_ref());
    found
        .filter(|found| found.is_red)
        .any(|found| found.changed.is_some_and(|at| now.duration_since(at) < UNSETTLED))
}

/// What Lambda sends for invocations: by function; by function and resource (`function` or
/// `function:alias`); and by the version that an alias chose (Lambda developer guide, "Types of metrics").
const EMITTED: [&[&str]; 3] = [
    &["FunctionName"],
    &["FunctionName", "Resource"],
    &["ExecutedVersion", "FunctionName", "Resource"],
];

/// Why an alarm will not see what the new version does.
fn blind_spots(deployment: &Deployment, alarm: &Found) -> Vec<String> {
    let (function, alias) = (deployment.function.as_str(), deployment.alias.as_str());
    let resource = format!("{function}:{alias}");
    let mut problems = Vec::new();
    let mut note = |problem: String| {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    };
    // Metrics of other namespaces are the application's own: what is sent there only it knows.
    for metric in alarm
        .metrics
        .iter()
        .filter(|metric| metric.namespace == "AWS/Lambda")
    {
        let names: Vec<&str> = metric.dimensions.keys().map(String::as_str).collect();
        let name = shown(&metric.name, 60);
        if !EMITTED.contains(&names.as_slice()) {
            let names = if names.is_empty() {
                "none".to_owned()
            } else {
                shown(&names.join(", "), 120)
            };
            note(format!(
                "can receive no data: Lambda sends {name} with FunctionName; with Resource too; or with \
                 ExecutedVersion as well, and not with {names}"
            ));
            continue;
        }
        let value = |name: &str| metric.dimensions.get(name).map(String::as_str);
        if let Some(other) = value("FunctionName").filter(|other| *other != function) {
            note(format!("watches function {}, not {function}", shown(other, 80)));
        } else if let Some(other) = value("Resource").filter(|other| *other != resource) {
            note(format!("watches {}, not {resource}", shown(other, 120)));
        } else if let Some(other) =
            value("ExecutedVersion").filter(|other| *other != deployment.version.as_str())
        {
            note(format!(
                "watches version {}, not {}",
                shown(other, 20),
                deployment.version
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests;
