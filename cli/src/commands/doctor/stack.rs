//! What Signalbox's own stack makes: from the template itself, so that it is listed nowhere else.

use serde_yaml_ng::{Mapping, Value};

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

#[cfg(test)]
mod tests {
    use super::*;

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
