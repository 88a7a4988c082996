//! What a pipeline is declared to be: the member names of AWS's own `PipelineDeclaration`, so that
//! `GetPipeline` gives back what `CreatePipeline` took, with AWS's defaults filled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How executions of one pipeline share its stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ExecutionMode {
    /// One execution to a stage; of those that wait, only the newest goes on.
    #[default]
    Superseded,
    /// One execution to a stage; those that wait go on in the order of their start.
    Queued,
    /// Every execution for itself.
    Parallel,
}

impl ExecutionMode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "SUPERSEDED",
            Self::Queued => "QUEUED",
            Self::Parallel => "PARALLEL",
        }
    }
}

fn first_version() -> u32 {
    1
}

fn pipeline_type() -> String {
    "V1".to_owned()
}

/// A pipeline's structure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PipelineDeclaration {
    pub(crate) name: String,
    pub(crate) role_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_store: Option<ArtifactStore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_stores: Option<BTreeMap<String, ArtifactStore>>,
    pub(crate) stages: Vec<StageDeclaration>,
    #[serde(default = "first_version")]
    pub(crate) version: u32,
    #[serde(default)]
    pub(crate) execution_mode: ExecutionMode,
    #[serde(default = "pipeline_type")]
    pub(crate) pipeline_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) variables: Vec<VariableDeclaration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) triggers: Vec<Value>,
}

impl PipelineDeclaration {
    /// The bucket that keeps the artifacts of actions in `region`.
    pub(crate) fn artifact_bucket(&self, region: &str) -> Option<&str> {
        let store = self
            .artifact_store
            .as_ref()
            .or_else(|| self.artifact_stores.as_ref()?.get(region))?;
        Some(&store.location)
    }

    pub(crate) fn stage_index(&self, stage: &str) -> Option<usize> {
        self.stages.iter().position(|declared| declared.name == stage)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArtifactStore {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption_key: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VariableDeclaration {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StageDeclaration {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blockers: Vec<Value>,
    pub(crate) actions: Vec<ActionDeclaration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_failure: Option<FailureConditions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_success: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before_entry: Option<Value>,
}

impl StageDeclaration {
    pub(crate) fn action(&self, name: &str) -> Option<&ActionDeclaration> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// Run orders in use, ascending: actions of one order run side by side.
    pub(crate) fn run_orders(&self) -> Vec<u32> {
        let mut orders: Vec<u32> = self.actions.iter().map(|action| action.run_order).collect();
        orders.sort_unstable();
        orders.dedup();
        orders
    }
}

/// What becomes of a failed stage by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureConditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_configuration: Option<RetryConfiguration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetryConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_mode: Option<RetryMode>,
}

/// Which actions a retried stage runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RetryMode {
    FailedActions,
    AllActions,
}

fn first_order() -> u32 {
    1
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActionDeclaration {
    pub(crate) name: String,
    pub(crate) action_type_id: ActionTypeId,
    #[serde(default = "first_order")]
    pub(crate) run_order: u32,
    #[serde(default)]
    pub(crate) configuration: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) commands: Vec<String>,
    #[serde(default)]
    pub(crate) output_artifacts: Vec<ArtifactName>,
    #[serde(default)]
    pub(crate) input_artifacts: Vec<ArtifactName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) output_variables: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_in_minutes: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) environment_variables: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArtifactName {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActionTypeId {
    pub(crate) category: String,
    pub(crate) owner: String,
    pub(crate) provider: String,
    pub(crate) version: String,
}
