//! `PutMetricData`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};

use crate::CloudWatchEngine;
use crate::input::{invalid_combination, invalid_value, list, optional, time};
use crate::samples::{Metric, Sample};

const MOST_DIMENSIONS: usize = 30;
const MOST_DATUMS: usize = 1_000;
const MOST_VALUES: usize = 150;
/// 2 to the power of 360, either way.
const LARGEST_VALUE: f64 = 2.348_542_582_773_833e108;
const OLDEST: Duration = Duration::from_hours(14 * 24);
const NEWEST: Duration = Duration::from_hours(2);

pub(crate) fn dimensions(input: &Value) -> BTreeMap<String, String> {
    let text = |dimension: &Value, member: &str| optional(dimension, member).unwrap_or_default().to_owned();
    list(input, "Dimensions")
        .iter()
        .map(|dimension| (text(dimension, "Name"), text(dimension, "Value")))
        .collect()
}

/// A number that CloudWatch takes. What JSON has no number for arrives as text, and is none.
fn value(number: &Value, place: &str) -> Result<f64, AwsError> {
    match number.as_f64() {
        Some(value) if value.is_finite() && value.abs() <= LARGEST_VALUE => Ok(value),
        _ => Err(invalid_value(format!(
            "The value {number} for parameter {place} is invalid."
        ))),
    }
}

fn samples(datum: &Value, at: Timestamp, place: &str) -> Result<Vec<Sample>, AwsError> {
    let given = ["Value", "Values", "StatisticValues"]
        .map(|member| datum.get(member).filter(|given| !given.is_null()));
    match given {
        [Some(one), None, None] => Ok(vec![Sample::of(at, value(one, &format!("{place}.Value"))?, 1.0)]),
        [None, Some(_), None] => {
            let (values, counts) = (list(datum, "Values"), list(datum, "Counts"));
            if values.len() > MOST_VALUES {
                return Err(invalid_value(format!(
                    "The collection {place}.Values must not have a size greater than {MOST_VALUES}."
                )));
            }
            if !counts.is_empty() && counts.len() != values.len() {
                return Err(invalid_value(format!(
                    "The parameters {place}.Values and {place}.Counts must have the same size."
                )));
            }
            let mut samples = Vec::with_capacity(values.len());
            for (index, one) in values.iter().enumerate() {
                let count = match counts.get(index) {
                    Some(count) => value(count, &format!("{place}.Counts.member.{}", index + 1))?,
                    None => 1.0,
                };
                if count < 0.0 {
                    return Err(invalid_value(format!(
                        "The value {count} for parameter {place}.Counts.member.{} is invalid.",
                        index + 1
                    )));
                }
                samples.push(Sample::of(
                    at,
                    value(one, &format!("{place}.Values.member.{}", index + 1))?,
                    count,
                ));
            }
            Ok(samples)
        }
        [None, None, Some(set)] => {
            let part = |member: &str| {
                value(
                    set.get(member).unwrap_or(&Value::Null),
                    &format!("{place}.StatisticValues.{member}"),
                )
            };
            let sample = Sample {
                at_ms: at.as_millisecond(),
                count: part("SampleCount")?,
                sum: part("Sum")?,
                min: part("Minimum")?,
                max: part("Maximum")?,
            };
            if sample.count < 0.0 || sample.min > sample.max {
                return Err(invalid_value(format!(
                    "The value of parameter {place}.StatisticValues is invalid."
                )));
            }
            Ok(vec![sample])
        }
        [None, None, None] => Err(AwsError::new(
            "MissingParameter",
            format!("The parameter {place}.Value, {place}.Values or {place}.StatisticValues is required."),
        )),
        _ => Err(invalid_combination(format!(
            "The parameters {place}.Value, {place}.Values and {place}.StatisticValues are mutually exclusive and you have \
             specified more than one."
        ))),
    }
}

impl CloudWatchEngine {
    pub(crate) fn put_metric_data(&self, caller: &Caller, input: &Value) -> Result<Value, AwsError> {
        let namespace = optional(input, "Namespace").unwrap_or_default();
        if namespace.starts_with("AWS/") && !matches!(caller, Caller::Service { .. }) {
            return Err(invalid_value(format!(
                "The value {namespace} for parameter Namespace is invalid: names that start with AWS/ are AWS's own."
            )));
        }
        let entities = list(input, "EntityMetricData")
            .iter()
            .flat_map(|entity| list(entity, "MetricData"));
        let datums: Vec<&Value> = list(input, "MetricData").iter().chain(entities).collect();
        if datums.is_empty() {
            return Err(AwsError::new(
                "MissingParameter",
                "The parameter MetricData is required.",
            ));
        }
        if datums.len() > MOST_DATUMS {
            return Err(invalid_value(format!(
                "The collection MetricData must not have a size greater than {MOST_DATUMS}."
            )));
        }
        let now = self.cloud.clock().now();
        let mut accepted = Vec::with_capacity(datums.len());
        // All are checked before the first is kept.
        for (index, datum) in datums.into_iter().enumerate() {
            let place = format!("MetricData.member.{}", index + 1);
            if list(datum, "Dimensions").len() > MOST_DIMENSIONS {
                return Err(invalid_value(format!(
                    "The collection {place}.Dimensions must not have a size greater than {MOST_DIMENSIONS}."
                )));
            }
            let at = time(datum, "Timestamp").unwrap_or(now);
            let age = now.duration_since(at);
            if age > jiff::SignedDuration::try_from(OLDEST).unwrap_or_default()
                || -age > jiff::SignedDuration::try_from(NEWEST).unwrap_or_default()
            {
                return Err(invalid_value(format!(
                    "The value {at} for parameter {place}.Timestamp is invalid: it must be at most two weeks old and at most two \
                     hours ahead."
                )));
            }
            let metric = Metric {
                namespace: namespace.to_owned(),
                name: optional(datum, "MetricName").unwrap_or_default().to_owned(),
                dimensions: dimensions(datum),
            };
            accepted.push((metric, optional(datum, "Unit"), samples(datum, at, &place)?));
        }
        let mut state = self.state();
        for (metric, unit, samples) in accepted {
            for sample in samples {
                state.samples.add(metric.clone(), unit, sample, now);
            }
        }
        Ok(json!({}))
    }
}
