//! Conditions and rules.

use std::collections::BTreeMap;

use serde_json::Value;
use signalbox_local_core::AwsError;

use super::{NoResources, Place, Scope, arguments, function, malformed};
use crate::invalid;
use crate::parameters::{Parameters, scalar};
use crate::template::Template;

impl Scope<'_> {
    pub(super) fn condition(&self, name: &str) -> Result<bool, AwsError> {
        if let Some(decided) = self.conditions.get(name) {
            return Ok(*decided);
        }
        Err(invalid(format!(
            "Template error: unresolved condition dependency {name} in Fn::If"
        )))
    }

    /// Decides an expression of the Conditions or Rules section.
    pub(super) fn truth(&self, expression: &Value) -> Result<bool, AwsError> {
        let Some((name, argument)) = function(expression) else {
            return scalar(expression)
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| {
                    invalid("Template error: a condition must be a function that is true or false")
                });
        };
        let many = || argument.as_array().ok_or_else(|| malformed(name));
        Ok(match name {
            "Condition" => self.condition(argument.as_str().ok_or_else(|| malformed(name))?)?,
            "Fn::Not" => {
                let [inner] = arguments(name, argument)?;
                !self.truth(inner)?
            }
            "Fn::And" => {
                let mut all = true;
                for inner in many()? {
                    all &= self.truth(inner)?;
                }
                all
            }
            "Fn::Or" => {
                let mut any = false;
                for inner in many()? {
                    any |= self.truth(inner)?;
                }
                any
            }
            "Fn::Equals" => {
                let [left, right] = arguments(name, argument)?;
                let (left, right) = (self.value(name, left)?, self.value(name, right)?);
                match (scalar(&left), scalar(&right)) {
                    (Some(left), Some(right)) => left == right,
                    _ => left == right,
                }
            }
            "Fn::Contains" | "Fn::EachMemberIn" => {
                let [left, right] = arguments(name, argument)?;
                let one = |value| {
                    Ok::<_, AwsError>(match self.value(name, value)? {
                        Value::Array(items) => items,
                        single => vec![single],
                    })
                };
                let (left, right) = (one(left)?, one(right)?);
                let (members, within) = if name == "Fn::Contains" {
                    (right, left)
                } else {
                    (left, right)
                };
                members.iter().all(|member| within.contains(member))
            }
            "Fn::EachMemberEquals" => {
                let [members, value] = arguments(name, argument)?;
                let value = self.value(name, value)?;
                self.list(name, members)?.iter().all(|member| *member == value)
            }
            _ => scalar(&self.value(name, expression)?)
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| malformed(name))?,
        })
    }
}

/// Decides all conditions of a template, and checks its rules.
///
/// # Errors
/// `ValidationError` for a cycle, an unknown name, or a rule that does not hold.
pub(crate) fn decide(
    template: &Template,
    parameters: &Parameters,
    place: &Place,
    exports: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, bool>, AwsError> {
    let mut decided = BTreeMap::new();
    // Conditions refer to one another in any order: as many rounds as there are conditions suffice.
    for _ in 0..=template.conditions.len() {
        let mut next = decided.clone();
        for (name, expression) in &template.conditions {
            let scope = Scope {
                template,
                parameters,
                conditions: &decided,
                place,
                exports,
                lookup: &NoResources,
            };
            if let Ok(value) = scope.truth(expression) {
                next.insert(name.clone(), value);
            }
        }
        if next.len() == decided.len() {
            break;
        }
        decided = next;
    }
    let scope = Scope {
        template,
        parameters,
        conditions: &decided,
        place,
        exports,
        lookup: &NoResources,
    };
    for (name, expression) in &template.conditions {
        if !decided.contains_key(name) {
            scope.truth(expression)?;
        }
    }
    for (name, rule) in &template.rules {
        if let Some(condition) = rule.get("RuleCondition")
            && !scope.truth(condition)?
        {
            continue;
        }
        for assertion in rule
            .get("Assertions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if !scope.truth(assertion.get("Assert").unwrap_or(&Value::Null))? {
                let told = assertion
                    .get("AssertDescription")
                    .and_then(Value::as_str)
                    .unwrap_or("it does not hold");
                return Err(invalid(format!("Template error: rule {name} failed: {told}")));
            }
        }
    }
    Ok(decided)
}
