//! An alarm: what it watches, and how it stands.

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use signalbox_local_core::{AwsError, Clock};

use crate::input::{invalid, list, optional, texts, whole};
use crate::query::{MetricStat, Queries, Query, parse_metric, parse_statistic};
use crate::rule::Rule;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateValue {
    Ok,
    Alarm,
    InsufficientData,
}

impl StateValue {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData]
            .into_iter()
            .find(|value| value.as_str() == text)
    }

    /// The member that names what to do on entering the state.
    pub(crate) fn actions_member(self) -> &'static str {
        match self {
            Self::Ok => "OKActions",
            Self::Alarm => "AlarmActions",
            Self::InsufficientData => "InsufficientDataActions",
        }
    }
}

/// A state and why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) value: StateValue,
    pub(crate) reason: String,
    pub(crate) reason_data: Option<Value>,
}

#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) value: StateValue,
    pub(crate) reason: String,
    pub(crate) reason_data: Option<String>,
    pub(crate) updated: Timestamp,
}

/// Why a composite alarm's actions are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suppression {
    /// The suppressor may still go into ALARM.
    WaitPeriod { until: Timestamp },
    /// The suppressor is in ALARM.
    Alarm,
    /// The suppressor has just left ALARM.
    ExtensionPeriod { until: Timestamp },
}

impl Suppression {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::WaitPeriod { .. } => "WaitPeriod",
            Self::Alarm => "Alarm",
            Self::ExtensionPeriod { .. } => "ExtensionPeriod",
        }
    }
}

pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// As it was put, without tags.
    pub(crate) input: Value,
    pub(crate) kind: Kind,
    pub(crate) actions_enabled: bool,
    pub(crate) configured: Timestamp,
    pub(crate) standing: Standing,
    pub(crate) suppression: Option<Suppression>,
    /// The state whose actions were performed last.
    pub(crate) acted: StateValue,
    pub(crate) tags: IndexMap<String, String>,
}

pub(crate) enum Kind {
    Metric(Box<MetricAlarm>),
    Composite(CompositeAlarm),
}

pub(crate) struct MetricAlarm {
    pub(crate) queries: Queries,
    /// In seconds.
    pub(crate) period: u32,
    pub(crate) evaluation_periods: usize,
    pub(crate) datapoints_to_alarm: usize,
    pub(crate) comparison: Comparison,
    pub(crate) threshold: f64,
    pub(crate) missing: Missing,
    /// As it was put; nothing for metric math.
    pub(crate) statistic: Option<String>,
}

pub(crate) struct CompositeAlarm {
    pub(crate) rule: Rule,
    /// A name or an ARN.
    pub(crate) suppressor: Option<String>,
    pub(crate) wait: Duration,
    pub(crate) extension: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Breaching,
    NotBreaching,
    Ignore,
    /// `missing`: no data is insufficient data.
    Insufficient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    GreaterOrEqual,
    Greater,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "GreaterThanOrEqualToThreshold" => Self::GreaterOrEqual,
            "GreaterThanThreshold" => Self::Greater,
            "LessThanThreshold" => Self::Less,
            "LessThanOrEqualToThreshold" => Self::LessOrEqual,
            _ => return None,
        })
    }

    pub(crate) fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::GreaterOrEqual => value >= threshold,
            Self::Greater => value > threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::GreaterOrEqual => "greater than or equal to",
            Self::Greater => "greater than",
            Self::Less => "less than",
            Self::LessOrEqual => "less than or equal to",
        }
    }
}

impl MetricAlarm {
    pub(crate) fn parse(input: &Value) -> Result<Self, AwsError> {
        if input
            .get("EvaluationCriteria")
            .is_some_and(|criteria| !criteria.is_null())
        {
            return Err(invalid(
                "The local cloud evaluates metrics and metric math, not PromQL.",
            ));
        }
        let (queries, statistic) = if list(input, "Metrics").is_empty() {
            let (query, statistic) = Self::single(input)?;
            (Queries::single(query), Some(statistic))
        } else {
            if optional(input, "MetricName").is_some() {
                return Err(invalid("Metrics list is mutually exclusive with MetricName."));
            }
            (Queries::parse(input, "Metrics")?, None)
        };
        let returned = queries.iter().filter(|query| query.return_data).count();
        if returned != 1 {
            return Err(invalid(
                "Exactly one element of the metrics list should return data.",
            ));
        }
        let comparison = optional(input, "ComparisonOperator").and_then(Comparison::parse).ok_or_else(|| {
            invalid("ComparisonOperator must compare with a threshold; the local cloud has no anomaly detection.")
        })?;
        let threshold = input.get("Threshold").and_then(Value::as_f64);
        let evaluation_periods = count(input, "EvaluationPeriods")
            .ok_or_else(|| invalid("EvaluationPeriods must be specified."))?;
        let datapoints_to_alarm = count(input, "DatapointsToAlarm").unwrap_or(evaluation_periods);
        if datapoints_to_alarm == 0 || datapoints_to_alarm > evaluation_periods {
            return Err(invalid(
                "DatapointsToAlarm must be at least 1 and at most EvaluationPeriods.",
            ));
        }
        let missing = match optional(input, "TreatMissingData") {
            None | Some("missing") => Missing::Insufficient,
            Some("breaching") => Missing::Breaching,
            Some("notBreaching") => Missing::NotBreaching,
            Some("ignore") => Missing::Ignore,
            Some(other) => {
                return Err(invalid(format!(
                    "The value '{other}' for parameter TreatMissingData is invalid; valid are breaching, notBreaching, ignore and missing."
                )));
            }
        };
        let period = queries
            .iter()
            .find(|query| query.return_data)
            .map_or(60, |query| queries.period(query));
        Ok(Self {
            queries,
            period,
            evaluation_periods,
            datapoints_to_alarm,
            comparison,
            threshold: threshold.ok_or_else(|| invalid("Threshold must be specified."))?,
            missing,
            statistic,
        })
    }

    fn single(input: &Value) -> Result<(Query, String), AwsError> {
        let (Some(_), Some(_)) = (optional(input, "Namespace"), optional(input, "MetricName")) else {
            return Err(invalid(
                "Either Namespace and MetricName or Metrics must be specified.",
            ));
        };
        let period = whole(input, "Period").filter(|period| *period > 0);
        let period = period.ok_or_else(|| invalid("Period must not be null."))?;
        if !matches!(period, 10 | 20 | 30) && period % 60 != 0 {
            return Err(invalid(format!(
                "The value {period} for parameter Period is invalid; valid are 10, 20, 30 and multiples of 60."
            )));
        }
        let statistic = match (optional(input, "Statistic"), optional(input, "ExtendedStatistic")) {
            (Some(one), None) | (None, Some(one)) => one,
            _ => {
                return Err(invalid(
                    "Exactly one of Statistic and ExtendedStatistic must be specified.",
                ));
            }
        };
        let stat = MetricStat {
            metric: parse_metric(input),
            statistic: parse_statistic(statistic)?,
            unit: optional(input, "Unit").map(str::to_owned),
        };
        Ok((Query::single(stat, period), statistic.to_owned()))
    }
}

impl CompositeAlarm {
    pub(crate) fn parse(input: &Value) -> Result<Self, AwsError> {
        let rule = Rule::parse(optional(input, "AlarmRule").unwrap_or_default())
            .map_err(|reason| invalid(format!("AlarmRule must not contain invalid syntax: {reason}.")))?;
        let suppressor = optional(input, "ActionsSuppressor").map(str::to_owned);
        let period =
            |member: &str| whole(input, member).map(|seconds| Duration::from_secs(u64::from(seconds)));
        let (wait, extension) = (
            period("ActionsSuppressorWaitPeriod"),
            period("ActionsSuppressorExtensionPeriod"),
        );
        if suppressor.is_some() && (wait.is_none() || extension.is_none()) {
            return Err(invalid(
                "ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod must be specified with ActionsSuppressor.",
            ));
        }
        Ok(Self {
            rule,
            suppressor,
            wait: wait.unwrap_or_default(),
            extension: extension.unwrap_or_default(),
        })
    }
}

fn count(input: &Value, member: &str) -> Option<usize> {
    whole(input, member).and_then(|count| usize::try_from(count).ok())
}

impl Alarm {
    pub(crate) fn is_composite(&self) -> bool {
        matches!(self.kind, Kind::Composite(_))
    }

    pub(crate) fn type_name(&self) -> &'static str {
        if self.is_composite() {
            "CompositeAlarm"
        } else {
            "MetricAlarm"
        }
    }

    pub(crate) fn actions(&self, value: StateValue) -> Vec<&str> {
        texts(&self.input, value.actions_member())
    }

    /// As `DescribeAlarms` shows it.
    pub(crate) fn describe(&self) -> Value {
        let mut described: Map<String, Value> = self
            .input
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(member, value)| (member.clone(), value.clone()))
            .collect();
        for member in ["OKActions", "AlarmActions", "InsufficientDataActions"] {
            described.entry(member).or_insert_with(|| json!([]));
        }
        let since = json!(Clock::to_epoch_seconds(self.standing.updated));
        let mut put = |member: &str, value: Value| described.insert(member.to_owned(), value);
        put("AlarmArn", json!(self.arn));
        put("ActionsEnabled", json!(self.actions_enabled));
        put(
            "AlarmConfigurationUpdatedTimestamp",
            json!(Clock::to_epoch_seconds(self.configured)),
        );
        put("StateValue", json!(self.standing.value.as_str()));
        put("StateReason", json!(self.standing.reason));
        put("StateUpdatedTimestamp", since.clone());
        put("StateTransitionedTimestamp", since);
        if let Some(data) = &self.standing.reason_data {
            put("StateReasonData", json!(data));
        }
        match (&self.kind, self.suppression) {
            (Kind::Composite(_), Some(suppression)) => {
                put("ActionsSuppressedBy", json!(suppression.as_str()));
                put(
                    "ActionsSuppressedReason",
                    json!(format!("Actions suppressed by {}", suppression.as_str())),
                );
            }
            (Kind::Metric(_), _) if list(&self.input, "Metrics").is_empty() => {
                described.entry("Dimensions").or_insert_with(|| json!([]));
            }
            _ => {}
        }
        Value::Object(described)
    }
}
