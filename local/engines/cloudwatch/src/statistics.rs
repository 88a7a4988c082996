//! `GetMetricData`, `GetMetricStatistics` and `ListMetrics`.
//!
//! Their times and periods are those of the wall clock: only an alarm's period is scaled.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use signalbox_local_core::{AwsError, Clock};

use crate::CloudWatchEngine;
use crate::alarm::Alarm;
use crate::input::{
    invalid, invalid_combination, invalid_value, list, optional, page, texts, time, whole, with_next,
};
use crate::put::dimensions;
use crate::query::{MetricStat, Queries, parse_metric, parse_statistic};
use crate::samples::Metric;

const MOST_DATAPOINTS: i64 = 100_800;
const MOST_STATISTICS: i64 = 1_440;
const LIST_PAGE: usize = 500;

/// The periods between two times, as `(after, until]`. As in AWS the first one begins at the whole minute
/// before `start`, or, for shorter periods, at a multiple of the period.
fn windows(start: Timestamp, end: Timestamp, period: u32, most: i64) -> Result<Vec<(i64, i64)>, AwsError> {
    if start >= end {
        return Err(invalid(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let length = i64::from(period) * 1_000;
    let granularity = length.min(60_000);
    let first = start.as_millisecond().div_euclid(granularity) * granularity;
    let count = (end.as_millisecond() - first + length - 1) / length;
    if count > most {
        return Err(invalid_combination(format!(
            "You have requested up to {count} datapoints, which exceeds the limit of {most}. You may reduce the datapoints \
             requested by increasing Period, or decreasing the time range."
        )));
    }
    // Samples at a period's first millisecond belong to it, those at its end to the next.
    Ok((0..count)
        .map(|index| (first + index * length - 1, first + (index + 1) * length - 1))
        .collect())
}

fn begins(window: (i64, i64)) -> f64 {
    Timestamp::from_millisecond(window.0 + 1).map_or(0.0, Clock::to_epoch_seconds)
}

fn describe_metric(metric: &Metric) -> Value {
    let dimensions: Vec<Value> = metric
        .dimensions
        .iter()
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect();
    json!({"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions})
}

impl CloudWatchEngine {
    fn range(&self, input: &Value) -> (Timestamp, Timestamp) {
        let now = self.cloud.clock().now();
        (
            time(input, "StartTime").unwrap_or(now),
            time(input, "EndTime").unwrap_or(now),
        )
    }

    pub(crate) fn get_metric_data(&self, input: &Value) -> Result<Value, AwsError> {
        let queries = Queries::parse(input, "MetricDataQueries")?;
        let (start, end) = self.range(input);
        let ascending = optional(input, "ScanBy") == Some("TimestampAscending");
        let state = self.state();
        let mut results = Vec::new();
        for query in queries.iter().filter(|query| query.return_data) {
            let windows = windows(start, end, queries.period(query), MOST_DATAPOINTS)?;
            let row = queries.row(query, &state.samples, &windows);
            let mut points: Vec<(f64, f64)> = windows
                .into_iter()
                .zip(row)
                .filter_map(|(window, value)| Some((begins(window), value?)))
                .collect();
            if !ascending {
                points.reverse();
            }
            let (times, values): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
            results.push(json!({
                "Id": query.id,
                "Label": query.label.as_deref().unwrap_or(query.default_label()),
                "Timestamps": times,
                "Values": values,
                "StatusCode": "Complete",
            }));
        }
        Ok(json!({"MetricDataResults": results, "Messages": []}))
    }

    pub(crate) fn get_metric_statistics(&self, input: &Value) -> Result<Value, AwsError> {
        let (start, end) = self.range(input);
        let period = whole(input, "Period").filter(|period| *period > 0);
        let period = period.ok_or_else(|| invalid_value("The value for parameter Period is invalid."))?;
        let (plain, extended) = (texts(input, "Statistics"), texts(input, "ExtendedStatistics"));
        if plain.is_empty() && extended.is_empty() {
            return Err(invalid_combination(
                "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
            ));
        }
        if start >= end {
            return Err(invalid_value(
                "The parameter StartTime must be less than the parameter EndTime.",
            ));
        }
        let windows = windows(start, end, period, MOST_STATISTICS)?;
        let metric = parse_metric(input);
        let unit = optional(input, "Unit").map(str::to_owned);
        let state = self.state();
        let shown_unit = state.samples.unit(&metric).unwrap_or("None").to_owned();
        let row = |name: &str| {
            let stat = MetricStat {
                metric: metric.clone(),
                statistic: parse_statistic(name)?,
                unit: unit.clone(),
            };
            Ok::<_, AwsError>(stat.row(&state.samples, &windows))
        };
        let plain = plain
            .into_iter()
            .map(|name| Ok((name, row(name)?)))
            .collect::<Result<Vec<_>, AwsError>>()?;
        let extended = extended
            .into_iter()
            .map(|name| Ok((name, row(name)?)))
            .collect::<Result<Vec<_>, AwsError>>()?;
        let mut points = Vec::new();
        for (index, window) in windows.iter().enumerate() {
            let at = |rows: &[(&str, Vec<Option<f64>>)]| -> Map<String, Value> {
                rows.iter()
                    .filter_map(|(name, row)| Some(((*name).to_owned(), Value::from(row[index]?))))
                    .collect()
            };
            let (mut point, percentiles) = (at(&plain), at(&extended));
            if point.is_empty() && percentiles.is_empty() {
                continue;
            }
            if !percentiles.is_empty() {
                point.insert("ExtendedStatistics".to_owned(), Value::Object(percentiles));
            }
            point.insert("Timestamp".to_owned(), Value::from(begins(*window)));
            point.insert("Unit".to_owned(), Value::from(shown_unit.as_str()));
            points.push(Value::Object(point));
        }
        Ok(json!({"Label": metric.name, "Datapoints": points}))
    }

    pub(crate) fn list_metrics(&self, input: &Value) -> Result<Value, AwsError> {
        let (namespace, name) = (optional(input, "Namespace"), optional(input, "MetricName"));
        let filters = list(input, "Dimensions");
        let state = self.state();
        let mut found: Vec<&Metric> = state
            .samples
            .metrics()
            .filter(|metric| namespace.is_none_or(|wanted| metric.namespace == wanted))
            .filter(|metric| name.is_none_or(|wanted| metric.name == wanted))
            .filter(|metric| {
                filters.iter().all(|filter| {
                    let value = optional(filter, "Name").and_then(|name| metric.dimensions.get(name));
                    value.is_some_and(|value| optional(filter, "Value").is_none_or(|wanted| value == wanted))
                })
            })
            .collect();
        found.sort();
        let range = page(input, found.len(), LIST_PAGE)?;
        let metrics: Vec<Value> = found[range.clone()]
            .iter()
            .map(|metric| describe_metric(metric))
            .collect();
        Ok(with_next(json!({"Metrics": metrics}), &range, found.len()))
    }

    pub(crate) fn describe_alarms_for_metric(&self, input: &Value) -> Result<Value, AwsError> {
        let (namespace, name) = (optional(input, "Namespace"), optional(input, "MetricName"));
        let wanted = dimensions(input);
        let state = self.state();
        let alarms: Vec<Value> = state
            .alarms
            .values()
            .filter(|alarm| {
                let put = &alarm.input;
                optional(put, "Namespace") == namespace
                    && optional(put, "MetricName") == name
                    && dimensions(put) == wanted
                    && ["Statistic", "ExtendedStatistic", "Period", "Unit"]
                        .into_iter()
                        .all(|member| {
                            input
                                .get(member)
                                .is_none_or(|value| put.get(member) == Some(value))
                        })
            })
            .map(Alarm::describe)
            .collect();
        Ok(json!({"MetricAlarms": alarms}))
    }
}
