//! SNS filter policies.

use std::collections::BTreeMap;

use serde_json::Value;

/// A message attribute, as `Publish` carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// `String`, `Number`, `String.Array` or `Binary`.
    pub(crate) data_type: String,
    /// The text; base64 for binary.
    pub(crate) value: String,
}

/// Attributes by name.
pub(crate) type Attributes = BTreeMap<String, Attribute>;

/// Whether a policy lets a message pass. `by_body` is the scope `MessageBody`.
///
/// A policy that cannot be read lets nothing pass: AWS would not have accepted it.
pub(crate) fn passes(policy: &str, by_body: bool, attributes: &Attributes, message: &str) -> bool {
    let Ok(Value::Object(policy)) = serde_json::from_str(policy) else {
        return false;
    };
    if by_body {
        let body = serde_json::from_str(message).unwrap_or(Value::Null);
        return policy
            .iter()
            .all(|(name, rule)| body_matches(rule, body.get(name)));
    }
    policy.iter().all(|(name, rule)| {
        let values = attributes.get(name).map(values);
        any(rule, values.as_deref())
    })
}

/// The values that an attribute stands for.
fn values(attribute: &Attribute) -> Vec<Value> {
    let text = || Value::String(attribute.value.clone());
    match attribute.data_type.split('.').next() {
        Some("Number") => {
            vec![
                serde_json::from_str(&attribute.value)
                    .ok()
                    .filter(Value::is_number)
                    .unwrap_or_else(text),
            ]
        }
        Some("String") if attribute.data_type == "String.Array" => {
            match serde_json::from_str(&attribute.value) {
                Ok(Value::Array(items)) => items,
                _ => vec![text()],
            }
        }
        _ => vec![text()],
    }
}

fn body_matches(rule: &Value, value: Option<&Value>) -> bool {
    match rule {
        Value::Object(nested) => nested
            .iter()
            .all(|(name, rule)| body_matches(rule, value.and_then(|value| value.get(name)))),
        _ => {
            let values = value.map(|value| match value {
                Value::Array(items) => items.clone(),
                other => vec![other.clone()],
            });
            any(rule, values.as_deref())
        }
    }
}

/// Whether any condition of a rule holds. `values` is `None` where the key is absent.
fn any(rule: &Value, values: Option<&[Value]>) -> bool {
    rule.as_array()
        .into_iter()
        .flatten()
        .any(|condition| match (condition.get("exists"), values) {
            (Some(exists), values) => exists.as_bool() == Some(values.is_some()),
            (None, Some(values)) => values.iter().any(|value| holds(condition, value)),
            (None, None) => false,
        })
}

fn holds(condition: &Value, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let Value::Object(operator) = condition else {
        return same(condition, value);
    };
    operator.iter().all(|(name, operand)| match name.as_str() {
        "prefix" => value.is_string() && operand.as_str().is_some_and(|prefix| text.starts_with(prefix)),
        "suffix" => value.is_string() && operand.as_str().is_some_and(|suffix| text.ends_with(suffix)),
        "equals-ignore-case" => operand
            .as_str()
            .is_some_and(|other| other.eq_ignore_ascii_case(text)),
        "anything-but" => match operand {
            Value::Array(items) => !items.iter().any(|item| same(item, value)),
            Value::Object(_) => !holds(operand, value),
            other => !same(other, value),
        },
        "numeric" => numeric(operand, value),
        _ => false,
    })
}

fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < f64::EPSILON,
        _ => one == other,
    }
}

/// `[">=", 0, "<", 10]`.
fn numeric(operand: &Value, value: &Value) -> bool {
    let (Some(parts), Some(value)) = (operand.as_array(), value.as_f64()) else {
        return false;
    };
    !parts.is_empty()
        && parts.chunks(2).all(|pair| {
            let [Value::String(operator), bound] = pair else {
                return false;
            };
            let Some(bound) = bound.as_f64() else { return false };
            match operator.as_str() {
                "=" => (value - bound).abs() < f64::EPSILON,
                "<" => value < bound,
                "<=" => value <= bound,
                ">" => value > bound,
                ">=" => value >= bound,
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(of: &[(&str, &str, &str)]) -> Attributes {
        of.iter()
            .map(|(name, data_type, value)| {
                (
                    (*name).to_owned(),
                    Attribute {
                        data_type: (*data_type).to_owned(),
                        value: (*value).to_owned(),
                    },
                )
            })
            .collect()
    }

    #[test]
    fn a_message_reaches_only_the_approver_it_names() {
        let policy = r#"{"approver": ["ada@example.com"]}"#;
        let ada = attributes(&[("approver", "String", "ada@example.com")]);
        let bob = attributes(&[("approver", "String", "bob@example.com")]);
        assert!(passes(policy, false, &ada, ""));
        assert!(!passes(policy, false, &bob, ""));
        assert!(!passes(policy, false, &Attributes::new(), ""));
    }

    #[test]
    fn every_operator_decides_both_ways() {
        let one = |condition: &str, data_type: &str, value: &str| {
            passes(
                &format!(r#"{{"a": [{condition}]}}"#),
                false,
                &attributes(&[("a", data_type, value)]),
                "",
            )
        };
        assert!(one(r#"{"prefix": "prod"}"#, "String", "production"));
        assert!(!one(r#"{"prefix": "prod"}"#, "String", "staging"));
        assert!(one(r#"{"anything-but": ["x", "y"]}"#, "String", "z"));
        assert!(!one(r#"{"anything-but": ["x", "y"]}"#, "String", "y"));
        assert!(one(r#"{"anything-but": {"prefix": "x"}}"#, "String", "yx"));
        assert!(one(r#"{"numeric": [">=", 1, "<", 10]}"#, "Number", "9.5"));
        assert!(!one(r#"{"numeric": [">=", 1, "<", 10]}"#, "Number", "10"));
        assert!(!one(r#"{"numeric": []}"#, "Number", "10"));
        assert!(one("\"b\"", "String.Array", r#"["a", "b"]"#));
        assert!(one(r#"{"exists": true}"#, "String", "anything"));
        assert!(!one(r#"{"unknown": true}"#, "String", "anything"));
        assert!(passes(
            r#"{"a": [{"exists": false}]}"#,
            false,
            &Attributes::new(),
            ""
        ));
    }

    #[test]
    fn the_body_can_decide() {
        let policy = r#"{"detail": {"state": ["FAILED", "STOPPED"]}}"#;
        assert!(passes(
            policy,
            true,
            &Attributes::new(),
            r#"{"detail": {"state": "FAILED"}}"#
        ));
        assert!(!passes(
            policy,
            true,
            &Attributes::new(),
            r#"{"detail": {"state": "SUCCEEDED"}}"#
        ));
        assert!(!passes(policy, true, &Attributes::new(), "no JSON"));
    }

    #[test]
    fn a_policy_that_cannot_be_read_lets_nothing_pass() {
        assert!(!passes("[]", false, &Attributes::new(), ""));
        assert!(!passes("{", false, &Attributes::new(), ""));
    }
}
