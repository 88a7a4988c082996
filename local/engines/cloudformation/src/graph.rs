//! The order of resources: what refers to what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use signalbox_local_core::AwsError;

use crate::intrinsics::{attribute_parts, function, variables};
use crate::invalid;
use crate::template::Template;

/// Everything an expression refers to: logical ids and parameters alike, with the attribute where one is
/// named. Only the branches that the conditions chose count.
pub(crate) fn references(
    value: &Value,
    conditions: &BTreeMap<String, bool>,
    found: &mut BTreeSet<(String, Option<String>)>,
) {
    match function(value) {
        Some(("Ref", Value::String(name))) => {
            found.insert((name.clone(), None));
        }
        Some(("Fn::GetAtt", argument)) => {
            if let Some((logical, attribute)) = attribute_parts(argument) {
                found.insert((logical, Some(attribute)));
            }
        }
        Some(("Fn::If", Value::Array(parts))) if parts.len() == 3 => {
            let chosen = parts[0]
                .as_str()
                .and_then(|name| conditions.get(name))
                .copied()
                .unwrap_or(true);
            references(if chosen { &parts[1] } else { &parts[2] }, conditions, found);
        }
        Some(("Fn::Sub", argument)) => {
            let (text, own) = match argument {
                Value::Array(parts) => (parts.first().and_then(Value::as_str), parts.get(1)),
                other => (other.as_str(), None),
            };
            for name in text.map(variables).unwrap_or_default() {
                if own.and_then(|own| own.get(&name)).is_some() {
                    continue;
                }
                match name.split_once('.') {
                    Some((logical, attribute)) => {
                        found.insert((logical.to_owned(), Some(attribute.to_owned())))
                    }
                    None => found.insert((name, None)),
                };
            }
            if let Some(own) = own {
                references(own, conditions, found);
            }
        }
        _ => match value {
            Value::Array(items) => items.iter().for_each(|item| references(item, conditions, found)),
            Value::Object(map) => map
                .values()
                .for_each(|member| references(member, conditions, found)),
            _ => {}
        },
    }
}

/// The resources whose conditions hold, in waves: each wave depends only on earlier ones.
///
/// # Errors
/// `ValidationError` for a cycle, or for what refers to a resource that is not there.
pub(crate) fn waves(
    template: &Template,
    conditions: &BTreeMap<String, bool>,
) -> Result<Vec<Vec<String>>, AwsError> {
    let included: BTreeSet<&String> = template
        .resources
        .iter()
        .filter(|(_, resource)| {
            resource
                .condition
                .as_ref()
                .is_none_or(|name| conditions.get(name).copied().unwrap_or(false))
        })
        .map(|(logical, _)| logical)
        .collect();
    let mut waiting: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
    for logical in &included {
        let resource = &template.resources[*logical];
        let mut found = BTreeSet::new();
        references(&resource.properties, conditions, &mut found);
        references(&resource.update_policy, conditions, &mut found);
        let mut needed: BTreeSet<String> = BTreeSet::new();
        for (name, _) in found {
            if included.contains(&name) {
                needed.insert(name);
            } else if !name.starts_with("AWS::") && !template.parameters.contains_key(&name) {
                return Err(invalid(format!(
                    "Template format error: Unresolved resource dependencies [{name}] in the Resources block of the \
                     template"
                )));
            }
        }
        for name in &resource.depends_on {
            if included.contains(name) {
                needed.insert(name.clone());
            } else if !template.resources.contains_key(name) {
                return Err(invalid(format!(
                    "Template format error: Unresolved resource dependencies [{name}] in the Resources block of the \
                     template"
                )));
            }
        }
        waiting.insert(logical, needed);
    }
    let mut waves = Vec::new();
    while !waiting.is_empty() {
        let wave: Vec<String> = waiting
            .iter()
            .filter(|(_, needed)| needed.is_empty())
            .map(|(logical, _)| (*logical).clone())
            .collect();
        if wave.is_empty() {
            let stuck: Vec<&str> = waiting.keys().map(|logical| logical.as_str()).collect();
            return Err(invalid(format!(
                "Circular dependency between resources: [{}]",
                stuck.join(", ")
            )));
        }
        waiting.retain(|logical, _| !wave.contains(logical));
        for needed in waiting.values_mut() {
            needed.retain(|name| !wave.contains(name));
        }
        waves.push(wave);
    }
    Ok(waves)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(resources: &Value) -> Result<Vec<Vec<String>>, AwsError> {
        let template = Template::parse("", json!({ "Resources": resources }), Vec::new()).unwrap();
        waves(
            &template,
            &BTreeMap::from([("Yes".to_owned(), true), ("No".to_owned(), false)]),
        )
    }

    #[test]
    fn references_of_every_form_are_dependencies() {
        let topic = json!({ "Type": "T" });
        let found = order(&json!({
            "A": topic, "B": topic, "C": topic, "D": topic,
            "Last": { "Type": "T", "DependsOn": "D", "Properties": {
                "One": { "Ref": "A" },
                "Two": { "Fn::Sub": ["${B.Arn} ${own} ${!C}", { "own": { "Fn::GetAtt": ["C", "Arn"] } }] },
                "Three": { "Fn::If": ["No", { "Ref": "Missing" }, "plain"] },
            } },
        }));
        assert_eq!(found.unwrap(), [vec!["A", "B", "C", "D"], vec!["Last"]]);
    }

    #[test]
    fn a_cycle_is_named() {
        let refused = order(&json!({
            "A": { "Type": "T", "Properties": { "X": { "Ref": "B" } } },
            "B": { "Type": "T", "DependsOn": ["A"] },
            "C": { "Type": "T" },
        }));
        assert_eq!(
            refused.unwrap_err().message,
            "Circular dependency between resources: [A, B]"
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        let refused = order(&json!({ "A": { "Type": "T", "Properties": { "X": { "Ref": "Missing" } } } }));
        assert!(
            refused
                .unwrap_err()
                .message
                .contains("Unresolved resource dependencies [Missing]")
        );
    }
}
