//! Reads what the preflight judges: the deployment group's alarms, and what is remembered of the code.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{
    ActionsSuppressedBy, AlarmType, CompositeAlarm, Dimension, MetricAlarm, StateValue,
};
use jiff::Timestamp;
use signalbox_bootstrap::{aws_failure, moment};
use signalbox_decision::validation::policy::Policy;
use signalbox_decision::validation::preflight::{
    Alarm, Found, LookedAt, Metric, Part, may_settle, preflight,
};
use signalbox_decision::validation::{Finding, known_bad};

use tokio::time::Instant;

use crate::app::App;
use crate::error::Error;
use crate::subject::{Subject, names};

/// `DescribeAlarms` takes so many names at once (API reference); a deployment group has at most 10 alarms.
const AT_ONCE: usize = 100;

/// So many alarms are read at most: composite alarms may be made of composite ones, without a bound of CloudWatch's.
/// What is beyond is reported as not judged.
const MOST: usize = 200;

/// Between two looks at an alarm that may turn green.
const STEP: Duration = Duration::from_secs(2);

/// Whether the alarms of the deployment's group can see the new version.
pub(crate) async fn check(app: &App, policy: &Policy, subject: &Subject) -> Result<Finding, Error> {
    let patience = Instant::now() + subject.patience(policy);
    loop {
        let alarms = read(app, subject).await?;
        if !may_settle(&alarms, Timestamp::now()) || Instant::now() + STEP > patience {
            return Ok(preflight(&subject.deployment, &alarms));
        }
        tokio::time::sleep(STEP).await;
    }
}

async fn read(app: &App, subject: &Subject) -> Result<Vec<Alarm>, Error> {
    let answer = app
        .deployments
        .get_deployment_group()
        .application_name(&subject.application)
        .deployment_group_name(&subject.group)
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "GetDeploymentGroup",
            failure: aws_failure(&error),
        })?;
    // Whether CodeDeploy itself acts on them or not: roll-back acts on this list in either case.
    let listed = answer
        .deployment_group_info()
        .and_then(|info| info.alarm_configuration())
        .map(names)
        .unwrap_or_default();
    with_parts(app, listed).await
}

/// The alarms of these names, and those that the composite ones among them are made of, on every level: they are where
/// the metrics are.
async fn with_parts(app: &App, listed: Vec<String>) -> Result<Vec<Alarm>, Error> {
    let mut looked_at = LookedAt::default();
    let mut wanted = looked_at.listed(listed);
    let mut all = Vec::new();
    while !wanted.is_empty() && all.len() < MOST {
        let too_many = wanted.split_off(wanted.len().min(MOST - all.len()));
        let level = described(app, wanted).await?;
        let parts = level
            .iter()
            .flat_map(|(alarm, rule)| looked_at.parts_of(&alarm.name, rule));
        wanted = too_many.into_iter().chain(parts).collect();
        all.extend(level.into_iter().map(|(alarm, _)| alarm));
    }
    all.extend(wanted.into_iter().map(unread));
    Ok(all)
}

/// An alarm that is there, and of which nothing is known: there are too many.
fn unread(part: Part) -> Alarm {
    Alarm {
        name: part.name,
        found: Some(Found {
            is_red: false,
            changed: None,
            reason: String::new(),
            actions_enabled: true,
            suppressed_by: None,
            is_composite: false,
            metrics: Vec::new(),
        }),
        part_of: part.of,
    }
}

/// Alarms as they are, each with its rule where it is a composite one.
async fn described(app: &App, wanted: Vec<Part>) -> Result<Vec<(Alarm, String)>, Error> {
    let mut found = Vec::new();
    for wanted in wanted.chunks(AT_ONCE) {
        let answer = app
            .metrics
            .describe_alarms()
            .set_alarm_names(Some(wanted.iter().map(|part| part.name.clone()).collect()))
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .max_records(100)
            .send()
            .await
            .map_err(|error| Error::Aws {
                call: "DescribeAlarms",
                failure: aws_failure(&error),
            })?;
        for Part { name, of } in wanted {
            let metric = answer
                .metric_alarms()
                .iter()
                .find(|alarm| alarm.alarm_name() == Some(name));
            let composite = answer
                .composite_alarms()
                .iter()
                .find(|alarm| alarm.alarm_name() == Some(name));
            let rule = composite.and_then(|alarm| alarm.alarm_rule()).unwrap_or_default();
            let alarm = Alarm {
                name: name.clone(),
                found: metric.map(of_metric).or_else(|| composite.map(of_composite)),
                part_of: of.clone(),
            };
            found.push((alarm, rule.to_owned()));
        }
    }
    Ok(found)
}

fn of_metric(alarm: &MetricAlarm) -> Found {
    let single = alarm.metric_name().map(|name| Metric {
        namespace: alarm.namespace().unwrap_or_default().to_owned(),
        name: name.to_owned(),
        dimensions: dimensions(alarm.dimensions()),
    });
    let queried = alarm.metrics().iter().filter_map(|query| {
        let metric = query.metric_stat()?.metric()?;
        Some(Metric {
            namespace: metric.namespace().unwrap_or_default().to_owned(),
            name: metric.metric_name().unwrap_or_default().to_owned(),
            dimensions: dimensions(metric.dimensions()),
        })
    });
    Found {
        is_red: alarm.state_value() == Some(&StateValue::Alarm),
        changed: alarm.alarm_configuration_updated_timestamp().and_then(moment),
        reason: alarm.state_reason().unwrap_or_default().to_owned(),
        actions_enabled: alarm.actions_enabled() != Some(false),
        suppressed_by: None,
        is_composite: false,
        metrics: single.into_iter().chain(queried).collect(),
    }
}

fn of_composite(alarm: &CompositeAlarm) -> Found {
    let suppressed = matches!(
        alarm.actions_suppressed_by(),
        Some(
            ActionsSuppressedBy::Alarm
                | ActionsSuppressedBy::WaitPeriod
                | ActionsSuppressedBy::ExtensionPeriod
        )
    );
    Found {
        is_red: alarm.state_value() == Some(&StateValue::Alarm),
        changed: alarm.alarm_configuration_updated_timestamp().and_then(moment),
        reason: alarm.state_reason().unwrap_or_default().to_owned(),
        actions_enabled: alarm.actions_enabled() != Some(false),
        suppressed_by: suppressed.then(|| alarm.actions_suppressor().unwrap_or("its suppressor").to_owned()),
        is_composite: true,
        metrics: Vec::new(),
    }
}

fn dimensions(dimensions: &[Dimension]) -> std::collections::BTreeMap<String, String> {
    let pair = |dimension: &Dimension| Some((dimension.name()?.to_owned(), dimension.value()?.to_owned()));
    dimensions.iter().filter_map(pair).collect()
}

/// Whether the new version's code was rolled back before.
pub(crate) async fn check_code(app: &App, subject: &Subject, now: Timestamp) -> Result<Finding, Error> {
    let function = app.config.function.as_str();
    let configuration = app
        .functions
        .get_function_configuration()
        .function_name(function)
        .qualifier(subject.new_version().as_str())
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "GetFunctionConfiguration",
            failure: aws_failure(&error),
        })?;
    let code = configuration.code_sha256().unwrap_or_default();
    let name = known_bad::name(function, code);
    let remembered = app.ledger.get_value(known_bad::KIND, &name, now).await?;
    Ok(known_bad::known_bad(code, remembered.as_ref()))
}
