//! Reads what the canary analysis compares: metrics by version, and durations from the log.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode,
};
use jiff::Timestamp;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::names::VersionNumber;
use signalbox_decision::validation::canary::{Durations, Version, canary, of_one_window};
use signalbox_decision::validation::policy::{CustomKind, CustomMetric, Policy};
use signalbox_decision::validation::{Finding, Verdict};
use tokio::time::Instant;
use tracing::warn;

use crate::app::App;
use crate::logs::Logs;
use crate::subject::Subject;

/// Between two looks at metrics that have not arrived yet.
const STEP: Duration = Duration::from_secs(2);

/// Compares the versions over the traffic since then, once there is enough of it, or the policy's patience is
/// at its end.
pub(crate) async fn check(app: &App, policy: &Policy, subject: &Subject, since: Timestamp) -> Finding {
    let patience = Instant::now() + subject.patience(policy);
    loop {
        let (mut new, durations, mut trouble) =
            version(app, policy, subject.new_version(), since, since).await;
        let mut old_trouble = Vec::new();
        let old = match &subject.old {
            Some(old) => {
                // The old version had all the traffic before: its durations count from the new one's first on.
                let first = durations.lines.first();
                let first = first.and_then(|(at, _)| Timestamp::from_millisecond(*at).ok());
                let (mut old, of_old, trouble) =
                    version(app, policy, old, since, first.unwrap_or(since)).await;
                (new.durations_ms, old.durations_ms) = of_one_window(&durations, &of_old);
                old_trouble = trouble;
                Some(old)
            }
            None => {
                new.durations_ms = durations.lines.iter().map(|(_, millis)| *millis).collect();
                None
            }
        };
        let mut finding = canary(&new, old.as_ref(), &policy.canary);
        if finding.verdict != Verdict::Inconclusive || Instant::now() + STEP > patience {
            trouble.extend(old_trouble);
            trouble.dedup();
            if !trouble.is_empty() {
                finding.evidence = format!("{}; {}", trouble.join("; "), finding.evidence);
            }
            return finding;
        }
        tokio::time::sleep(STEP).await;
    }
}

/// What is known of a version's traffic through the alias, and why not more. Where it cannot be asked, nothing is
/// known, and nothing is inconclusive.
async fn version(
    app: &App,
    policy: &Policy,
    version: &VersionNumber,
    since: Timestamp,
    durations_since: Timestamp,
) -> (Version, Durations, Vec<String>) {
    let mut trouble = Vec::new();
    let logs = Logs::of(app, Some(version));
    let (metrics, durations) = tokio::join!(
        metrics(app, policy, version, since),
        logs.durations(durations_since)
    );
    let found = metrics.unwrap_or_else(|why| {
        warn!(cause = why, %version, "the metrics cannot be read");
        trouble.push(format!("the metrics cannot be read ({why})"));
        Version::default()
    });
    let durations = durations.unwrap_or_else(|why| {
        warn!(cause = why, %version, "the durations cannot be read");
        trouble.push(format!("the durations cannot be read ({why})"));
        Durations::default()
    });
    (found, durations, trouble)
}

async fn metrics(
    app: &App,
    policy: &Policy,
    version: &VersionNumber,
    since: Timestamp,
) -> Result<Version, String> {
    let start = since.as_second();
    // To the full minute that has begun: the last of the traffic is in it.
    let end = Timestamp::now().as_second().max(start) + 60;
    let custom = policy.canary.custom_metrics.iter().enumerate();
    let custom = custom.map(|(at, metric)| custom_query(at, metric, version));
    let answer = app
        .metrics
        .get_metric_data()
        .start_time(aws_smithy_types::DateTime::from_secs(start))
        .end_time(aws_smithy_types::DateTime::from_secs(end))
        .metric_data_queries(query(app, version, "invocations", "Invocations"))
        .metric_data_queries(query(app, version, "errors", "Errors"))
        .metric_data_queries(query(app, version, "throttles", "Throttles"));
    let answer = custom
        .fold(answer, |answer, query| answer.metric_data_queries(query))
        .send()
        .await
        .map_err(|error| aws_failure(&error).to_string())?;
    // Half of the values would be worse than none: a sum of what happened to be there.
    let is_complete = |result: &MetricDataResult| result.status_code() == Some(&StatusCode::Complete);
    if answer.next_token().is_some() || !answer.metric_data_results().iter().all(is_complete) {
        return Err("they are incomplete".to_owned());
    }
    let values = |id: &str| -> Vec<f64> {
        let results = answer.metric_data_results().iter();
        let of_id = results.filter(|result| result.id() == Some(id));
        of_id.flat_map(|result| result.values().iter().copied()).collect()
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of counts is a whole number"
    )]
    let sum = |id: &str| values(id).iter().sum::<f64>().max(0.0) as u64;
    Ok(Version {
        invocations: sum("invocations"),
        errors: sum("errors"),
        throttles: sum("throttles"),
        durations_ms: Vec::new(),
        custom: (0..policy.canary.custom_metrics.len())
            .map(|at| values(&format!("custom{at}")))
            .collect(),
    })
}

fn dimension(name: &str, value: String) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

fn query(app: &App, version: &VersionNumber, id: &str, metric: &str) -> MetricDataQuery {
    let function = &app.config.function;
    let metric = Metric::builder()
        .namespace("AWS/Lambda")
        .metric_name(metric)
        .dimensions(dimension("FunctionName", function.to_string()))
        .dimensions(dimension("Resource", format!("{function}:{}", app.config.alias)))
        .dimensions(dimension("ExecutedVersion", version.to_string()))
        .build();
    of_minutes(id, metric, "Sum")
}

fn custom_query(at: usize, metric: &CustomMetric, version: &VersionNumber) -> MetricDataQuery {
    let statistic = match metric.kind {
        CustomKind::Count => "Sum",
        CustomKind::Value => "Average",
    };
    let dimensions = metric.dimensions.iter();
    let dimensions =
        dimensions.map(|(name, value)| dimension(name, value.replace("{version}", version.as_str())));
    let metric = Metric::builder()
        .namespace(&metric.namespace)
        .metric_name(&metric.name)
        .set_dimensions(Some(dimensions.collect()))
        .build();
    of_minutes(&format!("custom{at}"), metric, statistic)
}

fn of_minutes(id: &str, metric: Metric, statistic: &str) -> MetricDataQuery {
    let stat = MetricStat::builder()
        .metric(metric)
        .period(60)
        .stat(statistic)
        .build();
    MetricDataQuery::builder().id(id).metric_stat(stat).build()
}
