//! What a timeline has to tell: notices for people, and delivery metrics.
//!
//! Each has a key that derives from what happened (`run/1/Failed`), so that whoever sees the same thing
//! arrives at the same key: it is claimed under that key before it is told, and remembered in the
//! timeline after.

use super::metric::{Metric, Unit};
use super::{Action, Progress, State, Subject, Timeline};
use crate::claim::digest;
use crate::notice::{self, Notice};

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// What happened, the same for everybody who sees it.
    pub key: String,
    /// What to tell.
    pub message: Message,
}

/// What to tell.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// To people.
    Notice(Notice),
    /// To CloudWatch.
    Metrics(Vec<Metric>),
}

/// Keys about a build begin so, after the kind of the message.
const BUILD: &str = "build";
/// Keys about a deployment begin so, after the kind of the message.
const DEPLOYMENT: &str = "deployment";

impl Due {
    /// Names this telling over all timelines; under it, it is claimed.
    #[must_use]
    pub fn claim_key(&self, subject: &Subject) -> String {
        // Which timeline holds a build or deployment depends on what was known when it was seen; the key, with its
        // id, does not.
        let about = self.key.split('/').nth(1);
        match subject {
            Subject::Run { pipeline, execution } if !matches!(about, Some(BUILD | DEPLOYMENT)) => {
                digest(&["run", pipeline.as_str(), execution.as_str(), &self.key])
            }
            _ => digest(&[&self.key]),
        }
    }

    /// The digest of what is told: the same for everybody who tells it, as long as it is derived from
    /// what happened alone. Times and reasons may become known later, so that only the key counts.
    #[must_use]
    pub fn payload_digest(&self) -> String {
        digest(&[&self.key])
    }
}

/// Everything that `timeline` says and that has not been told.
#[must_use]
pub fn due(subject: &Subject, timeline: &Timeline, region: &str) -> Vec<Due> {
    let mut all = Vec::new();
    run(subject, timeline, region, &mut all);
    stages(subject, timeline, region, &mut all);
    approvals(subject, timeline, region, &mut all);
    builds(subject, timeline, &mut all);
    deployments(subject, timeline, region, &mut all);
    all.retain(|due| !timeline.told.contains(&due.key));
    all
}

fn notice_due(all: &mut Vec<Due>, what: &str, notice: Notice) {
    all.push(Due {
        key: format!("notice/{what}"),
        message: Message::Notice(notice),
    });
}

fn metrics_due(all: &mut Vec<Due>, what: &str, metrics: Vec<Metric>) {
    all.push(Due {
        key: format!("metrics/{what}"),
        message: Message::Metrics(metrics),
    });
}

fn count_and_duration(
    count: &'static str,
    duration: &'static str,
    progress: &Progress,
    dimensions: &[(&'static str, String)],
) -> Vec<Metric> {
    let mut metrics = vec![Metric {
        name: count.into(),
        value: 1.0,
        unit: Unit::Count,
        dimensions: dimensions.to_vec(),
    }];
    if let Some(took) = progress.duration() {
        let dimensions = dimensions.to_vec();
        metrics.push(Metric {
            name: duration.into(),
            value: took.as_secs_f64(),
            unit: Unit::Seconds,
            dimensions,
        });
    }
    metrics
}

fn run(subject: &Subject, timeline: &Timeline, region: &str, all: &mut Vec<Due>) {
    let Subject::Run { pipeline, .. } = subject else {
        return;
    };
    let dimensions = [("Pipeline", pipeline.to_string())];
    let latest = timeline.run.keys().next_back().copied();
    for (attempt, progress) in &timeline.run {
        let count = match &progress.state {
            // Only while it is true: nobody needs to hear that something began which has ended.
            State::InProgress if Some(*attempt) == latest => "RunsStarted",
            State::Succeeded => "RunsSucceeded",
            State::Failed => "RunsFailed",
            State::Stopped | State::Cancelled => "RunsStopped",
            State::Superseded => "RunsSuperseded",
            State::Other(_) | State::InProgress | State::Stopping | State::Skipped => continue,
        };
        let what = format!("run/{attempt}/{}", progress.state);
        metrics_due(
            all,
            &what,
            count_and_duration(count, "RunDuration", progress, &dimensions),
        );
        notice_due(
            all,
            &what,
            notice::run_changed(subject, timeline, *attempt, progress, region),
        );
    }
}

fn stages(subject: &Subject, timeline: &Timeline, region: &str, all: &mut Vec<Due>) {
    let Subject::Run { pipeline, .. } = subject else {
        return;
    };
    for (stage, attempts) in &timeline.stages {
        for (attempt, progress) in attempts {
            let count = match &progress.state {
                State::Succeeded => "StagesSucceeded",
                State::Failed => "StagesFailed",
                _ => continue,
            };
            let what = format!("stage/{stage}/{attempt}/{}", progress.state);
            let dimensions = [("Pipeline", pipeline.to_string()), ("Stage", stage.clone())];
            metrics_due(
                all,
                &what,
                count_and_duration(count, "StageDuration", progress, &dimensions),
            );
            if progress.state == State::Failed {
                let failed = failed_actions(timeline, stage, progress);
                notice_due(
                    all,
                    &what,
                    notice::stage_failed(subject, stage, *attempt, &failed, region),
                );
            }
        }
    }
}

/// The failed actions of that attempt: those that ended while it went on. The attempt's own end may come
/// from an event, in whole seconds.
fn failed_actions<'a>(timeline: &'a Timeline, stage: &str, progress: &Progress) -> Vec<&'a Action> {
    let within = |action: &&Action| match (action.progress.ended, progress.started, progress.ended) {
        (Some(at), Some(from), Some(to)) => (from.as_second()..=to.as_second() + 1).contains(&at.as_second()),
        _ => true,
    };
    timeline
        .actions
        .values()
        .filter(|action| action.stage == stage && action.progress.state == State::Failed)
        .filter(within)
        .collect()
}

fn approvals(subject: &Subject, timeline: &Timeline, region: &str, all: &mut Vec<Due>) {
    let Subject::Run { pipeline, .. } = subject else {
        return;
    };
    for (id, action) in timeline
        .actions
        .iter()
        .filter(|(_, action)| action.category == "Approval")
    {
        if action.progress.state == State::InProgress {
            notice_due(
                all,
                &format!("approval/{id}/InProgress"),
                notice::approval_waiting(subject, timeline, action, region),
            );
        }
        let count = match action.progress.state {
            State::Succeeded => "ApprovalsGiven",
            State::Failed => "ApprovalsRefused",
            _ => continue,
        };
        let dimensions = [
            ("Pipeline", pipeline.to_string()),
            ("Stage", action.stage.clone()),
        ];
        let metrics = count_and_duration(count, "ApprovalDuration", &action.progress, &dimensions);
        metrics_due(all, &format!("approval/{id}/{}", action.progress.state), metrics);
    }
}

fn builds(subject: &Subject, timeline: &Timeline, all: &mut Vec<Due>) {
    for (id, build) in &timeline.builds {
        let count = match build.progress.state {
            State::Succeeded => "BuildsSucceeded",
            State::Failed => "BuildsFailed",
            State::Stopped => "BuildsStopped",
            _ => continue,
        };
        let what = format!("{BUILD}/{id}/{}", build.progress.state);
        let dimensions = [("Project", build.project.clone())];
        metrics_due(
            all,
            &what,
            count_and_duration(count, "BuildDuration", &build.progress, &dimensions),
        );
        // A run's own build is told of by its stage.
        if matches!(subject, Subject::Build { .. }) {
            notice_due(all, &what, notice::build_ended(id, build));
        }
    }
}

fn deployments(subject: &Subject, timeline: &Timeline, region: &str, all: &mut Vec<Due>) {
    for (id, deployment) in &timeline.deployments {
        let count = match deployment.progress.state {
            State::Succeeded => "DeploymentsSucceeded",
            State::Failed => "DeploymentsFailed",
            State::Stopped => "DeploymentsStopped",
            _ => continue,
        };
        let what = format!("{DEPLOYMENT}/{id}/{}", deployment.progress.state);
        let dimensions = [
            ("Application", deployment.application.clone()),
            ("DeploymentGroup", deployment.group.clone()),
        ];
        metrics_due(
            all,
            &what,
            count_and_duration(count, "DeploymentDuration", &deployment.progress, &dimensions),
        );
        if deployment.progress.state != State::Succeeded {
            notice_due(
                all,
                &what,
                notice::deployment_ended(subject, id, deployment, region),
            );
        }
    }
}
