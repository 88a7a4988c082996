//! Signalbox's own stack: what it makes, from the template itself, so that it is listed nowhere else; and how it
//! was deployed.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use serde_yaml_ng::{Mapping, Value};
use signalbox_bootstrap::{AwsFailure, aws_failure};

use super::Patient;

/// The template that this program was built beside.
const TEMPLATE: &str = include_str!("../../../../template.yaml");

/// The functions of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    /// In the template's order.
    pub(super) functions: Vec<Function>,
}

/// A function of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    /// Its whole name.
    pub(super) name: String,
    /// The rules that invoke it.
    pub(super) rules: Vec<Rule>,
    /// The lifecycle event whose hook it is.
    pub(super) hook: Option<String>,
}

/// A rule of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Its whole name.
    pub(super) name: String,
    /// Whether it comes by the clock, and not by events.
    pub(super) is_schedule: bool,
}

impl Template {
    /// The stack of an environment.
    pub(super) fn read(environment: &str, control_plane: &str) -> Result<Self, String> {
        let filled = |value: &Value| filled(value, environment, control_plane);
        let body: Value =
            serde_yaml_ng::from_str(TEMPLATE).map_err(|error| format!("template.yaml: {error}"))?;
        let resources = body.get("Resources").and_then(Value::as_mapping);
        let functions = resources
            .into_iter()
            .flat_map(Mapping::values)
            .filter(|it| it.get("Type").and_then(Value::as_str) == Some("AWS::Serverless::Function"))
            .filter_map(|function| Function::read(function.get("Properties")?, &filled))
            .collect();
        Ok(Self { functions })
    }
}

impl Function {
    fn read(properties: &Value, filled: &dyn Fn(&Value) -> Option<String>) -> Option<Self> {
        let events = properties.get("Events").and_then(Value::as_mapping);
        let rules = events.into_iter().flat_map(Mapping::values).filter_map(|event| {
            let of = event.get("Properties")?;
            let is_schedule = event.get("Type").and_then(Value::as_str) == Some("Schedule");
            let name = of.get(if is_schedule { "Name" } else { "RuleName" })?;
            Some(Rule {
                name: filled(name)?,
                is_schedule,
            })
        });
        let hook = properties
            .get("Environment")
            .and_then(|it| it.get("Variables")?.get("HOOK")?.as_str());
        Some(Self {
            name: filled(properties.get("FunctionName")?)?,
            rules: rules.collect(),
            hook: hook.filter(|hook| *hook != "Job").map(str::to_owned),
        })
    }
}

/// A text, or a `!Sub` of nothing but the environment and the control plane's name.
fn filled(value: &Value, environment: &str, control_plane: &str) -> Option<String> {
    let text = match value {
        Value::Tagged(tagged) => tagged.value.as_str(),
        other => other.as_str(),
    };
    text.map(|text| {
        text.replace("${ControlPlaneName}", control_plane)
            .replace("${Environment}", environment)
    })
}

/// The stack as CloudFormation has it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The parameters that it was deployed with.
    pub(super) parameters: BTreeMap<String, String>,
    /// What it tells.
    outputs: BTreeMap<String, String>,
}

impl Standing {
    pub(super) async fn read(patient: &Patient<'_>) -> Result<Self, AwsFailure> {
        let client = Client::new(patient.cloud.sdk());
        let request = client.describe_stacks().stack_name(patient.place.stack());
        let answer = request.send().await.map_err(|error| aws_failure(&error))?;
        let Some(stack) = answer.stacks().first() else {
            return Ok(Self::default());
        };
        let pair = |name: Option<&str>, value: Option<&str>| Some((name?.to_owned(), value?.to_owned()));
        let parameters = stack.parameters().iter();
        let outputs = stack.outputs().iter();
        Ok(Self {
            parameters: parameters
                .filter_map(|it| pair(it.parameter_key(), it.parameter_value()))
                .collect(),
            outputs: outputs
                .filter_map(|it| pair(it.output_key(), it.output_value()))
                .collect(),
        })
    }

    /// The topic that the alarms on failed events tell: no function takes part, so that none has it in a variable.
    pub(super) fn alert_topic(&self) -> Option<&str> {
        self.outputs.get("AlertTopicArn").map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_the_output_that_is_asked_for() {
        let body: Value = serde_yaml_ng::from_str(TEMPLATE).unwrap();
        let outputs = body["Outputs"].as_mapping().unwrap();
        let outputs = outputs
            .keys()
            .map(|name| (name.as_str().unwrap().to_owned(), "arn".to_owned()));
        let standing = Standing {
            outputs: outputs.collect(),
            ..Standing::default()
        };
        assert_eq!(standing.alert_topic(), Some("arn"));
        assert_eq!(Standing::default().alert_topic(), None);
    }

    #[test]
    fn the_template_tells_functions_rules_and_hooks() {
        let template = Template::read("staging", "signalbox").unwrap();
        let find = |name: &str| {
            let mut functions = template.functions.iter();
            functions.find(|function| function.name == name).unwrap().clone()
        };
        let start = find("signalbox-staging-start-run");
        assert_eq!(
            start.rules,
            [Rule {
                name: "signalbox-staging-package-uploaded".to_owned(),
                is_schedule: false
            }]
        );
        assert!(find("signalbox-staging-sweep").rules[0].is_schedule);
        let hook = find("CodeDeployHook_signalbox-staging-before-traffic");
        assert_eq!(hook.hook.as_deref(), Some("BeforeAllowTraffic"));
        assert_eq!(find("signalbox-staging-validate-job").hook, None);
        let orders = Template::read("staging", "orders").unwrap();
        assert!(
            orders
                .functions
                .iter()
                .any(|one| one.name == "orders-staging-start-run")
        );
        assert!(
            template
                .functions
                .iter()
                .all(|function| !function.name.contains('$'))
        );
    }
}
