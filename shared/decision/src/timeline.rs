//! The timeline of a run: what is known of its stages, actions, builds and deployments.
//!
//! Events of CodePipeline, CodeBuild and CodeDeploy are best effort: they come twice, late, in another
//! order, or not at all. So a timeline is never *edited* by an event. Each observation is a timeline of
//! its own, and [`Timeline::merge`] joins two of them: commutative, associative, idempotent. Whatever the
//! order, the same observations give the same timeline (tests prove it); a lost one is made up for by the
//! next, since every observation carries all that was read back from AWS.
//!
//! What people and metrics are told is derived from the timeline ([`tell`]), not from the event: what is
//! due is all that a timeline says, less what has been told. A crash between saving and telling therefore
//! loses nothing.

pub mod attempts;
mod fitting;
pub mod metric;
pub mod tell;
pub mod validated;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::{DeploymentId, ExecutionId, PipelineName};
use crate::text::{cut, shown};
use tell::Due;
use validated::{Hook, Validation};

/// What a timeline is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Subject {
    /// A run.
    Run {
        /// The pipeline.
        pipeline: PipelineName,
        /// The run.
        execution: ExecutionId,
    },
    /// A build that belongs to no run: another branch's.
    Build {
        /// CodeBuild's id, `project:uuid`.
        id: String,
    },
    /// A deployment that belongs to no run: made by hand, or a rollback's.
    Deployment {
        /// CodeDeploy's id.
        id: DeploymentId,
    },
}

/// A state, in AWS's words for runs, stages, actions, builds and deployments taken together.
///
/// The order matters: within one attempt, of two observations the greater wins. What has ended is greater
/// than what goes on, so that a late STARTED changes nothing. Two different ends of one attempt are not
/// known to happen; for them the order is arbitrary, but fixed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum State {
    /// A state that this program does not know; taken as going on.
    Other(String),
    /// It goes on.
    InProgress,
    /// It is being stopped.
    Stopping,
    /// A newer run took its place.
    Superseded,
    /// It was cancelled, as when the pipeline's definition changed.
    Cancelled,
    /// It was not entered.
    Skipped,
    /// It was stopped.
    Stopped,
    /// It failed; an approval: it was rejected or ran out of time.
    Failed,
    /// It succeeded.
    Succeeded,
}

impl State {
    /// The state by any of AWS's words for it, in events (`STARTED`) and answers (`InProgress`).
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word.to_ascii_uppercase().replace('_', "").as_str() {
            "STARTED" | "RESUMED" | "INPROGRESS" | "START" | "READY" | "CREATED" | "QUEUED" | "BAKING" => {
                Self::InProgress
            }
            "STOPPING" => Self::Stopping,
            "SUPERSEDED" => Self::Superseded,
            "CANCELED" | "CANCELLED" => Self::Cancelled,
            "SKIPPED" => Self::Skipped,
            "STOPPED" | "STOP" | "ABANDONED" => Self::Stopped,
            "FAILED" | "FAILURE" | "FAULT" | "TIMEDOUT" => Self::Failed,
            "SUCCEEDED" | "SUCCESS" => Self::Succeeded,
            _ => Self::Other(cut(word, 60).to_owned()),
        }
    }

    /// Whether nothing follows within the attempt.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Other(_) | Self::InProgress | Self::Stopping)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other(word) => return f.write_str(&shown(word, 60)),
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Superseded => "Superseded",
            Self::Cancelled => "Cancelled",
            Self::Skipped => "Skipped",
            Self::Stopped => "Stopped",
            Self::Failed => "Failed",
            Self::Succeeded => "Succeeded",
        })
    }
}

impl From<String> for State {
    fn from(word: String) -> Self {
        Self::of(&word)
    }
}

impl From<State> for String {
    fn from(state: State) -> Self {
        match state {
            State::Other(word) => word,
            known => known.to_string(),
        }
    }
}

/// How far one attempt came, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The state.
    pub state: State,
    /// When it began, as the earliest observation says.
    pub started: Option<Timestamp>,
    /// When it came into this state, if it is a final one.
    pub ended: Option<Timestamp>,
}

impl Progress {
    /// Seen in `state` at `at`.
    #[must_use]
    pub fn seen(state: State, at: Option<Timestamp>) -> Self {
        let ended = at.filter(|_| state.is_final());
        let started = at.filter(|_| !state.is_final());
        Self {
            state,
            started,
            ended,
        }
    }

    /// How long it took, once it has ended. Never negative: clocks of two services differ.
    #[must_use]
    pub fn duration(&self) -> Option<SignedDuration> {
        let took = self.ended?.duration_since(self.started?);
        Some(took.max(SignedDuration::ZERO))
    }

    fn merge(&mut self, other: &Self) {
        self.started = earliest(self.started, other.started);
        match other.state.cmp(&self.state) {
            std::cmp::Ordering::Greater => {
                self.state = other.state.clone();
                self.ended = other.ended;
            }
            std::cmp::Ordering::Equal => self.ended = earliest(self.ended, other.ended),
            std::cmp::Ordering::Less => {}
        }
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// One execution of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// Its stage.
    pub stage: String,
    /// Its name.
    pub name: String,
    /// `Source`, `Build`, `Test`, `Deploy`, `Approval`, `Invoke`, `Compute`, or what AWS may add.
    pub category: String,
    /// What ran it, such as `CodeBuild`.
    pub provider: String,
    /// The build, deployment or change set that it ran, by the provider's own id.
    pub external: Option<String>,
    /// Why it failed, in AWS's words.
    pub error: Option<String>,
    /// How far it came.
    pub progress: Progress,
}

/// A build, of a run or alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// Its project.
    pub project: String,
    /// Who or what started it, as CodeBuild says.
    pub initiator: Option<String>,
    /// The page of its logs.
    pub logs: Option<String>,
    /// How far it came.
    pub progress: Progress,
}

/// A deployment, of a run or alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its application.
    pub application: String,
    /// Its deployment group.
    pub group: String,
    /// How far it came.
    pub progress: Progress,
}

/// What a run brought was undone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    /// When it was.
    pub at: Timestamp,
    /// How: `stopped`, `redeployed` or `reported`.
    pub action: String,
    /// Why: an alarm's name, or a person's words.
    pub cause: String,
}

/// All that is known of a run, or of a build or deployment that belongs to none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeline {
    /// The source version that it runs.
    pub revision: Option<String>,
    /// The run itself, by attempt: a retried stage makes a new one, from 1.
    pub run: BTreeMap<u32, Progress>,
    /// The stages, by name and attempt.
    pub stages: BTreeMap<String, BTreeMap<u32, Progress>>,
    /// The actions, by AWS's id of their execution.
    pub actions: BTreeMap<String, Action>,
    /// The builds, by id.
    pub builds: BTreeMap<String, Build>,
    /// The deployments, by id.
    pub deployments: BTreeMap<String, Deployment>,
    /// What was rolled back of all that, by the deployment that was undone.
    pub rollbacks: BTreeMap<String, RolledBack>,
    /// What the validation of the deployments came to, by deployment and hook.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub validations: BTreeMap<String, BTreeMap<Hook, Validation>>,
    /// What the validation by the pipeline's own jobs came to, by the execution of their action. Not a third hook: an
    /// older release must be able to read the timeline.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<String, Validation>,
    /// What has been told, by the keys of [`tell::Due`].
    pub told: BTreeSet<String>,
    /// How many of the oldest actions, builds and deployments are not kept; see [`Timeline::shorten`].
    #[serde(skip_serializing_if = "is_zero")]
    pub dropped: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Timeline {
    /// Joins what `other` knows into this one.
    pub fn merge(&mut self, other: &Self) {
        // Of two different texts either would do, as long as the order of arrival does not matter.
        keep_greater(&mut self.revision, other.revision.as_ref());
        merge_attempts(&mut self.run, &other.run);
        for (stage, attempts) in &other.stages {
            merge_attempts(self.stages.entry(stage.clone()).or_default(), attempts);
        }
        for (id, seen) in &other.actions {
            let action = self.actions.entry(id.clone()).or_insert_with(|| seen.clone());
            keep_greater(&mut action.external, seen.external.as_ref());
            keep_greater(&mut action.error, seen.error.as_ref());
            raise(&mut action.stage, &seen.stage);
            raise(&mut action.name, &seen.name);
            raise(&mut action.category, &seen.category);
            raise(&mut action.provider, &seen.provider);
            action.progress.merge(&seen.progress);
        }
        for (id, seen) in &other.builds {
            let build = self.builds.entry(id.clone()).or_insert_with(|| seen.clone());
            raise(&mut build.project, &seen.project);
            keep_greater(&mut build.initiator, seen.initiator.as_ref());
            keep_greater(&mut build.logs, seen.logs.as_ref());
            build.progress.merge(&seen.progress);
        }
        for (id, seen) in &other.deployments {
            let deployment = self.deployments.entry(id.clone()).or_insert_with(|| seen.clone());
            raise(&mut deployment.application, &seen.application);
            raise(&mut deployment.group, &seen.group);
            deployment.progress.merge(&seen.progress);
        }
        for (id, seen) in &other.rollbacks {
            let known = self.rollbacks.entry(id.clone()).or_insert_with(|| seen.clone());
            if *known < *seen {
                known.clone_from(seen);
            }
        }
        for (id, seen) in &other.validations {
            keep_lesser(self.validations.entry(id.clone()).or_default(), seen);
        }
        keep_lesser(&mut self.jobs, &other.jobs);
        self.told.extend(other.told.iter().cloned());
        self.dropped = self.dropped.max(other.dropped);
    }

    /// The run's state: its latest attempt's.
    #[must_use]
    pub fn status(&self) -> Option<&State> {
        self.run.values().next_back().map(|progress| &progress.state)
    }
}

fn merge_attempts(attempts: &mut BTreeMap<u32, Progress>, seen: &BTreeMap<u32, Progress>) {
    for (attempt, progress) in seen {
        attempts
            .entry(*attempt)
            .and_modify(|known| known.merge(progress))
            .or_insert_with(|| progress.clone());
    }
}

fn keep_greater(known: &mut Option<String>, seen: Option<&String>) {
    if known.as_ref() < seen {
        *known = seen.cloned();
    }
}

fn keep_lesser<K: Ord + Clone>(known: &mut BTreeMap<K, Validation>, seen: &BTreeMap<K, Validation>) {
    for (of, seen) in seen {
        let known = known.entry(of.clone()).or_insert_with(|| seen.clone());
        if *known > *seen {
            known.clone_from(seen);
        }
    }
}

fn raise(known: &mut String, seen: &String) {
    if *known < *seen {
        known.clone_from(seen);
    }
}

/// What an observation changes.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "changes that nobody saves or tells are lost"]
pub struct Changes {
    /// The timeline as it now is.
    pub after: Timeline,
    /// Whether it differs from the one before, and must be saved.
    pub changed: bool,
    /// What has to be told and has not been.
    pub due: Vec<Due>,
}

/// Joins an observation into the timeline, and says what follows from it.
///
/// Total and idempotent: the same observation again changes nothing, and what was told is not due again.
pub fn reconcile(subject: &Subject, before: &Timeline, observed: &Timeline, region: &str) -> Changes {
    let mut after = before.clone();
    after.merge(observed);
    let due = tell::due(subject, &after, region);
    Changes {
        changed: after != *before,
        after,
        due,
    }
}

#[cfg(test)]
mod tests;
