//! An engine, and what its tests ask of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local_cloudwatch::CloudWatchEngine;
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{AwsError, AwsEvent, Caller, Engine};

pub(crate) const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:notices";
pub(crate) const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:roll-back";

pub(crate) struct Watch {
    pub(crate) cloud: Arc<TestCloud>,
    pub(crate) engine: Arc<CloudWatchEngine>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let cloud = TestCloud::new(Path::new("/nonexistent"));
        let engine = CloudWatchEngine::new(Arc::<TestCloud>::clone(&cloud));
        Self { cloud, engine }
    }

    pub(crate) async fn call(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.engine.call(&Caller::Admin, operation, input).await
    }

    pub(crate) async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).await.unwrap()
    }

    pub(crate) async fn alarm(&self, name: &str, more: Value) {
        let mut input = json!({
            "AlarmName": name, "Namespace": "App", "MetricName": "Errors", "Statistic": "Sum", "Period": 60, "Threshold": 1.0,
            "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "notBreaching",
        });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.ok("PutMetricAlarm", input).await;
    }

    pub(crate) async fn put(&self, metric: &str, value: f64) {
        self.ok(
            "PutMetricData",
            json!({"Namespace": "App", "MetricData": [{"MetricName": metric, "Value": value}]}),
        )
        .await;
    }

    pub(crate) async fn set(&self, alarm: &str, value: &str) {
        self.ok(
            "SetAlarmState",
            json!({"AlarmName": alarm, "StateValue": value, "StateReason": "test"}),
        )
        .await;
    }

    pub(crate) async fn describe(&self, alarm: &str) -> Value {
        let types = ["MetricAlarm", "CompositeAlarm"];
        let answer = self
            .ok(
                "DescribeAlarms",
                json!({"AlarmNames": [alarm], "AlarmTypes": types}),
            )
            .await;
        let all = |member: &str| answer[member].as_array().unwrap().clone();
        all("MetricAlarms")
            .into_iter()
            .chain(all("CompositeAlarms"))
            .next()
            .unwrap()
    }

    pub(crate) async fn state(&self, alarm: &str) -> String {
        self.describe(alarm).await["StateValue"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn changes(&self, alarm: &str) -> Vec<AwsEvent> {
        let events = self.cloud.events().into_iter();
        events
            .filter(|event| {
                event.detail_type == "CloudWatch Alarm State Change" && event.detail["alarmName"] == alarm
            })
            .collect()
    }

    pub(crate) fn values(&self, alarm: &str) -> Vec<String> {
        self.changes(alarm)
            .iter()
            .map(|event| event.detail["state"]["value"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn calls(&self, service: &str) -> Vec<Recorded> {
        self.cloud
            .calls()
            .into_iter()
            .filter(|call| call.service == service)
            .collect()
    }
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub(crate) fn decoded(call: &Recorded) -> Value {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(call.input["Payload"].as_str().unwrap())
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A composite over `x` that `s` suppresses: 120 seconds of waiting, 180 of extension.
pub(crate) async fn suppressed() -> Watch {
    let watch = Watch::new();
    // Missing data retains: the states stay as they are set.
    for (name, metric) in [("x", "X"), ("s", "S")] {
        watch
            .alarm(name, json!({"MetricName": metric, "TreatMissingData": "ignore"}))
            .await;
        watch.set(name, "OK").await;
    }
    let composite = json!({"AlarmName": "c", "AlarmRule": "ALARM(x)", "AlarmActions": [TOPIC], "OKActions": [TOPIC],
        "ActionsSuppressor": "s", "ActionsSuppressorWaitPeriod": 120, "ActionsSuppressorExtensionPeriod": 180});
    watch.ok("PutCompositeAlarm", composite).await;
    pass(1).await;
    assert_eq!(watch.calls("sns").len(), 1, "OK at first");
    watch
}
