//! Policy documents, and what they say about a request.

use std::collections::BTreeMap;

use serde_json::Value;

use super::condition::{holds, texts};
use super::pattern::{arn_matches, matches};

/// Condition keys of a request, in lower case (IAM compares them so), with their values.
pub(crate) type Context = BTreeMap<String, Vec<String>>;

/// `Action`, `Resource`, or their negations.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    operator: String,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    allows: bool,
    actions: Scope,
    resources: Scope,
    conditions: Vec<Condition>,
}

/// A policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Document {
    statements: Vec<Statement>,
}

/// What the policies of an identity say about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    /// Nothing allows it.
    NotAllowed,
    /// Something denies it.
    Denied,
}

impl Document {
    /// Reads a document; nothing in it counts where it is malformed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let statements = match &value["Statement"] {
            Value::Array(items) => items.iter().collect(),
            Value::Object(_) => vec![&value["Statement"]],
            _ => return Err("it has no Statement".to_owned()),
        };
        let statements = statements.into_iter().map(statement).collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// Each action and resource that the document allows, as it is written. Statements with `NotAction`
    /// or `NotResource` are left out: they name what they do not grant.
    pub(super) fn grants(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for statement in self.statements.iter().filter(|statement| statement.allows) {
            if let (Scope::Only(actions), Scope::Only(resources)) = (&statement.actions, &statement.resources)
            {
                for action in actions {
                    out.extend(
                        resources
                            .iter()
                            .map(|resource| (action.clone(), resource.clone())),
                    );
                }
            }
        }
        out
    }

    /// Whether any condition asks for the key (lower case).
    pub(super) fn asks_for(&self, key: &str) -> bool {
        self.statements
            .iter()
            .flat_map(|statement| &statement.conditions)
            .any(|condition| condition.key == key)
    }
}

fn scope(statement: &Value, name: &str) -> Result<Scope, String> {
    match (statement.get(name), statement.get(format!("Not{name}"))) {
        (Some(only), None) => Ok(Scope::Only(texts(only))),
        (None, Some(but)) => Ok(Scope::AllBut(texts(but))),
        _ => Err(format!("a statement needs either {name} or Not{name}")),
    }
}

fn statement(value: &Value) -> Result<Statement, String> {
    let allows = match value["Effect"].as_str() {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err("a statement's Effect is neither Allow nor Deny".to_owned()),
    };
    let mut conditions = Vec::new();
    for (operator, keys) in value["Condition"].as_object().into_iter().flatten() {
        for (key, values) in keys.as_object().into_iter().flatten() {
            let (operator, key) = (operator.clone(), key.to_ascii_lowercase());
            conditions.push(Condition {
                operator,
                key,
                values: texts(values),
            });
        }
    }
    Ok(Statement {
        allows,
        actions: scope(value, "Action")?,
        resources: scope(value, "Resource")?,
        conditions,
    })
}

/// Decides by all documents together: a denial anywhere wins.
pub(super) fn decide<'a>(
    documents: impl IntoIterator<Item = &'a Document>,
    action: &str,
    resource: &str,
    context: &Context,
) -> Decision {
    let mut decision = Decision::NotAllowed;
    for statement in documents.into_iter().flat_map(|document| &document.statements) {
        if statement.applies(action, resource, context) {
            if !statement.allows {
                return Decision::Denied;
            }
            decision = Decision::Allowed;
        }
    }
    decision
}

/// Actions are compared without regard to case.
pub(super) fn action_matches(pattern: &str, action: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

impl Statement {
    fn applies(&self, action: &str, resource: &str, context: &Context) -> bool {
        let on_action = |patterns: &[String]| patterns.iter().any(|pattern| action_matches(pattern, action));
        let on_resource = |patterns: &[String]| {
            patterns.iter().any(|pattern| {
                filled_in(pattern, context).is_some_and(|pattern| arn_matches(&pattern, resource))
            })
        };
        let acts = match &self.actions {
            Scope::Only(patterns) => on_action(patterns),
            Scope::AllBut(patterns) => !on_action(patterns),
        };
        let reaches = match &self.resources {
            Scope::Only(patterns) => on_resource(patterns),
            Scope::AllBut(patterns) => !on_resource(patterns),
        };
        acts && reaches
            && self.conditions.iter().all(|condition| {
                let given = context.get(&condition.key).map(Vec::as_slice);
                let wanted: Vec<String> = condition
                    .values
                    .iter()
                    .filter_map(|value| filled_in(value, context))
                    .collect();
                // An operator that is not known makes an Allow fail and a Deny hold.
                holds(&condition.operator, &wanted, given).unwrap_or(!self.allows)
            })
    }
}

/// Replaces policy variables. `None` where the request has no value for one: the pattern then matches
/// nothing, as in AWS.
fn filled_in(pattern: &str, context: &Context) -> Option<String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (name, after) = after.split_once('}')?;
        // `${*}`, `${?}` and `${$}` are those characters themselves. Here they match like wildcards,
        // which differs only for a name that has them in it.
        if matches!(name, "*" | "?" | "$") {
            out.push_str(name);
        } else {
            let (key, default) = name
                .split_once(',')
                .map_or((name, None), |(key, default)| (key, Some(default)));
            match context
                .get(&key.trim().to_ascii_lowercase())
                .and_then(|values| values.first())
            {
                Some(value) => out.push_str(value),
                None => out.push_str(default?.trim().trim_matches('\'')),
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decided(statements: &Value, action: &str, resource: &str, context: &[(&str, &str)]) -> Decision {
        let document =
            Document::parse(&json!({"Version": "2012-10-17", "Statement": statements}).to_string()).unwrap();
        let context = context
            .iter()
            .map(|(key, value)| (key.to_ascii_lowercase(), vec![(*value).to_owned()]))
            .collect();
        decide([&document], action, resource, &context)
    }

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:notices";

    #[test]
    fn what_nothing_allows_is_not_allowed() {
        let allow = json!({"Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC});
        assert_eq!(decided(&allow, "sns:Publish", TOPIC, &[]), Decision::Allowed);
        assert_eq!(decided(&allow, "SNS:publish", TOPIC, &[]), Decision::Allowed);
        assert_eq!(decided(&allow, "sns:Subscribe", TOPIC, &[]), Decision::NotAllowed);
        assert_eq!(
            decided(
                &allow,
                "sns:Publish",
                "arn:aws:sns:us-east-1:123456789012:other",
                &[]
            ),
            Decision::NotAllowed
        );
    }

    #[test]
    fn a_denial_wins_wherever_it_stands() {
        let statements = json!([
            {"Effect": "Deny", "Action": "sns:*", "Resource": "*"},
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
        ]);
        assert_eq!(decided(&statements, "sns:Publish", TOPIC, &[]), Decision::Denied);
        assert_eq!(
            decided(&statements, "sqs:SendMessage", "*", &[]),
            Decision::Allowed
        );
    }

    #[test]
    fn not_action_and_not_resource_turn_the_match_around() {
        let but = json!({"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::secret/*"});
        assert_eq!(
            decided(&but, "s3:GetObject", "arn:aws:s3:::open/a", &[]),
            Decision::Allowed
        );
        assert_eq!(
            decided(&but, "s3:GetObject", "arn:aws:s3:::secret/a", &[]),
            Decision::NotAllowed
        );
        assert_eq!(
            decided(&but, "iam:GetRole", "arn:aws:s3:::open/a", &[]),
            Decision::NotAllowed
        );
    }

    #[test]
    fn every_condition_must_hold() {
        let statement = json!({
            "Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": "Signalbox"}, "Bool": {"aws:SecureTransport": "true"}},
        });
        let context = [
            ("cloudwatch:Namespace", "Signalbox"),
            ("aws:SecureTransport", "true"),
        ];
        assert_eq!(
            decided(&statement, "cloudwatch:PutMetricData", "*", &context),
            Decision::Allowed
        );
        assert_eq!(
            decided(&statement, "cloudwatch:PutMetricData", "*", &context[..1]),
            Decision::NotAllowed
        );
    }

    #[test]
    fn an_unknown_operator_fails_closed() {
        let condition = json!({"StringMatches": {"aws:SourceIp": "x"}});
        let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition});
        let deny = json!([
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition},
        ]);
        assert_eq!(decided(&allow, "sns:Publish", TOPIC, &[]), Decision::NotAllowed);
        assert_eq!(decided(&deny, "sns:Publish", TOPIC, &[]), Decision::Denied);
    }

    #[test]
    fn variables_are_filled_in_or_match_nothing() {
        let own = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/${aws:PrincipalAccount}/*"});
        let object = "arn:aws:s3:::b/123456789012/k";
        let context = [("aws:PrincipalAccount", "123456789012")];
        assert_eq!(decided(&own, "s3:GetObject", object, &context), Decision::Allowed);
        assert_eq!(decided(&own, "s3:GetObject", object, &[]), Decision::NotAllowed);
    }

    #[test]
    fn a_malformed_document_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"Statement": {"Effect": "Maybe", "Action": "*", "Resource": "*"}}"#,
            r#"{"Statement": {"Effect": "Allow", "Resource": "*"}}"#,
        ] {
            assert!(Document::parse(text).is_err(), "{text}");
        }
    }
}
