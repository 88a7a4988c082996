//! What would change: the plan that a change set shows, made without touching anything.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::graph::{references, waves};
use crate::intrinsics::{KNOWN_AFTER_APPLY, Lookup, Place, Scope, decide};
use crate::parameters::{Parameters, scalar};
use crate::resources::{self, Recreation};
use crate::stack::{Goal, Record, Stack, without_nulls};
use crate::template::Policy;

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Add,
    Modify,
    Remove,
}

/// One property, or another part, of a resource that changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Detail {
    /// `Properties`, `UpdatePolicy`, `DeletionPolicy`, …
    pub(crate) part: &'static str,
    /// The property's name.
    pub(crate) name: Option<String>,
    pub(crate) recreation: Recreation,
    /// The value is only known once other changes have been made.
    pub(crate) dynamic: bool,
    pub(crate) source: &'static str,
    pub(crate) cause: Option<String>,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// One resource that changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) logical: String,
    pub(crate) physical: Option<String>,
    pub(crate) kind: String,
    pub(crate) replacement: Option<&'static str>,
    pub(crate) policy_action: Option<&'static str>,
    pub(crate) details: Vec<Detail>,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// The plan, and what the outputs would be.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) changes: Vec<Change>,
    pub(crate) outputs_change: bool,
}

/// Resources as they would be: what is new or replaced is not known yet.
struct Foreseen<'a> {
    records: &'a IndexMap<String, Record>,
    declared: &'a BTreeSet<String>,
    unknown: BTreeSet<String>,
}

impl Lookup for Foreseen<'_> {
    fn reference(&self, logical: &str) -> Option<Value> {
        if !self.declared.contains(logical) {
            return None;
        }
        match self.records.get(logical) {
            Some(record) if !self.unknown.contains(logical) => Some(json!(record.physical)),
            _ => Some(json!(KNOWN_AFTER_APPLY)),
        }
    }

    fn attribute(&self, logical: &str, attribute: &str) -> Option<Value> {
        if !self.declared.contains(logical) {
            return None;
        }
        match self.records.get(logical) {
            Some(record) if !self.unknown.contains(logical) => record.attributes.get(attribute).cloned(),
            _ => Some(json!(KNOWN_AFTER_APPLY)),
        }
    }
}

fn is_unknown(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(KNOWN_AFTER_APPLY),
        Value::Array(items) => items.iter().any(is_unknown),
        Value::Object(map) => map.values().any(is_unknown),
        _ => false,
    }
}

/// Plans the way from a stack as it is to a goal.
///
/// # Errors
/// `ValidationError` for what is wrong with the goal's template.
pub(crate) fn plan(
    stack: &Stack,
    goal: &Goal,
    place: &Place,
    exports: &BTreeMap<String, String>,
) -> Result<Plan, AwsError> {
    let conditions = decide(&goal.template, &goal.parameters, place, exports)?;
    let order = waves(&goal.template, &conditions)?.concat();
    let declared: BTreeSet<String> = order.iter().cloned().collect();
    let mut foreseen = Foreseen {
        records: &stack.resources,
        declared: &declared,
        unknown: BTreeSet::new(),
    };
    let mut changes = Vec::new();
    for logical in &order {
        let resource = &goal.template.resources[logical];
        let scope = Scope {
            template: &goal.template,
            parameters: &goal.parameters,
            conditions: &conditions,
            place,
            exports,
            lookup: &foreseen,
        };
        let properties = scope.evaluate(&resource.properties)?.unwrap_or_else(|| json!({}));
        let update_policy = scope.evaluate(&resource.update_policy)?.unwrap_or(Value::Null);
        let Some(record) = stack.resources.get(logical) else {
            changes.push(Change {
                action: Action::Add,
                logical: logical.clone(),
                physical: None,
                kind: resource.kind.clone(),
                replacement: None,
                policy_action: None,
                details: Vec::new(),
                before: None,
                after: Some(properties),
            });
            continue;
        };
        let mut details = changed_properties(stack, goal, record, &properties, &conditions, &foreseen);
        if record.update_policy != update_policy {
            details.push(whole("UpdatePolicy"));
        }
        if record.deletion_policy != resource.deletion_policy {
            details.push(whole("DeletionPolicy"));
        }
        if details.is_empty() {
            continue;
        }
        let replacement = replacement(&details);
        if replacement != "False" {
            foreseen.unknown.insert(logical.clone());
        }
        let replaced = if resource.replace_policy.retains() {
            "ReplaceAndRetain"
        } else {
            "ReplaceAndDelete"
        };
        changes.push(Change {
            action: Action::Modify,
            logical: logical.clone(),
            physical: Some(record.physical.clone()),
            kind: resource.kind.clone(),
            replacement: Some(replacement),
            policy_action: (replacement == "True").then_some(replaced),
            details,
            before: Some(record.properties.clone()),
            after: Some(properties),
        });
    }
    changes.extend(removals(stack, &declared));
    let outputs_change = outputs_change(stack, goal, place, exports, &conditions, &foreseen)?;
    Ok(Plan {
        changes,
        outputs_change,
    })
}

fn removals(stack: &Stack, declared: &BTreeSet<String>) -> Vec<Change> {
    let gone = stack
        .resources
        .values()
        .filter(|record| !declared.contains(&record.logical));
    gone.map(|record| Change {
        action: Action::Remove,
        logical: record.logical.clone(),
        physical: Some(record.physical.clone()),
        kind: record.kind.clone(),
        replacement: None,
        policy_action: Some(if record.deletion_policy == Policy::Delete {
            "Delete"
        } else {
            "Retain"
        }),
        details: Vec::new(),
        before: Some(record.properties.clone()),
        after: None,
    })
    .collect()
}

fn whole(part: &'static str) -> Detail {
    Detail {
        part,
        name: None,
        recreation: Recreation::Never,
        dynamic: false,
        source: "DirectModification",
        cause: None,
        before: None,
        after: None,
    }
}

fn replacement(details: &[Detail]) -> &'static str {
    let needs = |detail: &&Detail| detail.recreation == Recreation::Always;
    if details.iter().filter(needs).any(|detail| !detail.dynamic) {
        "True"
    } else if details
        .iter()
        .any(|detail| detail.recreation != Recreation::Never)
    {
        "Conditional"
    } else {
        "False"
    }
}

fn changed_properties(
    stack: &Stack,
    goal: &Goal,
    record: &Record,
    properties: &Value,
    conditions: &BTreeMap<String, bool>,
    foreseen: &Foreseen<'_>,
) -> Vec<Detail> {
    let none = serde_json::Map::new();
    let (before, after) = (
        record.properties.as_object().unwrap_or(&none),
        properties.as_object().unwrap_or(&none),
    );
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut details = Vec::new();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        if old == new {
            continue;
        }
        let raw = goal
            .template
            .resources
            .get(&record.logical)
            .and_then(|resource| resource.properties.get(name));
        let mut found = BTreeSet::new();
        if let Some(raw) = raw {
            references(raw, conditions, &mut found);
        }
        let dynamic = new.is_some_and(is_unknown);
        let (source, cause) = cause(stack, goal, &found, dynamic, foreseen);
        details.push(Detail {
            part: if name == "Tags" { "Tags" } else { "Properties" },
            name: (name != "Tags").then(|| name.clone()),
            recreation: resources::recreation(&record.kind, name),
            dynamic,
            source,
            cause,
            before: old.cloned(),
            after: new.cloned(),
        });
    }
    details
}

fn cause(
    stack: &Stack,
    goal: &Goal,
    found: &BTreeSet<(String, Option<String>)>,
    dynamic: bool,
    foreseen: &Foreseen<'_>,
) -> (&'static str, Option<String>) {
    if dynamic {
        let unknown = |name: &String| foreseen.unknown.contains(name) || !stack.resources.contains_key(name);
        let entity = found
            .iter()
            .find(|(name, _)| goal.template.resources.contains_key(name) && unknown(name));
        return match entity {
            Some((logical, Some(attribute))) => ("ResourceAttribute", Some(format!("{logical}.{attribute}"))),
            Some((logical, None)) => ("ResourceReference", Some(logical.clone())),
            None => ("DirectModification", None),
        };
    }
    let previous: Option<&Parameters> = stack.goal.as_ref().map(|goal| &goal.parameters);
    let changed = |name: &String| {
        goal.parameters.contains_key(name)
            && previous.and_then(|all| all.get(name)) != goal.parameters.get(name)
    };
    match found.iter().find(|(name, _)| changed(name)) {
        Some((name, _)) => ("ParameterReference", Some(name.clone())),
        None => ("DirectModification", None),
    }
}

fn outputs_change(
    stack: &Stack,
    goal: &Goal,
    place: &Place,
    exports: &BTreeMap<String, String>,
    conditions: &BTreeMap<String, bool>,
    foreseen: &Foreseen<'_>,
) -> Result<bool, AwsError> {
    let scope = Scope {
        template: &goal.template,
        parameters: &goal.parameters,
        conditions,
        place,
        exports,
        lookup: foreseen,
    };
    let after = crate::execute::outputs(&scope)?;
    Ok(after != stack.outputs)
}

fn text(value: &Value) -> String {
    scalar(value).unwrap_or_else(|| value.to_string())
}

impl Detail {
    fn describe(&self, with_values: bool) -> Value {
        let mut target = json!({
            "Attribute": self.part,
            "Name": self.name,
            "RequiresRecreation": self.recreation.name(),
        });
        if with_values {
            target["Path"] = json!(self.name.as_ref().map(|name| format!("/Properties/{name}")));
            target["BeforeValue"] = json!(self.before.as_ref().map(text));
            target["AfterValue"] = json!(self.after.as_ref().map(text));
            target["AttributeChangeType"] = json!(match (&self.before, &self.after) {
                (None, Some(_)) => "Add",
                (Some(_), None) => "Remove",
                _ => "Modify",
            });
        }
        without_nulls(json!({
            "Target": without_nulls(target),
            "Evaluation": if self.dynamic { "Dynamic" } else { "Static" },
            "ChangeSource": self.source,
            "CausingEntity": self.cause,
        }))
    }
}

impl Change {
    /// As `DescribeChangeSet` shows it.
    pub(crate) fn describe(&self, with_values: bool) -> Value {
        let scope: BTreeSet<&str> = self.details.iter().map(|detail| detail.part).collect();
        let details: Vec<Value> = self
            .details
            .iter()
            .map(|detail| detail.describe(with_values))
            .collect();
        let context = |properties: &Option<Value>| {
            properties
                .as_ref()
                .filter(|_| with_values)
                .map(|value| json!({ "Properties": value }).to_string())
        };
        let change = without_nulls(json!({
            "Action": match self.action {
                Action::Add => "Add",
                Action::Modify => "Modify",
                Action::Remove => "Remove",
            },
            "PolicyAction": self.policy_action,
            "LogicalResourceId": self.logical,
            "PhysicalResourceId": self.physical,
            "ResourceType": self.kind,
            "Replacement": self.replacement,
            "Scope": scope,
            "Details": details,
            "BeforeContext": context(&self.before),
            "AfterContext": context(&self.after),
        }));
        json!({ "Type": "Resource", "ResourceChange": change })
    }
}
