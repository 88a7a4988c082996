//! The kinds of action that run here: their artifacts' number, their configuration, their time-out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::declaration::ActionTypeId;

/// Which runner performs an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    S3Source,
    CodeBuild,
    CloudFormation,
    Manual,
    Lambda,
}

/// One kind of action, as `ListActionTypes` describes it.
pub(crate) struct ActionType {
    pub(crate) category: &'static str,
    pub(crate) name: &'static str,
    pub(crate) provider: Provider,
    /// Fewest and most input artifacts.
    pub(crate) inputs: (usize, usize),
    /// Fewest and most output artifacts.
    pub(crate) outputs: (usize, usize),
    /// Configuration keys, and whether AWS insists on them.
    pub(crate) properties: &'static [(&'static str, bool)],
    /// AWS's account-level default, from "Quotas in AWS CodePipeline".
    pub(crate) timeout: Duration,
}

const BUILD: &[(&str, bool)] = &[
    ("ProjectName", true),
    ("PrimarySource", false),
    ("EnvironmentVariables", false),
    ("BatchEnabled", false),
    ("CombineArtifacts", false),
];

const DAY: u64 = 24;

/// Every kind of action that runs here.
pub(crate) const ACTION_TYPES: &[ActionType] = &[
    ActionType {
        category: "Source",
        name: "S3",
        provider: Provider::S3Source,
        inputs: (0, 0),
        outputs: (1, 1),
        properties: &[
            ("S3Bucket", true),
            ("S3ObjectKey", true),
            ("PollForSourceChanges", false),
            ("AllowOverrideForS3ObjectKey", false),
        ],
        timeout: Duration::from_hours(1),
    },
    ActionType {
        category: "Build",
        name: "CodeBuild",
        provider: Provider::CodeBuild,
        inputs: (1, 5),
        outputs: (0, 5),
        properties: BUILD,
        timeout: Duration::from_hours(36),
    },
    ActionType {
        category: "Test",
        name: "CodeBuild",
        provider: Provider::CodeBuild,
        inputs: (1, 5),
        outputs: (0, 5),
        properties: BUILD,
        timeout: Duration::from_hours(36),
    },
    ActionType {
        category: "Deploy",
        name: "CloudFormation",
        provider: Provider::CloudFormation,
        inputs: (0, 10),
        outputs: (0, 1),
        properties: &[
            ("ActionMode", true),
            ("StackName", true),
            ("ChangeSetName", false),
            ("TemplatePath", false),
            ("TemplateConfiguration", false),
            ("OutputFileName", false),
            ("ParameterOverrides", false),
            ("Capabilities", false),
            ("RoleArn", false),
        ],
        timeout: Duration::from_hours(3 * DAY),
    },
    ActionType {
        category: "Approval",
        name: "Manual",
        provider: Provider::Manual,
        inputs: (0, 0),
        outputs: (0, 0),
        properties: &[
            ("NotificationArn", false),
            ("ExternalEntityLink", false),
            ("CustomData", false),
        ],
        timeout: Duration::from_hours(7 * DAY),
    },
    ActionType {
        category: "Invoke",
        name: "Lambda",
        provider: Provider::Lambda,
        inputs: (0, 5),
        outputs: (0, 5),
        properties: &[("FunctionName", true), ("UserParameters", false)],
        timeout: Duration::from_hours(DAY),
    },
];

/// The kind that a declaration names, where it runs here.
pub(crate) fn find(id: &ActionTypeId) -> Option<&'static ActionType> {
    ACTION_TYPES.iter().find(|kind| {
        kind.category == id.category && kind.name == id.provider && id.owner == "AWS" && id.version == "1"
    })
}

/// `ListActionTypes`.
pub(crate) fn list(owner: Option<&str>) -> Value {
    let types: Vec<Value> = ACTION_TYPES
        .iter()
        .filter(|_| owner.is_none_or(|owner| owner == "AWS"))
        .map(|kind| {
            let properties: Vec<Value> = kind
                .properties
                .iter()
                .map(|(name, required)| json!({ "name": name, "required": required, "key": false, "secret": false }))
                .collect();
            json!({
                "id": { "category": kind.category, "owner": "AWS", "provider": kind.name, "version": "1" },
                "settings": {},
                "actionConfigurationProperties": properties,
                "inputArtifactDetails": { "minimumCount": kind.inputs.0, "maximumCount": kind.inputs.1 },
                "outputArtifactDetails": { "minimumCount": kind.outputs.0, "maximumCount": kind.outputs.1 },
            })
        })
        .collect();
    json!({ "actionTypes": types })
}
