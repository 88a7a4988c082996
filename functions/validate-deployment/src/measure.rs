//! Measures the version: requests of our own, its metrics, its logs.

use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode,
};
use aws_sdk_lambda::primitives::Blob;
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_bootstrap::aws_failure;
use signalbox_decision::names::VersionNumber;
use signalbox_decision::validation::{self, Answer, Finding, Probe, VersionMetrics};
use tokio::time::Instant;
use tracing::warn;

use crate::app::{App, Hook};
use crate::logs::Logs;
use crate::subject::Subject;

/// Requests one after the other in the performance check.
const SEQUENTIAL: usize = 20;

/// All checks of this function's hook.
pub(crate) async fn all(app: &App, subject: &Subject) -> Vec<Finding> {
    let bounds = &app.config.bounds;
    // The first request meets a cold start: it counts as warm-up and basic invocation, not as performance.
    let first = probe(app, subject, &app.config.sound).await;
    let mut findings = vec![validation::invocation(Some(&first))];

    let mut refused = Vec::new();
    for bad in bad_requests() {
        refused.push(probe(app, subject, &bad).await);
    }
    findings.push(validation::error_handling(&refused));

    let mut sequential = Vec::with_capacity(SEQUENTIAL);
    for _ in 0..SEQUENTIAL {
        sequential.push(probe(app, subject, &app.config.sound).await);
    }
    findings.push(validation::performance(&sequential, bounds));

    let concurrency = usize::try_from(app.config.concurrency).unwrap_or(1);
    let concurrent: Vec<Probe> = futures::stream::iter(0..app.config.requests)
        .map(|_| probe(app, subject, &app.config.sound))
        .buffer_unordered(concurrency)
        .collect()
        .await;
    findings.push(validation::load(&concurrent, app.config.concurrency, bounds));

    // One request more, whose lines prove that what was logged before it has arrived.
    let last = Timestamp::now();
    let _ = probe(app, subject, &app.config.sound).await;
    let logs = Logs {
        client: &app.logs,
        group: format!("/aws/lambda/{}", app.config.function),
        version: subject.new.as_ref(),
    };
    let lines = logs.bad_lines(subject.since, last).await;
    findings.push(validation::logs(lines.as_deref().map_err(String::as_str)));
    if let (Hook::AfterAllowTraffic, Some(new)) = (app.config.hook, &subject.new) {
        let new = version_metrics(app, new, subject.since).await;
        let old = match &subject.old {
            Some(old) => Some(version_metrics(app, old, subject.since).await),
            None => None,
        };
        findings.push(validation::comparison(new, old, bounds));
    }
    findings
}

/// Requests that no application should serve: an unknown action, a missing one, and no object at all.
fn bad_requests() -> [Value; 4] {
    [
        json!({"action": "signalbox-no-such-action"}),
        json!({}),
        json!({"action": "create", "data": "not an object"}),
        json!(["not", "an", "object"]),
    ]
}

async fn probe(app: &App, subject: &Subject, request: &Value) -> Probe {
    let started = Instant::now();
    let answer = app
        .functions
        .invoke()
        .function_name(app.config.function.as_str())
        .qualifier(&subject.qualifier)
        .payload(Blob::new(request.to_string()))
        .send()
        .await;
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    let answer = match answer {
        Ok(answer) => {
            let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
            match answer.function_error() {
                Some(_) => Answer::Broke {
                    error: error_text(payload),
                },
                None if is_refusal(payload) => Answer::Refused,
                None => Answer::Served,
            }
        }
        Err(error) => {
            let failure = aws_failure(&error);
            if failure.is("TooManyRequestsException") {
                Answer::Throttled
            } else {
                Answer::Unreachable {
                    error: failure.to_string(),
                }
            }
        }
    };
    Probe { answer, millis }
}

fn error_text(payload: &[u8]) -> String {
    let error: Value = serde_json::from_slice(payload).unwrap_or_default();
    let part = |name: &str| {
        error
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("unknown")
            .to_owned()
    };
    format!("{}: {}", part("errorType"), part("errorMessage"))
}

/// Whether an answer says "your request is wrong": `ok: false`, an HTTP-like status of 4xx, or an `error`.
fn is_refusal(payload: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(payload).unwrap_or_default();
    answer.get("ok").and_then(Value::as_bool) == Some(false)
        || answer
            .get("statusCode")
            .and_then(Value::as_u64)
            .is_some_and(|status| (400..500).contains(&status))
        || answer.get("error").is_some_and(|error| !error.is_null())
}

/// What CloudWatch holds of a version's traffic through the alias. Where it cannot be asked, there are
/// no samples, and no samples are inconclusive.
async fn version_metrics(app: &App, version: &VersionNumber, since: Timestamp) -> VersionMetrics {
    let now = Timestamp::now();
    let answer = app
        .metrics
        .get_metric_data()
        .start_time(seconds(since))
        .end_time(seconds(now).max(seconds(since)))
        .metric_data_queries(query(app, version, "invocations", "Invocations", "Sum"))
        .metric_data_queries(query(app, version, "errors", "Errors", "Sum"))
        .metric_data_queries(query(app, version, "median", "Duration", "p50"))
        .metric_data_queries(query(app, version, "slow", "Duration", "p95"))
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            warn!(cause = %aws_failure(&error), %version, "the metrics cannot be read");
            return VersionMetrics::default();
        }
    };
    // Half of the values would be worse than none: an average of what happened to be there.
    let is_complete = |result: &MetricDataResult| result.status_code() == Some(&StatusCode::Complete);
    if answer.next_token().is_some() || !answer.metric_data_results().iter().all(is_complete) {
        warn!(%version, "the metrics are incomplete");
        return VersionMetrics::default();
    }
    let values = |id: &str| {
        answer
            .metric_data_results()
            .iter()
            .filter(|result| result.id() == Some(id))
            .flat_map(|result| result.values().iter().copied())
            .collect::<Vec<f64>>()
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of counts is a whole number"
    )]
    let sum = |id: &str| values(id).iter().sum::<f64>().max(0.0) as u64;
    VersionMetrics {
        invocations: sum("invocations"),
        errors: sum("errors"),
        // The worst minute of the window: a slow start is what a canary is for.
        p50_ms: values("median").into_iter().reduce(f64::max),
        p95_ms: values("slow").into_iter().reduce(f64::max),
    }
}

fn query(app: &App, version: &VersionNumber, id: &str, metric: &str, statistic: &str) -> MetricDataQuery {
    let dimension = |name: &str, value: String| Dimension::builder().name(name).value(value).build();
    let function = &app.config.function;
    let metric_of = Metric::builder()
        .namespace("AWS/Lambda")
        .metric_name(metric)
        .dimensions(dimension("FunctionName", function.to_string()))
        .dimensions(dimension("Resource", format!("{function}:{}", app.config.alias)))
        .dimensions(dimension("ExecutedVersion", version.to_string()))
        .build();
    MetricDataQuery::builder()
        .id(id)
        .metric_stat(
            MetricStat::builder()
                .metric(metric_of)
                .period(60)
                .stat(statistic)
                .build(),
        )
        .build()
}

fn seconds(at: Timestamp) -> aws_smithy_types::DateTime {
    aws_smithy_types::DateTime::from_secs(at.as_second())
}
