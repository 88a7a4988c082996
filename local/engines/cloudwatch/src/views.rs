//! How others see an alarm: in events, and in the messages of topics.

use serde_json::{Map, Value, json};

use crate::alarm::{Alarm, Kind, Standing, Suppression};
use crate::input::{list, optional};
use crate::notify::Context;
use crate::text::event_time;

pub(crate) fn state_view(standing: &Standing, suppression: Option<Suppression>) -> Value {
    let mut view = json!({
        "value": standing.value.as_str(),
        "reason": standing.reason,
        "timestamp": event_time(standing.updated),
    });
    if let Some(data) = &standing.reason_data {
        view["reasonData"] = json!(data);
    }
    if let Some(suppression) = suppression {
        view["actionsSuppressedBy"] = json!(suppression.as_str());
        view["actionsSuppressedReason"] = json!(format!("Actions suppressed by {}", suppression.as_str()));
    }
    view
}

/// `{"FunctionName": "f"}` for `[{"Name": "FunctionName", "Value": "f"}]`.
fn dimension_map(metric: &Value) -> Value {
    let pairs = list(metric, "Dimensions").iter().filter_map(|dimension| {
        Some((
            optional(dimension, "Name")?.to_owned(),
            json!(optional(dimension, "Value")?),
        ))
    });
    Value::Object(pairs.collect())
}

fn stat_view(metric: &Value, stat: &Value, statistic: &str) -> Value {
    let mut view = json!({
        "metric": {
            "namespace": metric.get("Namespace"),
            "name": metric.get("MetricName"),
            "dimensions": dimension_map(metric),
        },
        "period": stat.get("Period"),
        "stat": statistic,
    });
    if let Some(unit) = optional(stat, "Unit") {
        view["unit"] = json!(unit);
    }
    view
}

impl Alarm {
    /// The single metric's statistic, as it was put.
    fn statistic(&self) -> &str {
        optional(&self.input, "Statistic")
            .or_else(|| optional(&self.input, "ExtendedStatistic"))
            .unwrap_or_default()
    }

    /// `configuration`, as events show it.
    pub(crate) fn configuration_view(&self) -> Value {
        let put = &self.input;
        let mut view = Map::new();
        if let Some(description) = optional(put, "AlarmDescription") {
            view.insert("description".to_owned(), json!(description));
        }
        match &self.kind {
            Kind::Composite(_) => {
                for (member, name) in [
                    ("AlarmRule", "alarmRule"),
                    ("ActionsSuppressor", "actionsSuppressor"),
                    ("ActionsSuppressorWaitPeriod", "actionsSuppressorWaitPeriod"),
                    (
                        "ActionsSuppressorExtensionPeriod",
                        "actionsSuppressorExtensionPeriod",
                    ),
                ] {
                    if let Some(value) = put.get(member).filter(|value| !value.is_null()) {
                        view.insert(name.to_owned(), value.clone());
                    }
                }
            }
            Kind::Metric(_) => {
                let metrics = list(put, "Metrics");
                let single = json!({"id": "m1", "metricStat": stat_view(put, put, self.statistic()), "returnData": true});
                let metrics = if metrics.is_empty() {
                    vec![single]
                } else {
                    metrics.iter().map(query_view).collect()
                };
                view.insert("metrics".to_owned(), Value::Array(metrics));
            }
        }
        Value::Object(view)
    }

    /// The alarms below whose change changed this one, as messages show them.
    fn triggering_children(&self) -> Vec<Value> {
        let data = self.standing.reason_data.as_deref();
        let data: Value = data
            .and_then(|data| serde_json::from_str(data).ok())
            .unwrap_or_default();
        let child = |child: &Value| {
            let state = json!({"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]});
            json!({"Arn": child["arn"], "State": state})
        };
        list(&data, "triggeringAlarms").iter().map(child).collect()
    }

    /// The message that CloudWatch publishes to topics.
    pub(crate) fn message(&self, old: &Standing, context: &Context<'_>) -> Value {
        let put = &self.input;
        let mut message = json!({
            "AlarmName": self.name,
            "AlarmDescription": put.get("AlarmDescription"),
            "AWSAccountId": context.account.id,
            "AlarmConfigurationUpdatedTimestamp": event_time(self.configured),
            "NewStateValue": self.standing.value.as_str(),
            "NewStateReason": self.standing.reason,
            "StateChangeTime": event_time(self.standing.updated),
            "Region": region_name(&context.account.region),
            "AlarmArn": self.arn,
            "OldStateValue": old.value.as_str(),
            "OKActions": list(put, "OKActions"),
            "AlarmActions": list(put, "AlarmActions"),
            "InsufficientDataActions": list(put, "InsufficientDataActions"),
        });
        match &self.kind {
            Kind::Composite(composite) => {
                message["AlarmRule"] = json!(optional(put, "AlarmRule"));
                message["TriggeringChildren"] = Value::Array(self.triggering_children());
                if let Some(suppressor) = &composite.suppressor {
                    message["ActionsSuppressor"] = json!(suppressor);
                }
            }
            Kind::Metric(alarm) => {
                let mut trigger = json!({
                    "Period": alarm.period,
                    "EvaluationPeriods": alarm.evaluation_periods,
                    "DatapointsToAlarm": alarm.datapoints_to_alarm,
                    "ComparisonOperator": put.get("ComparisonOperator"),
                    "Threshold": alarm.threshold,
                    "TreatMissingData": optional(put, "TreatMissingData").unwrap_or("missing"),
                    "EvaluateLowSampleCountPercentile": optional(put, "EvaluateLowSampleCountPercentile").unwrap_or_default(),
                });
                if list(put, "Metrics").is_empty() {
                    let dimensions: Vec<Value> = lower_case_dimensions(put);
                    trigger["MetricName"] = json!(optional(put, "MetricName"));
                    trigger["Namespace"] = json!(optional(put, "Namespace"));
                    trigger["Dimensions"] = json!(dimensions);
                    trigger["Unit"] = json!(optional(put, "Unit"));
                    if let Some(statistic) = optional(put, "Statistic") {
                        trigger["StatisticType"] = json!("Statistic");
                        trigger["Statistic"] = json!(statistic.to_uppercase());
                    } else {
                        trigger["StatisticType"] = json!("ExtendedStatistic");
                        trigger["ExtendedStatistic"] = json!(self.statistic());
                    }
                } else {
                    let metrics: Vec<Value> = list(put, "Metrics")
                        .iter()
                        .map(|query| {
                            let mut query = query.clone();
                            if let Some(metric) = query.pointer_mut("/MetricStat/Metric") {
                                metric["Dimensions"] = json!(lower_case_dimensions(metric));
                            }
                            query
                        })
                        .collect();
                    trigger["Metrics"] = json!(metrics);
                }
                message["Trigger"] = trigger;
            }
        }
        message
    }
}

fn lower_case_dimensions(metric: &Value) -> Vec<Value> {
    list(metric, "Dimensions")
        .iter()
        .map(|dimension| json!({"value": optional(dimension, "Value"), "name": optional(dimension, "Name")}))
        .collect()
}

fn query_view(query: &Value) -> Value {
    let mut view = json!({
        "id": query.get("Id"),
        "returnData": query.get("ReturnData").and_then(Value::as_bool).unwrap_or(true),
    });
    if let Some(stat) = query.get("MetricStat") {
        let statistic = optional(stat, "Stat").unwrap_or_default();
        view["metricStat"] = stat_view(stat.get("Metric").unwrap_or(&Value::Null), stat, statistic);
    }
    for (member, name) in [
        ("Expression", "expression"),
        ("Label", "label"),
        ("Period", "period"),
    ] {
        if let Some(value) = query.get(member) {
            view[name] = value.clone();
        }
    }
    view
}

/// The region as messages name it.
pub(crate) fn region_name(region: &str) -> &str {
    match region {
        "us-east-1" => "US East (N. Virginia)",
        "us-east-2" => "US East (Ohio)",
        "us-west-1" => "US West (N. California)",
        "us-west-2" => "US West (Oregon)",
        "eu-west-1" => "EU (Ireland)",
        "eu-central-1" => "EU (Frankfurt)",
        other => other,
    }
}
