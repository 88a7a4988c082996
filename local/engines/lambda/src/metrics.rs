//! What CloudWatch gets to see of every invocation.
//!
//! Time stamps are those of an invocation's end. AWS takes its beginning; here, where alarms' periods are
//! scaled down to seconds, a time-out's data would then arrive in a window that was already judged.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_local_core::{Caller, Clock, Cloud};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::functions::Target;

/// Points that may wait; CloudWatch's engine works in this process, so that hardly any do.
const QUEUE: usize = 10_000;

struct Points {
    function: String,
    resource: Option<String>,
    executed_version: Option<String>,
    at: Timestamp,
    values: Vec<(&'static str, f64, &'static str)>,
}

/// Where points go; never waits.
pub(crate) struct Metrics {
    points: mpsc::Sender<Points>,
}

/// Starts the task that hands points over; it ends with `stop`.
pub(crate) fn start(cloud: Arc<dyn Cloud>, tasks: &TaskTracker, stop: CancellationToken) -> Metrics {
    let (points, mut received) = mpsc::channel::<Points>(QUEUE);
    tasks.spawn(async move {
        let caller = Caller::service("lambda.amazonaws.com");
        while let Some(Some(points)) = stop.run_until_cancelled(received.recv()).await {
            if let Err(error) = cloud.call(&caller, "cloudwatch", "PutMetricData", request(&points)).await {
                tracing::warn!(%error, function = %points.function, "a function's metrics could not be stored");
            }
        }
    });
    Metrics { points }
}

impl Metrics {
    /// An invocation ended.
    pub(crate) fn invoked(&self, target: &Target, failed: bool, duration_ms: f64, concurrent: u32) {
        self.of_target(
            target,
            vec![
                ("Invocations", 1.0, "Count"),
                ("Errors", if failed { 1.0 } else { 0.0 }, "Count"),
                ("Throttles", 0.0, "Count"),
                ("Duration", duration_ms, "Milliseconds"),
                ("ConcurrentExecutions", f64::from(concurrent), "Count"),
            ],
        );
    }

    /// An invocation was refused for want of concurrency.
    pub(crate) fn throttled(&self, target: &Target, concurrent: u32) {
        self.of_target(
            target,
            vec![
                ("Throttles", 1.0, "Count"),
                ("ConcurrentExecutions", f64::from(concurrent), "Count"),
            ],
        );
    }

    /// Something about asynchronous delivery, such as `AsyncEventsDropped`.
    pub(crate) fn count(&self, function: &str, name: &'static str) {
        self.send(Points {
            function: function.to_owned(),
            resource: None,
            executed_version: None,
            at: Timestamp::now(),
            values: vec![(name, 1.0, "Count")],
        });
    }

    fn of_target(&self, target: &Target, values: Vec<(&'static str, f64, &'static str)>) {
        self.send(Points {
            function: target.version.function.clone(),
            resource: Some(target.resource.clone()),
            executed_version: target.through_alias.then(|| target.version.number.clone()),
            at: Timestamp::now(),
            values,
        });
    }

    fn send(&self, points: Points) {
        if self.points.try_send(points).is_err() {
            tracing::warn!("metrics of a function were dropped: CloudWatch's engine does not keep up");
        }
    }
}

fn dimension(name: &str, value: &str) -> Value {
    json!({ "Name": name, "Value": value })
}

/// `PutMetricData` with every set of dimensions that Lambda publishes.
fn request(points: &Points) -> Value {
    let function = dimension("FunctionName", &points.function);
    let mut sets = vec![vec![function.clone()]];
    if let Some(resource) = &points.resource {
        let resource = dimension("Resource", resource);
        sets.push(vec![function.clone(), resource.clone()]);
        if let Some(version) = &points.executed_version {
            sets.push(vec![function, resource, dimension("ExecutedVersion", version)]);
        }
    }
    let at = Clock::to_epoch_seconds(points.at);
    let mut data = Vec::with_capacity(sets.len() * points.values.len());
    for set in &sets {
        for (name, value, unit) in &points.values {
            data.push(
                json!({ "MetricName": name, "Dimensions": set, "Timestamp": at, "Value": value, "Unit": unit }),
            );
        }
    }
    json!({ "Namespace": "AWS/Lambda", "MetricData": data })
}
