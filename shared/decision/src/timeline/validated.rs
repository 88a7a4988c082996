//! What the validation of a deployment came to, as the run's timeline keeps it: verdicts and numbers, and no text.
//!
//! The sentences stay with the report itself: they are long, and hold what a function answered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::metric::Unit;
use super::{Progress, Timeline};
use crate::text::cut;
use crate::validation::{Report, Verdict};

/// All of today's checks together find about twenty numbers. What is more is left out, by name: a timeline has to
/// fit into a row.
const MAX_NUMBERS: usize = 60;
/// There are eleven kinds of checks.
const MAX_CHECKS: usize = 20;
/// A metric's name may be longer (255); none of ours is.
const MAX_NAME: usize = 80;

/// The hook of a deployment in which it is validated, by CodeDeploy's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hook {
    /// Before the new version has any traffic.
    BeforeAllowTraffic,
    /// After it has all of it.
    AfterAllowTraffic,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 2] = [Self::BeforeAllowTraffic, Self::AfterAllowTraffic];

    /// CodeDeploy's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeAllowTraffic => "BeforeAllowTraffic",
            Self::AfterAllowTraffic => "AfterAllowTraffic",
        }
    }
}

/// What the validation in one hook, or by one job of the pipeline, came to.
///
/// Of two of them the lesser stands, so the earlier one: AWS takes the first verdict and no other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// When it was reported.
    pub at: Timestamp,
    /// What the checks came to together.
    pub verdict: Verdict,
    /// Whether traffic was let on: an inconclusive verdict leaves that to the policy.
    pub passes: bool,
    /// The checks, by name. A name and no [`Check`](crate::validation::Check): an older release must be able to read
    /// the timeline of a newer one, which checks more.
    #[serde(default)]
    pub checks: BTreeMap<String, Checked>,
}

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Its verdict.
    pub verdict: Verdict,
    /// What it measured, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, Number>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Number {
    /// Its value; nothing where there was none.
    pub value: Option<Value>,
    /// What it counts or measures.
    pub unit: Unit,
}

/// A measured value, to a thousandth. It is compared with itself after having been written and read: whole
/// thousandths come back as they went, the last bit of a float need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(i64);

impl Value {
    /// As many thousandths as a float counts without gaps.
    const MOST: f64 = 9.0e15;

    /// The value; nothing of what is no number.
    #[must_use]
    pub fn of(value: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is a whole number within the bounds of i64"
        )]
        let thousandths = (value * 1000.0).round().clamp(-Self::MOST, Self::MOST) as i64;
        value.is_finite().then_some(Self(thousandths))
    }

    /// The value as a float.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "it is below 2^53")]
        let thousandths = self.0 as f64;
        thousandths / 1000.0
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::of(value).ok_or_else(|| serde::de::Error::custom("no number"))
    }
}

impl Validation {
    /// What a timeline keeps of a report that was made then.
    #[must_use]
    pub fn of(report: &Report, at: Timestamp) -> Self {
        let mut checks = BTreeMap::<String, Checked>::new();
        for finding in &report.findings {
            let name = finding.check.name();
            if checks.len() >= MAX_CHECKS && !checks.contains_key(name) {
                continue;
            }
            let checked = checks.entry(name.to_owned()).or_insert_with(|| Checked {
                verdict: finding.verdict,
                numbers: BTreeMap::new(),
            });
            checked.verdict = checked.verdict.max(finding.verdict);
            checked
                .numbers
                .extend(finding.measurements.iter().map(|measured| {
                    let number = Number {
                        value: measured.value.and_then(Value::of),
                        unit: measured.unit,
                    };
                    (cut(&measured.name, MAX_NAME).to_owned(), number)
                }));
        }
        let mut left = MAX_NUMBERS;
        for checked in checks.values_mut() {
            if let Some(first_too_many) = checked.numbers.keys().nth(left).cloned() {
                let _ = checked.numbers.split_off(&first_too_many);
            }
            left -= checked.numbers.len();
        }
        Self {
            at,
            verdict: report.verdict,
            passes: report.passes,
            checks,
        }
    }
}

/// Where a report belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A hook of a deployment.
    Hook {
        /// The deployment.
        deployment: String,
        /// Its hook.
        hook: Hook,
    },
    /// A job of the pipeline.
    Job {
        /// The execution of the action that it was.
        action: String,
        /// Its id, which it tells CodePipeline as the action's external one.
        job: String,
    },
}

impl Place {
    /// The name under which validate-deployment keeps the report.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Hook { deployment, hook } => format!("{deployment}/{}", hook.name()),
            Self::Job { job, .. } => format!("{job}/Job"),
        }
    }

    /// A timeline that knows nothing but what the validation came to.
    #[must_use]
    pub fn holding(self, validation: Validation) -> Timeline {
        match self {
            Self::Hook { deployment, hook } => Timeline {
                validations: BTreeMap::from([(deployment, BTreeMap::from([(hook, validation)]))]),
                ..Timeline::default()
            },
            Self::Job { action, .. } => Timeline {
                jobs: BTreeMap::from([(action, validation)]),
                ..Timeline::default()
            },
        }
    }
}

/// A report that is not known: it may have been written since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreported {
    /// Where it belongs.
    pub place: Place,
    /// Whether the deployment or the action has ended, so that AWS takes no other report any more.
    pub is_over: bool,
}

impl Timeline {
    /// The reports that are not known on the `most` latest deployments, and on as many of the latest actions that
    /// were a function's job. Another function's job has none.
    #[must_use]
    pub fn unreported(&self, most: usize) -> Vec<Unreported> {
        let deployments = self.deployments.iter().map(|(id, it)| (&it.progress, id));
        let of_hooks = latest(deployments, most).flat_map(|(progress, id)| {
            let known = self.validations.get(id);
            let lacking = move |hook: &Hook| known.is_none_or(|known| !known.contains_key(hook));
            Hook::ALL.into_iter().filter(lacking).map(|hook| Unreported {
                place: Place::Hook {
                    deployment: id.clone(),
                    hook,
                },
                is_over: progress.state.is_final(),
            })
        });
        let jobs = self.actions.iter().filter_map(|(id, it)| {
            let job = it.external.as_ref().filter(|_| it.provider == "Lambda")?;
            Some((&it.progress, (id, job)))
        });
        let of_jobs = latest(jobs, most)
            .filter(|(_, (action, _))| !self.jobs.contains_key(*action))
            .map(|(progress, (action, job))| Unreported {
                place: Place::Job {
                    action: action.clone(),
                    job: job.clone(),
                },
                is_over: progress.state.is_final(),
            });
        of_hooks.chain(of_jobs).collect()
    }
}

/// The latest of them, by what is known of their times.
fn latest<'a, T: Ord>(
    all: impl Iterator<Item = (&'a Progress, T)>,
    most: usize,
) -> impl Iterator<Item = (&'a Progress, T)> {
    let mut all: Vec<_> = all.collect();
    all.sort_by(|(a, of_a), (b, of_b)| {
        let time = |progress: &Progress| progress.started.max(progress.ended);
        time(b).cmp(&time(a)).then(of_b.cmp(of_a))
    });
    all.into_iter().take(most)
}

#[cfg(test)]
mod tests;
