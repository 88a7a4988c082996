//! Phases and statuses, as the service's model spells them.

use serde::Serialize;

/// Where a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum PhaseType {
    Submitted,
    Queued,
    Provisioning,
    DownloadSource,
    Install,
    PreBuild,
    Build,
    PostBuild,
    UploadArtifacts,
    Finalizing,
    Completed,
}

impl PhaseType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Submitted => "SUBMITTED",
            Self::Queued => "QUEUED",
            Self::Provisioning => "PROVISIONING",
            Self::DownloadSource => "DOWNLOAD_SOURCE",
            Self::Install => "INSTALL",
            Self::PreBuild => "PRE_BUILD",
            Self::Build => "BUILD",
            Self::PostBuild => "POST_BUILD",
            Self::UploadArtifacts => "UPLOAD_ARTIFACTS",
            Self::Finalizing => "FINALIZING",
            Self::Completed => "COMPLETED",
        }
    }
}

/// How a phase or a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    Succeeded,
    Failed,
    Fault,
    TimedOut,
    InProgress,
    Stopped,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Fault => "FAULT",
            Self::TimedOut => "TIMED_OUT",
            Self::InProgress => "IN_PROGRESS",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Why a phase did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Context {
    pub(crate) status_code: String,
    pub(crate) message: String,
}

impl Context {
    pub(crate) fn new(status_code: &str, message: impl Into<String>) -> Self {
        Self {
            status_code: status_code.to_owned(),
            message: message.into(),
        }
    }

    /// The build cannot go on for a reason on the caller's side, such as a missing source.
    pub(crate) fn client(message: impl Into<String>) -> Self {
        Self::new("CLIENT_ERROR", message)
    }

    /// The buildspec is at fault.
    pub(crate) fn yaml(message: impl Into<String>) -> Self {
        Self::new("YAML_FILE_ERROR", message)
    }

    /// This machine failed, not the build.
    pub(crate) fn internal(what: &str, error: impl std::fmt::Display) -> Self {
        Self::new("INTERNAL_SERVICE_ERROR", format!("{what}: {error}"))
    }
}

/// One phase of one build.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Phase {
    pub(crate) phase_type: PhaseType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase_status: Option<Status>,
    pub(crate) start_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<f64>,
    /// Whole seconds, as AWS gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_in_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) contexts: Option<Vec<Context>>,
}

impl Phase {
    pub(crate) fn begin(phase_type: PhaseType, now: f64) -> Self {
        Self {
            phase_type,
            phase_status: None,
            start_time: now,
            end_time: None,
            duration_in_seconds: None,
            contexts: None,
        }
    }

    pub(crate) fn end(&mut self, status: Status, context: Option<Context>, now: f64) {
        self.phase_status = Some(status);
        self.end_time = Some(now);
        #[expect(clippy::cast_possible_truncation, reason = "a build lasts hours, not aeons")]
        let seconds = (now - self.start_time).max(0.0) as i64;
        self.duration_in_seconds = Some(seconds);
        self.contexts = Some(context.into_iter().collect());
    }
}
