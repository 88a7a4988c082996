//! What the engine remembers of stacks, and how it tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::diff::Change;
use crate::parameters::{Parameters, scalar};
use crate::template::{Policy, Template};
use crate::undo::Undo;

/// Statuses that stacks have and events do not, as AWS's service model has it.
const NOT_OF_EVENTS: [&str; 3] = [
    "REVIEW_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
];

/// A resource of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) logical: String,
    pub(crate) kind: String,
    pub(crate) physical: String,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// Evaluated; dynamic references stay references.
    pub(crate) properties: Value,
    pub(crate) update_policy: Value,
    pub(crate) deletion_policy: Policy,
    pub(crate) metadata: Value,
    pub(crate) status: &'static str,
    pub(crate) reason: Option<String>,
    /// Epoch seconds.
    pub(crate) at: f64,
}

/// An output of a stack, evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) description: Option<String>,
    pub(crate) export: Option<String>,
}

/// What a stack is to become: kept by a change set until it is executed.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) template: Arc<Template>,
    pub(crate) parameters: Parameters,
    pub(crate) tags: Value,
    pub(crate) capabilities: Value,
    pub(crate) role_arn: Option<String>,
}

/// A change set.
#[derive(Debug, Clone)]
pub(crate) struct ChangeSet {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) creates: bool,
    pub(crate) created: f64,
    pub(crate) status: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) execution: &'static str,
    pub(crate) goal: Goal,
    pub(crate) changes: Vec<Change>,
}

/// A stack.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) status: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) created: f64,
    pub(crate) updated: Option<f64>,
    pub(crate) deleted: Option<f64>,
    /// What it is, or is becoming; nothing while only a change set has been made.
    pub(crate) goal: Option<Goal>,
    /// The change set that it was last executed from.
    pub(crate) change_set: Option<String>,
    /// In the order in which they were made.
    pub(crate) resources: IndexMap<String, Record>,
    pub(crate) outputs: Vec<Output>,
    /// Oldest first.
    pub(crate) events: Vec<Value>,
    pub(crate) change_sets: IndexMap<String, ChangeSet>,
    pub(crate) keep_failed: bool,
    pub(crate) protected: bool,
    pub(crate) cancelled: bool,
    /// What a failed rollback left to be undone, next first.
    pub(crate) pending: Vec<Undo>,
}

fn parameters(all: &Parameters) -> Value {
    let shown = |name: &String, parameter: &crate::parameters::Parameter| {
        let value = if parameter.hidden { "****" } else { &parameter.text };
        let mut member = json!({ "ParameterKey": name, "ParameterValue": value });
        if let Some(resolved) = &parameter.resolved {
            member["ResolvedValue"] = json!(resolved);
        }
        member
    };
    all.iter()
        .map(|(name, parameter)| shown(name, parameter))
        .collect()
}

/// Leaves out what is not there, as AWS does.
pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, member)| !member.is_null())
                .collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

impl Stack {
    /// A stack that nothing has been made of yet.
    pub(crate) fn new(id: String, name: &str, status: &'static str, now: f64) -> Self {
        Self {
            id,
            name: name.to_owned(),
            status,
            reason: None,
            created: now,
            updated: None,
            deleted: None,
            goal: None,
            change_set: None,
            resources: IndexMap::new(),
            outputs: Vec::new(),
            events: Vec::new(),
            change_sets: IndexMap::new(),
            keep_failed: false,
            protected: false,
            cancelled: false,
            pending: Vec::new(),
        }
    }

    /// Whether an operation is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.status.ends_with("_IN_PROGRESS") && self.status != "REVIEW_IN_PROGRESS"
    }

    /// Whether an update may begin.
    pub(crate) fn can_update(&self) -> bool {
        matches!(
            self.status,
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_COMPLETE"
        )
    }

    /// A change set by its name or ARN.
    pub(crate) fn find_change_set(&self, name: &str) -> Option<&ChangeSet> {
        self.change_sets
            .get(name)
            .or_else(|| self.change_sets.values().find(|set| set.id == name))
    }

    /// Notes an event of the stack itself.
    pub(crate) fn stack_event(&mut self, now: f64, status: &'static str, reason: Option<&str>) {
        self.status = status;
        self.reason = reason.map(str::to_owned);
        if NOT_OF_EVENTS.contains(&status) {
            return;
        }
        let event = without_nulls(json!({
            "StackId": self.id,
            "EventId": Uuid::new_v4().to_string(),
            "StackName": self.name,
            "LogicalResourceId": self.name,
            "PhysicalResourceId": self.id,
            "ResourceType": "AWS::CloudFormation::Stack",
            "Timestamp": now,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
        }));
        self.events.push(event);
    }

    /// Notes an event of a resource, which need not be recorded (any more).
    pub(crate) fn resource_event(
        &mut self,
        now: f64,
        record: &Record,
        status: &'static str,
        reason: Option<&str>,
    ) {
        if let Some(known) = self.resources.get_mut(&record.logical)
            && known.physical == record.physical
        {
            known.status = status;
            known.reason = reason.map(str::to_owned);
            known.at = now;
        }
        let event = without_nulls(json!({
            "StackId": self.id,
            "EventId": format!("{}-{status}-{}", record.logical, Uuid::new_v4().simple()),
            "StackName": self.name,
            "LogicalResourceId": record.logical,
            "PhysicalResourceId": record.physical,
            "ResourceType": record.kind,
            "Timestamp": now,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "ResourceProperties": record.properties.to_string(),
        }));
        self.events.push(event);
    }

    /// As `DescribeStacks` shows it.
    pub(crate) fn describe(&self) -> Value {
        let goal = self.goal.as_ref();
        let outputs: Vec<Value> = self
            .outputs
            .iter()
            .map(|output| {
                without_nulls(json!({
                    "OutputKey": output.key,
                    "OutputValue": output.value,
                    "Description": output.description,
                    "ExportName": output.export,
                }))
            })
            .collect();
        without_nulls(json!({
            "StackId": self.id,
            "StackName": self.name,
            "ChangeSetId": self.change_set,
            "Description": goal.and_then(|goal| goal.template.description.clone()),
            "Parameters": goal.map(|goal| parameters(&goal.parameters)),
            "CreationTime": self.created,
            "LastUpdatedTime": self.updated,
            "DeletionTime": self.deleted,
            "RollbackConfiguration": {},
            "StackStatus": self.status,
            "StackStatusReason": self.reason,
            "DisableRollback": self.keep_failed,
            "NotificationARNs": [],
            "Capabilities": goal.map(|goal| goal.capabilities.clone()),
            "Outputs": outputs,
            "RoleARN": goal.and_then(|goal| goal.role_arn.clone()),
            "Tags": goal.map_or_else(|| json!([]), |goal| goal.tags.clone()),
            "EnableTerminationProtection": self.protected,
            "DriftInformation": { "StackDriftStatus": "NOT_CHECKED" },
        }))
    }

    /// As `ListStacks` shows it.
    pub(crate) fn summary(&self) -> Value {
        without_nulls(json!({
            "StackId": self.id,
            "StackName": self.name,
            "TemplateDescription": self.goal.as_ref().and_then(|goal| goal.template.description.clone()),
            "CreationTime": self.created,
            "LastUpdatedTime": self.updated,
            "DeletionTime": self.deleted,
            "StackStatus": self.status,
            "StackStatusReason": self.reason,
            "DriftInformation": { "StackDriftStatus": "NOT_CHECKED" },
        }))
    }

    /// As `DescribeStackResources` shows one (`DescribeStackResource` and `ListStackResources` name the time
    /// differently and show other members besides).
    pub(crate) fn describe_resource(&self, record: &Record, time: &str, detailed: bool) -> Value {
        let mut shown = json!({
            "LogicalResourceId": record.logical,
            "PhysicalResourceId": record.physical,
            "ResourceType": record.kind,
            "ResourceStatus": record.status,
            "ResourceStatusReason": record.reason,
            "DriftInformation": { "StackResourceDriftStatus": "NOT_CHECKED" },
        });
        shown[time] = json!(record.at);
        if detailed {
            shown["StackName"] = json!(self.name);
            shown["StackId"] = json!(self.id);
        }
        without_nulls(shown)
    }
}

impl ChangeSet {
    /// As `DescribeChangeSet` shows it.
    pub(crate) fn describe(&self, stack: &Stack, with_values: bool) -> Value {
        let changes: Vec<Value> = self
            .changes
            .iter()
            .map(|change| change.describe(with_values))
            .collect();
        without_nulls(json!({
            "ChangeSetName": self.name,
            "ChangeSetId": self.id,
            "StackId": stack.id,
            "StackName": stack.name,
            "Description": self.description,
            "Parameters": parameters(&self.goal.parameters),
            "CreationTime": self.created,
            "ExecutionStatus": self.execution,
            "Status": self.status,
            "StatusReason": self.reason,
            "NotificationARNs": [],
            "RollbackConfiguration": {},
            "Capabilities": self.goal.capabilities,
            "Tags": self.goal.tags,
            "Changes": changes,
            "IncludeNestedStacks": false,
        }))
    }

    /// As `ListChangeSets` shows it.
    pub(crate) fn summary(&self, stack: &Stack) -> Value {
        without_nulls(json!({
            "StackId": stack.id,
            "StackName": stack.name,
            "ChangeSetId": self.id,
            "ChangeSetName": self.name,
            "ExecutionStatus": self.execution,
            "Status": self.status,
            "StatusReason": self.reason,
            "CreationTime": self.created,
            "Description": self.description,
            "IncludeNestedStacks": false,
        }))
    }
}

/// An output's text.
pub(crate) fn output_text(value: &Value) -> String {
    scalar(value).unwrap_or_else(|| value.to_string())
}
