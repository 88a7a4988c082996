//! The application's alarms: there, and watching what Lambda really emits. An alarm on dimensions that nobody
//! sends stays in INSUFFICIENT_DATA for ever, and no deployment is ever rolled back by it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{AlarmType, Dimension, MetricAlarm};
use aws_sdk_codedeploy::types::{AutoRollbackEvent, DeploymentGroupInfo};
use signalbox_bootstrap::{AwsFailure, aws_failure};

use super::Patient;
use super::check::Check;
use super::finding::Finding;
use super::functions::HOOK_PREFIX;

const CHECK: Check = Check::AlarmDimensions;
const GROUP: Check = Check::DeploymentGroup;

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let application = patient.application();
    let named = patient.deployed.variable("sweep", "ALARM_NAME_PREFIX");
    let prefix = named.unwrap_or_else(|| format!("{application}-"));
    let client = Client::new(patient.cloud.sdk());
    let pages: Result<Vec<_>, _> = client
        .describe_alarms()
        .alarm_name_prefix(&prefix)
        .alarm_types(AlarmType::MetricAlarm)
        .into_paginator()
        .send()
        .collect()
        .await;
    let group = group(patient, &application).await;
    let alarms: Vec<MetricAlarm> = match pages {
        Ok(pages) => pages
            .iter()
            .flat_map(|page| page.metric_alarms().to_vec())
            .collect(),
        Err(error) => {
            return vec![
                Finding::unknown(CHECK, format!("{prefix}*"), aws_failure(&error).to_string()),
                group.1,
            ];
        }
    };
    let alias = patient.deployed.variable("before-traffic", "ALIAS_NAME");
    let alias = alias.unwrap_or_else(|| "live".to_owned());
    let mut findings: Vec<Finding> = alarms
        .iter()
        .map(|alarm| of_alarm(alarm, &application, &alias))
        .collect();
    if alarms.is_empty() {
        findings.push(Finding::doubtful(
            CHECK,
            format!("{prefix}*"),
            "no alarm has a name that begins so, so that nothing is ever rolled back",
            "The application's first deployment makes them; if it has been deployed, give the stack's parameter \
             AlarmNamePrefix their names' beginning.",
        ));
    }
    if let Some(info) = &group.0 {
        findings.extend(match existing(&client, &listed(info)).await {
            Ok(existing) => of_listed(info, &existing, &prefix),
            Err(failure) => vec![Finding::unknown(GROUP, "its alarms", failure.to_string())],
        });
        findings.extend(of_hooks(info));
    }
    findings.push(group.1);
    findings
}

async fn group(patient: &Patient<'_>, application: &str) -> (Option<DeploymentGroupInfo>, Finding) {
    let named = |variable, default: String| {
        patient
            .deployed
            .variable("roll-back", variable)
            .unwrap_or(default)
    };
    let codedeploy = named("CODEDEPLOY_APPLICATION", application.to_owned());
    let name = named("DEPLOYMENT_GROUP", format!("{application}-live"));
    let subject = format!("{codedeploy}/{name}");
    let answer = aws_sdk_codedeploy::Client::new(patient.cloud.sdk())
        .get_deployment_group()
        .application_name(&codedeploy)
        .deployment_group_name(&name)
        .send()
        .await;
    match answer {
        Ok(answer) => (
            answer.deployment_group_info,
            Finding::sound(GROUP, subject, "it is there"),
        ),
        Err(error) => {
            let failure = aws_failure(&error);
            let is_missing = failure
                .code
                .as_deref()
                .is_some_and(|code| code.contains("DoesNotExist"));
            let finding = if is_missing {
                Finding::doubtful(
                    GROUP,
                    subject,
                    "it is not there, so that nothing can be rolled back",
                    "The application's first deployment makes it; if it has been deployed, give the stack's \
                     parameters CodeDeployApplicationName and DeploymentGroupName the right names.",
                )
            } else {
                Finding::unknown(GROUP, subject, failure.to_string())
            };
            (None, finding)
        }
    }
}

/// The alarms that stop the group's deployments.
fn listed(group: &DeploymentGroupInfo) -> Vec<String> {
    let alarms = group.alarm_configuration().map(|it| it.alarms());
    let names = alarms.unwrap_or_default().iter().filter_map(|alarm| alarm.name());
    names.map(str::to_owned).collect()
}

/// Those of these alarms that there are, of whatever kind and name.
async fn existing(client: &Client, names: &[String]) -> Result<BTreeSet<String>, AwsFailure> {
    if names.is_empty() {
        // CloudWatch would tell of all alarms.
        return Ok(BTreeSet::new());
    }
    // A group has at most 10 alarms (CodeDeploy's quotas), and this takes 100.
    let answer = client
        .describe_alarms()
        .set_alarm_names(Some(names.to_vec()))
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .max_records(100)
        .send()
        .await
        .map_err(|error| aws_failure(&error))?;
    let metric = answer.metric_alarms().iter().filter_map(|it| it.alarm_name());
    let composite = answer.composite_alarms().iter().filter_map(|it| it.alarm_name());
    Ok(metric.chain(composite).map(str::to_owned).collect())
}

/// The group's alarms that stop no deployment: those that are not there, and those that roll-back never hears of.
fn of_listed(group: &DeploymentGroupInfo, existing: &BTreeSet<String>, prefix: &str) -> Vec<Finding> {
    let subject = group.deployment_group_name().unwrap_or_default();
    let is_heard = |name: &str| codedeploy_acts(group) || name.starts_with(prefix);
    let of_one = |name: String| {
        if !existing.contains(&name) {
            return Some(Finding::wrong(
                GROUP,
                subject,
                format!("its alarm {name} is not there, so that it never stops a deployment"),
                "Deploy the application's stack again: it makes the alarm.",
            ));
        }
        // The rule that hands alarms to roll-back and the sweep that makes up for it both look at the name alone.
        (!is_heard(&name)).then(|| {
            Finding::wrong(
                GROUP,
                subject,
                format!(
                    "its alarm {name} never reaches roll-back, whose alarms' names begin with {prefix}, and CodeDeploy \
                     does not act on it either"
                ),
                format!(
                    "Give the alarm a name that begins with {prefix}, or the stack's parameter AlarmNamePrefix a \
                     beginning that the names of all of the group's alarms share."
                ),
            )
        })
    };
    listed(group).into_iter().filter_map(of_one).collect()
}

/// Whether CodeDeploy itself undoes a deployment on the group's alarms: what roll-back then leaves to it.
fn codedeploy_acts(group: &DeploymentGroupInfo) -> bool {
    let is_watched = group.alarm_configuration().is_some_and(|it| it.enabled());
    let rolls_back = group
        .auto_rollback_configuration()
        .is_some_and(|it| it.enabled() && it.events().contains(&AutoRollbackEvent::DeploymentStopOnAlarm));
    is_watched && rolls_back
}

/// Hooks under names that CodeDeploy may not call.
fn of_hooks(group: &DeploymentGroupInfo) -> Vec<Finding> {
    let revision = group.target_revision();
    let text = revision
        .and_then(|revision| {
            let content = revision.app_spec_content().and_then(|it| it.content());
            let string = revision.string().and_then(|it| it.content());
            content.or(string)
        })
        .unwrap_or_default();
    let of_hook = |hook: String| {
        if hook.starts_with(HOOK_PREFIX) {
            Finding::sound(
                Check::HookNames,
                hook,
                "the newest deployment's hook may be called",
            )
        } else {
            let text = "it is a hook of the newest deployment, and CodeDeploy's managed role may not call a function \
                        of this name";
            let fix =
                format!("Name it {HOOK_PREFIX}…, or allow CodeDeploy's role lambda:InvokeFunction on it.");
            Finding::wrong(Check::HookNames, hook, text, fix)
        }
    };
    hooks(text).into_iter().map(of_hook).collect()
}

/// The functions that an AppSpec names as hooks.
fn hooks(app_spec: &str) -> Vec<String> {
    let spec: serde_yaml_ng::Value = serde_yaml_ng::from_str(app_spec).unwrap_or_default();
    let hooks = spec
        .get("Hooks")
        .or_else(|| spec.get("hooks"))
        .and_then(|hooks| hooks.as_sequence());
    hooks
        .into_iter()
        .flatten()
        .filter_map(|hook| hook.as_mapping())
        .flat_map(|hook| hook.values())
        .filter_map(|name| name.as_str())
        .map(|name| name.split(":function:").last().unwrap_or(name).to_owned())
        .collect()
}

/// Dimensions by name.
type Dimensions = BTreeMap<String, String>;

fn of_alarm(alarm: &MetricAlarm, function: &str, alias: &str) -> Finding {
    let name = alarm.alarm_name().unwrap_or_default();
    let problems: Vec<String> = metrics(alarm)
        .iter()
        .filter(|(namespace, _)| namespace == "AWS/Lambda")
        .filter_map(|(_, dimensions)| problem(dimensions, function, alias))
        .collect();
    match problems.first() {
        None => Finding::sound(CHECK, name, "it watches what Lambda emits"),
        Some(problem) => Finding::wrong(
            CHECK,
            name,
            format!("it never gets data: {problem}"),
            format!(
                "Watch FunctionName={function}; for an alias, Resource={function}:{alias} too; for one version during a \
                 canary, ExecutedVersion as well. templates/lambda-deployment-template.yaml does."
            ),
        ),
    }
}

/// The metrics that an alarm reads: its own, or those of its expression.
fn metrics(alarm: &MetricAlarm) -> Vec<(String, Dimensions)> {
    let by_name = |dimensions: &[Dimension]| {
        let pairs = dimensions
            .iter()
            .filter_map(|one| Some((one.name()?.to_owned(), one.value()?.to_owned())));
        pairs.collect()
    };
    let own = alarm
        .namespace()
        .map(|namespace| (namespace.to_owned(), by_name(alarm.dimensions())));
    let of_expression = alarm.metrics().iter().filter_map(|query| {
        let metric = query.metric_stat()?.metric()?;
        Some((metric.namespace()?.to_owned(), by_name(metric.dimensions())))
    });
    own.into_iter().chain(of_expression).collect()
}

/// Why Lambda never emits a metric with these dimensions for this function.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html>
fn problem(dimensions: &Dimensions, function: &str, alias: &str) -> Option<String> {
    let names: Vec<&str> = dimensions.keys().map(String::as_str).collect();
    let of = |name: &str| dimensions.get(name).map(String::as_str);
    if !matches!(
        names.as_slice(),
        [] | ["FunctionName"]
            | ["FunctionName", "Resource"]
            | ["ExecutedVersion", "FunctionName", "Resource"]
    ) {
        return Some(format!("Lambda emits nothing by {} together", names.join(", ")));
    }
    if let Some(other) = of("FunctionName").filter(|name| *name != function) {
        return Some(format!(
            "FunctionName is {other}, and the application is {function}"
        ));
    }
    let resource = of("Resource")?;
    let qualifier = resource
        .strip_prefix(function)
        .and_then(|rest| rest.strip_prefix(':'));
    if resource != function && qualifier.is_none() {
        return Some(format!(
            "Resource is {resource}, and Lambda says {function}:{alias}"
        ));
    }
    let is_alias = qualifier.is_some_and(|it| !it.bytes().all(|byte| byte.is_ascii_digit()));
    if of("ExecutedVersion").is_some() && !is_alias {
        return Some(format!(
            "Lambda emits ExecutedVersion for an alias only, and Resource is {resource}"
        ));
    }
    if let Some(other) = qualifier.filter(|it| is_alias && *it != alias) {
        return Some(format!(
            "Resource names the alias {other}, and traffic comes by {alias}"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use aws_sdk_codedeploy::types::{Alarm, AlarmConfiguration, AutoRollbackConfiguration};

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn an_alarm_of_another_name_is_heard_where_codedeploy_acts_itself_only() {
        let group = |is_watched: bool, event: AutoRollbackEvent| {
            let alarms = ["app-errors", "unwell", "gone"].map(|name| Alarm::builder().name(name).build());
            let watched = AlarmConfiguration::builder()
                .enabled(is_watched)
                .set_alarms(Some(alarms.to_vec()));
            let rollback = AutoRollbackConfiguration::builder().enabled(true).events(event);
            DeploymentGroupInfo::builder()
                .deployment_group_name("app-live")
                .alarm_configuration(watched.build())
                .auto_rollback_configuration(rollback.build())
                .build()
        };
        let existing = BTreeSet::from(["app-errors".to_owned(), "unwell".to_owned()]);
        let found = |group: &DeploymentGroupInfo| {
            let found = of_listed(group, &existing, "app-");
            assert!(
                found
                    .iter()
                    .all(|one| one.verdict == Verdict::Wrong && one.fix.is_some()),
                "{found:?}"
            );
            found.into_iter().map(|one| one.text).collect::<Vec<_>>()
        };
        let only_gone = ["its alarm gone is not there, so that it never stops a deployment"];
        assert_eq!(
            found(&group(true, AutoRollbackEvent::DeploymentStopOnAlarm)),
            only_gone
        );
        for signalbox_acts in [
            group(false, AutoRollbackEvent::DeploymentStopOnAlarm),
            // CodeDeploy would stop it, and leave the bad version its traffic.
            group(true, AutoRollbackEvent::DeploymentFailure),
        ] {
            let found = found(&signalbox_acts);
            assert_eq!(found.len(), 2, "{found:?}");
            assert!(
                found[0].starts_with("its alarm unwell never reaches roll-back"),
                "{found:?}"
            );
            assert_eq!(found[1..], only_gone);
        }
    }

    fn said(dimensions: &[(&str, &str)]) -> Option<String> {
        let all = dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        problem(&all.collect(), "app", "live")
    }

    #[test]
    fn what_lambda_emits_is_no_problem() {
        for sound in [
            &[][..],
            &[("FunctionName", "app")],
            &[("FunctionName", "app"), ("Resource", "app")],
            &[("FunctionName", "app"), ("Resource", "app:live")],
            &[("FunctionName", "app"), ("Resource", "app:7")],
            &[
                ("FunctionName", "app"),
                ("Resource", "app:live"),
                ("ExecutedVersion", "7"),
            ],
        ] {
            assert_eq!(said(sound), None, "{sound:?}");
        }
    }

    #[test]
    fn what_lambda_never_emits_is_named() {
        for (wrong, words) in [
            (
                &[("FunctionName", "app"), ("Alias", "live")][..],
                "Alias, FunctionName together",
            ),
            (
                &[("FunctionName", "app"), ("ExecutedVersion", "7")],
                "ExecutedVersion, FunctionName together",
            ),
            (&[("FunctionName", "other")], "FunctionName is other"),
            (
                &[("FunctionName", "app"), ("Resource", "live")],
                "Resource is live",
            ),
            (
                &[("FunctionName", "app"), ("Resource", "app:old")],
                "names the alias old",
            ),
            (
                &[
                    ("FunctionName", "app"),
                    ("Resource", "app:7"),
                    ("ExecutedVersion", "7"),
                ],
                "for an alias only",
            ),
        ] {
            let said = said(wrong).unwrap_or_default();
            assert!(said.contains(words), "{wrong:?}: {said}");
        }
    }

    #[test]
    fn hooks_are_read_from_yaml_and_json() {
        let yaml = "version: 0.0\nHooks:\n  - BeforeAllowTraffic: CodeDeployHook_a\n";
        assert_eq!(hooks(yaml), ["CodeDeployHook_a"]);
        let json = r#"{"hooks":[{"AfterAllowTraffic":"arn:aws:lambda:eu-west-1:1:function:b"}]}"#;
        assert_eq!(hooks(json), ["b"]);
        assert!(hooks("").is_empty());
    }
}
