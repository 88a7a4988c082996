//! One build: what was asked for, and how it stands.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::phase::{Context, Phase, PhaseType, Status};
use crate::state::lock;

/// A JSON object in the member names of the service's model.
pub(crate) type Object = Map<String, Value>;

/// The parts of a project, after a build's overrides, that decide what the build does.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    pub(crate) source: Source,
    #[serde(default)]
    pub(crate) source_version: Option<String>,
    #[serde(default)]
    pub(crate) secondary_sources: Vec<Source>,
    #[serde(default)]
    pub(crate) secondary_source_versions: Vec<SecondaryVersion>,
    pub(crate) artifacts: Artifacts,
    #[serde(default)]
    pub(crate) secondary_artifacts: Vec<Artifacts>,
    #[serde(default)]
    pub(crate) cache: Cache,
    pub(crate) environment: Environment,
    pub(crate) service_role: String,
    #[serde(default)]
    pub(crate) encryption_key: Option<String>,
    #[serde(rename = "timeoutInMinutes", deserialize_with = "minutes")]
    pub(crate) timeout: Duration,
    #[serde(rename = "queuedTimeoutInMinutes", deserialize_with = "minutes")]
    pub(crate) queued_timeout: Duration,
    #[serde(default)]
    pub(crate) logs_config: LogsConfig,
}

fn minutes<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    u64::deserialize(input).map(|minutes| Duration::from_secs(minutes.saturating_mul(60)))
}

/// A `ProjectSource`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Source {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) location: Option<String>,
    #[serde(default)]
    pub(crate) buildspec: Option<String>,
    #[serde(default)]
    pub(crate) source_identifier: Option<String>,
}

/// A `ProjectSourceVersion`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecondaryVersion {
    pub(crate) source_identifier: String,
    pub(crate) source_version: String,
}

/// `ProjectArtifacts`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Artifacts {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) location: Option<String>,
    #[serde(default)]
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) namespace_type: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) packaging: Option<String>,
    #[serde(default)]
    pub(crate) override_artifact_name: bool,
    #[serde(default)]
    pub(crate) artifact_identifier: Option<String>,
}

/// `ProjectCache`: any type but `NO_CACHE` is the same cache here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Cache {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            kind: "NO_CACHE".to_owned(),
        }
    }
}

/// `ProjectEnvironment`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Environment {
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) environment_variables: Vec<Variable>,
}

/// An `EnvironmentVariable`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    #[serde(rename = "type", default)]
    pub(crate) kind: Option<String>,
}

/// `LogsConfig`; only CloudWatch Logs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogsConfig {
    #[serde(default)]
    pub(crate) cloud_watch_logs: Option<CloudWatchLogs>,
}

/// `CloudWatchLogsConfig`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CloudWatchLogs {
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) group_name: Option<String>,
    #[serde(default)]
    pub(crate) stream_name: Option<String>,
}

/// Log group and stream; `None` where CloudWatch Logs is switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogStream {
    pub(crate) group: String,
    pub(crate) stream: String,
}

/// What never changes during a build.
pub(crate) struct Fixed {
    /// `{project}:{uuid}`.
    pub(crate) id: String,
    pub(crate) uuid: String,
    pub(crate) arn: String,
    pub(crate) project: String,
    pub(crate) number: u64,
    pub(crate) initiator: String,
    pub(crate) plan: Plan,
    pub(crate) log_stream: Option<LogStream>,
    pub(crate) start: f64,
    /// The input of `StartBuild`, for `RetryBuild`.
    pub(crate) input: Value,
    /// Members that `BatchGetBuilds` answers as they were given.
    pub(crate) given: Object,
}

/// What changes.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) status: Status,
    pub(crate) phases: Vec<Phase>,
    pub(crate) end: Option<f64>,
    pub(crate) resolved_version: Option<String>,
    /// `BuildArtifacts`, primary first.
    pub(crate) artifacts: Option<Object>,
    pub(crate) secondary_artifacts: Vec<Object>,
    pub(crate) exported: Vec<(String, String)>,
    pub(crate) report_arns: Vec<String>,
}

/// A build, shared by whoever runs it and whoever asks about it.
pub(crate) struct Build {
    pub(crate) fixed: Fixed,
    pub(crate) progress: Mutex<Progress>,
    /// Cancelled by `StopBuild`.
    pub(crate) stop: CancellationToken,
    /// True once the build is complete.
    pub(crate) complete: watch::Sender<bool>,
}

impl Build {
    pub(crate) fn new(fixed: Fixed) -> Self {
        let progress = Progress {
            status: Status::InProgress,
            phases: vec![Phase::begin(PhaseType::Submitted, fixed.start)],
            end: None,
            resolved_version: None,
            artifacts: None,
            secondary_artifacts: Vec::new(),
            exported: Vec::new(),
            report_arns: Vec::new(),
        };
        Self {
            fixed,
            progress: Mutex::new(progress),
            stop: CancellationToken::new(),
            complete: watch::Sender::new(false),
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Waits until the build is complete.
    pub(crate) async fn completed(&self) {
        // The sender lives as long as `self`, so this ends only with a true value.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// Begins a phase.
    pub(crate) fn begin(&self, phase: PhaseType, now: f64) {
        lock(&self.progress).phases.push(Phase::begin(phase, now));
    }

    /// Ends the phase that is under way, if one is, and answers it.
    pub(crate) fn end(&self, status: Status, context: Option<Context>, now: f64) -> Option<Phase> {
        let mut progress = lock(&self.progress);
        let phase = progress
            .phases
            .last_mut()
            .filter(|phase| phase.end_time.is_none())?;
        phase.end(status, context, now);
        Some(phase.clone())
    }

    /// The `Build` of the service's model.
    pub(crate) fn to_value(&self) -> Value {
        let (fixed, progress) = (&self.fixed, lock(&self.progress).clone());
        let current = progress
            .phases
            .last()
            .map_or("SUBMITTED", |phase| phase.phase_type.name());
        let mut out = fixed.given.clone();
        let mut set = |name: &str, value: Value| {
            out.insert(name.to_owned(), value);
        };
        set("id", json!(fixed.id));
        set("arn", json!(fixed.arn));
        set("buildNumber", json!(fixed.number));
        set("projectName", json!(fixed.project));
        set("startTime", json!(fixed.start));
        set("currentPhase", json!(current));
        set("buildStatus", json!(progress.status));
        set("buildComplete", json!(progress.end.is_some()));
        set("initiator", json!(fixed.initiator));
        set("phases", json!(progress.phases));
        if let Some(end) = progress.end {
            set("endTime", json!(end));
        }
        if let Some(version) = progress.resolved_version {
            set("resolvedSourceVersion", json!(version));
        }
        if let Some(artifacts) = progress.artifacts {
            set("artifacts", Value::Object(artifacts));
        }
        if !progress.secondary_artifacts.is_empty() {
            set("secondaryArtifacts", json!(progress.secondary_artifacts));
        }
        if !progress.exported.is_empty() {
            let exported = progress
                .exported
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value}));
            set("exportedEnvironmentVariables", exported.collect());
        }
        if !progress.report_arns.is_empty() {
            set("reportArns", json!(progress.report_arns));
        }
        Value::Object(out)
    }
}
