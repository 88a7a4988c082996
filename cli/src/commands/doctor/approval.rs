//! Who may approve, and whether their requests reach them: the policy, and the subscriptions to the topic. And who
//! hears of what happens, and of what failed.

use aws_sdk_sns::Client;
use serde_json::Value;
use signalbox_bootstrap::{AwsFailure, aws_failure};
use signalbox_decision::approval::policy::Policy;

use super::Patient;
use super::check::Check;
use super::finding::Finding;
use super::stack::Standing;
use crate::output::line;

const POLICY: Check = Check::ApprovalPolicy;
const SUBSCRIPTIONS: Check = Check::Subscriptions;

/// What people are told by the topic of notices.
const NOTICES: &str = "what happens";
/// And by the topic of alerts.
const ALERTS: &str = "of events that could not be handled";

/// A subscription to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subscription {
    protocol: String,
    endpoint: String,
    is_confirmed: bool,
    /// The addresses that its filter policy lets through; `None` without one that names `approver`.
    approvers: Option<Vec<String>>,
}

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let environment = &patient.place.environment;
    let named = patient
        .deployed
        .variable("request-approval", "APPROVAL_POLICY_PARAMETER");
    let name = named.unwrap_or_else(|| patient.place.parameter("approval-policy"));
    let answer = aws_sdk_ssm::Client::new(patient.cloud.sdk())
        .get_parameter()
        .name(&name)
        .send()
        .await;
    let (policy, mut findings) = match answer {
        Ok(answer) => {
            let text = answer.parameter().and_then(|it| it.value()).unwrap_or_default();
            of_policy(&name, text)
        }
        Err(error) => (
            None,
            vec![of_no_policy(
                &name,
                environment.is_production(),
                &aws_failure(&error),
            )],
        ),
    };
    for (function, variable) in [
        ("request-approval", "APPROVAL_TOPIC_ARN"),
        ("start-run", "NOTICE_TOPIC_ARN"),
    ] {
        let Some(topic) = patient.deployed.variable(function, variable) else {
            continue;
        };
        findings.extend(match (subscriptions(patient, &topic).await, function) {
            (Ok(all), "start-run") => vec![of_people(&topic, &all, NOTICES)],
            (Ok(all), _) => of_approvals(&topic, &all, policy.as_ref()),
            (Err(failure), _) => {
                let fix = "Deploy the stack again: it makes the topic.";
                vec![Finding::failed(SUBSCRIPTIONS, topic, &failure, fix)]
            }
        });
    }
    findings.push(of_alerts(patient).await);
    findings
}

/// Whether anybody hears of events that the functions failed at.
async fn of_alerts(patient: &Patient<'_>) -> Finding {
    let stack = patient.place.stack();
    let standing = match Standing::read(patient).await {
        Ok(standing) => standing,
        Err(failure) => {
            let text = format!("whether anybody is told of alarms is not known: {failure}");
            return Finding::unknown(SUBSCRIPTIONS, stack, text);
        }
    };
    let Some(topic) = standing.alert_topic() else {
        let text =
            "it has no output AlertTopicArn, so that nobody is told of events that could not be handled";
        let fix = "Deploy the stack again: it makes the topic.";
        return Finding::wrong(SUBSCRIPTIONS, stack, text, fix);
    };
    match subscriptions(patient, topic).await {
        Ok(all) => of_people(topic, &all, ALERTS),
        Err(failure) => {
            let fix = "Deploy the stack again: it makes the topic.";
            Finding::failed(SUBSCRIPTIONS, topic, &failure, fix)
        }
    }
}

fn of_policy(name: &str, text: &str) -> (Option<Policy>, Vec<Finding>) {
    match Policy::parse(text) {
        Ok(policy) => {
            let count = policy.approvers.len();
            let said = format!("it is valid: {} of {count} must approve", policy.quorum);
            (Some(policy), vec![Finding::sound(POLICY, name, said)])
        }
        Err(mistakes) => (
            None,
            vec![Finding::wrong(
                POLICY,
                name,
                format!(
                    "nobody can approve by link: {}",
                    line(&mistakes.to_string(), 1000)
                ),
                "Mend what is named, in the stack's parameter ApprovalPolicy or in the SSM parameter itself.",
            )],
        ),
    }
}

fn of_no_policy(name: &str, is_needed: bool, failure: &AwsFailure) -> Finding {
    let fix = "Deploy the stack with ApprovalPolicy={\"version\":1,\"approvers\":[{\"email\":\"ann@example.com\"}]}";
    if failure.is("ParameterNotFound") && !is_needed {
        let text = "there is none; this environment's pipeline usually asks nobody";
        return Finding::sound(POLICY, name, text);
    }
    Finding::failed(POLICY, name, failure, fix)
}

async fn subscriptions(patient: &Patient<'_>, topic: &str) -> Result<Vec<Subscription>, AwsFailure> {
    let sns = Client::new(patient.cloud.sdk());
    let listed: Result<Vec<_>, _> = sns
        .list_subscriptions_by_topic()
        .topic_arn(topic)
        .into_paginator()
        .items()
        .send()
        .collect()
        .await;
    let mut all = Vec::new();
    for one in listed.map_err(|error| aws_failure(&error))? {
        let arn = one.subscription_arn().unwrap_or_default();
        // AWS lists a subscription that waits for its confirmation without an ARN.
        let is_confirmed = arn.starts_with("arn:");
        let filter = if is_confirmed {
            let answer = sns
                .get_subscription_attributes()
                .subscription_arn(arn)
                .send()
                .await;
            let answer = answer.map_err(|error| aws_failure(&error))?;
            answer.attributes().and_then(|it| it.get("FilterPolicy").cloned())
        } else {
            None
        };
        all.push(Subscription {
            protocol: one.protocol().unwrap_or_default().to_owned(),
            endpoint: one.endpoint().unwrap_or_default().to_owned(),
            is_confirmed,
            approvers: filter.and_then(|text| approvers(&text)),
        });
    }
    Ok(all)
}

/// The addresses of `{"approver": ["…"]}`.
fn approvers(filter: &str) -> Option<Vec<String>> {
    let filter: Value = serde_json::from_str(filter).ok()?;
    let listed = filter.get("approver")?.as_array()?;
    Some(
        listed
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
    )
}

fn of_people(topic: &str, all: &[Subscription], what: &str) -> Finding {
    if all.iter().any(|one| one.is_confirmed) {
        return Finding::sound(SUBSCRIPTIONS, topic, format!("somebody is told {what}"));
    }
    Finding::doubtful(
        SUBSCRIPTIONS,
        topic,
        format!("nobody is told {what}: it has no confirmed subscription"),
        format!(
            "aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint TEAM@EXAMPLE.COM"
        ),
    )
}

fn of_approvals(topic: &str, all: &[Subscription], policy: Option<&Policy>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = all
        .iter()
        .filter(|one| one.is_confirmed && one.approvers.is_none())
        .map(|one| {
            Finding::wrong(
                SUBSCRIPTIONS,
                topic,
                format!(
                    "{} ({}) has no filter policy, and so gets everybody's link",
                    line(&one.endpoint, 200),
                    one.protocol
                ),
                "aws sns set-subscription-attributes --subscription-arn ARN --attribute-name FilterPolicy \
                 --attribute-value '{\"approver\":[\"THEIR ADDRESS\"]}'",
            )
        })
        .collect();
    let is_slack = policy.is_some_and(|policy| policy.slack.is_some());
    for approver in policy.into_iter().flat_map(Policy::addresses) {
        let address = approver.as_str();
        let listens = |one: &Subscription, is_theirs: &dyn Fn(&str) -> bool| {
            let mut listed = one.approvers.iter().flatten();
            one.is_confirmed && listed.any(|listed| is_theirs(listed))
        };
        let waits = |one: &Subscription| !one.is_confirmed && one.endpoint.eq_ignore_ascii_case(address);
        if all.iter().any(|one| listens(one, &|listed| listed == address)) {
            let text = format!("{address} gets their requests");
            findings.push(Finding::sound(SUBSCRIPTIONS, topic, text));
            continue;
        }
        // SNS compares byte for byte ("String value matching" of its guide on filter policies).
        let is_otherwise_written = |listed: &str| listed.eq_ignore_ascii_case(address);
        let (text, fix) = if all.iter().any(|one| listens(one, &is_otherwise_written)) {
            (
                format!("{address} gets no request: the subscription's filter policy has other capitals"),
                format!(
                    "aws sns set-subscription-attributes --subscription-arn ARN --attribute-name FilterPolicy \
                     --attribute-value '{{\"approver\":[\"{address}\"]}}', or write the policy's address as it is there"
                ),
            )
        } else if all.iter().any(waits) {
            (
                format!("{address} has not confirmed the subscription"),
                "They follow the link in AWS's mail; subscribe them again where it has expired (3 days)."
                    .to_owned(),
            )
        } else {
            (
                format!("{address} may approve and gets no request"),
                format!(
                    "aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint {address} --attributes \
                     '{{\"FilterPolicy\":\"{{\\\"approver\\\":[\\\"{address}\\\"]}}\"}}'"
                ),
            )
        };
        // In Slack everybody in the channel sees the request.
        findings.push(if is_slack {
            Finding::doubtful(SUBSCRIPTIONS, topic, text, fix)
        } else {
            Finding::wrong(SUBSCRIPTIONS, topic, text, fix)
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn subscription(endpoint: &str, is_confirmed: bool, approvers: Option<&[&str]>) -> Subscription {
        Subscription {
            protocol: "email".to_owned(),
            endpoint: endpoint.to_owned(),
            is_confirmed,
            approvers: approvers.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
        }
    }

    fn policy() -> Policy {
        let text = r#"{"version":1,"approvers":[{"email":"ann@example.com"},{"email":"ben@example.com"}]}"#;
        Policy::parse(text).unwrap()
    }

    #[test]
    fn each_approver_hears_of_their_own_requests_only() {
        let sound = [
            subscription("Ann@example.com", true, Some(&["ann@example.com"])),
            subscription("ben@example.com", true, Some(&["ben@example.com"])),
        ];
        let found = of_approvals("t", &sound, Some(&policy()));
        assert!(found.iter().all(|one| one.verdict == Verdict::Sound), "{found:?}");

        // SNS compares byte for byte: the request for ann@example.com goes to nobody.
        let capitals = subscription("ann@example.com", true, Some(&["Ann@Example.com"]));
        let found = of_approvals("t", &[capitals, sound[1].clone()], Some(&policy()));
        let wrong: Vec<&Finding> = found.iter().filter(|one| one.verdict == Verdict::Wrong).collect();
        assert!(
            matches!(wrong.as_slice(), [one] if one.text.contains("other capitals")),
            "{found:?}"
        );

        let everything = subscription("boss@example.com", true, None);
        let waiting = subscription("ben@example.com", false, None);
        let found = of_approvals("t", &[sound[0].clone(), everything, waiting], Some(&policy()));
        let wrong: Vec<&str> = found
            .iter()
            .filter(|one| one.verdict == Verdict::Wrong)
            .map(|one| one.text.as_str())
            .collect();
        assert_eq!(
            wrong,
            [
                "boss@example.com (email) has no filter policy, and so gets everybody's link",
                "ben@example.com has not confirmed the subscription"
            ]
        );
        let found = of_approvals("t", &sound[..1], Some(&policy()));
        assert!(
            found[1]
                .text
                .contains("ben@example.com may approve and gets no request")
        );
        assert!(
            found[1]
                .fix
                .as_deref()
                .unwrap()
                .contains(r#"{\"approver\":[\"ben@example.com\"]}"#)
        );
    }

    #[test]
    fn a_topic_for_everybody_has_a_confirmed_subscription() {
        let waiting = subscription("on-call@example.com", false, None);
        let found = of_people("t", std::slice::from_ref(&waiting), ALERTS);
        assert_eq!(found.verdict, Verdict::Doubtful);
        assert_eq!(
            found.text,
            "nobody is told of events that could not be handled: it has no confirmed subscription"
        );
        assert!(found.fix.unwrap().contains("aws sns subscribe --topic-arn t"));
        let confirmed = subscription("on-call@example.com", true, None);
        let found = of_people("t", &[waiting, confirmed], ALERTS);
        assert_eq!(found.verdict, Verdict::Sound);
    }

    #[test]
    fn a_missing_policy_is_wrong_where_people_have_to_approve() {
        let missing = AwsFailure {
            code: Some("ParameterNotFound".to_owned()),
            message: String::new(),
            retryable: false,
            refused: true,
        };
        assert_eq!(of_no_policy("p", true, &missing).verdict, Verdict::Wrong);
        assert_eq!(of_no_policy("p", false, &missing).verdict, Verdict::Sound);
        let (policy, found) = of_policy("p", r#"{"version":1,"approvers":[]}"#);
        assert!(policy.is_none() && found[0].verdict == Verdict::Wrong);
    }

    #[test]
    fn a_filter_policy_names_its_approvers() {
        let named = approvers(r#"{"approver":["ann@example.com"]}"#).unwrap();
        assert_eq!(named, ["ann@example.com"]);
        assert_eq!(approvers(r#"{"severity":["high"]}"#), None);
        assert_eq!(approvers("no json"), None);
    }
}
