//! What the engine remembers: pipelines, executions, stage runs, action executions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_local_core::{Account, Clock};

use crate::declaration::{ActionDeclaration, ExecutionMode, PipelineDeclaration, StageDeclaration};
use crate::task::Effects;
use crate::variables::Namespaces;

/// What a change of state needs to know, and where it leaves what is to be done.
pub(crate) struct Change<'a> {
    pub(crate) account: &'a Account,
    pub(crate) now: Timestamp,
    pub(crate) effects: &'a mut Effects,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExecutionStatus {
    InProgress,
    Stopping,
    Stopped,
    Succeeded,
    Superseded,
    Failed,
    Cancelled,
}

impl ExecutionStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Succeeded => "Succeeded",
            Self::Superseded => "Superseded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::InProgress | Self::Stopping)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageStatus {
    InProgress,
    Stopping,
    Stopped,
    Succeeded,
    Failed,
    Cancelled,
}

impl StageStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActionStatus {
    InProgress,
    Succeeded,
    Failed,
    Abandoned,
}

impl ActionStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Abandoned => "Abandoned",
        }
    }
}

/// Where an execution is; stages by their index in its declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Before a stage.
    Waiting(usize),
    /// In a stage that runs.
    Inside(usize),
    /// Ended; `RetryStageExecution` may bring it back inside.
    Ended,
}

/// A stored artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) name: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl Artifact {
    /// As action executions and events show it.
    pub(crate) fn detail(&self) -> Value {
        json!({ "name": self.name, "s3location": { "bucket": self.bucket, "key": self.key } })
    }

    /// As jobs show it.
    pub(crate) fn for_job(&self) -> Value {
        json!({
            "name": self.name,
            "location": { "type": "S3", "s3Location": { "bucketName": self.bucket, "objectKey": self.key } },
        })
    }
}

/// What a source action found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) action: String,
    pub(crate) artifact: String,
    pub(crate) id: String,
    pub(crate) summary: String,
    pub(crate) url: String,
    pub(crate) created: Timestamp,
}

/// What `StartPipelineExecution.sourceRevisions` says of one source action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourcePin {
    pub(crate) version: Option<String>,
    pub(crate) key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExecutionType {
    Standard,
    /// Runs one stage again with what the target execution had brought there.
    Rollback {
        target: String,
    },
}

impl ExecutionType {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Rollback { .. } => "ROLLBACK",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) reason: Option<String>,
    pub(crate) abandon: bool,
}

/// A Lambda job's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) open: bool,
    pub(crate) continuation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorDetails {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// One run of one action.
#[derive(Debug, Clone)]
pub(crate) struct ActionExecution {
    pub(crate) id: String,
    pub(crate) stage: String,
    pub(crate) action: String,
    pub(crate) status: ActionStatus,
    /// Which attempt of the pipeline execution it belongs to.
    pub(crate) attempt: u32,
    pub(crate) started: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) updated_by: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) external_url: Option<String>,
    pub(crate) error: Option<ErrorDetails>,
    pub(crate) configuration: BTreeMap<String, String>,
    pub(crate) inputs: Vec<Artifact>,
    pub(crate) outputs: Vec<Artifact>,
    pub(crate) variables: BTreeMap<String, String>,
    /// An approval's token.
    pub(crate) token: Option<String>,
    /// Whether a person answered the approval, as opposed to its expiry or its abandonment.
    pub(crate) answered: bool,
    pub(crate) job: Option<Job>,
    pub(crate) revision: Option<Revision>,
}

/// One execution's time in one stage.
#[derive(Debug, Clone, Default)]
pub(crate) struct StageRun {
    pub(crate) status: Option<StageStatus>,
    pub(crate) started: Option<Timestamp>,
    /// The newest run of each action, as an index into the execution's actions.
    pub(crate) latest: BTreeMap<String, usize>,
    pub(crate) automatic_retries: u32,
    pub(crate) manual_retries: u32,
    pub(crate) last_retry: Option<(Timestamp, &'static str)>,
}

/// One run of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) declaration: Arc<PipelineDeclaration>,
    pub(crate) kind: ExecutionType,
    pub(crate) status: ExecutionStatus,
    pub(crate) summary: Option<String>,
    pub(crate) position: Position,
    pub(crate) attempt: u32,
    pub(crate) started: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) trigger: Trigger,
    pub(crate) stop: Option<Stop>,
    pub(crate) pins: BTreeMap<String, SourcePin>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) namespaces: Namespaces,
    pub(crate) artifacts: BTreeMap<String, Artifact>,
    pub(crate) revisions: Vec<Revision>,
    pub(crate) stages: Vec<StageRun>,
    pub(crate) actions: Vec<ActionExecution>,
}

impl Execution {
    pub(crate) fn mode(&self) -> ExecutionMode {
        self.declaration.execution_mode
    }

    pub(crate) fn stage(&self, index: usize) -> Option<&StageDeclaration> {
        self.declaration.stages.get(index)
    }

    pub(crate) fn action_declaration(&self, stage: &str, action: &str) -> Option<&ActionDeclaration> {
        self.stage(self.declaration.stage_index(stage)?)?.action(action)
    }

    /// Status of the newest run of an action in this execution's current time in the stage.
    pub(crate) fn action_status(&self, stage: usize, action: &str) -> Option<ActionStatus> {
        let index = *self.stages.get(stage)?.latest.get(action)?;
        Some(self.actions.get(index)?.status)
    }

    /// Whether any action of the stage still runs.
    pub(crate) fn has_running_actions(&self, stage: usize) -> bool {
        self.stages.get(stage).is_some_and(|run| {
            run.latest.values().any(|index| {
                self.actions
                    .get(*index)
                    .is_some_and(|action| action.status == ActionStatus::InProgress)
            })
        })
    }
}

/// Whether executions may enter a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) enabled: bool,
    pub(crate) changed: Option<(String, Timestamp)>,
    pub(crate) reason: Option<String>,
}

impl Default for Transition {
    fn default() -> Self {
        Self {
            enabled: true,
            changed: None,
            reason: None,
        }
    }
}

/// What a pipeline remembers of a stage over all executions.
#[derive(Debug, Clone, Default)]
pub(crate) struct StageSlot {
    pub(crate) transition: Transition,
    /// The execution that entered last.
    pub(crate) latest: Option<String>,
    /// For each action, the execution that ran it last.
    pub(crate) actions: HashMap<String, String>,
}

/// One pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Every version, oldest first; never empty.
    pub(crate) versions: Vec<Arc<PipelineDeclaration>>,
    pub(crate) current: Arc<PipelineDeclaration>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) tags: BTreeMap<String, String>,
    /// In the order of their start.
    pub(crate) executions: Vec<Execution>,
    pub(crate) slots: BTreeMap<String, StageSlot>,
    /// Client request tokens, and the execution that each one started.
    pub(crate) tokens: HashMap<String, String>,
}

impl Pipeline {
    pub(crate) fn new(
        declaration: PipelineDeclaration,
        tags: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Self {
        let current = Arc::new(declaration);
        Self {
            versions: vec![current.clone()],
            current,
            created: now,
            updated: now,
            tags,
            executions: Vec::new(),
            slots: BTreeMap::new(),
            tokens: HashMap::new(),
        }
    }

    pub(crate) fn arn(account: &Account, name: &str) -> String {
        account.arn("codepipeline", name)
    }

    pub(crate) fn index_of(&self, execution: &str) -> Option<usize> {
        self.executions.iter().position(|run| run.id == execution)
    }

    pub(crate) fn execution(&self, id: &str) -> Option<&Execution> {
        self.executions.iter().find(|run| run.id == id)
    }

    pub(crate) fn slot(&mut self, stage: &str) -> &mut StageSlot {
        self.slots.entry(stage.to_owned()).or_default()
    }
}

/// Everything, behind the engine's one lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) pipelines: BTreeMap<String, Pipeline>,
    /// Job → (pipeline, execution, action execution).
    pub(crate) jobs: HashMap<String, (String, String, String)>,
}

/// A time as AWS's JSON protocol writes it.
pub(crate) fn epoch(at: Timestamp) -> Value {
    json!(Clock::to_epoch_seconds(at))
}
