//! A template in its long form: what CloudFormation executes.

use indexmap::IndexMap;
use serde_json::{Map, Value};
use signalbox_local_core::AwsError;

use crate::invalid;

/// What becomes of a physical resource that the stack lets go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Delete,
    Retain,
    /// Kept like `Retain`, but deleted where the operation that made it is undone.
    RetainExceptOnCreate,
}

impl Policy {
    fn parse(value: Option<&Value>, default: Self) -> Self {
        match value.and_then(Value::as_str) {
            Some("Retain") => Self::Retain,
            Some("RetainExceptOnCreate") => Self::RetainExceptOnCreate,
            // No resource of the local cloud knows snapshots.
            Some(_) => Self::Delete,
            None => default,
        }
    }

    /// Whether it stays when it is removed from the stack, or with the stack.
    pub(crate) fn retains(self) -> bool {
        self != Self::Delete
    }
}

/// A resource as the template declares it; nothing is evaluated yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resource {
    /// For example `AWS::Lambda::Function`.
    pub(crate) kind: String,
    pub(crate) properties: Value,
    pub(crate) depends_on: Vec<String>,
    pub(crate) condition: Option<String>,
    pub(crate) deletion_policy: Policy,
    pub(crate) replace_policy: Policy,
    pub(crate) update_policy: Value,
    pub(crate) metadata: Value,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    /// As it was sent, for `GetTemplate`.
    pub(crate) text: String,
    /// In long form, transforms carried out.
    pub(crate) processed: Value,
    /// The transforms that the text named.
    pub(crate) transforms: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) parameters: IndexMap<String, Value>,
    pub(crate) mappings: Value,
    pub(crate) conditions: IndexMap<String, Value>,
    pub(crate) rules: IndexMap<String, Value>,
    pub(crate) resources: IndexMap<String, Resource>,
    pub(crate) outputs: IndexMap<String, Value>,
}

fn section(template: &Map<String, Value>, name: &str) -> Result<IndexMap<String, Value>, AwsError> {
    match template.get(name) {
        None | Some(Value::Null) => Ok(IndexMap::new()),
        Some(Value::Object(entries)) => Ok(entries.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
        Some(_) => Err(invalid(format!(
            "Template format error: {name} must be an object."
        ))),
    }
}

fn resource(logical: &str, value: &Value) -> Result<Resource, AwsError> {
    let kind = value.get("Type").and_then(Value::as_str).ok_or_else(|| {
        invalid(format!(
            "Template format error: [/Resources/{logical}] Every Resources object must contain a Type member."
        ))
    })?;
    let depends_on = match value.get("DependsOn") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(_) => {
            return Err(invalid(format!(
                "Template format error: DependsOn of {logical} must be a string or a list of strings."
            )));
        }
    };
    Ok(Resource {
        kind: kind.to_owned(),
        properties: value
            .get("Properties")
            .cloned()
            .unwrap_or_else(|| Value::Object(Map::new())),
        depends_on,
        condition: value.get("Condition").and_then(Value::as_str).map(str::to_owned),
        deletion_policy: Policy::parse(value.get("DeletionPolicy"), Policy::Delete),
        replace_policy: Policy::parse(value.get("UpdateReplacePolicy"), Policy::Delete),
        update_policy: value.get("UpdatePolicy").cloned().unwrap_or(Value::Null),
        metadata: value.get("Metadata").cloned().unwrap_or(Value::Null),
    })
}

impl Template {
    /// Reads the long form.
    ///
    /// # Errors
    /// `ValidationError` that names what is missing or of the wrong kind.
    pub(crate) fn parse(text: &str, processed: Value, transforms: Vec<String>) -> Result<Self, AwsError> {
        let Value::Object(map) = &processed else {
            return Err(invalid("Template format error: unsupported structure."));
        };
        let declared = section(map, "Resources")?;
        if declared.is_empty() {
            return Err(invalid(
                "Template format error: At least one Resources member must be defined.",
            ));
        }
        let mut resources = IndexMap::new();
        for (logical, value) in &declared {
            resources.insert(logical.clone(), resource(logical, value)?);
        }
        let template = Self {
            text: text.to_owned(),
            transforms,
            description: map.get("Description").and_then(Value::as_str).map(str::to_owned),
            parameters: section(map, "Parameters")?,
            mappings: map.get("Mappings").cloned().unwrap_or(Value::Null),
            conditions: section(map, "Conditions")?,
            rules: section(map, "Rules")?,
            resources,
            outputs: section(map, "Outputs")?,
            processed,
        };
        template.check_conditions()?;
        Ok(template)
    }

    fn check_conditions(&self) -> Result<(), AwsError> {
        for (logical, resource) in &self.resources {
            if let Some(name) = &resource.condition
                && !self.conditions.contains_key(name)
            {
                return Err(invalid(format!(
                    "Template format error: Unresolved condition dependency {name} in the Resources block of the \
                     template ({logical})"
                )));
            }
        }
        Ok(())
    }

    /// The capabilities that this template demands, as AWS demands them: named IAM resources need the
    /// stronger one.
    pub(crate) fn capabilities(&self) -> Option<&'static str> {
        const NAMES: [(&str, &str); 6] = [
            ("AWS::IAM::Role", "RoleName"),
            ("AWS::IAM::ManagedPolicy", "ManagedPolicyName"),
            ("AWS::IAM::User", "UserName"),
            ("AWS::IAM::Group", "GroupName"),
            ("AWS::IAM::InstanceProfile", "InstanceProfileName"),
            ("AWS::IAM::Policy", ""),
        ];
        let mut needed = None;
        for resource in self.resources.values() {
            for (kind, name) in NAMES {
                if resource.kind == kind {
                    if resource.properties.get(name).is_some() {
                        return Some("CAPABILITY_NAMED_IAM");
                    }
                    needed = Some("CAPABILITY_IAM");
                }
            }
        }
        needed
    }
}
