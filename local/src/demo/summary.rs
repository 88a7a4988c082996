//! What the demo came to, for people and for machines.

use std::fmt::Write as _;

use serde::Serialize;

use crate::running::Running;

/// The whole demo; the form of `--json`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Every run, in order.
    pub runs: Vec<RunSummary>,
    /// The rollback, where one was shown.
    pub rollback: Option<RollbackSummary>,
    /// Every function that was invoked.
    pub functions: Vec<FunctionSummary>,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// The pipeline execution's id.
    pub id: String,
    /// The source object's version.
    pub revision: String,
    /// What started it.
    pub trigger: String,
    /// CodePipeline's status.
    pub status: String,
    /// Each stage, in order.
    pub stages: Vec<StageSummary>,
    /// Who approved it.
    pub approved_by: Option<String>,
}

/// One stage of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StageSummary {
    /// Its name.
    pub name: String,
    /// The status of its last action.
    pub status: String,
    /// How long its actions took.
    pub seconds: f64,
}

/// The rollback.
#[derive(Debug, Clone, Serialize)]
pub struct RollbackSummary {
    /// The deployment that was stopped.
    pub deployment: String,
    /// The alarm that fired.
    pub alarm: String,
    /// When it fired (RFC 3339).
    pub alarm_at: String,
    /// When the deployment had stopped (RFC 3339).
    pub stopped_at: String,
    /// From the one to the other.
    pub latency_ms: i64,
    /// The bad version.
    pub from_version: String,
    /// The good version that it went back to.
    pub to_version: String,
    /// Where the alias points afterwards.
    pub alias_version_after: String,
}

/// One function.
#[derive(Debug, Clone, Serialize)]
pub struct FunctionSummary {
    /// Its name.
    pub name: String,
    /// How often it was invoked.
    pub invocations: u64,
    /// How many of the invocations failed.
    pub errors: u64,
    /// Its median cold start, from process start to readiness.
    pub cold_start_ms: Option<f64>,
    /// The most memory that one of its processes held.
    pub max_rss_mb: Option<f64>,
}

pub(super) fn functions(running: &Running) -> Vec<FunctionSummary> {
    let stats = running.lambda.stats().into_iter();
    stats
        .map(|stats| FunctionSummary {
            name: stats.name,
            invocations: stats.invocations,
            errors: stats.errors,
            cold_start_ms: stats.cold_start_ms,
            max_rss_mb: stats.max_rss_mb,
        })
        .collect()
}

impl Summary {
    /// The summary for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for run in &self.runs {
            let approved = run
                .approved_by
                .as_deref()
                .map_or(String::new(), |who| format!(", approved by {who}"));
            let _ = writeln!(
                text,
                "Run {}: {} (started by {}{approved})",
                run.id, run.status, run.trigger
            );
            for stage in &run.stages {
                let _ = writeln!(
                    text,
                    "  {:<16} {:<10} {:>7.1} s",
                    stage.name, stage.status, stage.seconds
                );
            }
        }
        if let Some(rollback) = &self.rollback {
            let _ = writeln!(
                text,
                "Rollback of deployment {}\n  alarm {} at {}\n  stopped at {}, {} ms later\n  version {} → {}; the \
                 alias points to {}",
                rollback.deployment,
                rollback.alarm,
                rollback.alarm_at,
                rollback.stopped_at,
                rollback.latency_ms,
                rollback.from_version,
                rollback.to_version,
                rollback.alias_version_after
            );
        }
        let _ = writeln!(text, "Functions");
        for function in &self.functions {
            let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.0}"));
            let _ = writeln!(
                text,
                "  {:<48} {:>5} invocations {:>4} errors {:>5} ms cold {:>4} MiB",
                function.name,
                function.invocations,
                function.errors,
                number(function.cold_start_ms),
                number(function.max_rss_mb)
            );
        }
        text
    }
}
