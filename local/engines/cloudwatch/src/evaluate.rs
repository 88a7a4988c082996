//! Whether a metric alarm's datapoints make it an alarm.

use jiff::Timestamp;
use serde_json::json;

use crate::alarm::{MetricAlarm, Missing, StateValue, Verdict};
use crate::samples::Samples;
use crate::text::{decimal, event_time, reason_time};

/// As in AWS, more periods are looked at than are needed, so that a late or missing datapoint does not
/// decide alone: AWS speaks of the *evaluation range*.
const FURTHER_PERIODS: usize = 2;

/// A period's value; `at` is the period's beginning.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Datapoint {
    at: Timestamp,
    value: f64,
    breaching: bool,
}

/// What follows from datapoints, newest first. Nothing: the state is retained.
///
/// This is AWS's table of missing data: where enough datapoints exist, the newest of them decide and it
/// does not matter how missing data is treated.
fn judge(breaching: usize, present: usize, alarm: &MetricAlarm) -> Option<StateValue> {
    let absent = alarm.evaluation_periods.saturating_sub(present);
    if breaching >= alarm.datapoints_to_alarm {
        return Some(StateValue::Alarm);
    }
    let state = |is_alarm: bool| {
        if is_alarm {
            StateValue::Alarm
        } else {
            StateValue::Ok
        }
    };
    match alarm.missing {
        _ if absent == 0 => Some(StateValue::Ok),
        Missing::NotBreaching => Some(StateValue::Ok),
        Missing::Breaching => Some(state(breaching + absent >= alarm.datapoints_to_alarm)),
        // One datapoint that is fine is enough to be fine; with none but breaching ones it is too early.
        Missing::Ignore if present > breaching => Some(StateValue::Ok),
        Missing::Ignore => None,
        Missing::Insufficient if present == 0 => Some(StateValue::InsufficientData),
        Missing::Insufficient => Some(state(breaching == present)),
    }
}

impl MetricAlarm {
    /// The alarm's state over windows that end now; nothing where it stays what it is.
    pub(crate) fn evaluate(
        &self,
        samples: &Samples,
        now: Timestamp,
        scale: f64,
        current: StateValue,
    ) -> Option<Verdict> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a period of seconds in milliseconds fits"
        )]
        let length = ((f64::from(self.period) * 1_000.0 / scale).round() as i64).max(1);
        let mut windows = Vec::new();
        let mut until = now.as_millisecond();
        for _ in 0..self.evaluation_periods + FURTHER_PERIODS {
            windows.push((until - length, until));
            until -= length;
        }
        // Expressions read from the oldest to the newest.
        windows.reverse();
        let watched = self.queries.iter().find(|query| query.return_data)?;
        let row = self.queries.row(watched, samples, &windows);
        let datapoints: Vec<Datapoint> = windows
            .iter()
            .zip(row)
            .rev()
            .filter_map(|((after, _), value)| {
                let value = value?;
                let breaching = self.comparison.breaches(value, self.threshold);
                Some(Datapoint {
                    at: Timestamp::from_millisecond(*after).ok()?,
                    value,
                    breaching,
                })
            })
            .take(self.evaluation_periods)
            .collect();
        let breaching = datapoints.iter().filter(|point| point.breaching).count();
        let value = judge(breaching, datapoints.len(), self)?;
        (value != current).then(|| self.verdict(value, current, &datapoints, breaching, now))
    }

    fn verdict(
        &self,
        value: StateValue,
        current: StateValue,
        datapoints: &[Datapoint],
        breaching: usize,
        now: Timestamp,
    ) -> Verdict {
        let absent = self.evaluation_periods - datapoints.len();
        let reason = match value {
            StateValue::InsufficientData => {
                format!(
                    "Insufficient Data: {} were unknown.",
                    counted(self.evaluation_periods, "datapoint")
                )
            }
            StateValue::Alarm => self.reason(
                datapoints,
                datapoints.iter().filter(|point| point.breaching),
                breaching,
                true,
                current,
            ),
            StateValue::Ok => {
                let fine = datapoints.len() - breaching;
                self.reason(
                    datapoints,
                    datapoints.iter().filter(|point| !point.breaching),
                    fine,
                    false,
                    current,
                )
            }
        };
        let recent: Vec<f64> = datapoints.iter().rev().map(|point| point.value).collect();
        let evaluated: Vec<_> = datapoints
            .iter()
            .map(|point| json!({"timestamp": event_time(point.at), "value": point.value}))
            .collect();
        let mut data = json!({
            "version": "1.0",
            "queryDate": event_time(now),
            "period": self.period,
            "recentDatapoints": recent,
            "threshold": self.threshold,
            "evaluatedDatapoints": evaluated,
        });
        if let Some(oldest) = datapoints.last() {
            data["startDate"] = json!(event_time(oldest.at));
        }
        if let Some(statistic) = &self.statistic {
            data["statistic"] = json!(statistic);
        }
        if absent > 0 {
            data["unknownDatapoints"] = json!(absent);
        }
        Verdict {
            value,
            reason,
            reason_data: Some(data),
        }
    }

    /// In CloudWatch's own words.
    fn reason<'d>(
        &self,
        all: &[Datapoint],
        deciding: impl Iterator<Item = &'d Datapoint>,
        count: usize,
        crossed: bool,
        current: StateValue,
    ) -> String {
        let not = if crossed { "" } else { "not " };
        let threshold = decimal(self.threshold);
        let words = self.comparison.words();
        if all.is_empty() {
            let treated = if self.missing == Missing::Breaching {
                "Breaching"
            } else {
                "NonBreaching"
            };
            return format!(
                "Threshold Crossed: no datapoints were received for {} and {} treated as [{treated}].",
                counted(self.evaluation_periods, "period"),
                if self.evaluation_periods == 1 {
                    "1 missing datapoint was".to_owned()
                } else {
                    format!("{} missing datapoints were", self.evaluation_periods)
                },
            );
        }
        let values: Vec<String> = deciding
            .map(|point| format!("{} ({})", decimal(point.value), reason_time(point.at)))
            .collect();
        let verb = if count == 1 { "was" } else { "were" };
        let last = if self.evaluation_periods == 1 {
            "1 datapoint".to_owned()
        } else {
            format!("{} datapoints", self.evaluation_periods)
        };
        let transition = if crossed {
            format!(
                "(minimum {} for {} -> ALARM transition)",
                counted(self.datapoints_to_alarm, "datapoint"),
                current.as_str()
            )
        } else {
            let needed = self.evaluation_periods - self.datapoints_to_alarm + 1;
            format!(
                "(minimum {} for {} -> OK transition)",
                counted(needed, "datapoint"),
                current.as_str()
            )
        };
        format!(
            "Threshold Crossed: {count} out of the last {last} [{}] {verb} {not}{words} the threshold ({threshold}) {transition}.",
            values.join(", ")
        )
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn alarm(datapoints: usize, periods: usize, missing: &str) -> MetricAlarm {
        MetricAlarm::parse(&json!({
            "AlarmName": "a", "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold", "EvaluationPeriods": periods,
            "DatapointsToAlarm": datapoints, "TreatMissingData": missing,
        }))
        .unwrap()
    }

    /// AWS's notation, oldest first: `0` fine, `X` breaching, `-` missing.
    fn outcome(points: &str, datapoints: usize, periods: usize, missing: &str) -> Option<StateValue> {
        let present: Vec<char> = points
            .chars()
            .rev()
            .filter(|point| *point != '-')
            .take(periods)
            .collect();
        let breaching = present.iter().filter(|point| **point == 'X').count();
        judge(breaching, present.len(), &alarm(datapoints, periods, missing))
    }

    #[test]
    fn aws_tables_of_missing_data() {
        use StateValue::{Alarm, InsufficientData, Ok as Fine};
        let (alarm, fine, retained) = (Some(Alarm), Some(Fine), None);
        // (points, M, N, missing, ignore, breaching, notBreaching), as in AWS's documentation.
        for (points, datapoints, periods, expected) in [
            ("0-X-X", 3, 3, [fine, fine, fine, fine]),
            ("0----", 3, 3, [fine, fine, fine, fine]),
            ("-----", 3, 3, [Some(InsufficientData), retained, alarm, fine]),
            ("0XX-X", 3, 3, [alarm, alarm, alarm, alarm]),
            ("--XX-", 3, 3, [alarm, retained, alarm, fine]),
            ("0-X-X", 2, 3, [alarm, alarm, alarm, alarm]),
            ("00X0X", 2, 3, [alarm, alarm, alarm, alarm]),
            ("0-X--", 2, 3, [fine, fine, alarm, fine]),
            ("----0", 2, 3, [fine, fine, alarm, fine]),
            ("---X-", 2, 3, [alarm, retained, alarm, fine]),
        ] {
            for (missing, expected) in ["missing", "ignore", "breaching", "notBreaching"]
                .into_iter()
                .zip(expected)
            {
                assert_eq!(
                    outcome(points, datapoints, periods, missing),
                    expected,
                    "{points} {datapoints}/{periods} {missing}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_alarm_is_refused() {
        let good = json!({
            "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 2,
        });
        assert!(MetricAlarm::parse(&good).is_ok());
        for (member, value) in [
            ("MetricName", Value::Null),
            ("Statistic", Value::Null),
            ("ExtendedStatistic", json!("p95")),
            ("Period", Value::Null),
            ("Threshold", Value::Null),
            ("DatapointsToAlarm", json!(3)),
            ("TreatMissingData", json!("Breaching")),
            ("ComparisonOperator", json!("GreaterThanUpperThreshold")),
            ("Metrics", json!([{"Id": "a", "Expression": "a"}])),
        ] {
            let mut broken = good.clone();
            broken[member] = value;
            assert_eq!(
                MetricAlarm::parse(&broken).err().unwrap().code,
                "ValidationError",
                "{member}"
            );
        }
    }
}
