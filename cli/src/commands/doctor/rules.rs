//! The rules: on, aimed at their functions, and allowed to invoke them.

use aws_sdk_eventbridge::types::{RuleState, Target};
use futures::future::join_all;
use serde_json::Value;
use signalbox_bootstrap::aws_failure;

use super::Patient;
use super::check::Check;
use super::finding::Finding;
use super::stack::{Function, Rule, Template};

const CHECK: Check = Check::Rules;

/// A rule as it is.
#[derive(Debug, Clone)]
struct Found {
    arn: String,
    is_enabled: bool,
    pattern: Option<Value>,
    targets: Vec<Target>,
}

pub(super) async fn check(patient: &Patient<'_>, template: &Template) -> Vec<Finding> {
    let functions = template
        .functions
        .iter()
        .filter(|function| !function.rules.is_empty());
    let found = join_all(functions.map(|function| of_function(patient, function))).await;
    found.into_iter().flatten().collect()
}

async fn of_function(patient: &Patient<'_>, function: &Function) -> Vec<Finding> {
    let lambda = aws_sdk_lambda::Client::new(patient.cloud.sdk());
    let policy = lambda.get_policy().function_name(&function.name).send().await;
    let policy = match policy {
        Ok(answer) => serde_json::from_str(answer.policy().unwrap_or_default()).unwrap_or_default(),
        // Nobody may invoke it.
        Err(error) if aws_failure(&error).is("ResourceNotFoundException") => Value::Null,
        Err(error) => {
            return vec![Finding::unknown(
                CHECK,
                function.name.as_str(),
                aws_failure(&error).to_string(),
            )];
        }
    };
    let fix = "Deploy the stack again: it makes the rule.";
    let found = join_all(function.rules.iter().map(|rule| async {
        match look(patient, &rule.name).await {
            Ok(found) => judge(patient, function, rule, &found, &policy),
            Err(failure) => Finding::failed(CHECK, rule.name.as_str(), &failure, fix),
        }
    }));
    found.await
}

async fn look(patient: &Patient<'_>, name: &str) -> Result<Found, signalbox_bootstrap::AwsFailure> {
    let events = aws_sdk_eventbridge::Client::new(patient.cloud.sdk());
    let (rule, targets) = tokio::join!(
        events.describe_rule().name(name).send(),
        events.list_targets_by_rule().rule(name).send(),
    );
    let rule = rule.map_err(|error| aws_failure(&error))?;
    let targets = targets.map_err(|error| aws_failure(&error))?;
    Ok(Found {
        arn: rule.arn().unwrap_or_default().to_owned(),
        is_enabled: rule.state() != Some(&RuleState::Disabled),
        pattern: rule
            .event_pattern()
            .and_then(|text| serde_json::from_str(text).ok()),
        targets: targets.targets().to_vec(),
    })
}

fn judge(patient: &Patient<'_>, function: &Function, rule: &Rule, found: &Found, policy: &Value) -> Finding {
    let name = rule.name.as_str();
    let again = "Deploy the stack again; nobody should change its parts by hand.";
    if !found.is_enabled {
        return Finding::wrong(
            CHECK,
            name,
            format!(
                "it is switched off, so that {} hears nothing of it",
                function.name
            ),
            format!("aws events enable-rule --name {name}"),
        );
    }
    let expected = patient.deployed.arn(&function.name);
    let target = found.targets.iter().find(|target| {
        Some(target.arn()) == expected || target.arn().ends_with(&format!(":{}", function.name))
    });
    let Some(target) = target else {
        let text = format!("{} is no target of it", function.name);
        return Finding::wrong(CHECK, name, text, again);
    };
    if target.dead_letter_config().and_then(|it| it.arn()).is_none() {
        let text = "what it cannot hand over is lost: its target has no dead-letter queue";
        return Finding::wrong(CHECK, name, text, again);
    }
    if !may_invoke(policy, &found.arn) {
        let text = format!("it may not invoke {}", function.name);
        let fix = format!(
            "Deploy the stack again, or: aws lambda add-permission --function-name {} --statement-id {name} --action \
             lambda:InvokeFunction --principal events.amazonaws.com --source-arn {}",
            function.name, found.arn
        );
        return Finding::wrong(CHECK, name, text, fix);
    }
    let watches = found
        .pattern
        .as_ref()
        .and_then(|pattern| pattern.pointer("/detail/bucket/name"));
    if let Some(buckets) = watches.and_then(Value::as_array)
        && !buckets.iter().any(|bucket| bucket == patient.bucket.as_str())
    {
        return Finding::wrong(
            CHECK,
            name,
            format!("it does not listen to bucket {}", patient.bucket),
            "Give the stack's parameter SourceBucketName the bucket's name, and deploy it again.",
        );
    }
    Finding::sound(CHECK, name, format!("it reaches {}", function.name))
}

/// Whether a function's policy lets EventBridge invoke it for this rule.
fn may_invoke(policy: &Value, rule: &str) -> bool {
    let statements = policy.get("Statement").and_then(Value::as_array);
    statements.into_iter().flatten().any(|statement| {
        let is =
            |pointer: &str, wanted: &str| statement.pointer(pointer).and_then(Value::as_str) == Some(wanted);
        let condition = statement.get("Condition").and_then(Value::as_object);
        let sources: Vec<&str> = condition
            .into_iter()
            .flat_map(|it| it.values())
            .filter_map(Value::as_object)
            .flatten()
            .filter(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn"))
            .filter_map(|(_, value)| value.as_str())
            .collect();
        is("/Effect", "Allow")
            && is("/Principal/Service", "events.amazonaws.com")
            && is("/Action", "lambda:InvokeFunction")
            && (sources.is_empty() || sources.contains(&rule))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_lets_eventbridge_in_for_its_own_rule_only() {
        let policy = |effect: &str, source: &str| {
            json!({ "Statement": [{
                "Effect": effect, "Principal": { "Service": "events.amazonaws.com" },
                "Action": "lambda:InvokeFunction",
                "Condition": { "ArnLike": { "AWS:SourceArn": source } },
            }]})
        };
        assert!(may_invoke(&policy("Allow", "rule-a"), "rule-a"));
        assert!(!may_invoke(&policy("Allow", "rule-b"), "rule-a"));
        assert!(!may_invoke(&policy("Deny", "rule-a"), "rule-a"));
        assert!(!may_invoke(&Value::Null, "rule-a"));
    }
}
