//! What a change of state leaves to be done: events to send, actions to run, actions to abandon.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use signalbox_local_core::AwsEvent;

use crate::action_types::Provider;
use crate::state::{Artifact, ErrorDetails, Revision, SourcePin};

/// In the order in which they came about.
pub(crate) type Effects = Vec<Effect>;

#[derive(Debug)]
pub(crate) enum Effect {
    Emit(AwsEvent),
    Run(Box<ActionTask>),
    /// The action execution is over for the pipeline; its runner is to clean up and end.
    Release {
        action_execution: String,
    },
}

/// Everything that a runner needs to know of its action.
#[derive(Debug, Clone)]
pub(crate) struct ActionTask {
    pub(crate) pipeline: String,
    pub(crate) pipeline_arn: String,
    pub(crate) execution: String,
    pub(crate) stage: String,
    pub(crate) action: String,
    pub(crate) action_execution: String,
    pub(crate) provider: Provider,
    /// The action's role, else the pipeline's.
    pub(crate) role_arn: String,
    /// With variables filled in; or why that was not possible.
    pub(crate) configuration: Result<BTreeMap<String, String>, String>,
    pub(crate) inputs: Vec<Artifact>,
    pub(crate) outputs: Vec<Artifact>,
    pub(crate) pin: SourcePin,
    /// An approval's token or a job's id.
    pub(crate) token: Option<String>,
    /// What a Lambda job handed to its continuation.
    pub(crate) continuation: Option<String>,
    /// As configured; the clock scales it.
    pub(crate) timeout: Duration,
    /// What the action has started elsewhere and must stop when it is abandoned.
    pub(crate) started: Arc<OnceLock<String>>,
}

/// What an action did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Success {
    pub(crate) summary: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) external_url: Option<String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) revision: Option<Revision>,
}

/// Why an action failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: ErrorDetails,
    pub(crate) external_id: Option<String>,
    pub(crate) external_url: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            error: ErrorDetails {
                code: code.to_owned(),
                message: message.into(),
            },
            external_id: None,
            external_url: None,
        }
    }

    /// The work was done, and came to a bad end.
    pub(crate) fn job(message: impl Into<String>) -> Self {
        Self::new("JobFailed", message)
    }

    /// The action's configuration does not allow the work to begin.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::new("ConfigurationError", message)
    }
}

/// Why a called service refused, in the code that action executions show.
impl From<signalbox_local_core::AwsError> for Failure {
    fn from(error: signalbox_local_core::AwsError) -> Self {
        let code = if error.code.starts_with("AccessDenied") {
            "PermissionError"
        } else {
            "JobFailed"
        };
        Self::new(code, format!("{} (Error code: {})", error.message, error.code))
    }
}

/// How an action ended.
pub(crate) type Outcome = Result<Success, Failure>;

/// What a runner reports on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) external_id: Option<String>,
    pub(crate) external_url: Option<String>,
    pub(crate) summary: Option<String>,
}

/// A member of a JSON answer as text; empty where it is absent.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
